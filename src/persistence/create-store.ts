import { createMongoStore, type MongoStoreOptions } from './mongo/mongo-store.js'
import { createSqliteStore } from './sqlite/sqlite-store.js'
import type { Store } from './store.js'

/** Which store, as the option `store` says it. */
export type StoreChoice = { kind: 'sqlite'; path?: string } | ({ kind: 'mongo' } & MongoStoreOptions)

export function createStore(choice: StoreChoice): Store {
  if (choice.kind === 'sqlite') return createSqliteStore({ path: choice.path ?? ':memory:' })
  return createMongoStore(choice)
}
