import { EventEmitter, once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it, onTestFinished, vi } from 'vitest'
import {
  acme,
  addJob,
  connect,
  FROM,
  makeRunner,
  ORIGIN,
  openStore,
  receiptOf,
  runToEnd,
  startProvider,
  things,
} from './provider.js'

setFlagsFromString('--expose_gc')
const collect = runInNewContext('gc') as () => void

function heapMiB(): number {
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}

const PARENTS = 2_000
const RECORDS = 60_000
const PAGE = 500
const text = 'x'.repeat(300)

it('needs no more memory for a large account than for a small one', async () => {
  // Made page by page: nothing of the account is kept on this side either.
  const provider = await startProvider(({ path, query }) => {
    if (path.endsWith('/child')) return { body: { items: [{ id: path, at: FROM / 1000, text }], next: null } }
    const total = path === '/parents' ? PARENTS : RECORDS
    const start = Number(query.get('cursor') ?? 0)
    const count = Math.min(PAGE, total - start)
    const items = Array.from({ length: count }, (_, index) => ({
      id: `r${start + index}`,
      at: FROM / 1000 + start,
      text,
    }))
    return { body: { items, next: start + PAGE < total ? String(start + PAGE) : null } }
  })
  const definition = acme([
    things(),
    things({ name: 'parents', request: { method: 'GET', url: `${ORIGIN}/parents` } }),
    things({ name: 'children', parent: 'parents', request: { method: 'GET', url: `${ORIGIN}/{parent.id}/child` } }),
  ])
  const store = await openStore()
  const { id } = await addJob(store, await connect(store), definition)
  const heaps: Record<string, number[]> = { things: [], parents: [], children: [] }
  let seen = 0
  const runner = makeRunner(store, provider, definition, {
    onRecords(batch, { resource }) {
      const before = seen
      seen += batch.length
      const every = resource === 'children' ? 200 : 5_000
      if (Math.floor(before / every) !== Math.floor(seen / every)) heaps[resource]?.push(heapMiB())
      // The test itself must not remember every request.
      provider.requests.length = 0
      runner.live.length = 0
    },
  })
  const job = await runToEnd(store, runner, id)
  expect(receiptOf(job, 'things').records).toBe(RECORDS)
  expect(receiptOf(job, 'children').records).toBe(PARENTS)
  for (const values of [heaps.things ?? [], heaps.children ?? []]) {
    expect(values.length).toBeGreaterThan(8)
    expect(Math.max(...values.slice(-3)) - Math.min(...values.slice(0, 3))).toBeLessThan(10)
  }
  await provider.close()
  await store.close()
})

it.each(['things', 'children'])('holds no page of %s while it waits for the next', async (name) => {
  const gate = new EventEmitter()
  const provider = await startProvider(async ({ path, query }) => {
    if (path === '/parents') return { body: { items: [{ id: 'p', at: FROM / 1000 }], next: null } }
    const page = Number(query.get('cursor') ?? 0)
    if (page === 3) await once(gate, 'open')
    const items = Array.from({ length: 3 }, (_, index) => ({ id: `r${page * 3 + index}`, at: FROM / 1000 + page }))
    return { body: { items, next: page < 3 ? String(page + 1) : null } }
  })
  const children = things({ name: 'children', parent: 'parents', request: { method: 'GET', url: `${ORIGIN}/child` } })
  const parents = things({ name: 'parents', request: { method: 'GET', url: `${ORIGIN}/parents` } })
  const definition = acme(name === 'things' ? [things()] : [parents, children])
  const store = await openStore()
  const { id } = await addJob(store, await connect(store), definition)
  const read: WeakRef<object>[] = []
  const runner = makeRunner(store, provider, definition, {
    onRecords(batch, { resource }) {
      if (resource === name) for (const { data } of batch) read.push(new WeakRef(data as object))
    },
  })
  const job = runToEnd(store, runner, id)
  await vi.waitFor(async () => {
    expect(provider.requests.at(-1)?.query.get('cursor')).toBe('3')
    const known = await store.getBackfill(null, id)
    expect(known && receiptOf(known, name).pages).toBe(3)
  })
  expect(read).toHaveLength(9)
  collect()
  expect(read.filter((record) => record.deref() !== undefined)).toEqual([])
  gate.emit('open')
  expect(receiptOf(await job, name).records).toBe(12)
  await provider.close()
  await store.close()
})

it('leaves no signal behind', async () => {
  const signals: WeakRef<AbortSignal>[] = []
  const { any } = AbortSignal
  AbortSignal.any = (sources) => {
    const signal = any.call(AbortSignal, sources)
    signals.push(new WeakRef(signal))
    return signal
  }
  onTestFinished(() => {
    AbortSignal.any = any
  })
  const provider = await startProvider(() => ({ body: { items: [{ id: 'r', at: FROM / 1000 }], next: null } }))
  const resources = Array.from({ length: 20 }, (_, index) => things({ name: `things${index}` }))
  const definition = acme(resources)
  const store = await openStore()
  const { id } = await addJob(store, await connect(store), definition)
  const runner = makeRunner(store, provider, definition)
  await runToEnd(store, runner, id)
  await provider.close()
  await store.close()
  await new Promise(setImmediate)
  collect()
  expect(signals.length).toBeGreaterThan(resources.length)
  // The last of them may still be in a register of a function that has ended.
  expect(signals.filter((signal) => signal.deref() !== undefined).length).toBeLessThan(5)
})
