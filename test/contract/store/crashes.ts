import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Stage } from '../store.contract.js'
import { allPages, NOW, transaction } from './samples.js'

const worker = fileURLToPath(new URL('worker.js', import.meta.url))
const built = fileURLToPath(new URL('../../../dist/persistence/index.js', import.meta.url))

/** A process on the build: `run` resolves with its last message, or when it is gone. */
function start(where: NonNullable<Stage['place']['where']>, task: string, options: Record<string, unknown> = {}) {
  if (!process.env.ATOM_DIST && !existsSync(built)) throw new Error('this test runs the build: npm run build')
  const child = fork(worker, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.send({ where, task, ...options })
  const messages: unknown[] = []
  const done = new Promise<unknown[]>((resolve) => child.once('exit', () => resolve(messages)))
  const first = new Promise<void>((resolve) => {
    child.on('message', (message) => {
      messages.push(message)
      resolve()
    })
  })
  return { child, first, done }
}

/** What other processes and their sudden ends do. In memory there is one process only, and it is used in their place. */
export function crashContract(stage: () => Stage): void {
  describe('several processes', () => {
    it('claim one transaction once between them, and save without an error', async () => {
      const { store, place } = stage()
      const states = Array.from({ length: 20 }, () => transaction())
      for (const one of states) await store.createTransaction(one, 100)
      const hashes = states.map(({ stateHash }) => stateHash)
      if (!place.where) {
        const outcomes = await Promise.all(
          hashes.flatMap((hash) => [0, 1].map(() => store.claimTransaction(hash, NOW))),
        )
        expect(outcomes.filter((outcome) => outcome === 'claimed')).toHaveLength(20)
        return
      }
      const { where } = place
      const processes = [0, 1, 2].map((n) => start(where, 'share', { hashes, now: NOW, name: `p${n}` }))
      const results = (await Promise.all(processes.map(({ done }) => done))).flat() as {
        claimed: string[]
        error?: string
      }[]
      expect(results.flatMap(({ error }) => error ?? [])).toEqual([])
      expect(results).toHaveLength(3)
      const claimed = results.flatMap((one) => one.claimed)
      expect(claimed.sort()).toEqual([...hashes].sort())
      const saved = await allPages((after) => store.listConnections({ tenantId: null, limit: 200, after }))
      expect(saved).toHaveLength(3 * 100 + 1)
      expect(saved.find(({ accountKey }) => accountKey === 'shared')?.generation).toBe(3 * 10)
    })

    it('leave an event for every connection, and every connection whole, when one is killed while it saves', async () => {
      const { store, place } = stage()
      const { where } = place
      if (!where) {
        // Nothing of a database in memory outlives its process; what can be asked is that a close ends what was begun.
        await store.close()
        await store.open()
        expect((await store.listConnections({ tenantId: null, limit: 1 })).items).toEqual([])
        return
      }
      for (let round = 0; round < 3; round++) {
        const { child, first, done } = start(where, 'save-until-killed', { now: NOW, name: `r${round}` })
        await first
        child.kill('SIGKILL')
        await done
      }
      const saved = await allPages((after) => store.listConnections({ tenantId: null, limit: 200, after }))
      expect(saved.length).toBeGreaterThan(0)
      const told = new Set<string>()
      for (let claimed = 1; claimed > 0; ) {
        const some = await store.claimDeliveries(['default'], 'me', NOW, 60_000, 200)
        claimed = some.length
        for (const { connectionId } of some) told.add(connectionId)
      }
      expect([...told].sort()).toEqual(saved.map(({ id }) => id).sort())
      for (const { tokens, id } of saved) expect(tokens.default?.sealed).toBe(`sealed for ${id}`)
    })

    it('lose no record before the checkpoint when one is killed while it writes pages', async () => {
      const { store, place } = stage()
      const { where } = place
      if (!where) return expect(store.kind).toBe('sqlite')
      const { child, first, done } = start(where, 'page-until-killed', { now: NOW, backfillId: 'b_1' })
      await first
      child.kill('SIGKILL')
      await done
      const job = await store.getBackfill(null, 'b_1')
      const pages = (job?.resources[0]?.checkpoint as { page: number } | undefined)?.page ?? -1
      expect(pages).toBeGreaterThanOrEqual(5)
      const records = await allPages((after) =>
        store.listRecords({ tenantId: null, connectionId: 'c_1', limit: 200, after }),
      )
      const ids = new Set(records.map(({ id }) => id))
      expect(ids.size).toBe(records.length)
      for (let page = 0; page <= pages; page++) for (let i = 0; i < 20; i++) expect(ids.has(`${page}-${i}`)).toBe(true)
      // The page that was under way may be there in part; it is written again, and never doubled.
      expect(records.length).toBeLessThanOrEqual((pages + 2) * 20)
      const event = { id: 'e2', type: 'backfill.started', occurredAt: NOW, groups: [] } as const
      const again = await store.claimBackfill({ owner: 'next', now: NOW + 60_000, leaseMs: 1000, event })
      expect(again).toMatchObject({ id: 'b_1', attempts: 2, lease: { owner: 'next' } })
    })
  })
}
