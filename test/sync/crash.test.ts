import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createMongoStore } from '../../src/persistence/mongo/mongo-store.js'
import type { Store } from '../../src/persistence/store.js'
import type { ProviderDefinition, Resource } from '../../src/strategies/define-provider.js'
import { createRunner } from '../../src/sync/runner.js'
import { startMongo } from '../support/mongo-server.js'
import {
  acme,
  addJob,
  allRecords,
  connect,
  createCaller,
  itemsInWindow,
  makeRunner,
  ORIGIN,
  openStore,
  receiptOf,
  runToEnd,
  serve,
  startProvider,
  things,
} from './provider.js'

let mongo: Awaited<ReturnType<typeof startMongo>>
let store: Store
let provider: Awaited<ReturnType<typeof startProvider>>

const folders = itemsInWindow(7, 'f')
const items = itemsInWindow(25)
const LEASE = 60_000

const resources: Resource[] = [
  things({
    name: 'folders',
    request: { method: 'GET', url: `${ORIGIN}/folders` },
    timestamp: undefined,
    filter: 'none',
  }),
  things(),
  things({ name: 'set', request: { method: 'GET', url: `${ORIGIN}/set` }, commit: 'set' }),
  things({
    name: 'children',
    parent: 'folders',
    request: { method: 'GET', url: `${ORIGIN}/folders/{parent.id}/children` },
    id: ['parent:id', 'id'],
    deletes: { items: 'removed', id: 'id' },
  }),
]
const definition: ProviderDefinition = acme(resources)

beforeAll(async () => {
  mongo = await startMongo()
})
afterAll(() => mongo?.stop())

const stores = {
  sqlite: openStore,
  async mongo() {
    const opened = createMongoStore({ url: mongo.url })
    await opened.open()
    return opened
  },
}

describe.each(['sqlite', 'mongo'] as const)('on %s,', (kind) => {
  beforeEach(async () => {
    store = await stores[kind]()
    provider = await startProvider((request) => {
      if (request.path === '/folders') return serve(folders, request, 3)
      if (request.path.endsWith('/children')) return serve(items.slice(0, 5), request, 3)
      return serve(items, request)
    })
  })
  afterEach(async () => {
    await provider.close()
    await store.close()
  })

  class Killed extends Error {}

  /** A store whose process dies at the `at`-th call: before it, or after it took effect. Nothing is answered from then on. */
  function killAt(at: number, when: 'before' | 'after'): { store: Store; calls: () => number } {
    let calls = 0
    const wrapped = new Proxy(store, {
      get(target, name: keyof Store) {
        const method = target[name]
        if (typeof method !== 'function') return method
        return async (...args: unknown[]) => {
          const call = ++calls
          if (call > at || (call === at && when === 'before')) throw new Killed()
          const result = await (method as (...args: unknown[]) => Promise<unknown>).apply(target, args)
          if (call === at) throw new Killed()
          return result
        }
      },
    })
    return { store: wrapped, calls: () => calls }
  }

  async function checkResult(id: string, connectionId: string): Promise<void> {
    const job = await store.getBackfill(null, id)
    expect(job?.status).toBe('completed')
    if (!job) return
    expect(resources.map(({ name }) => receiptOf(job, name))).toMatchObject([
      { resource: 'folders', status: 'completed', pages: 3, records: 7 },
      { resource: 'things', status: 'completed', pages: 3, records: 25 },
      { resource: 'set', status: 'completed', pages: 3, records: 25 },
      { resource: 'children', status: 'completed', pages: 14, records: 35 },
    ])
    const stored = (await allRecords(store, connectionId)).map(
      ({ resource, id: recordId }) => `${resource} ${recordId}`,
    )
    expect(new Set(stored).size).toBe(stored.length)
    expect(stored).toHaveLength(7 + 25 + 25 + 35)
  }

  describe('a process that dies', () => {
    it.each([
      'before',
      'after',
    ] as const)('at any call of the store, %s it took effect, loses no record and counts none twice', async (when) => {
      let total = Number.POSITIVE_INFINITY
      for (let at = 1; at <= total; at++) {
        const connection = await connect(store, { key: randomUUID() })
        const { id } = await addJob(store, connection, definition)
        const dying = killAt(at, when)
        const first = makeRunner(dying.store, provider, definition, { leaseMs: LEASE })
        await first.work(id).catch((error: unknown) => {
          if (!(error instanceof Killed)) throw error
        })
        if (dying.calls() < at) total = at
        // The next process comes when the lease has run out.
        const later = makeRunner(store, provider, definition, { leaseMs: LEASE, now: () => Date.now() + 2 * LEASE })
        await runToEnd(store, later, id)
        await checkResult(id, connection.id)
      }
      expect(total).toBeGreaterThan(10)
    })

    it('between pages has told onRecords of every record at least once', async () => {
      for (const at of [6, 8, 10, 12]) {
        const connection = await connect(store, { key: randomUUID() })
        const { id } = await addJob(store, connection, definition)
        const told = new Set<string>()
        const onRecords = (batch: readonly { resource: string; id: string }[]) => {
          for (const record of batch) told.add(`${record.resource} ${record.id}`)
        }
        await makeRunner(killAt(at, 'after').store, provider, definition, { onRecords })
          .work(id)
          .catch(() => {})
        const later = makeRunner(store, provider, definition, { onRecords, now: () => Date.now() + 2 * LEASE })
        await runToEnd(store, later, id)
        expect(told.size).toBe(92)
      }
    })
  })

  describe('two processes', () => {
    it('run one job once', async () => {
      const connection = await connect(store, { key: randomUUID() })
      const { id } = await addJob(store, connection, definition)
      const runners = [makeRunner(store, provider, definition), makeRunner(store, provider, definition)]
      await Promise.all(runners.flatMap((runner) => [runner.work(id), runner.work()]))
      await checkResult(id, connection.id)
      expect(provider.requests.filter(({ path }) => path === '/things')).toHaveLength(3)
    })

    it('one of which lost its lease while it was busy: it writes no checkpoint any more', async () => {
      const connection = await connect(store, { key: randomUUID() })
      const { id } = await addJob(store, connection, definition)
      let time = Date.now()
      let taken: Promise<void> | undefined
      const other = makeRunner(store, provider, definition, { now: () => time, leaseMs: LEASE })
      const caller = createCaller(provider, definition)
      let calls = 0
      const slow = createRunner({
        store,
        tokens: {
          async call(...args) {
            // So late that the other one takes the job and finishes it.
            if (++calls === 5) {
              time += 2 * LEASE
              taken = other.work(id)
              await taken
            }
            return caller.call(...args)
          },
        },
        events: { groups: () => [], kick() {}, emitLive() {} },
        providers: () => ({ definition }),
        wake() {},
        now: () => time,
        leaseMs: LEASE,
      })
      await slow.work(id)
      expect(taken).toBeDefined()
      await taken
      await checkResult(id, connection.id)
    })

    it('hand a job over when one of them shuts down', async () => {
      const connection = await connect(store, { key: randomUUID() })
      const { id } = await addJob(store, connection, definition)
      const caller = createCaller(provider, definition)
      let calls = 0
      let closed: Promise<void> | undefined
      const leaving = createRunner({
        store,
        tokens: {
          call(...args) {
            if (++calls === 4) closed = leaving.close()
            return caller.call(...args)
          },
        },
        events: { groups: () => [], kick() {}, emitLive() {} },
        providers: () => ({ definition }),
        wake() {},
      })
      await leaving.work(id)
      await closed
      expect(await store.getBackfill(null, id)).toMatchObject({ status: 'queued', lease: null })
      // At once, without waiting for a lease to run out.
      await makeRunner(store, provider, definition).work(id)
      await checkResult(id, connection.id)
    })
  })

  describe('the lease', () => {
    it('is kept by signs of life while one page takes longer than it', async () => {
      const connection = await connect(store, { key: randomUUID() })
      const { id } = await addJob(store, connection, definition)
      const caller = createCaller(provider, definition)
      let renewed: (() => void) | undefined
      const wasRenewed = new Promise<void>((resolve) => {
        renewed = resolve
      })
      let saves = 0
      const watched = new Proxy(store, {
        get(target, name: keyof Store) {
          if (name !== 'savePage') return typeof target[name] === 'function' ? target[name].bind(target) : target[name]
          return async (input: Parameters<Store['savePage']>[0]) => {
            const kept = await target.savePage(input)
            // The second sign of life comes after the first lease would have ended.
            if (input.records.length === 0 && ++saves === 6) renewed?.()
            return kept
          }
        },
      })
      let calls = 0
      const runner = createRunner({
        store: watched,
        tokens: {
          async call(...args) {
            if (++calls === 2) await wasRenewed
            return caller.call(...args)
          },
        },
        events: { groups: () => [], kick() {}, emitLive() {} },
        providers: () => ({ definition }),
        wake() {},
        leaseMs: 1_500,
      })
      await runner.work(id)
      await checkResult(id, connection.id)
      expect((await store.getBackfill(null, id))?.attempts).toBe(1)
    })
  })
})
