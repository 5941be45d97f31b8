import { describe, expect, it } from 'vitest'
import type { Stage } from '../store.contract.js'
import { atOnce, connected, event, HOUR, NOW } from './samples.js'

export function refreshContract(stage: () => Stage): void {
  describe('refresh', () => {
    const request = { token: 'default', generation: 1, version: 1, owner: 'one', now: NOW, ttlMs: 1000 }
    const next = { sealed: 'fresh', expiresAt: NOW + 2 * HOUR, refreshExpiresAt: NOW + 9 * HOUR }

    it('leases to one of 40, over two stores', async () => {
      const { store, other } = stage()
      const { id: connectionId } = await connected(store)
      const leases = await atOnce(40, (i) =>
        (i % 2 ? store : other).acquireRefreshLease({ ...request, connectionId, owner: `owner-${i}` }),
      )
      expect(leases.filter(Boolean)).toEqual([{ fencing: 1, takenOver: false }])
    })

    it('stores the new token once, and then refuses what goes by the old version', async () => {
      const { store, other } = stage()
      const { id: connectionId } = await connected(store)
      const lease = await store.acquireRefreshLease({ ...request, connectionId })
      await store.claimDeliveries(['default'], 'me', NOW, HOUR, 10)
      const commit = {
        ...request,
        connectionId,
        fencing: lease?.fencing ?? 0,
        next,
        scopes: ['more'],
        params: { a: 'b' },
      }
      const done = await atOnce(8, (i) =>
        (i % 2 ? store : other).commitRefresh({ ...commit, event: event('token.refreshed') }),
      )
      expect(done.filter(Boolean)).toHaveLength(1)
      expect(await store.getConnection(null, connectionId)).toMatchObject({
        tokens: { default: { ...next, version: 2 } },
        scopes: ['more'],
        params: { a: 'b' },
      })
      expect(await store.claimDeliveries(['default'], 'me', NOW, 1000, 10)).toMatchObject([{ type: 'token.refreshed' }])
      expect(await store.acquireRefreshLease({ ...request, connectionId })).toBeUndefined()
      expect(await store.acquireRefreshLease({ ...request, connectionId, version: 2 })).toEqual({
        fencing: 2,
        takenOver: false,
      })
    })

    it('takes over a lease that ran out, says so, and refuses the one who had it', async () => {
      const { store } = stage()
      const { id: connectionId } = await connected(store)
      const slow = await store.acquireRefreshLease({ ...request, connectionId })
      const early = { ...request, connectionId, owner: 'two', now: NOW + 999 }
      expect(await store.acquireRefreshLease(early)).toBeUndefined()
      const second = await store.acquireRefreshLease({ ...early, now: NOW + 1000 })
      expect(second).toEqual({ fencing: 2, takenOver: true })
      const stale = { ...request, connectionId, fencing: slow?.fencing ?? 0, next, event: event('token.refreshed') }
      expect(await store.commitRefresh(stale)).toBeUndefined()
      await store.releaseRefreshLease(stale)
      expect(await store.acquireRefreshLease({ ...early, owner: 'three', now: NOW + 1001 })).toBeUndefined()
      const ours = { ...stale, owner: 'two', fencing: 2, event: null }
      expect(await store.commitRefresh({ ...ours, fencing: 1 })).toBeUndefined()
      expect(await store.commitRefresh(ours)).toMatchObject({ tokens: { default: { version: 2 } } })
    })

    it('gives a lease back, after which the next is no take-over', async () => {
      const { store } = stage()
      const { id: connectionId } = await connected(store)
      const lease = await store.acquireRefreshLease({ ...request, connectionId })
      await store.releaseRefreshLease({ connectionId, token: 'default', owner: 'one', fencing: lease?.fencing ?? 0 })
      expect(await store.acquireRefreshLease({ ...request, connectionId })).toEqual({ fencing: 2, takenOver: false })
    })

    it('ends an outage with the new token', async () => {
      const { store } = stage()
      const { id: connectionId } = await connected(store)
      const outage = { status: 'degraded', cause: 'outage', nextTryAt: NOW + 1, now: NOW } as const
      await store.updateStatus(connectionId, 1, outage, null)
      const lease = await store.acquireRefreshLease({ ...request, connectionId })
      const commit = { ...request, connectionId, fencing: lease?.fencing ?? 0, next, event: null }
      expect(await store.commitRefresh(commit)).toMatchObject({
        status: 'active',
        cause: null,
        degradedSince: null,
        nextTryAt: null,
      })
    })

    it('refuses the answer of a refresh that was under way during a reconnect or a disconnect', async () => {
      const { store } = stage()
      const { id: connectionId } = await connected(store, { accountKey: 'acc' })
      const first = await store.acquireRefreshLease({ ...request, connectionId })
      await connected(store, { accountKey: 'acc' })
      const late = { ...request, connectionId, fencing: first?.fencing ?? 0, next, event: event('token.refreshed') }
      expect(await store.commitRefresh(late)).toBeUndefined()
      const current = { ...request, connectionId, generation: 2, version: 2 }
      const second = await store.acquireRefreshLease(current)
      expect(second).toEqual({ fencing: 2, takenOver: false })
      await store.disconnect(connectionId, 2, { now: NOW, event: event('disconnected'), pendingRevocation: null })
      expect(await store.commitRefresh({ ...late, ...current, fencing: 2 })).toBeUndefined()
      expect(await store.acquireRefreshLease(current)).toBeUndefined()
    })

    it('refreshes two tokens of one connection at the same moment, each by itself', async () => {
      const { store, other } = stage()
      const token = { sealed: 's', expiresAt: null, refreshExpiresAt: null }
      const { id: connectionId } = await connected(store, { tokensFor: () => ({ bot: token, user: token }) })
      await Promise.all(
        ['bot', 'user'].map(async (name, index) => {
          const mine = index ? store : other
          const lease = await mine.acquireRefreshLease({ ...request, connectionId, token: name, owner: name })
          const commit = { ...request, connectionId, token: name, owner: name, fencing: lease?.fencing ?? 0 }
          expect(await mine.commitRefresh({ ...commit, next: { ...next, sealed: name }, event: null })).toBeDefined()
        }),
      )
      expect(await store.getConnection(null, connectionId)).toMatchObject({
        tokens: { bot: { sealed: 'bot', version: 2 }, user: { sealed: 'user', version: 2 } },
      })
    })

    it('re-seals in place, unless the token changed meanwhile', async () => {
      const { store } = stage()
      const { id } = await connected(store)
      expect(await store.replaceSealed(id, 'default', 1, 'sealed by k2')).toBe(true)
      expect((await store.getConnection(null, id))?.tokens.default).toMatchObject({
        sealed: 'sealed by k2',
        version: 1,
      })
      expect(await store.replaceSealed(id, 'default', 2, 'x')).toBe(false)
      expect(await store.replaceSealed(id, 'other', 1, 'x')).toBe(false)
      expect(await store.replaceSealed('nobody', 'default', 1, 'x')).toBe(false)
    })

    it('lists those that work or will again whose refresh token ends, soonest first', async () => {
      const { store } = stage()
      const ending = (...ends: (number | null)[]) =>
        connected(store, {
          tokensFor: () =>
            Object.fromEntries(
              ends.map((refreshExpiresAt, i) => [`t${i}`, { sealed: 's', expiresAt: null, refreshExpiresAt }]),
            ),
        })
      const late = await ending(NOW + 500)
      const soon = await ending(null, NOW + 900, NOW + 100)
      await ending(null)
      await ending(NOW + 5000)
      const ended = await ending(NOW + 50)
      await store.updateStatus(ended.id, 1, { status: 'needs_reauth', cause: 'expired', now: NOW }, null)
      const left = await ending(NOW + 60)
      const event = { id: 'disconnected-left', type: 'disconnected', occurredAt: NOW, groups: [] } as const
      await store.disconnect(left.id, 1, { now: NOW, event, pendingRevocation: null })
      // An outage passes: the refresh token still wants to be used before its end.
      const outage = { status: 'degraded', cause: 'outage', nextTryAt: NOW, now: NOW } as const
      await store.updateStatus(late.id, 1, outage, null)
      const ids = async (limit: number) => (await store.listRefreshDue(NOW + 1000, limit)).map(({ id }) => id)
      expect(await ids(10)).toEqual([soon.id, late.id])
      expect(await ids(1)).toEqual([soon.id])
    })
  })
}
