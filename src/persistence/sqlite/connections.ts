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

  function put(state: ConnectionState): void {
    db.run(
      `INSERT INTO connections (id, tenant_id, provider, account_key, user_id, grant_key, refresh_due_at, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, grant_key = excluded.grant_key,
         refresh_due_at = excluded.refresh_due_at, body = excluded.body`,
      toKeyText(state.id),
      toKeyText(state.tenantId),
      state.provider,
      toKeyText(state.accountKey),
      toKeyText(state.userId),
      state.grantKey === null ? null : toKeyText(state.grantKey),
      refreshDueAt(state),
      JSON.stringify(state),
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
        const before = findAccount(tenantId, provider, accountKey)
        const id = before?.id ?? input.newId
        const tokens = before ? input.tokensFor(id) : prepared
        const state = before ? reconnected(before, input, tokens) : newConnection(input, tokens)
        const outcome = before ? 'reconnected' : 'connected'
        put(state)
        if (before) keepRecords(db, id)
        const event = { id: input.eventId, type: outcome, occurredAt: input.now, groups: input.groups } as const
        addEvent(db, event, { connectionId: id, tenantId })
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
