import {
  type BackfillState,
  cancelled,
  claimed,
  finished,
  holdsJob,
  pageSaved,
  requeued,
  toBackfillDocument,
} from '../backfill-changes.js'
import { fromCursor, toCursor } from '../cursor.js'
import { fromKeyText, toKeyText } from '../key-text.js'
import type { BackfillDocument, NewEvent, Store } from '../store.js'
import { unavailable } from '../unavailable.js'
import { tenantFilter } from './connections.js'
import { type BackfillRow, type Collections, isDuplicate, type MongoDatabase } from './database.js'
import { outboxEntries } from './outbox.js'
import { removeIfDisowned, writeRecords } from './records.js'

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

const MAX_TRIES = 200
/** How many due jobs are looked at, so that workers who come together do not all want the same one. */
const CANDIDATES = 16
const UNFINISHED = { $in: ['queued', 'running'] as BackfillDocument['status'][] }

type Change = { next: BackfillState; event: NewEvent | null }

/** Reads, asks `decide`, and writes what it makes of the job if nobody came between; else all of it again. */
async function change(
  collections: Collections,
  id: string,
  decide: (state: BackfillState) => Change | undefined,
): Promise<BackfillState | undefined> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const row = await collections.backfills.findOne({ _id: toKeyText(id) })
    const changed = row ? decide(toState(row)) : undefined
    if (!row || !changed) return undefined
    if (await write(collections, row, changed)) return changed.next
  }
  throw unavailable('mongo: the backfill changed again and again')
}

async function write(collections: Collections, row: BackfillRow, { next, event }: Change): Promise<boolean> {
  const entries = await outboxEntries(collections, event)
  const { modifiedCount } = await collections.backfills.updateOne(
    { _id: row._id, revision: row.revision },
    {
      $set: toRow(next),
      $inc: { revision: 1 },
      ...(entries.length > 0 && { $push: { outbox: { $each: entries } } }),
    },
  )
  return modifiedCount === 1
}

export async function cancelBackfills(collections: Collections, connectionId: string, now: number): Promise<void> {
  const rows = await collections.backfills
    .find({ connectionId: toKeyText(connectionId), status: UNFINISHED })
    .project<{ _id: string }>({ _id: 1 })
    .toArray()
  for (const { _id } of rows) {
    await change(collections, fromKeyText(_id), (state) => {
      const next = cancelled(state, now)
      return next && { next, event: null }
    })
  }
}

export function backfillMethods(db: MongoDatabase): Methods {
  return {
    createBackfill(backfill) {
      return db.use(async ({ backfills }) => {
        const state = { ...backfill, fencing: backfill.lease?.fencing ?? 0 }
        const _id = toKeyText(backfill.id)
        try {
          await backfills.insertOne({ _id, ...toRow(state), revision: 1, outbox: [] })
          return { created: true, backfill }
        } catch (error) {
          const known = isDuplicate(error) ? await backfills.findOne({ _id }) : null
          if (!known) throw error
          return { created: false, backfill: toBackfillDocument(toState(known)) }
        }
      })
    },

    getBackfill(tenantId, id) {
      return db.use(async ({ backfills }) => {
        const row = await backfills.findOne({ _id: toKeyText(id), ...tenantFilter(tenantId) })
        return row ? toBackfillDocument(toState(row)) : undefined
      })
    },

    listBackfills({ tenantId, connectionId, after, limit }) {
      return db.use(async ({ backfills }) => {
        const [createdAt, id] = after ? fromCursor(after, 'number', 'string') : []
        const rows = await backfills
          .find({
            ...tenantFilter(tenantId),
            ...(connectionId !== undefined && { connectionId: toKeyText(connectionId) }),
            ...(createdAt !== undefined &&
              id !== undefined && {
                $or: [{ createdAt: { $lt: createdAt } }, { createdAt, _id: { $lt: toKeyText(id) } }],
              }),
          })
          .sort({ createdAt: -1, _id: -1 })
          .limit(limit + 1)
          .toArray()
        const items = rows.slice(0, limit).map((row) => toBackfillDocument(toState(row)))
        const last = items.at(-1)
        return { items, next: rows.length > limit && last ? toCursor(last.createdAt, last.id) : null }
      })
    },

    claimBackfill(claim) {
      return db.use(async (collections) => {
        const { id, now } = claim
        const rows = await collections.backfills
          .find({ status: UNFINISHED, dueAt: { $lte: now }, ...(id !== undefined && { _id: toKeyText(id) }) })
          .sort({ dueAt: 1 })
          .limit(CANDIDATES)
          .toArray()
        for (const row of rows) {
          const taken = claimed(toState(row), claim)
          if (taken && (await write(collections, row, taken))) return toBackfillDocument(taken.next)
        }
        return undefined
      })
    },

    savePage(page) {
      return db.use(async (collections) => {
        const row = await collections.backfills.findOne({ _id: toKeyText(page.backfillId) })
        if (!row || !holdsJob(toState(row), page)) return false
        await writeRecords(collections, page)
        const saved = await change(collections, page.backfillId, (state) => {
          const next = pageSaved(state, page)
          return next && { next, event: null }
        })
        if (!saved) await removeIfDisowned(collections, page.connectionId)
        return saved !== undefined
      })
    },

    finishBackfill(input) {
      return db.use(async (collections) => {
        const state = await change(collections, input.id, (before) => {
          const next = finished(before, input)
          return next && { next, event: input.event && { ...input.event, backfillId: next.id } }
        })
        return state && toBackfillDocument(state)
      })
    },

    requeueBackfill(id, now) {
      return db.use(async (collections) => {
        const state = await change(collections, id, (before) => {
          const next = requeued(before, now)
          return next && { next, event: null }
        })
        return state && toBackfillDocument(state)
      })
    },

    nextBackfillDueAt() {
      return db.use(async ({ backfills }) => {
        const row = await backfills.findOne({ status: UNFINISHED }, { sort: { dueAt: 1 }, projection: { dueAt: 1 } })
        return row ? row.dueAt : null
      })
    },
  }
}

function toRow(state: BackfillState): Omit<BackfillRow, '_id' | 'revision' | 'outbox'> {
  const { id: _, resources, ...rest } = state
  return {
    ...rest,
    connectionId: toKeyText(state.connectionId),
    tenantId: toKeyText(state.tenantId),
    // The driver would keep an undefined reason as null.
    resources: resources.map(({ reason, checkpoint, ...progress }) => ({
      ...progress,
      ...(reason !== undefined && { reason }),
      checkpoint: JSON.stringify(checkpoint ?? null),
    })),
  }
}

function toState({ _id, revision: _, outbox: __, resources, ...rest }: BackfillRow): BackfillState {
  return {
    ...rest,
    id: fromKeyText(_id),
    connectionId: fromKeyText(rest.connectionId),
    tenantId: fromKeyText(rest.tenantId),
    resources: resources.map((progress) => ({ ...progress, checkpoint: JSON.parse(progress.checkpoint) })),
  }
}
