import { describe, expect, it } from 'vitest'
import type { Stage } from '../store.contract.js'
import {
  allPages,
  atOnce,
  backfill,
  connect,
  connected,
  event,
  HOUR,
  NOW,
  ODD_TEXTS,
  revocation,
  running,
} from './samples.js'

export function connectionContract(stage: () => Stage): void {
  describe('connections', () => {
    it('saves token, metadata and pending event together', async () => {
      const { store } = stage()
      const input = connect({ groups: ['default', 'crm'] })
      const saved = await store.saveConnection(input)
      const { id } = { id: input.newId }
      expect(saved).toEqual({
        outcome: 'connected',
        connection: {
          id,
          tenantId: 'tenant-1',
          userId: 'user-1',
          provider: 'acme',
          accountKey: input.accountKey,
          account: input.account,
          scopes: ['read'],
          params: input.params,
          status: 'active',
          cause: null,
          degradedSince: null,
          nextTryAt: null,
          tokens: {
            default: { sealed: `sealed for ${id}`, expiresAt: NOW + HOUR, refreshExpiresAt: null, version: 1 },
          },
          grantKey: null,
          connectedAt: NOW,
          updatedAt: NOW,
          generation: 1,
        },
      })
      expect(await store.getConnection('tenant-1', id)).toEqual(saved.outcome === 'connected' && saved.connection)
      const deliveries = await store.claimDeliveries(['default', 'crm'], 'me', NOW, 1000, 10)
      expect(deliveries.map(({ group }) => group).sort()).toEqual(['crm', 'default'])
      expect(deliveries[0]).toMatchObject({ eventId: input.eventId, type: 'connected', connectionId: id, attempts: 1 })
    })

    it('knows an account again: same id, next generation, `reconnected`, sealed for the old id', async () => {
      const { store } = stage()
      const before = await connected(store, { accountKey: 'acc' })
      const again = connect({
        accountKey: 'acc',
        userId: 'user-2',
        now: NOW + 5,
        scopes: ['read', 'write'],
        tokensFor: (id) => ({
          default: { sealed: `second for ${id}`, expiresAt: null, refreshExpiresAt: NOW + HOUR },
          user: { sealed: 'u', expiresAt: null, refreshExpiresAt: null },
        }),
      })
      const saved = await store.saveConnection(again)
      expect(saved).toMatchObject({
        outcome: 'reconnected',
        connection: {
          id: before.id,
          generation: 2,
          userId: 'user-2',
          connectedAt: NOW,
          updatedAt: NOW + 5,
          scopes: ['read', 'write'],
          tokens: { default: { sealed: `second for ${before.id}`, version: 2 }, user: { version: 1 } },
        },
      })
      expect(await store.getConnection(null, again.newId)).toBeUndefined()
      const types = (await store.claimDeliveries(['default'], 'me', NOW + 5, 1000, 10)).map(({ type }) => type)
      expect(types.sort()).toEqual(['connected', 'reconnected'])
    })

    it('makes one connection of 30 connects of one account at once, over two stores, and loses no event', async () => {
      const { store, other } = stage()
      const saved = await atOnce(30, (i) => (i % 2 ? store : other).saveConnection(connect({ accountKey: 'acc' })))
      expect(saved.filter(({ outcome }) => outcome === 'connected')).toHaveLength(1)
      expect(saved.filter(({ outcome }) => outcome === 'reconnected')).toHaveLength(29)
      const { items } = await store.listConnections({ tenantId: null, limit: 10 })
      expect(items).toHaveLength(1)
      expect(items[0]).toMatchObject({ generation: 30, tokens: { default: { sealed: `sealed for ${items[0]?.id}` } } })
      expect(await store.claimDeliveries(['default'], 'me', NOW, 1000, 100)).toHaveLength(30)
    })

    it('keeps the same account of two tenants, providers and persons apart', async () => {
      const { store } = stage()
      const ids = await Promise.all([
        connected(store, { accountKey: 'a' }),
        connected(store, { accountKey: 'a', tenantId: 'tenant-2' }),
        connected(store, { accountKey: 'a', provider: 'other' }),
        connected(store, { accountKey: 'a/person' }),
      ])
      expect(new Set(ids.map(({ id }) => id)).size).toBe(4)
    })

    it('gives odd texts back as they were, and matches by them exactly', async () => {
      const { store } = stage()
      const params = Object.fromEntries(ODD_TEXTS.map((text) => [text, text]))
      for (const text of ODD_TEXTS) {
        const input = { tenantId: text, userId: text, accountKey: text, account: { id: text, name: text }, params }
        const { id } = await connected(store, { ...input, scopes: ODD_TEXTS })
        expect(await store.getConnection(text, id)).toMatchObject({ ...input, scopes: ODD_TEXTS })
        expect(Object.keys((await store.getConnection(text, id))?.params ?? {})).toEqual(Object.keys(params))
        expect((await connected(store, input)).id).toBe(id)
        expect((await store.listConnections({ tenantId: text, userId: text, limit: 5 })).items).toHaveLength(1)
      }
      expect((await store.listConnections({ tenantId: null, limit: 100 })).items).toHaveLength(ODD_TEXTS.length)
      expect((await store.listConnections({ tenantId: 'nul', limit: 5 })).items).toEqual([])
    })

    it('shows a connection to its tenant only, and to operators', async () => {
      const { store } = stage()
      const { id } = await connected(store)
      expect(await store.getConnection('tenant-2', id)).toBeUndefined()
      expect(await store.getConnection('', id)).toBeUndefined()
      expect(await store.getConnection(null, id)).toMatchObject({ id })
      expect((await store.listConnections({ tenantId: 'tenant-2', limit: 10 })).items).toEqual([])
    })

    it('lists by id in pages, filtered', async () => {
      const { store } = stage()
      await atOnce(25, (i) =>
        connected(store, { provider: i % 2 ? 'acme' : 'other', userId: i % 5 ? 'user-1' : 'user-2' }),
      )
      const all = await allPages((after) => store.listConnections({ tenantId: 'tenant-1', limit: 7, after }))
      expect(all).toHaveLength(25)
      expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).sort())
      const some = await allPages((after) =>
        store.listConnections({ tenantId: 'tenant-1', provider: 'other', userId: 'user-2', limit: 1, after }),
      )
      expect(some.map(({ id }) => id)).toEqual(
        all.filter((one) => one.provider === 'other' && one.userId === 'user-2').map(({ id }) => id),
      )
      expect((await store.listConnections({ tenantId: null, limit: 25 })).next).toBeNull()
    })

    it('changes the status with its event, once, and not for an earlier generation', async () => {
      const { store, other } = stage()
      const { id } = await connected(store)
      await store.claimDeliveries(['default'], 'me', NOW, HOUR, 10)
      const change = { status: 'needs_reauth', cause: 'revoked', now: NOW + 1 } as const
      expect(await store.updateStatus(id, 2, change, event('needs_reauth'))).toBeUndefined()
      const done = await atOnce(10, (i) => (i % 2 ? store : other).updateStatus(id, 1, change, event('needs_reauth')))
      expect(done.filter(Boolean)).toHaveLength(1)
      expect(done.find(Boolean)).toMatchObject({ status: 'needs_reauth', cause: 'revoked', updatedAt: NOW + 1 })
      expect(await store.claimDeliveries(['default'], 'me', NOW + 1, 1000, 10)).toMatchObject([
        { type: 'needs_reauth' },
      ])
      expect(await store.updateStatus('nobody', 1, change, null)).toBeUndefined()
    })

    it('remembers since when it is degraded, moves the next try without an event, and forgets both when active', async () => {
      const { store } = stage()
      const { id } = await connected(store)
      const outage = { status: 'degraded', cause: 'outage' } as const
      await store.updateStatus(id, 1, { ...outage, nextTryAt: NOW + 10, now: NOW }, event('degraded'))
      const later = await store.updateStatus(id, 1, { ...outage, nextTryAt: NOW + 99, now: NOW + 20 }, null)
      expect(later).toMatchObject({ status: 'degraded', degradedSince: NOW, nextTryAt: NOW + 99 })
      const well = await store.updateStatus(id, 1, { status: 'active', cause: null, now: NOW }, event('recovered'))
      expect(well).toMatchObject({ status: 'active', cause: null, degradedSince: null, nextTryAt: null })
    })

    it('disconnects: no tokens, grant freed, event pending, backfills cancelled, revocation kept', async () => {
      const { store } = stage()
      const { id } = await connected(store, { grantKey: 'shop' })
      const [queued, busy] = [backfill({ connectionId: id }), backfill({ connectionId: id })]
      const savePage = await running(store, busy)
      await store.createBackfill(queued)
      await store.claimDeliveries(['default'], 'me', NOW, HOUR, 10)
      const pending = revocation({ connectionId: id, grantKey: 'shop' })
      const input = { now: NOW + 1, event: event('disconnected'), pendingRevocation: pending }
      expect(await store.disconnect(id, 2, input)).toBeUndefined()
      const ended = await store.disconnect(id, 1, input)
      expect(ended).toMatchObject({ status: 'disconnected', tokens: {}, grantKey: null, generation: 1 })
      expect(await store.getConnection('tenant-1', id)).toEqual(ended)
      expect(await store.disconnect(id, 1, input)).toBeUndefined()
      expect(await store.claimDeliveries(['default'], 'me', NOW + 1, 1000, 10)).toMatchObject([
        { type: 'disconnected' },
      ])
      for (const job of [queued, busy])
        expect(await store.getBackfill(null, job.id)).toMatchObject({
          status: 'failed',
          lease: null,
          failure: { code: 'CONNECTION_DISCONNECTED', reference: expect.stringMatching(/^r-/) },
        })
      expect(await savePage([])).toBe(false)
      expect(await store.claimRevocation(NOW, 1000)).toEqual({ ...pending, attempts: 1, dueAt: NOW + 1000 })
      const change = { status: 'needs_reauth', cause: 'revoked', now: NOW } as const
      expect(await store.updateStatus(id, 1, change, event('needs_reauth'))).toBeUndefined()
    })

    it('lets the same account come back after a disconnect under its id, with versions that go on', async () => {
      const { store } = stage()
      const first = await connected(store, { accountKey: 'acc' })
      const ending = { now: NOW, event: event('disconnected'), pendingRevocation: null }
      await store.disconnect(first.id, 1, ending)
      const back = await connected(store, { accountKey: 'acc', now: NOW + 9 })
      expect(back).toMatchObject({ id: first.id, status: 'active', generation: 2, connectedAt: NOW + 9 })
      expect(back.tokens.default?.version).toBe(2)
    })

    it('gives an exclusive grant to one tenant only, over two stores at once', async () => {
      const { store, other } = stage()
      const saved = await atOnce(20, (i) =>
        (i % 2 ? store : other).saveConnection(connect({ tenantId: `tenant-${i % 4}`, grantKey: 'shop' })),
      )
      const winners = saved.flatMap((one) => (one.outcome === 'grant_taken' ? [] : [one.connection.tenantId]))
      expect(new Set(winners).size).toBe(1)
      expect(winners).toHaveLength(5)
      const { items } = await store.listConnections({ tenantId: null, limit: 100 })
      expect(items).toHaveLength(5)
      expect(await store.countGrantHolders('shop', items[0]?.id ?? '')).toBe(4)
      expect(await store.claimDeliveries(['default'], 'me', NOW, 1000, 100)).toHaveLength(5)
    })

    it('frees the grant for others with the end of its last connection', async () => {
      const { store } = stage()
      const [a, b] = [await connected(store, { grantKey: 'shop' }), await connected(store, { grantKey: 'shop' })]
      const taken = () => store.saveConnection(connect({ tenantId: 'tenant-2', grantKey: 'shop' }))
      const end = (id: string, generation = 1) =>
        store.disconnect(id, generation, { now: NOW, event: event('disconnected'), pendingRevocation: null })
      expect(await taken()).toEqual({ outcome: 'grant_taken' })
      await connected(store, { accountKey: a.accountKey, grantKey: 'shop' })
      await end(a.id, 2)
      expect(await taken()).toEqual({ outcome: 'grant_taken' })
      await end(b.id)
      expect(await store.countGrantHolders('shop', 'nobody')).toBe(0)
      expect(await taken()).toMatchObject({ outcome: 'connected' })
      const back = await store.saveConnection(connect({ accountKey: a.accountKey, grantKey: 'shop' }))
      expect(back).toEqual({ outcome: 'grant_taken' })
      expect(await store.getConnection(null, a.id)).toMatchObject({ status: 'disconnected', generation: 2 })
    })

    it('frees a grant that the account no longer has after a reconnect', async () => {
      const { store } = stage()
      await connected(store, { accountKey: 'a', grantKey: 'old' })
      await connected(store, { accountKey: 'a', grantKey: null })
      expect(await store.saveConnection(connect({ tenantId: 'tenant-2', grantKey: 'old' }))).toMatchObject({
        outcome: 'connected',
      })
    })
  })

  describe('revocations to retry', () => {
    it('gives each to one claimer at a time, and again after its lease', async () => {
      const { store, other } = stage()
      const { id } = await connected(store)
      const kept = revocation({ connectionId: id })
      await store.disconnect(id, 1, { now: NOW, event: event('disconnected'), pendingRevocation: kept })
      const alone = revocation({ connectionId: 'never-saved' })
      await store.saveRevocation(alone)
      const claims = await atOnce(12, (i) => (i % 2 ? store : other).claimRevocation(NOW, 1000))
      expect(claims.flatMap((one) => one?.id ?? []).sort()).toEqual([kept.id, alone.id].sort())
      expect(await store.claimRevocation(NOW + 999, 1000)).toBeUndefined()
      expect(await store.claimRevocation(NOW + 1000, 1000)).toMatchObject({ attempts: 2 })
    })

    it('defers and finishes both kinds, the ones of a connection and the ones without', async () => {
      const { store } = stage()
      const { id } = await connected(store)
      const [kept, alone] = [revocation({ connectionId: id }), revocation()]
      await store.disconnect(id, 1, { now: NOW, event: event('disconnected'), pendingRevocation: kept })
      await store.saveRevocation(alone)
      for (const one of [kept, alone]) await store.deferRevocation(one.id, NOW + 50)
      expect(await store.claimRevocation(NOW + 49, 1000)).toBeUndefined()
      await store.finishRevocation(alone.id)
      expect(await store.claimRevocation(NOW + 50, 1000)).toMatchObject({ id: kept.id, sealed: kept.sealed })
      await store.finishRevocation(kept.id)
      expect(await store.claimRevocation(NOW + HOUR, 1000)).toBeUndefined()
    })

    it('lists both kinds page by page, and seals them anew while they are pending', async () => {
      const { store } = stage()
      const { id } = await connected(store)
      const [kept, alone] = [revocation({ connectionId: id }), revocation()]
      await store.disconnect(id, 1, { now: NOW, event: event('disconnected'), pendingRevocation: kept })
      await store.saveRevocation(alone)
      const listed = []
      for (let after: string | null | undefined; after !== null; ) {
        const page = await store.listRevocations({ limit: 1, ...(after && { after }) })
        listed.push(...page.items)
        after = page.next
      }
      const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
      expect(listed.sort(byId)).toEqual([kept, alone].sort(byId))
      for (const one of [kept, alone]) await store.resealRevocation(one.id, { default: `new ${one.id}` })
      await store.resealRevocation('finished', { default: 'new' })
      for (const _ of [kept, alone]) {
        const claimed = await store.claimRevocation(NOW, 1000)
        expect(claimed?.sealed).toEqual({ default: `new ${claimed?.id}` })
      }
      expect(await store.claimRevocation(NOW, 1000)).toBeUndefined()
    })

    it('stays pending when the account is connected anew', async () => {
      const { store } = stage()
      const { id } = await connected(store, { accountKey: 'acc' })
      const kept = revocation({ connectionId: id })
      await store.disconnect(id, 1, { now: NOW, event: event('disconnected'), pendingRevocation: kept })
      await connected(store, { accountKey: 'acc' })
      expect(await store.claimRevocation(NOW, 1000)).toMatchObject({ id: kept.id })
    })
  })
}
