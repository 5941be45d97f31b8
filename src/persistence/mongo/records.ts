import type { mongo } from 'mongoose'
import { fromCursor, toCursor } from '../cursor.js'
import { fromKeyText, toKeyText } from '../key-text.js'
import type { Store, StoredRecord } from '../store.js'
import { tenantFilter } from './connections.js'
import { type Collections, type ConnectionRow, type MongoDatabase, orAgain, type RecordRow } from './database.js'

type Methods = Pick<Store, 'listRecords' | 'getRecord' | 'deleteRecords'>

/** Upserts by key: writing a page twice is writing it once. */
export async function writeRecords(
  { records: collection }: Collections,
  { connectionId, tenantId, backfillId, records, deletes, now }: Parameters<Store['savePage']>[0],
): Promise<void> {
  const common = { connectionId: toKeyText(connectionId), tenantId: toKeyText(tenantId) }
  const writes: mongo.AnyBulkWriteOperation<RecordRow>[] = records.map((record, index) => ({
    updateOne: {
      filter: { _id: recordKey(connectionId, record.resource, record.id) },
      update: {
        $set: {
          backfillId: toKeyText(backfillId),
          timestamp: record.timestamp === null ? null : toKeyText(record.timestamp),
          parentId: record.parentId === null ? null : toKeyText(record.parentId),
          data: JSON.stringify(record.data ?? null),
        },
        // 1,000 records a millisecond, then the next; exact in a double until the year 2255.
        $setOnInsert: { ...common, resource: toKeyText(record.resource), sequence: now * 1000 + index },
      },
      upsert: true,
    },
  }))
  for (const { resource, id } of deletes)
    writes.push({ deleteOne: { filter: { _id: recordKey(connectionId, resource, id) } } })
  // In order: of two records with one id in a page the last one counts.
  if (writes.length > 0) await orAgain(() => collection.bulkWrite(writes, { ordered: true }))
}

/** A page that is written still when its connection ends is longer done by then, or its process is gone. */
const SWEPT_MS = 24 * 3_600_000

/** Written with the end of the connection: its records go from then on, whatever happens to this process. */
export function unwanted(now: number): Required<Pick<ConnectionRow, 'recordsDeletedAt' | 'recordsSweptUntil'>> {
  return { recordsDeletedAt: now, recordsSweptUntil: now + SWEPT_MS }
}

/** What is unwanted of all connections. */
export async function removeUnwanted({ connections, records }: Collections, now: number): Promise<void> {
  const isUnwanted = { recordsSweptUntil: { $gt: 0 } }
  const rows = await connections.find(isUnwanted).project<{ _id: string }>({ _id: 1 }).toArray()
  for (const { _id } of rows) {
    // Connected again since we looked.
    if (!(await connections.findOne({ _id, ...isUnwanted }, { projection: { _id: 1 } }))) continue
    await records.deleteMany({ connectionId: _id })
    await connections.updateOne({ _id, recordsSweptUntil: { $lte: now } }, { $unset: { recordsSweptUntil: '' } })
  }
}

/** A page was being written while the connection was ended and its records deleted: they go, too. */
export async function removeIfDisowned({ connections, records }: Collections, connectionId: string): Promise<void> {
  const id = toKeyText(connectionId)
  const row = await connections.findOne({ _id: id }, { projection: { status: 1, recordsDeletedAt: 1 } })
  if (row?.status === 'disconnected' && row.recordsDeletedAt) await records.deleteMany({ connectionId: id })
}

export function recordMethods(db: MongoDatabase): Methods {
  return {
    listRecords({ tenantId, connectionId, resource, backfillId, after, limit }) {
      return db.use(async ({ records }) => {
        const rows = await records
          .find({
            connectionId: toKeyText(connectionId),
            ...(resource !== undefined && { resource: toKeyText(resource) }),
            ...(backfillId !== undefined && { backfillId: toKeyText(backfillId) }),
            ...tenantFilter(tenantId),
            ...(after && behind(after)),
          })
          .sort({ resource: 1, sequence: 1, _id: 1 })
          .limit(limit + 1)
          .toArray()
        const last = rows.length > limit ? rows[limit - 1] : undefined
        return {
          items: rows.slice(0, limit).map(toRecord),
          next: last ? toCursor(last.resource, last.sequence, last._id) : null,
        }
      })
    },

    getRecord(connectionId, resource, id) {
      return db.use(async ({ records }) => {
        const row = await records.findOne({ _id: recordKey(connectionId, resource, id) })
        return row ? toRecord(row) : undefined
      })
    },

    async deleteRecords(connectionId) {
      const id = toKeyText(connectionId)
      await db.use(async ({ connections, records }) => {
        const row = await connections.findOne({ _id: id }, { projection: { status: 1 } })
        if (row && row.status !== 'disconnected') return
        await connections.updateOne({ _id: id, status: 'disconnected' }, { $set: unwanted(Date.now()) })
        await records.deleteMany({ connectionId: id })
      })
    },
  }
}

function behind(after: string): mongo.Filter<RecordRow> {
  const [resource, sequence, _id] = fromCursor(after, 'string', 'number', 'string')
  return {
    $or: [
      { resource: { $gt: resource } },
      { resource, sequence: { $gt: sequence } },
      { resource, sequence, _id: { $gt: _id } },
    ],
  }
}

function recordKey(connectionId: string, resource: string, id: string): string {
  return JSON.stringify([connectionId, resource, id])
}

function toRecord({ _id, resource, timestamp, parentId, data }: RecordRow): StoredRecord {
  const [, , id] = JSON.parse(_id) as [string, string, string]
  return {
    resource: fromKeyText(resource),
    id,
    timestamp: timestamp === null ? null : fromKeyText(timestamp),
    data: JSON.parse(data),
    parentId: parentId === null ? null : fromKeyText(parentId),
  }
}
