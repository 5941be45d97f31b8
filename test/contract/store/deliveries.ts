import { describe, expect, it } from 'vitest'
import { GROUP_LIFE_MS } from '../../../src/persistence/store.js'
import type { Stage } from '../store.contract.js'
import { allPages, atOnce, backfill, connected, event, HOUR, NOW, running } from './samples.js'

export function deliveryContract(stage: () => Stage): void {
  describe('deliveries', () => {
    it('gives each to one of several owners, over two stores', async () => {
      const { store, other } = stage()
      await atOnce(40, () => connected(store))
      const claims = await atOnce(12, (i) =>
        (i % 2 ? store : other).claimDeliveries(['default'], `owner-${i}`, NOW, 1000, 10),
      )
      let ids = claims.flat().map(({ eventId }) => eventId)
      for (let more = 1; more > 0; ) {
        const rest = await store.claimDeliveries(['default'], 'last', NOW, 1000, 10)
        more = rest.length
        ids = [...ids, ...rest.map(({ eventId }) => eventId)]
      }
      expect(ids).toHaveLength(40)
      expect(new Set(ids).size).toBe(40)
      for (const claim of claims) expect(claim.length).toBeLessThanOrEqual(10)
    })

    it('are claimed by the one who writes the event, where it says so', async () => {
      const { store, other } = stage()
      await other.registerGroups(['elsewhere'], NOW)
      const claim = { owner: 'writer', until: NOW + 1000, groups: ['crm', 'default'] }
      const { id } = await connected(store, {
        accountKey: 'one',
        eventId: 'e-1',
        groups: ['crm', 'default', 'full'],
        claim,
      })
      const all = ['crm', 'default', 'full', 'elsewhere']
      const found = await other.claimDeliveries(all, 'late', NOW + 999, 1000, 10)
      expect(found.map(({ group, attempts }) => [group, attempts]).sort()).toEqual([
        ['elsewhere', 1],
        ['full', 1],
      ])
      const written = { eventId: 'e-1', type: 'connected', connectionId: id, occurredAt: NOW } as const
      await store.ackDelivery({ ...written, group: 'crm', tenantId: 'tenant-1', attempts: 1 }, 'writer')
      // What was not acknowledged comes again when the claim has run out, as its second attempt.
      expect(await other.claimDeliveries(['crm', 'default'], 'late', NOW + 1000, 1000, 10)).toMatchObject([
        { eventId: 'e-1', group: 'default', attempts: 2 },
      ])
      // A reconnect writes an event of its own.
      await connected(store, { accountKey: 'one', eventId: 'e-2', claim: { ...claim, until: NOW + 5000 } })
      expect(await other.claimDeliveries(['default'], 'late', NOW + 1000, 1000, 10)).toEqual([])
      expect(await other.claimDeliveries(['default'], 'late', NOW + 5000, 1000, 10)).toHaveLength(2)
    })

    it('keeps groups apart: each acknowledges by itself', async () => {
      const { store } = stage()
      const { id } = await connected(store, { groups: ['crm', 'default'] })
      const [crm] = await store.claimDeliveries(['crm'], 'me', NOW, 1000, 10)
      expect(crm).toMatchObject({ group: 'crm', connectionId: id, tenantId: 'tenant-1', occurredAt: NOW })
      if (crm) await store.ackDelivery(crm, 'me')
      expect(await store.claimDeliveries(['crm'], 'me', NOW + HOUR, 1000, 10)).toEqual([])
      expect(await store.claimDeliveries(['default', 'crm'], 'me', NOW, 1000, 10)).toMatchObject([{ group: 'default' }])
      expect(await store.claimDeliveries([], 'me', NOW + HOUR, 1000, 10)).toEqual([])
    })

    it('comes again when its lease has run out, and is not taken from the one who then has it', async () => {
      const { store } = stage()
      await connected(store)
      const [first] = await store.claimDeliveries(['default'], 'one', NOW, 1000, 10)
      expect(await store.claimDeliveries(['default'], 'two', NOW + 999, 1000, 10)).toEqual([])
      const [second] = await store.claimDeliveries(['default'], 'two', NOW + 1000, 1000, 10)
      expect(second).toMatchObject({ eventId: first?.eventId, attempts: 2 })
      if (!first || !second) throw new Error('not claimed')
      await store.ackDelivery(first, 'one')
      await store.failDelivery(first, 'one', NOW, 'late', NOW)
      expect(await store.claimDeliveries(['default'], 'one', NOW + 1999, 1000, 10)).toEqual([])
      await store.ackDelivery(second, 'two')
      expect(await store.claimDeliveries(['default'], 'one', NOW + HOUR, 1000, 10)).toEqual([])
    })

    it('waits after a failure until it is due', async () => {
      const { store } = stage()
      await connected(store)
      const [delivery] = await store.claimDeliveries(['default'], 'me', NOW, 1000, 10)
      if (delivery) await store.failDelivery(delivery, 'me', NOW + 50, 'Error', NOW)
      expect(await store.claimDeliveries(['default'], 'me', NOW + 49, 1000, 10)).toEqual([])
      expect(await store.claimDeliveries(['default'], 'me', NOW + 50, 1000, 10)).toMatchObject([{ attempts: 2 }])
    })

    it('goes to the groups of other processes, too, unless they were not seen for 7 days', async () => {
      const { store, other } = stage()
      await other.registerGroups(['crm', 'old', '$odd.name'], NOW - GROUP_LIFE_MS)
      await other.registerGroups(['crm', '$odd.name'], NOW)
      await atOnce(5, () => store.registerGroups(['crm'], NOW - HOUR))
      await connected(store)
      const deliveries = await store.claimDeliveries(['crm', 'old', 'default', '$odd.name'], 'me', NOW, 1000, 10)
      expect(deliveries.map(({ group }) => group).sort()).toEqual(['$odd.name', 'crm', 'default'])
      await store.prune(NOW + GROUP_LIFE_MS - 1)
      await connected(store, { groups: [] })
      expect(await store.claimDeliveries(['crm', 'default'], 'me', NOW, 1000, 10)).toMatchObject([{ group: 'crm' }])
    })

    it('is parked and listed by tenant, and made due again on request', async () => {
      const { store } = stage()
      for (const tenantId of ['tenant-1', 'tenant-1', 'tenant-1', 'tenant-2']) await connected(store, { tenantId })
      const job = backfill()
      await running(store, job)
      const claimed = await store.claimDeliveries(['default'], 'me', NOW, 1000, 10)
      expect(claimed).toHaveLength(5)
      for (const [i, one] of claimed.entries()) await store.failDelivery(one, 'me', null, 'TypeError', NOW + (i % 2))
      expect(await store.claimDeliveries(['default'], 'me', NOW + HOUR, 1000, 10)).toEqual([])
      const parked = await allPages((after) => store.listParked({ tenantId: 'tenant-1', limit: 1, after }))
      expect(parked).toHaveLength(4)
      expect(new Set(parked.map(({ eventId }) => eventId)).size).toBe(4)
      expect(parked.map(({ parkedAt }) => parkedAt)).toEqual(parked.map(({ parkedAt }) => parkedAt).sort())
      expect(parked[0]).toMatchObject({ reason: 'TypeError', attempts: 1, tenantId: 'tenant-1', group: 'default' })
      expect(parked.find(({ type }) => type === 'backfill.started')).toMatchObject({
        backfillId: job.id,
        connectionId: job.connectionId,
      })
      expect((await store.listParked({ tenantId: null, limit: 10 })).items).toHaveLength(5)
      expect(await store.retryParked('tenant-1', 'crm', NOW)).toBe(0)
      expect(await store.retryParked('tenant-1', 'default', NOW + 7)).toBe(4)
      expect((await store.listParked({ tenantId: null, limit: 10 })).items).toHaveLength(1)
      const again = await store.claimDeliveries(['default'], 'me', NOW + 7, 1000, 10)
      expect(again.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1])
      expect(await store.retryParked(null, 'default', NOW)).toBe(1)
    })

    it('carries the backfill that it tells of', async () => {
      const { store } = stage()
      const job = backfill()
      await running(store, job)
      const [started] = await store.claimDeliveries(['default'], 'me', NOW, 1000, 10)
      expect(started).toMatchObject({ type: 'backfill.started', backfillId: job.id, connectionId: job.connectionId })
      if (started) await store.ackDelivery(started, 'me')
      expect(await store.claimDeliveries(['default'], 'me', NOW + HOUR, 1000, 10)).toEqual([])
    })

    it('delivers many groups fairly: a flood in one does not hide another', async () => {
      const { store } = stage()
      await atOnce(20, () => connected(store, { groups: ['a-flood'] }))
      await connected(store, { groups: ['z-quiet'], now: NOW - 1 })
      const claimed = await store.claimDeliveries(['a-flood', 'z-quiet'], 'me', NOW, 1000, 5)
      expect(claimed).toHaveLength(5)
      expect(claimed.map(({ group }) => group)).toContain('z-quiet')
    })

    it('survives a second change of the same connection, in its order', async () => {
      const { store } = stage()
      const { id } = await connected(store)
      await store.updateStatus(
        id,
        1,
        { status: 'needs_reauth', cause: 'revoked', now: NOW + 1 },
        event('needs_reauth', { occurredAt: NOW + 1 }),
      )
      await store.disconnect(id, 1, {
        now: NOW + 2,
        event: event('disconnected', { occurredAt: NOW + 2 }),
        pendingRevocation: null,
      })
      const types = (await store.claimDeliveries(['default'], 'me', NOW + 2, 1000, 10)).map(({ type }) => type)
      expect(types).toEqual(['connected', 'needs_reauth', 'disconnected'])
    })
  })
}
