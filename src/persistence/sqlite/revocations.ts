import type { PendingRevocation, Store } from '../store.js'
import type { SqliteDatabase } from './database.js'

type Methods = Pick<
  Store,
  'claimRevocation' | 'finishRevocation' | 'deferRevocation' | 'saveRevocation' | 'listRevocations' | 'resealRevocation'
>

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

  const change = (id: string, fields: Partial<PendingRevocation>): Promise<void> =>
    db.write(() => {
      const row = db.get('SELECT body FROM revocations WHERE id = ?', id)
      if (row) insertRevocation(db, { ...(JSON.parse(String(row.body)) as PendingRevocation), ...fields })
    })

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

    deferRevocation: (id, dueAt) => change(id, { dueAt }),
    resealRevocation: (id, sealed) => change(id, { sealed }),

    async saveRevocation(revocation) {
      await db.write(() => insertRevocation(db, revocation))
    },

    listRevocations({ after = '', limit }) {
      return db.read(() => {
        const rows = db.all('SELECT body FROM revocations WHERE id > ? ORDER BY id LIMIT ?', after, limit)
        const items = rows.map((row) => JSON.parse(String(row.body)) as PendingRevocation)
        return { items, next: items.length === limit ? (items.at(-1)?.id ?? null) : null }
      })
    },
  }
}
