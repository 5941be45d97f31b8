import { describe, expect, it } from 'vitest'
import type { Stage } from '../store.contract.js'
import { atOnce, HOUR, NOW, ODD_TEXTS, transaction } from './samples.js'

export function transactionContract(stage: () => Stage): void {
  describe('transactions', () => {
    it('gives one back as it was, without claiming it', async () => {
      const { store } = stage()
      const params = Object.fromEntries(ODD_TEXTS.map((text) => [text, text]))
      const written = transaction({ params, returnTo: null, sealed: null, expectedConnectionId: 'c_1', mode: 'popup' })
      await store.createTransaction(written, 10)
      expect(await store.getTransaction(written.stateHash)).toEqual(written)
      expect(await store.claimTransaction(written.stateHash, NOW)).toBe('claimed')
    })

    it('lets exactly one of 50 claim it, over two stores', async () => {
      const { store, other } = stage()
      const written = transaction()
      await store.createTransaction(written, 10)
      const claims = await atOnce(50, (i) => (i % 2 ? store : other).claimTransaction(written.stateHash, NOW))
      expect(claims.filter((outcome) => outcome === 'claimed')).toHaveLength(1)
      expect(claims.filter((outcome) => outcome === 'used')).toHaveLength(49)
    })

    it('tells used, expired and unknown apart', async () => {
      const { store } = stage()
      const [used, expired] = [transaction(), transaction({ expiresAt: NOW + 1000 })]
      await store.createTransaction(used, 10)
      await store.createTransaction(expired, 10)
      await store.claimTransaction(used.stateHash, NOW)
      expect(await store.claimTransaction(used.stateHash, NOW)).toBe('used')
      expect(await store.claimTransaction(used.stateHash, NOW + HOUR)).toBe('used')
      expect(await store.claimTransaction(expired.stateHash, NOW + 1000)).toBe('expired')
      expect(await store.claimTransaction('f'.repeat(64), NOW)).toBe('unknown')
      expect(await store.getTransaction('f'.repeat(64))).toBeUndefined()
    })

    it('holds the limit of open ones for 50 at once, over two stores', async () => {
      const { store, other } = stage()
      const made = await atOnce(50, (i) => (i % 2 ? store : other).createTransaction(transaction(), 7))
      expect(made.filter(Boolean)).toHaveLength(7)
    })

    it('counts neither claimed, nor expired, nor those of other users and tenants', async () => {
      const { store } = stage()
      const first = transaction()
      expect(await store.createTransaction(first, 1)).toBe(true)
      const refused = transaction()
      expect(await store.createTransaction(refused, 1)).toBe(false)
      expect(await store.getTransaction(refused.stateHash)).toBeUndefined()
      expect(await store.createTransaction(transaction({ userId: 'user-2' }), 1)).toBe(true)
      expect(await store.createTransaction(transaction({ tenantId: 'tenant-2' }), 1)).toBe(true)
      await store.claimTransaction(first.stateHash, NOW)
      expect(await store.createTransaction(transaction(), 1)).toBe(true)
      expect(await store.createTransaction(transaction(), 1)).toBe(false)
      const later = NOW + 600_001
      expect(await store.createTransaction(transaction({ createdAt: later, expiresAt: later + 1000 }), 1)).toBe(true)
    })

    it('does not mix up users whose ids run together', async () => {
      const { store } = stage()
      expect(await store.createTransaction(transaction({ tenantId: 'a', userId: 'bc' }), 1)).toBe(true)
      expect(await store.createTransaction(transaction({ tenantId: 'ab', userId: 'c' }), 1)).toBe(true)
    })

    it('is pruned an hour past its end, and not before', async () => {
      const { store } = stage()
      const written = transaction()
      await store.createTransaction(written, 10)
      await store.prune(written.expiresAt + HOUR)
      expect(await store.claimTransaction(written.stateHash, NOW + 2 * HOUR)).toBe('expired')
      await store.prune(written.expiresAt + HOUR + 1)
      expect(await store.claimTransaction(written.stateHash, NOW)).toBe('unknown')
    })
  })
}
