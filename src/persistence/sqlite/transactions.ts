import { toKeyText } from '../key-text.js'
import type { Store, Transaction } from '../store.js'
import type { SqliteDatabase } from './database.js'

type Methods = Pick<Store, 'createTransaction' | 'claimTransaction' | 'getTransaction'>

/** Not durable against a power cut: an attempt that is lost is started again, and a code that was used stays used at the provider. */
const DURABILITY = { durable: false }

export function transactionMethods(db: SqliteDatabase): Methods {
  return {
    createTransaction(transaction, maxOpen) {
      const { stateHash, tenantId, userId, expiresAt, createdAt } = transaction
      const user = [toKeyText(tenantId), toKeyText(userId)] as const
      const body = JSON.stringify(transaction)
      return db.write(() => {
        const inserted = db.run(
          `INSERT INTO transactions (state_hash, tenant_id, user_id, expires_at, body) SELECT ?, ?, ?, ?, ? WHERE
           (SELECT count(*) FROM transactions WHERE tenant_id = ? AND user_id = ? AND expires_at > ? AND claimed_at IS NULL) < ?`,
          toKeyText(stateHash),
          ...user,
          expiresAt,
          body,
          ...user,
          createdAt,
          maxOpen,
        )
        return inserted === 1
      }, DURABILITY)
    },

    claimTransaction(stateHash, now) {
      return db.write(() => {
        const key = toKeyText(stateHash)
        const claimed = db.run(
          'UPDATE transactions SET claimed_at = ?1 WHERE state_hash = ?2 AND claimed_at IS NULL AND expires_at > ?1',
          now,
          key,
        )
        if (claimed === 1) return 'claimed'
        const row = db.get('SELECT claimed_at FROM transactions WHERE state_hash = ?', key)
        return row ? (row.claimed_at === null ? 'expired' : 'used') : 'unknown'
      }, DURABILITY)
    },

    getTransaction(stateHash) {
      return db.read(() => {
        const row = db.get('SELECT body FROM transactions WHERE state_hash = ?', toKeyText(stateHash))
        return row && (JSON.parse(String(row.body)) as Transaction)
      })
    },
  }
}
