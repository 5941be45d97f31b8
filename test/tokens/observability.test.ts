import { type Attributes, metrics } from '@opentelemetry/api'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type Acme, startAcme } from './acme.js'
import { createKit, type Kit, storePlace } from './kit.js'

let acme: Acme
let place: Awaited<ReturnType<typeof storePlace>>
let kit: Kit
const counted: [name: string, attributes: Attributes | undefined, value: number][] = []

/** What a metrics SDK registers: every instrument notes what it is told. */
const note = (name: string) => (value: number, attributes?: Attributes) => void counted.push([name, attributes, value])
const meter = {
  createCounter: (name: string) => ({ add: note(name) }),
  createHistogram: (name: string) => ({ record: note(name) }),
}

beforeAll(async () => {
  metrics.setGlobalMeterProvider({ getMeter: () => meter } as never)
  acme = await startAcme()
  place = await storePlace('sqlite')
  kit = await createKit(acme, place)
  await kit.tokens.start({ web: true, worker: false })
})
beforeEach(() => {
  counted.length = 0
  acme.control.gate = undefined
})
afterAll(async () => {
  metrics.disable()
  await kit.close()
  await acme.close()
  place.remove()
})

const named = (name: string) => counted.filter(([one]) => one === name)

it('counts a refresh once, with its duration in milliseconds', async () => {
  const { id } = await kit.connect()
  await Promise.all([kit.tokens.accessToken('tenant-1', id), kit.tokens.accessToken('tenant-1', id)])
  expect(named('atom.refreshes')).toEqual([['atom.refreshes', { provider: 'acme' }, 1]])
  const [duration, ...more] = named('atom.refresh.duration')
  expect(duration).toEqual(['atom.refresh.duration', { provider: 'acme' }, expect.any(Number)])
  expect(duration?.[2]).toBeGreaterThan(0)
  expect(more).toEqual([])
  expect(named('atom.refresh.waits')).toEqual([])
})

it('measures a refresh that fails, and does not count it', async () => {
  const { id } = await kit.connect()
  acme.refreshFaults.push({ kind: 'answer', status: 503, body: '' })
  await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toThrow()
  expect(named('atom.refreshes')).toEqual([])
  expect(named('atom.refresh.duration')).toHaveLength(1)
})

it('counts each wait for the refresh of another process', async () => {
  const { id } = await kit.connect()
  let open: () => void = () => {}
  acme.control.gate = new Promise((resolve) => (open = resolve))
  const first = kit.tokens.accessToken('tenant-1', id)
  await acme.arrived(acme.refreshes.length + 1)
  const second = kit.another().accessToken('tenant-1', id)
  await expect.poll(() => named('atom.refresh.waits')).toContainEqual(['atom.refresh.waits', { provider: 'acme' }, 1])
  open()
  expect(await second).toBe(await first)
  expect(named('atom.refreshes')).toHaveLength(1)
})

it('counts what a disconnect revokes at the provider, when it is revoked', async () => {
  const { id } = await kit.connect({ endsInMs: 3_600_000 })
  acme.revokeFaults.push({ kind: 'answer', status: 503, body: '{}' })
  await kit.tokens.disconnect('tenant-1', id)
  expect(named('atom.revocations')).toEqual([])
  kit.clock.now += 3_600_000
  expect(await kit.tokens.retryRevocations()).toBe(1)
  expect(named('atom.revocations')).toEqual([['atom.revocations', { provider: 'acme' }, 1]])
})
