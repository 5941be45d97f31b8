import { toKeyText } from '../key-text.js'
import type { Store, Transaction } from '../store.js'
import { type Collections, isDuplicate, type MongoDatabase, orAgain } from './database.js'

type Methods = Pick<Store, 'createTransaction' | 'claimTransaction' | 'getTransaction'>

export function transactionMethods(db: MongoDatabase): Methods {
  return {
    createTransaction(transaction, maxOpen) {
      const { stateHash, tenantId, userId, expiresAt } = transaction
      return db.use(async (collections) => {
        if (!(await takeSlot(collections, transaction, maxOpen))) return false
        // After the slot: a crash between the two costs a slot until the attempt would have ended anyway.
        await collections.transactions.insertOne({
          _id: toKeyText(stateHash),
          tenantId: toKeyText(tenantId),
          userId: toKeyText(userId),
          expiresAt,
          claimedAt: null,
          body: JSON.stringify(transaction),
        })
        return true
      })
    },

    claimTransaction(stateHash, now) {
      return db.use(async ({ transactions, attempts }) => {
        const _id = toKeyText(stateHash)
        const row = await transactions.findOneAndUpdate(
          { _id, claimedAt: null, expiresAt: { $gt: now } },
          { $set: { claimedAt: now } },
          { returnDocument: 'after' },
        )
        if (row) {
          const transaction = JSON.parse(row.body) as Transaction
          // A slot that is not given back ends by itself; the claim counts.
          await attempts.updateOne({ _id: userKey(transaction) }, { $pull: { open: { stateHash } } }).catch(() => {})
          return 'claimed'
        }
        const ended = await transactions.findOne({ _id }, { projection: { claimedAt: 1 } })
        return ended ? (ended.claimedAt === null ? 'expired' : 'used') : 'unknown'
      })
    },

    getTransaction(stateHash) {
      return db.use(async ({ transactions }) => {
        const row = await transactions.findOne({ _id: toKeyText(stateHash) })
        return row ? (JSON.parse(row.body) as Transaction) : undefined
      })
    },
  }
}

async function takeSlot({ attempts }: Collections, transaction: Transaction, maxOpen: number): Promise<boolean> {
  if (maxOpen < 1) return false
  const { stateHash, expiresAt, createdAt } = transaction
  const _id = userKey(transaction)
  const take = async () => {
    try {
      await orAgain(() =>
        attempts.updateOne(
          // With no room this matches nothing, and the upsert meets the document that is there: a duplicate.
          { _id, [`open.${maxOpen - 1}`]: { $exists: false } },
          { $push: { open: { stateHash, expiresAt } }, $max: { lastExpiresAt: expiresAt } },
          { upsert: true },
        ),
      )
      return true
    } catch (error) {
      if (isDuplicate(error)) return false
      throw error
    }
  }
  if (await take()) return true
  await attempts.updateOne({ _id }, { $pull: { open: { expiresAt: { $lte: createdAt } } } })
  return take()
}

function userKey({ tenantId, userId }: Transaction): string {
  return JSON.stringify([tenantId, userId])
}
