import type { mongo } from 'mongoose'
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
  type TokenGuard,
  toDocument,
  withStatus,
} from '../connection-changes.js'
import { fromCursor, toCursor } from '../cursor.js'
import { fromKeyText, toKeyText } from '../key-text.js'
import type { ConnectionDocument, NewEvent, SaveConnection, SaveOutcome, Store, StoredToken } from '../store.js'
import { unavailable } from '../unavailable.js'
import { cancelBackfills } from './backfills.js'
import {
  type Collections,
  type ConnectionRow,
  isDuplicate,
  type MongoDatabase,
  type RevocationEntry,
} from './database.js'
import { claimGrant, releaseGrant } from './grants.js'
import { outboxEntries } from './outbox.js'
import { unwanted } from './records.js'
import { toRevocationEntry } from './revocations.js'
import { ACCOUNT_INDEX } from './schema.js'

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

/** Everyone else of one moment may win first; more than this is a fault of ours. */
const MAX_TRIES = 200

export function connectionMethods(db: MongoDatabase): Methods {
  /** Reads, asks `decide`, and writes what it makes of the connection if nobody came between; else all of it again. */
  function change(
    id: string,
    event: NewEvent | null,
    decide: (state: ConnectionState) => ConnectionState | undefined,
    revocation?: RevocationEntry,
    alsoEvent: NewEvent | null = null,
    also: Partial<ConnectionRow> = {},
  ): Promise<{ before: ConnectionState; next: ConnectionState } | undefined> {
    return db.use(async (collections) => {
      const entries = [...(await outboxEntries(collections, event)), ...(await outboxEntries(collections, alsoEvent))]
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const row = await collections.connections.findOne({ _id: toKeyText(id) })
        const before = row ? toState(row) : undefined
        const next = before && decide(before)
        if (!row || !before || !next) return undefined
        const { modifiedCount } = await collections.connections.updateOne(
          { _id: row._id, revision: row.revision },
          {
            $set: { ...toRow(next), ...also },
            $inc: { revision: 1 },
            // An empty $push is refused by MongoDB 4.4.
            ...((entries.length > 0 || revocation) && {
              $push: { outbox: { $each: entries }, ...(revocation && { revocations: revocation }) },
            }),
          },
        )
        if (modifiedCount === 1) return { before, next }
      }
      throw unavailable('mongo: the connection changed again and again')
    })
  }

  async function save(collections: Collections, input: SaveConnection): Promise<SaveOutcome> {
    const { connections } = collections
    const key = {
      tenantId: toKeyText(input.tenantId),
      provider: input.provider,
      accountKey: toKeyText(input.accountKey),
    }
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const row = await connections.findOne(key)
      const before = row ? toState(row) : undefined
      const tokens = input.tokensFor(before?.id ?? input.newId)
      const state = before ? reconnected(before, input, tokens) : newConnection(input, tokens)
      const outcome = before ? 'reconnected' : 'connected'
      if (!input.grantShared && !(await claimGrant(collections, state))) return { outcome: 'grant_taken' }
      const entries = await outboxEntries(collections, {
        id: input.eventId,
        type: outcome,
        occurredAt: input.now,
        groups: input.groups,
        ...(input.claim && { claim: input.claim }),
      })
      if (!(await write(connections, row, state, entries))) {
        // An id that was never used holds nothing; the next round claims for the connection that was first.
        if (!before) await releaseGrant(collections, state)
        continue
      }
      if (before) await releaseGrant(collections, before)
      return { outcome, connection: toDocument(state) }
    }
    throw unavailable('mongo: the connection changed again and again')
  }

  return {
    saveConnection: (input) => db.use((collections) => save(collections, input)),

    getConnection(tenantId, id) {
      return db.use(async ({ connections }) => {
        const row = await connections.findOne({ _id: toKeyText(id), ...tenantFilter(tenantId) })
        return row ? toDocument(toState(row)) : undefined
      })
    },

    listConnections({ tenantId, provider, userId, after, limit }) {
      return db.use(async ({ connections }) => {
        const [afterId] = after ? fromCursor(after, 'string') : ['']
        const rows = await connections
          .find({
            _id: { $gt: toKeyText(afterId) },
            ...tenantFilter(tenantId),
            ...(provider !== undefined && { provider }),
            ...(userId !== undefined && { userId: toKeyText(userId) }),
          })
          .sort({ _id: 1 })
          .limit(limit + 1)
          .toArray()
        const items = rows.slice(0, limit).map((row) => toDocument(toState(row)))
        const last = items.at(-1)
        return { items, next: rows.length > limit && last ? toCursor(last.id) : null }
      })
    },

    async updateStatus(id, generation, to, event) {
      const changed = await change(id, event, (state) => withStatus(state, generation, to, event === null))
      return changed && toDocument(changed.next)
    },

    async disconnect(id, generation, { now, event, pendingRevocation, deleteRecords }) {
      const changed = await change(
        id,
        event,
        (state) => disconnected(state, generation, now),
        pendingRevocation ? toRevocationEntry(pendingRevocation) : undefined,
        null,
        deleteRecords ? unwanted(now) : {},
      )
      if (!changed) return undefined
      // After the connection: a worker that still takes one of these finds it disconnected, and ends.
      await db.use((collections) => cancelBackfills(collections, id, now))
      await db.use((collections) => releaseGrant(collections, changed.before))
      return toDocument(changed.next)
    },

    countGrantHolders(grantKey, exceptId) {
      return db.use(({ connections }) =>
        connections.countDocuments({ grantKey: toKeyText(grantKey), _id: { $ne: toKeyText(exceptId) } }),
      )
    },

    async acquireRefreshLease(request) {
      let lease: ReturnType<typeof leased>
      await change(request.connectionId, null, (state) => {
        lease = leased(state, request)
        return lease?.next
      })
      return lease && { fencing: lease.fencing, takenOver: lease.takenOver }
    },

    async commitRefresh(input) {
      const { connectionId, event, alsoEvent } = input
      const changed = await change(connectionId, event, (state) => refreshed(state, input), undefined, alsoEvent)
      return changed && toDocument(changed.next)
    },

    async releaseRefreshLease(input) {
      await change(input.connectionId, null, (state) => released(state, input))
    },

    async replaceSealed(connectionId, token, version, sealed) {
      const changed = await change(connectionId, null, (state) => resealed(state, token, version, sealed))
      return changed !== undefined
    },

    listRefreshDue(before, limit) {
      return db.use(async ({ connections }) => {
        // $gte keeps those without an end out: null is no number.
        const rows = await connections
          .find({ refreshDueAt: { $gte: 0, $lt: before } })
          .sort({ refreshDueAt: 1, _id: 1 })
          .limit(limit)
          .toArray()
        return rows.map((row) => toDocument(toState(row)))
      })
    },
  }
}

/** One write: the state with its pending event. `false`: somebody else was first. */
async function write(
  connections: mongo.Collection<ConnectionRow>,
  row: ConnectionRow | null,
  state: ConnectionState,
  entries: ConnectionRow['outbox'],
): Promise<boolean> {
  if (row) {
    const { modifiedCount } = await connections.updateOne(
      { _id: row._id, revision: row.revision },
      {
        $set: toRow(state),
        $unset: { recordsDeletedAt: '', recordsSweptUntil: '' },
        $inc: { revision: 1 },
        $push: { outbox: { $each: entries } },
      },
    )
    return modifiedCount === 1
  }
  try {
    const _id = toKeyText(state.id)
    await connections.insertOne({ _id, ...toRow(state), revision: 1, outbox: entries, revocations: [] })
    return true
  } catch (error) {
    if (isDuplicate(error, ACCOUNT_INDEX)) return false
    throw error
  }
}

export function tenantFilter(tenantId: string | null): { tenantId?: string } {
  return tenantId === null ? {} : { tenantId: toKeyText(tenantId) }
}

function toRow(state: ConnectionState): Omit<ConnectionRow, '_id' | 'revision' | 'outbox' | 'revocations'> {
  const { id: _, tokens, guards, account, scopes, params, ...rest } = state
  return {
    ...rest,
    tenantId: toKeyText(state.tenantId),
    accountKey: toKeyText(state.accountKey),
    userId: toKeyText(state.userId),
    grantKey: state.grantKey === null ? null : toKeyText(state.grantKey),
    details: JSON.stringify({ account, scopes, params }),
    tokens: Object.entries(guards).map(([name, guard]) => ({ name, token: tokens[name] ?? null, guard })),
    refreshDueAt: refreshDueAt(state),
  }
}

function toState(row: ConnectionRow): ConnectionState {
  const details = JSON.parse(row.details) as Pick<ConnectionDocument, 'account' | 'scopes' | 'params'>
  const tokens: Record<string, StoredToken> = {}
  const guards: Record<string, TokenGuard> = {}
  for (const { name, token, guard } of row.tokens) {
    if (token) tokens[name] = token
    guards[name] = guard
  }
  return {
    id: fromKeyText(row._id),
    tenantId: fromKeyText(row.tenantId),
    userId: fromKeyText(row.userId),
    provider: row.provider,
    accountKey: fromKeyText(row.accountKey),
    ...details,
    status: row.status,
    cause: row.cause,
    degradedSince: row.degradedSince,
    nextTryAt: row.nextTryAt,
    tokens,
    grantKey: row.grantKey === null ? null : fromKeyText(row.grantKey),
    connectedAt: row.connectedAt,
    updatedAt: row.updatedAt,
    generation: row.generation,
    guards,
  }
}
