export { createMongoStore, type HostConnection, type MongoStoreOptions } from './mongo/mongo-store.js'
export { createSealer, readOrCreateKeyFile, type SealContext, type Sealer, type SealerOptions } from './sealing.js'
export { createSqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.js'
export type * from './store.js'
