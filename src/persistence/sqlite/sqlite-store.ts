import { GROUP_LIFE_MS, type Store, TRANSACTION_KEPT_MS } from '../store.js'
import { backfillMethods } from './backfills.js'
import { connectionMethods } from './connections.js'
import { SqliteDatabase } from './database.js'
import { deliveryMethods } from './deliveries.js'
import { recordMethods, removeUnwanted } from './records.js'
import { revocationMethods } from './revocations.js'
import { transactionMethods } from './transactions.js'

export interface SqliteStoreOptions {
  /** A file, whose folder is created with mode 0700, or `':memory:'`. */
  path: string
  /** How long a write may wait for another process's lock before it is refused. Milliseconds, default 5,000. */
  lockTimeoutMs?: number
}

/**
 * The embedded store. Several processes of one machine may share a file; over a network file system they may not.
 *
 * libsql is loaded by `open()`. Do not read the file by other means while a process has it open (a copy for a backup, say): on POSIX
 * systems that drops SQLite's locks. `sqlite3 atom.sqlite '.backup …'` in a process of its own is safe.
 */
export function createSqliteStore({ path, lockTimeoutMs = 5_000 }: SqliteStoreOptions): Store {
  const db = new SqliteDatabase(path, lockTimeoutMs)
  return {
    kind: 'sqlite',
    open: () => db.open(),
    close: () => db.close(),
    async ping() {
      await db.read(() => db.get('SELECT version FROM schema_version LIMIT 1'))
    },
    serverTime: async () => Date.now(),
    ...transactionMethods(db),
    ...connectionMethods(db),
    ...revocationMethods(db),
    ...deliveryMethods(db),
    ...backfillMethods(db),
    ...recordMethods(db),
    async prune(now) {
      await db.write(
        () => {
          db.run('DELETE FROM transactions WHERE expires_at < ?', now - TRANSACTION_KEPT_MS)
          db.run('DELETE FROM listener_groups WHERE seen_at < ?', now - GROUP_LIFE_MS)
        },
        { durable: false },
      )
      await removeUnwanted(db)
    },
  }
}
