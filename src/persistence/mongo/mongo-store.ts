import { GROUP_LIFE_MS, type Store, TRANSACTION_KEPT_MS } from '../store.js'
import { backfillMethods } from './backfills.js'
import { connectionMethods } from './connections.js'
import { MongoDatabase } from './database.js'
import type { HostConnection, MongoStoreOptions } from './mongo-options.js'
import { outboxMethods } from './outbox.js'
import { recordMethods, removeUnwanted } from './records.js'
import { revocationMethods } from './revocations.js'
import { transactionMethods } from './transactions.js'

export type { HostConnection, MongoStoreOptions }

/**
 * The store for several processes: MongoDB 4.4 or newer, standalone or a replica set, in collections that begin with `atom_`.
 *
 * Every change is one write to one document, with its pending event inside; reads go to the primary, writes wait for
 * `w: 'majority', j: true`. mongoose is loaded by `open()`.
 */
export function createMongoStore(options: MongoStoreOptions): Store {
  const db = new MongoDatabase(options)
  return {
    kind: 'mongo',
    open: () => db.open(),
    close: () => db.close(),
    async ping() {
      await db.use(({ meta }) => meta.findOne({ _id: 'schema' }))
    },
    serverTime: () => db.serverTime(),
    ...transactionMethods(db),
    ...connectionMethods(db),
    ...revocationMethods(db),
    ...outboxMethods(db),
    ...backfillMethods(db),
    ...recordMethods(db),
    async prune(now) {
      await db.use(async (collections) => {
        const { transactions, attempts, groups } = collections
        await transactions.deleteMany({ expiresAt: { $lt: now - TRANSACTION_KEPT_MS } })
        await attempts.deleteMany({ lastExpiresAt: { $lt: now } })
        await groups.deleteMany({ seenAt: { $lt: now - GROUP_LIFE_MS } })
        await removeUnwanted(collections, now)
      })
    },
  }
}
