import { describe, expect, it } from 'vitest'
import type { BackfillDocument } from '../../../src/persistence/store.js'
import type { Stage } from '../store.contract.js'
import { allPages, atOnce, backfill, event, HOUR, NOW, progress, record, running } from './samples.js'

export function backfillContract(stage: () => Stage): void {
  describe('backfills', () => {
    const claim = { owner: 'worker-1', now: NOW, leaseMs: 1000, event: event('backfill.started') }

    it('is created once for its id, whoever asks', async () => {
      const { store, other } = stage()
      const job = backfill()
      const made = await atOnce(10, (i) => (i % 2 ? store : other).createBackfill({ ...job, createdAt: NOW + i }))
      expect(made.filter(({ created }) => created)).toHaveLength(1)
      const first = made.find(({ created }) => created)?.backfill
      for (const { backfill: told } of made) expect(told).toEqual(first)
      expect(await store.getBackfill('tenant-1', job.id)).toEqual(first)
      expect(await store.getBackfill('tenant-2', job.id)).toBeUndefined()
      expect(await store.getBackfill(null, job.id)).toEqual(first)
    })

    it('lists newest first in pages, by tenant and connection', async () => {
      const { store } = stage()
      for (let i = 0; i < 9; i++)
        await store.createBackfill(
          backfill({
            createdAt: NOW + (i >> 1),
            connectionId: `c_${i % 2}`,
            tenantId: i === 8 ? 'tenant-2' : 'tenant-1',
          }),
        )
      const times = (jobs: BackfillDocument[]) => jobs.map(({ createdAt }) => createdAt - NOW)
      const all = await allPages((after) => store.listBackfills({ tenantId: null, limit: 2, after }))
      expect(times(all)).toEqual([4, 3, 3, 2, 2, 1, 1, 0, 0])
      expect(new Set(all.map(({ id }) => id)).size).toBe(9)
      const some = await allPages((after) =>
        store.listBackfills({ tenantId: 'tenant-1', connectionId: 'c_0', limit: 3, after }),
      )
      expect(times(some)).toEqual([3, 2, 1, 0])
    })

    it('is run by one worker of 20 at once', async () => {
      const { store, other } = stage()
      const job = backfill()
      await store.createBackfill(job)
      const claims = await atOnce(20, (i) =>
        (i % 2 ? store : other).claimBackfill({ ...claim, owner: `worker-${i}`, event: event('backfill.started') }),
      )
      expect(claims.filter(Boolean)).toHaveLength(1)
      expect(claims.find(Boolean)).toMatchObject({
        id: job.id,
        status: 'running',
        attempts: 1,
        startedAt: NOW,
        lease: { until: NOW + 1000, fencing: 1 },
      })
      expect(await store.claimDeliveries(['default'], 'me', NOW, 1000, 10)).toMatchObject([
        { type: 'backfill.started', backfillId: job.id },
      ])
    })

    it('hands 12 due jobs to 6 workers, each once', async () => {
      const { store, other } = stage()
      await atOnce(12, () => store.createBackfill(backfill()))
      const taken = await atOnce(6, async (i) => {
        const mine = i % 2 ? store : other
        const ids: string[] = []
        for (let misses = 0; misses < 3; ) {
          const job = await mine.claimBackfill({ ...claim, owner: `w${i}`, event: event('backfill.started') })
          if (job) ids.push(job.id)
          else misses++
        }
        return ids
      })
      expect(taken.flat()).toHaveLength(12)
      expect(new Set(taken.flat()).size).toBe(12)
    })

    it('is not taken before it is due, by name neither, the longest due first', async () => {
      const { store } = stage()
      const [soon, now, long] = [backfill({ dueAt: NOW + 1 }), backfill(), backfill({ dueAt: NOW - 5 })]
      for (const job of [soon, now, long]) await store.createBackfill(job)
      expect(await store.nextBackfillDueAt()).toBe(NOW - 5)
      expect(await store.claimBackfill({ ...claim, id: soon.id })).toBeUndefined()
      expect(await store.claimBackfill({ ...claim, id: 'nobody' })).toBeUndefined()
      expect(await store.claimBackfill(claim)).toMatchObject({ id: long.id })
      expect(await store.claimBackfill({ ...claim, event: event('backfill.started') })).toMatchObject({ id: now.id })
      expect(await store.claimBackfill(claim)).toBeUndefined()
      expect(await store.nextBackfillDueAt()).toBe(NOW + 1)
    })

    it('passes to another worker when its lease runs out, starts once, and refuses the first', async () => {
      const { store } = stage()
      const job = backfill()
      const stalePage = await running(store, job)
      expect(await store.nextBackfillDueAt()).toBe(NOW + 60_000)
      const early = { ...claim, owner: 'worker-2', event: event('backfill.started') }
      expect(await store.claimBackfill({ ...early, now: NOW + 59_999 })).toBeUndefined()
      const second = await store.claimBackfill({ ...early, now: NOW + 60_000 })
      expect(second).toMatchObject({ attempts: 2, startedAt: NOW, lease: { owner: 'worker-2', fencing: 2 } })
      expect(await store.claimDeliveries(['default'], 'me', NOW + HOUR, 1000, 10)).toHaveLength(1)
      expect(await stalePage([record('1')])).toBe(false)
      const end = { id: job.id, owner: 'worker-1', fencing: 1, status: 'completed', failure: null, now: NOW } as const
      expect(await store.finishBackfill({ ...end, event: event('backfill.completed') })).toBeUndefined()
      expect(await store.finishBackfill({ ...end, owner: 'worker-2', event: null })).toBeUndefined()
      expect((await store.getBackfill(null, job.id))?.resources[0]).toMatchObject({ pages: 0, checkpoint: null })
    })

    it('saves progress and checkpoint with each page, and prolongs the lease', async () => {
      const { store } = stage()
      const job = backfill()
      const savePage = await running(store, job)
      const checkpoint = JSON.parse('{"$ref":"x","a.b":[1,null],"__proto__":{"c":"\\u0000"}}') as unknown
      const first = progress({ checkpoint, coveredFrom: '2027-01-01T00:00:00Z', reason: 'half way' })
      expect(await savePage([record('1'), record('2')], { progress: first, now: NOW + 30_000 })).toBe(true)
      const added = progress({ resource: 'found later', checkpoint: null, reason: undefined })
      expect(await savePage([], { progress: added, now: NOW + 31_000 })).toBe(true)
      const stored = await store.getBackfill(null, job.id)
      expect(stored?.resources).toEqual([first, job.resources[1], added])
      expect(JSON.stringify(stored?.resources[0]?.checkpoint)).toBe(JSON.stringify(checkpoint))
      expect(stored).toMatchObject({ status: 'running', dueAt: NOW + 91_000, lease: { until: NOW + 91_000 } })
    })

    it('ends with its event, and is taken no more', async () => {
      const { store } = stage()
      const job = backfill()
      await running(store, job)
      await store.claimDeliveries(['default'], 'me', NOW, HOUR, 10)
      const failure = { code: 'PROVIDER_HTML_RESPONSE', reference: 'r-abc' }
      const end = { id: job.id, owner: 'worker-1', fencing: 1, status: 'failed', failure, now: NOW + 5 } as const
      const ended = await store.finishBackfill({ ...end, event: event('backfill.failed') })
      expect(ended).toMatchObject({ status: 'failed', failure, lease: null, finishedAt: NOW + 5 })
      expect(await store.finishBackfill({ ...end, event: event('backfill.failed') })).toBeUndefined()
      expect(await store.claimDeliveries(['default'], 'me', NOW + 5, 1000, 10)).toMatchObject([
        { type: 'backfill.failed', backfillId: job.id },
      ])
      expect(await store.claimBackfill({ ...claim, now: NOW + HOUR })).toBeUndefined()
      expect(await store.nextBackfillDueAt()).toBeNull()
    })

    it('waits when it is deferred, without its lease', async () => {
      const { store } = stage()
      const job = backfill()
      await running(store, job)
      const wait = {
        id: job.id,
        owner: 'worker-1',
        fencing: 1,
        status: 'queued',
        dueAt: NOW + 500,
        failure: null,
      } as const
      const queued = await store.finishBackfill({ ...wait, now: NOW, event: null })
      expect(queued).toMatchObject({ status: 'queued', lease: null, dueAt: NOW + 500, finishedAt: null })
      expect(await store.claimBackfill({ ...claim, now: NOW + 499 })).toBeUndefined()
      const again = await store.claimBackfill({ ...claim, now: NOW + 500, event: event('backfill.started') })
      expect(again).toMatchObject({ attempts: 2, lease: { fencing: 2 } })
      expect(await store.claimDeliveries(['default'], 'me', NOW + HOUR, 1000, 10)).toHaveLength(1)
    })

    it('goes back to the queue with its checkpoints after a failure, and only then', async () => {
      const { store } = stage()
      const job = backfill()
      const savePage = await running(store, job)
      await savePage([record('1')])
      expect(await store.requeueBackfill(job.id, NOW + 9)).toBeUndefined()
      const failure = { code: 'X', reference: 'r' }
      const end = { id: job.id, owner: 'worker-1', fencing: 1, status: 'failed', failure, now: NOW + 5 } as const
      await store.finishBackfill({ ...end, event: null })
      const back = await store.requeueBackfill(job.id, NOW + 9)
      expect(back).toMatchObject({ status: 'queued', failure: null, attempts: 0, dueAt: NOW + 9, finishedAt: null })
      expect(back?.resources[0]).toEqual(progress())
      expect(await store.requeueBackfill(job.id, NOW + 9)).toBeUndefined()
      expect(await store.requeueBackfill('nobody', NOW)).toBeUndefined()
    })
  })
}
