import {
  type BackfillState,
  cancelled,
  claimed,
  finished,
  isUnfinished,
  pageSaved,
  requeued,
  toBackfillDocument,
} from '../backfill-changes.js'
import { fromCursor, toCursor } from '../cursor.js'
import { toKeyText } from '../key-text.js'
import type { Store } from '../store.js'
import type { Row, SqliteDatabase, Value } from './database.js'
import { addEvent } from './deliveries.js'
import { writeRecords } from './records.js'

type Methods = Pick<
  Store,
  | 'createBackfill'
  | 'getBackfill'
  | 'listBackfills'
  | 'claimBackfill'
  | 'savePage'
  | 'finishBackfill'
  | 'requeueBackfill'
  | 'nextBackfillDueAt'
>

/** Runs inside the write that ends the connection. */
export function cancelBackfills(db: SqliteDatabase, connectionId: string, now: number): void {
  const rows = db.all(
    'SELECT body FROM backfills WHERE connection_id = ? AND due_at IS NOT NULL',
    toKeyText(connectionId),
  )
  for (const row of rows) {
    const next = cancelled(toState(row), now)
    if (next) put(db, next)
  }
}

export function backfillMethods(db: SqliteDatabase): Methods {
  function find(id: string): BackfillState | undefined {
    const row = db.get('SELECT body FROM backfills WHERE id = ?', toKeyText(id))
    return row && toState(row)
  }

  function dueOne(now: number, id?: string): BackfillState | undefined {
    if (id !== undefined) {
      const state = find(id)
      return state && isUnfinished(state) && state.dueAt <= now ? state : undefined
    }
    const row = db.get('SELECT body FROM backfills WHERE due_at <= ? ORDER BY due_at, id LIMIT 1', now)
    return row && toState(row)
  }

  return {
    createBackfill(backfill) {
      return db.write(() => {
        const known = find(backfill.id)
        if (known) return { created: false, backfill: toBackfillDocument(known) }
        put(db, { ...backfill, fencing: backfill.lease?.fencing ?? 0 })
        return { created: true, backfill }
      })
    },

    getBackfill(tenantId, id) {
      return db.read(() => {
        const state = find(id)
        return state && (tenantId === null || state.tenantId === tenantId) ? toBackfillDocument(state) : undefined
      })
    },

    listBackfills({ tenantId, connectionId, after, limit }) {
      return db.read(() => {
        const filters: [string, Value[]][] = []
        if (after) filters.push(['(created_at, id) < (?, ?)', fromCursor(after, 'number', 'string')])
        if (tenantId !== null) filters.push(['tenant_id = ?', [toKeyText(tenantId)]])
        if (connectionId !== undefined) filters.push(['connection_id = ?', [toKeyText(connectionId)]])
        const where = filters.length > 0 ? `WHERE ${filters.map(([sql]) => sql).join(' AND ')}` : ''
        const rows = db.all(
          `SELECT body FROM backfills ${where} ORDER BY created_at DESC, id DESC LIMIT ?`,
          ...filters.flatMap(([, values]) => values),
          limit + 1,
        )
        const items = rows.slice(0, limit).map((row) => toBackfillDocument(toState(row)))
        const last = items.at(-1)
        return { items, next: rows.length > limit && last ? toCursor(last.createdAt, last.id) : null }
      })
    },

    async claimBackfill(claim) {
      // Workers look often and mostly in vain: only something due is worth a write.
      if (!(await db.read(() => dueOne(claim.now, claim.id)))) return undefined
      return db.write(() => {
        const state = dueOne(claim.now, claim.id)
        const taken = state && claimed(state, claim)
        if (!taken) return undefined
        put(db, taken.next)
        if (taken.event) addEvent(db, taken.event, taken.next)
        return toBackfillDocument(taken.next)
      })
    },

    // Records and checkpoint are one transaction, so a power cut loses both or neither: the page is then read again.
    savePage(page) {
      return db.write(
        () => {
          const state = find(page.backfillId)
          const next = state && pageSaved(state, page)
          if (!next) return false
          writeRecords(db, page)
          put(db, next)
          return true
        },
        { durable: false, atOnce: true },
      )
    },

    finishBackfill(input) {
      return db.write(() => {
        const state = find(input.id)
        const next = state && finished(state, input)
        if (!next) return undefined
        put(db, next)
        if (input.event) addEvent(db, { ...input.event, backfillId: next.id }, next)
        return toBackfillDocument(next)
      })
    },

    requeueBackfill(id, now) {
      return db.write(() => {
        const state = find(id)
        const next = state && requeued(state, now)
        if (!next) return undefined
        put(db, next)
        return toBackfillDocument(next)
      })
    },

    nextBackfillDueAt() {
      return db.read(() => {
        const row = db.get('SELECT min(due_at) AS due_at FROM backfills WHERE due_at IS NOT NULL')
        return row?.due_at == null ? null : Number(row.due_at)
      })
    },
  }
}

function put(db: SqliteDatabase, state: BackfillState): void {
  db.run(
    `INSERT INTO backfills (id, connection_id, tenant_id, created_at, due_at, body) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at, body = excluded.body`,
    toKeyText(state.id),
    toKeyText(state.connectionId),
    toKeyText(state.tenantId),
    state.createdAt,
    isUnfinished(state) ? state.dueAt : null,
    JSON.stringify(state),
  )
}

function toState(row: Row): BackfillState {
  return JSON.parse(String(row.body)) as BackfillState
}
