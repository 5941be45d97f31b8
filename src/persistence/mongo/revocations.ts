import type { PendingRevocation, Store } from '../store.js'
import { type MongoDatabase, orAgain, type RevocationEntry } from './database.js'

type Methods = Pick<
  Store,
  'claimRevocation' | 'finishRevocation' | 'deferRevocation' | 'saveRevocation' | 'listRevocations' | 'resealRevocation'
>

export function toRevocationEntry({ id, dueAt, attempts, ...rest }: PendingRevocation): RevocationEntry {
  return { id, dueAt, attempts, body: JSON.stringify(rest) }
}

function fromEntry({ id, dueAt, attempts, body }: RevocationEntry): PendingRevocation {
  return { ...(JSON.parse(body) as Omit<PendingRevocation, 'id' | 'dueAt' | 'attempts'>), id, dueAt, attempts }
}

/** They lie in the connection they end (so that `disconnect` is one write), or, without one, in a collection of their own. */
export function revocationMethods(db: MongoDatabase): Methods {
  return {
    claimRevocation(now, leaseMs) {
      return db.use(async ({ revocations, connections }) => {
        const alone = await revocations.findOneAndUpdate(
          { dueAt: { $lte: now } },
          { $set: { dueAt: now + leaseMs }, $inc: { attempts: 1 } },
          { sort: { dueAt: 1 }, returnDocument: 'after' },
        )
        if (alone) return fromEntry({ ...alone, id: alone._id })
        const row = await connections.findOne(
          { 'revocations.dueAt': { $lte: now } },
          { projection: { revocations: 1 } },
        )
        const entry = row?.revocations.find(({ dueAt }) => dueAt <= now)
        if (!row || !entry) return undefined
        const { id, dueAt } = entry
        const { modifiedCount } = await connections.updateOne(
          // As it was found: whoever else takes it moves `dueAt`.
          { _id: row._id, revocations: { $elemMatch: { id, dueAt } } },
          { $set: { 'revocations.$[entry].dueAt': now + leaseMs }, $inc: { 'revocations.$[entry].attempts': 1 } },
          { arrayFilters: [{ 'entry.id': id }] },
        )
        if (modifiedCount === 0) return undefined
        return fromEntry({ ...entry, dueAt: now + leaseMs, attempts: entry.attempts + 1 })
      })
    },

    async finishRevocation(id) {
      await db.use(async ({ revocations, connections }) => {
        const { deletedCount } = await revocations.deleteOne({ _id: id })
        if (deletedCount === 0)
          await connections.updateOne({ 'revocations.id': id }, { $pull: { revocations: { id } } })
      })
    },

    async deferRevocation(id, dueAt) {
      await db.use(async ({ revocations, connections }) => {
        const { matchedCount } = await revocations.updateOne({ _id: id }, { $set: { dueAt } })
        if (matchedCount === 0)
          await connections.updateOne(
            { 'revocations.id': id },
            { $set: { 'revocations.$[entry].dueAt': dueAt } },
            { arrayFilters: [{ 'entry.id': id }] },
          )
      })
    },

    listRevocations({ after, limit }) {
      return db.use(async ({ revocations, connections }) => {
        // First those on their own, then those in connections.
        const inConnections = after?.startsWith('c:')
        const beyond = after === undefined ? {} : { _id: { $gt: after.slice(2) } }
        if (!inConnections) {
          const alone = await revocations.find(beyond).sort({ _id: 1 }).limit(limit).toArray()
          const last = alone.at(-1)
          if (last)
            return { items: alone.map((entry) => fromEntry({ ...entry, id: entry._id })), next: `r:${last._id}` }
        }
        const rows = await connections
          .find({ 'revocations.dueAt': { $gte: 0 }, ...(inConnections && beyond) }, { projection: { revocations: 1 } })
          .sort({ _id: 1 })
          .limit(limit)
          .toArray()
        const items = rows.flatMap((row) => row.revocations.map(fromEntry))
        return { items, next: rows.length === limit ? `c:${rows.at(-1)?._id}` : null }
      })
    },

    async resealRevocation(id, sealed) {
      await db.use(async ({ revocations, connections }) => {
        const found =
          (await revocations.findOne({ _id: id })) ??
          (await connections.findOne({ 'revocations.id': id }))?.revocations.find((entry) => entry.id === id)
        if (!found) return
        // Nothing but attempts and due time ever changes, and those stand beside the body.
        const body = JSON.stringify({ ...JSON.parse(found.body), sealed })
        const { matchedCount } = await revocations.updateOne({ _id: id }, { $set: { body } })
        if (matchedCount === 0)
          await connections.updateOne(
            { 'revocations.id': id },
            { $set: { 'revocations.$[entry].body': body } },
            { arrayFilters: [{ 'entry.id': id }] },
          )
      })
    },

    async saveRevocation(revocation) {
      const { id, ...entry } = toRevocationEntry(revocation)
      await db.use(({ revocations }) => orAgain(() => revocations.replaceOne({ _id: id }, entry, { upsert: true })))
    },
  }
}
