import type { PendingRevocation, Store } from '../store.js'
import type { SqliteDatabase } from './database.js'

type Methods = Pick<Store, 'claimRevocation' | 'finishRevocation' | 'deferRevocation' | 'saveRevocation'>

export function insertRevocation(db: SqliteDatabase, revocation: PendingRevocation): void {
  db.run(
    'INSERT INTO revocations VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at, body = excluded.body',
    revocation.id,
    revocation.dueAt,
    JSON.stringify(revocation),
  )
}

export function revocationMethods(db: SqliteDatabase): Methods {
  const dueOne = (now: number) =>
    db.get('SELECT body FROM revocations WHERE due_at <= ? ORDER BY due_at, id LIMIT 1', now)

  return {
    async claimRevocation(now, leaseMs) {
      if (!(await db.read(() => dueOne(now)))) return undefined
      return db.write(() => {
        const row = dueOne(now)
        if (!row) return undefined
        const before = JSON.parse(String(row.body)) as PendingRevocation
        const claimed = { ...before, attempts: before.attempts + 1, dueAt: now + leaseMs }
        insertRevocation(db, claimed)
        return claimed
      })
    },

    async finishRevocation(id) {
      await db.write(() => db.run('DELETE FROM revocations WHERE id = ?', id))
    },

    async deferRevocation(id, dueAt) {
      await db.write(() => {
        const row = db.get('SELECT body FROM revocations WHERE id = ?', id)
        if (row) insertRevocation(db, { ...(JSON.parse(String(row.body)) as PendingRevocation), dueAt })
      })
    },

    async saveRevocation(revocation) {
      await db.write(() => insertRevocation(db, revocation))
    },
  }
}
