import {
  type ConnectionState,
  disconnected,
  leased,
  newConnection,
  reconnected,
  refreshDueAt,
  refreshed,
  released,
  resealed,
  toDocument,
  withStatus,
} from '../connection-changes.js'
import { fromCursor, toCursor } from '../cursor.js'
import { toKeyText } from '../key-text.js'
import type { ConnectionDocument, NewEvent, Store } from '../store.js'
import { cancelBackfills } from './backfills.js'
import type { SqliteDatabase } from './database.js'
import { addEvent } from './deliveries.js'
import { keepRecords, markUnwanted } from './records.js'
import { insertRevocation } from './revocations.js'

type Methods = Pick<
  Store,
  | 'saveConnection'
  | 'getConnection'
  | 'listConnections'
  | 'updateStatus'
  | 'disconnect'
  | 'countGrantHolders'
  | 'acquireRefreshLease'
  | 'commitRefresh'
  | 'releaseRefreshLease'
  | 'replaceSealed'
  | 'listRefreshDue'
>

export function connectionMethods(db: SqliteDatabase): Methods {
  function find(id: string): ConnectionState | undefined {
    const row = db.get('SELECT body FROM connections WHERE id = ?', toKeyText(id))
    return row && (JSON.parse(String(row.body)) as ConnectionState)
  }

  function findAccount(tenantId: string, provider: string, accountKey: string): ConnectionState | undefined {
    const row = db.get(
      'SELECT body FROM connections WHERE tenant_id = ? AND provider = ? AND account_key = ?',
      toKeyText(tenantId),
      provider,
      toKeyText(accountKey),
    )
    return row && (JSON.parse(String(row.body)) as ConnectionState)
  }

  const changing = (state: ConnectionState) =>
    [
      toKeyText(state.userId),
      state.grantKey === null ? null : toKeyText(state.grantKey),
      refreshDueAt(state),
      JSON.stringify(state),
    ] as const

  /** `false`: the account has a connection already. */
  function insert(state: ConnectionState): boolean {
    const inserted = db.run(
      `INSERT INTO connections (id, tenant_id, provider, account_key, user_id, grant_key, refresh_due_at, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, provider, account_key) DO NOTHING`,
      toKeyText(state.id),
      toKeyText(state.tenantId),
      state.provider,
      toKeyText(state.accountKey),
      ...changing(state),
    )
    return inserted === 1
  }

  function put(state: ConnectionState): void {
    db.run(
      'UPDATE connections SET user_id = ?, grant_key = ?, refresh_due_at = ?, body = ? WHERE id = ?',
      ...changing(state),
      toKeyText(state.id),
    )
  }

  /** Stores what `change` makes of the connection, with its event. */
  function change(
    id: string,
    event: NewEvent | null,
    change: (state: ConnectionState) => ConnectionState | undefined,
  ): ConnectionDocument | undefined {
    const state = find(id)
    const next = state && change(state)
    if (!next) return undefined
    put(next)
    if (event) addEvent(db, event, { connectionId: next.id, tenantId: next.tenantId })
    return toDocument(next)
  }

  return {
    async saveConnection(input) {
      const { tenantId, provider, accountKey, grantKey, grantShared } = input
      // Sealing takes longer than writing: done before the transaction for a new connection, and again only if it is not.
      const prepared = input.tokensFor(input.newId)
      return db.write(() => {
        if (grantKey !== null && !grantShared) {
          const taken = db.get(
            'SELECT 1 FROM connections WHERE grant_key = ? AND tenant_id <> ?',
            toKeyText(grantKey),
            toKeyText(tenantId),
          )
          if (taken) return { outcome: 'grant_taken' }
        }
        let state = newConnection(input, prepared)
        const isNew = insert(state)
        const before = isNew ? undefined : findAccount(tenantId, provider, accountKey)
        if (before) {
          state = reconnected(before, input, input.tokensFor(before.id))
          put(state)
          keepRecords(db, state.id)
        }
        const outcome = isNew ? 'connected' : 'reconnected'
        const { eventId: id, now: occurredAt, groups, claim } = input
        addEvent(
          db,
          { id, type: outcome, occurredAt, groups, ...(claim && { claim }) },
          { connectionId: state.id, tenantId },
        )
        return { outcome, connection: toDocument(state) }
      })
    },

    getConnection(tenantId, id) {
      return db.read(() => {
        const state = find(id)
        return state && (tenantId === null || state.tenantId === tenantId) ? toDocument(state) : undefined
      })
    },

    listConnections({ tenantId, provider, userId, after, limit }) {
      return db.read(() => {
        const [afterId] = after ? fromCursor(after, 'string') : ['']
        const filters: [string, string][] = [['id > ?', toKeyText(afterId)]]
        if (tenantId !== null) filters.push(['tenant_id = ?', toKeyText(tenantId)])
        if (provider !== undefined) filters.push(['provider = ?', toKeyText(provider)])
        if (userId !== undefined) filters.push(['user_id = ?', toKeyText(userId)])
        const rows = db.all(
          `SELECT body FROM connections WHERE ${filters.map(([sql]) => sql).join(' AND ')} ORDER BY id LIMIT ?`,
          ...filters.map(([, value]) => value),
          limit + 1,
        )
        const items = rows.slice(0, limit).map((row) => toDocument(JSON.parse(String(row.body)) as ConnectionState))
        const last = items.at(-1)
        return { items, next: rows.length > limit && last ? toCursor(last.id) : null }
      })
    },

    updateStatus(id, generation, to, event) {
      return db.write(() => change(id, event, (state) => withStatus(state, generation, to, event === null)))
    },

    disconnect(id, generation, { now, event, pendingRevocation, deleteRecords }) {
      return db.write(() => {
        const document = change(id, event, (state) => disconnected(state, generation, now))
        if (!document) return undefined
        cancelBackfills(db, id, now)
        if (deleteRecords) markUnwanted(db, id)
        if (pendingRevocation) insertRevocation(db, pendingRevocation)
        return document
      })
    },

    countGrantHolders(grantKey, exceptId) {
      return db.read(() => {
        const row = db.get(
          'SELECT count(*) AS holders FROM connections WHERE grant_key = ? AND id <> ?',
          toKeyText(grantKey),
          toKeyText(exceptId),
        )
        return Number(row?.holders)
      })
    },

    // Durable: after a power cut, an unreleased lease tells that a refresh may have been sent.
    acquireRefreshLease(request) {
      return db.write(() => {
        const state = find(request.connectionId)
        const lease = state && leased(state, request)
        if (!lease) return undefined
        put(lease.next)
        return { fencing: lease.fencing, takenOver: lease.takenOver }
      })
    },

    commitRefresh(input) {
      return db.write(() => {
        const document = change(input.connectionId, input.event, (state) => refreshed(state, input))
        if (document && input.alsoEvent)
          addEvent(db, input.alsoEvent, { connectionId: document.id, tenantId: document.tenantId })
        return document
      })
    },

    async releaseRefreshLease(input) {
      await db.write(() => change(input.connectionId, null, (state) => released(state, input)))
    },

    replaceSealed(connectionId, token, version, sealed) {
      return db.write(
        () => change(connectionId, null, (state) => resealed(state, token, version, sealed)) !== undefined,
      )
    },

    listRefreshDue(before, limit) {
      return db.read(() =>
        db
          .all(
            'SELECT body FROM connections WHERE refresh_due_at < ? ORDER BY refresh_due_at, id LIMIT ?',
            before,
            limit,
          )
          .map((row) => toDocument(JSON.parse(String(row.body)) as ConnectionState)),
      )
    },
  }
}
