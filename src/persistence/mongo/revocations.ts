import type { PendingRevocation, Store } from '../store.js'
import { type MongoDatabase, orAgain, type RevocationEntry } from './database.js'

type Methods = Pick<Store, 'claimRevocation' | 'finishRevocation' | 'deferRevocation' | 'saveRevocation'>

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

    async saveRevocation(revocation) {
      const { id, ...entry } = toRevocationEntry(revocation)
      await db.use(({ revocations }) => orAgain(() => revocations.replaceOne({ _id: id }, entry, { upsert: true })))
    },
  }
}
