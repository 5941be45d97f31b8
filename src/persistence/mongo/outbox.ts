import type { mongo } from 'mongoose'
import { fromCursor, toCursor } from '../cursor.js'
import { fromKeyText, toKeyText } from '../key-text.js'
import { type Delivery, GROUP_LIFE_MS, type NewEvent, type ParkedDelivery, type Store } from '../store.js'
import {
  type BackfillRow,
  type Collections,
  type ConnectionRow,
  type MongoDatabase,
  type OutboxEntry,
  orAgain,
} from './database.js'

type Methods = Pick<
  Store,
  'registerGroups' | 'claimDeliveries' | 'ackDelivery' | 'failDelivery' | 'listParked' | 'retryParked'
>

/** Where an entry lies. Connections and backfills carry their own events. */
type Outbox = Pick<ConnectionRow, '_id' | 'tenantId' | 'outbox'> & Partial<Pick<BackfillRow, 'connectionId'>>
interface Found {
  outbox: mongo.Collection<Outbox>
  row: Pick<Outbox, '_id' | 'tenantId' | 'connectionId'>
  entry: OutboxEntry
}

function outboxes({ connections, backfills }: Collections): mongo.Collection<Outbox>[] {
  return [connections, backfills] as unknown as mongo.Collection<Outbox>[]
}

/** The entries to push together with the change that the event reports. */
export async function outboxEntries({ groups }: Collections, event: NewEvent | null): Promise<OutboxEntry[]> {
  if (!event) return []
  const others = await groups.find({ seenAt: { $gt: event.occurredAt - GROUP_LIFE_MS } }).toArray()
  const names = new Set([...event.groups.map(toKeyText), ...others.map(({ _id }) => _id)])
  const claimed = new Set(event.claim?.groups.map(toKeyText))
  return [...names].map((group) => ({
    eventId: event.id,
    group,
    type: event.type,
    occurredAt: event.occurredAt,
    backfillId: event.backfillId ?? null,
    ...(event.claim && claimed.has(group)
      ? { attempts: 1, dueAt: event.claim.until, owner: event.claim.owner }
      : { attempts: 0, dueAt: event.occurredAt, owner: null }),
    parkedAt: null,
    reason: null,
  }))
}

export function outboxMethods(db: MongoDatabase): Methods {
  return {
    async registerGroups(names, now) {
      await db.use(({ groups }) =>
        Promise.all(
          names.map((name) =>
            orAgain(() => groups.updateOne({ _id: toKeyText(name) }, { $max: { seenAt: now } }, { upsert: true })),
          ),
        ),
      )
    },

    claimDeliveries(groups, owner, now, leaseMs, limit) {
      return db.use(async (collections) => {
        const found = await findDue(collections, groups.map(toKeyText), now, limit)
        const claims = found.map(async ({ outbox, row, entry }) => {
          const { modifiedCount } = await outbox.updateOne(
            // As it was found: whoever else takes it moves `dueAt`.
            {
              _id: row._id,
              outbox: { $elemMatch: { eventId: entry.eventId, group: entry.group, dueAt: entry.dueAt } },
            },
            {
              $set: { 'outbox.$[entry].owner': owner, 'outbox.$[entry].dueAt': now + leaseMs },
              $inc: { 'outbox.$[entry].attempts': 1 },
            },
            entryFilter(entry.eventId, entry.group),
          )
          return modifiedCount === 1 ? toDelivery(row, entry, entry.attempts + 1) : undefined
        })
        return (await Promise.all(claims)).filter((delivery) => delivery !== undefined)
      })
    },

    async ackDelivery(delivery, owner) {
      const { eventId } = delivery
      const group = toKeyText(delivery.group)
      await db.use(async (collections) => {
        const { outbox, _id } = placeOf(collections, delivery)
        await outbox.updateOne({ _id }, { $pull: { outbox: { eventId, group, owner } } })
      })
    },

    async failDelivery(delivery, owner, dueAt, reason, now) {
      const { eventId, attempts } = delivery
      const group = toKeyText(delivery.group)
      const parkedAt = dueAt === null ? now : null
      await db.use(async (collections) => {
        const { outbox, _id } = placeOf(collections, delivery)
        await outbox.updateOne(
          { _id, outbox: { $elemMatch: { eventId, group, owner, attempts } } },
          {
            $set: {
              'outbox.$[entry].owner': null,
              'outbox.$[entry].dueAt': dueAt,
              'outbox.$[entry].parkedAt': parkedAt,
              'outbox.$[entry].reason': reason,
            },
          },
          entryFilter(eventId, group),
        )
      })
    },

    listParked({ tenantId, after, limit }) {
      return db.use(async (collections) => {
        const [parkedAt, eventId, group] = after ? fromCursor(after, 'number', 'string', 'string') : [-1, '', '']
        const found = await findParked(collections, {
          tenantId,
          // Strictly behind the cursor, in the order of the sort.
          position: {
            $or: [
              { 'outbox.parkedAt': { $gt: parkedAt } },
              { 'outbox.parkedAt': parkedAt, 'outbox.eventId': { $gt: eventId } },
              { 'outbox.parkedAt': parkedAt, 'outbox.eventId': eventId, 'outbox.group': { $gt: toKeyText(group) } },
            ],
          },
          limit: limit + 1,
        })
        const items = found.slice(0, limit).map(
          ({ row, entry }): ParkedDelivery => ({
            ...toDelivery(row, entry, entry.attempts),
            parkedAt: Number(entry.parkedAt),
            reason: String(entry.reason),
          }),
        )
        const last = items.at(-1)
        return { items, next: found.length > limit && last ? toCursor(last.parkedAt, last.eventId, last.group) : null }
      })
    },

    retryParked(tenantId, group, now) {
      return db.use(async (collections) => {
        const found = await findParked(collections, { tenantId, position: { 'outbox.group': toKeyText(group) } })
        const retries = found.map(async ({ outbox, row, entry }) => {
          const { modifiedCount } = await outbox.updateOne(
            {
              _id: row._id,
              outbox: { $elemMatch: { eventId: entry.eventId, group: entry.group, parkedAt: entry.parkedAt } },
            },
            {
              $set: {
                'outbox.$[entry].parkedAt': null,
                'outbox.$[entry].reason': null,
                'outbox.$[entry].attempts': 0,
                'outbox.$[entry].dueAt': now,
              },
            },
            entryFilter(entry.eventId, entry.group),
          )
          return modifiedCount
        })
        return (await Promise.all(retries)).reduce((sum, count) => sum + count, 0)
      })
    },
  }
}

/** Which entry of the document is changed. (The positional `$` does not go with `$elemMatch` on every server.) */
function entryFilter(eventId: string, group: string): mongo.UpdateOptions {
  return { arrayFilters: [{ 'entry.eventId': eventId, 'entry.group': group }] }
}

/** The longest due first. Each group is asked for by itself, so that a flood in one does not hide the others. */
async function findDue(collections: Collections, groups: string[], now: number, limit: number): Promise<Found[]> {
  const searches = outboxes(collections).flatMap((outbox) =>
    groups.map(async (group) => {
      const rows = await outbox
        .find({ outbox: { $elemMatch: { group, dueAt: { $lte: now } } } })
        .project<Outbox>({ tenantId: 1, connectionId: 1, outbox: 1 })
        .limit(limit)
        .toArray()
      return rows.flatMap((row) =>
        row.outbox
          .filter((entry) => entry.group === group && entry.dueAt !== null && entry.dueAt <= now)
          .map((entry): Found => ({ outbox, row, entry })),
      )
    }),
  )
  const found = (await Promise.all(searches)).flat()
  return found.sort((a, b) => Number(a.entry.dueAt) - Number(b.entry.dueAt)).slice(0, limit)
}

async function findParked(
  collections: Collections,
  { tenantId, position, limit }: { tenantId: string | null; position: mongo.Document; limit?: number },
): Promise<Found[]> {
  const searches = outboxes(collections).map(async (outbox) => {
    const rows = await outbox
      .aggregate<Pick<Outbox, '_id' | 'tenantId' | 'connectionId'> & { outbox: OutboxEntry }>([
        { $match: { 'outbox.parkedAt': { $gte: 0 }, ...(tenantId !== null && { tenantId: toKeyText(tenantId) }) } },
        { $project: { tenantId: 1, connectionId: 1, outbox: 1 } },
        { $unwind: '$outbox' },
        { $match: { 'outbox.parkedAt': { $gte: 0 } } },
        { $match: position },
        { $sort: { 'outbox.parkedAt': 1, 'outbox.eventId': 1, 'outbox.group': 1 } },
        ...(limit === undefined ? [] : [{ $limit: limit }]),
      ])
      .toArray()
    return rows.map((row): Found => ({ outbox, row, entry: row.outbox }))
  })
  const found = (await Promise.all(searches)).flat()
  return found.sort(byParked).slice(0, limit)
}

function byParked({ entry: a }: Found, { entry: b }: Found): number {
  return Number(a.parkedAt) - Number(b.parkedAt) || compare(a.eventId, b.eventId) || compare(a.group, b.group)
}

/** As the database compares: by bytes. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function placeOf(
  { connections, backfills }: Collections,
  { backfillId, connectionId, type }: Pick<Delivery, 'type' | 'connectionId' | 'backfillId'>,
): { outbox: mongo.Collection<Outbox>; _id: string } {
  // `connected` may name a backfill, too, but lies in its connection.
  return backfillId !== undefined && type.startsWith('backfill.')
    ? { outbox: backfills as unknown as mongo.Collection<Outbox>, _id: backfillId }
    : { outbox: connections as unknown as mongo.Collection<Outbox>, _id: connectionId }
}

function toDelivery(row: Found['row'], entry: OutboxEntry, attempts: number): Delivery {
  return {
    eventId: entry.eventId,
    type: entry.type,
    occurredAt: entry.occurredAt,
    group: fromKeyText(entry.group),
    connectionId: row.connectionId ?? row._id,
    tenantId: fromKeyText(row.tenantId),
    ...(entry.backfillId !== null && { backfillId: entry.backfillId }),
    attempts,
  }
}
