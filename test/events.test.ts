import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  createEvents,
  type EventFailure,
  type Events,
  type EventsOptions,
  type IntegrationEvent,
} from '../src/events.js'
import { createSqliteStore } from '../src/persistence/sqlite/sqlite-store.js'
import type { ConnectionDocument, SaveConnection, Store } from '../src/persistence/store.js'

let folder: string
let store: Store
let direct = false
const running: { close(): Promise<void> }[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atom-events-'))
  store = await openStore()
})
afterEach(async () => {
  for (const one of running.splice(0)) await one.close()
  rmSync(folder, { recursive: true })
})

async function openStore(): Promise<Store> {
  const opened = createSqliteStore({ path: join(folder, 'atom.sqlite') })
  await opened.open()
  running.push(opened)
  return opened
}

function make(options: Partial<EventsOptions> = {}): Events {
  const events = createEvents({ store, pollMs: 5, retryMs: 1, ...options })
  // Before the stores: listeners may still be at work.
  running.unshift(events)
  return events
}

/** Connects an account, which writes the event `connected`, or `reconnected` for a known key. */
async function connect(events: Events, key: string = randomUUID()): Promise<ConnectionDocument> {
  const input = {
    newId: randomUUID(),
    tenantId: 'org_1',
    userId: 'user_1',
    provider: 'acme',
    accountKey: key,
    account: { id: key, name: 'Acme' },
    scopes: ['read'],
    params: { instance: 'x' },
    grantKey: null,
    now: Date.now(),
    tokensFor: () => ({ default: { sealed: 'sealed-secret', expiresAt: null, refreshExpiresAt: null } }),
    eventId: randomUUID(),
  }
  // Both ways to the listeners: the writer's own, and the search that finds what others wrote.
  const saved = await (direct
    ? events.saveAndDeliver(input)
    : store.saveConnection({ ...input, groups: events.groups() }))
  if (saved.outcome === 'grant_taken') throw new Error('unexpected')
  if (!direct) events.kick()
  return saved.connection
}

/** Collects until there are so many. */
function collector<T>() {
  const items: T[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  return {
    items,
    push(item: T) {
      items.push(item)
      for (const one of waiting) if (items.length >= one.count) one.resolve()
    },
    async reaches(count: number): Promise<T[]> {
      if (items.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }))
      return items
    },
  }
}

async function nothingPending(groups: string[]): Promise<void> {
  const later = Date.now() + 24 * 60 * 60_000
  expect(await store.claimDeliveries(groups, 'test', later, 1, 100)).toEqual([])
}

describe.each([
  ['found', false],
  ['handed over by its writer', true],
])('an event that is %s', (_how, isDirect) => {
  beforeEach(() => {
    direct = isDirect
  })

  it('reaches its listener with ids and public fields, and nothing secret', async () => {
    const events = make()
    const seen = collector<IntegrationEvent>()
    events.on('connected', (event) => seen.push(event))
    await events.start()
    const connection = await connect(events)
    const [event] = await seen.reaches(1)
    expect(event).toEqual({
      id: expect.any(String),
      type: 'connected',
      occurredAt: new Date(connection.connectedAt).toISOString(),
      connection: {
        id: connection.id,
        provider: 'acme',
        tenantId: 'org_1',
        userId: 'user_1',
        account: { id: connection.account.id, name: 'Acme' },
        scopes: ['read'],
        status: 'active',
        connectedAt: new Date(connection.connectedAt).toISOString(),
      },
    })
    expect(JSON.stringify(event)).not.toMatch(/secret|instance|accountKey/)
  })

  it('tells a new connection from a known one', async () => {
    const events = make()
    const seen = collector<string>()
    events.on('connected', ({ type }) => seen.push(type))
    events.on('reconnected', ({ type }) => seen.push(type))
    await events.start()
    await connect(events, 'same')
    await seen.reaches(1)
    await connect(events, 'same')
    expect(await seen.reaches(2)).toEqual(['connected', 'reconnected'])
  })

  it('reaches its listener after the one who saved the connection has gone on', async () => {
    const events = make()
    const order = collector<string>()
    events.on('connected', () => order.push('listener'))
    await events.start()
    await connect(events)
    order.push('writer')
    expect(await order.reaches(2)).toEqual(['writer', 'listener'])
  })

  it('is delivered after a restart when the process died before its listener ran', async () => {
    const before = make()
    before.on('connected', () => {})
    // Known to the store, but not started: as if it had died right after the callback.
    await store.registerGroups(['default'], Date.now())
    const connection = await connect(before)
    const events = make()
    const seen = collector<IntegrationEvent>()
    events.on('connected', (event) => seen.push(event))
    await events.start()
    expect((await seen.reaches(1))[0]?.connection.id).toBe(connection.id)
  })

  it('is delivered again when the process died while its listener ran', async () => {
    // Later than anything that is written by the real clock.
    let time = Date.now() + 60_000
    const dying = make({ now: () => time, leaseMs: 1_000 })
    const begun = collector<string>()
    let release: (() => void) | undefined
    dying.on('connected', async ({ id }) => {
      begun.push(id)
      await new Promise<void>((resolve) => {
        release = resolve
      })
    })
    await dying.start()
    await connect(dying)
    await begun.reaches(1)
    // It looks at nothing any more; its listener still hangs.
    void dying.close()
    const events = make({ now: () => time })
    const seen = collector<string>()
    events.on('connected', ({ id }) => seen.push(id))
    await events.start()
    time += 1_001
    events.kick()
    expect(await seen.reaches(1)).toEqual(begun.items)
    release?.()
  })

  it('of two processes on one store reaches each group once', async () => {
    const other = await openStore()
    const counts = new Map<string, number>()
    const done = collector<string>()
    const listener = (group: string) => (event: IntegrationEvent) => {
      const key = `${group} ${event.id}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
      done.push(key)
    }
    const both = [make(), createEvents({ store: other, pollMs: 5 })]
    running.unshift(both[1] as Events)
    for (const events of both) {
      events.on('connected', listener('default'))
      events.on('connected', listener('crm'), { group: 'crm' })
      await events.start()
    }
    for (let count = 0; count < 25; count++) await connect(both[count % 2] as Events)
    await done.reaches(50)
    for (const events of both) await events.close()
    expect([...counts.values()]).toEqual(Array(50).fill(1))
    await nothingPending(['default', 'crm'])
  })

  it('without a listener in a group is acknowledged for it', async () => {
    const events = make()
    const seen = collector<string>()
    events.on('disconnected', ({ id }) => seen.push(id))
    events.on('connected', ({ id }) => seen.push(id), { group: 'crm' })
    await events.start()
    await connect(events)
    await seen.reaches(1)
    await events.close()
    await nothingPending(['default', 'crm'])
  })

  it.each(['saved', 'refused'])('is looked for once a save that held the last room is %s', async (outcome) => {
    await connect(make(), 'known')
    let release: (() => void) | undefined
    const held = new Proxy(store, {
      get(target, name) {
        if (name !== 'saveConnection' || release) return Reflect.get(target, name)
        return async (input: SaveConnection) => {
          await new Promise<void>((resolve) => {
            release = resolve
          })
          if (outcome === 'refused') throw new Error('refused')
          return target.saveConnection(input)
        }
      },
    })
    const events = make({ store: held, concurrency: 1, pollMs: 600_000 })
    const seen = collector<string>()
    events.on('reconnected', ({ type }) => seen.push(type))
    await events.start()
    direct = true
    const first = connect(events).catch(() => {})
    await connect(events, 'known')
    release?.()
    await first
    expect(await seen.reaches(1)).toEqual(['reconnected'])
  })

  it('is pending for a group that only another process knows', async () => {
    await store.registerGroups(['elsewhere'], Date.now())
    const events = make()
    events.on('connected', () => {})
    await events.start()
    await connect(events)
    const claimed = await store.claimDeliveries(['elsewhere'], 'other', Date.now(), 1_000, 10)
    expect(claimed).toMatchObject([{ group: 'elsewhere', type: 'connected' }])
  })
})

describe.each([
  ['found', false],
  ['handed over by its writer', true],
])('a listener that throws at an event %s', (_how, isDirect) => {
  beforeEach(() => {
    direct = isDirect
  })

  it('is called again, and all listeners of its group with it', async () => {
    const failures = collector<EventFailure>()
    const events = make({ onError: (_error, failure) => failures.push(failure) })
    const calls = collector<string>()
    events.on('connected', () => calls.push('calm'))
    events.on('connected', () => {
      calls.push('wild')
      if (calls.items.length < 4) throw new Error('token=secret-in-message')
    })
    await events.start()
    await connect(events)
    expect(await calls.reaches(4)).toEqual(['calm', 'wild', 'calm', 'wild'])
    const [failure] = await failures.reaches(1)
    expect(failure).toMatchObject({ type: 'connected', group: 'default', attempt: 1, parked: false })
    expect(JSON.stringify(failure)).not.toContain('secret-in-message')
    await events.close()
    await nothingPending(['default'])
  })

  it('for ever is parked after some attempts, visible, and can be tried again', async () => {
    const failures = collector<EventFailure>()
    const events = make({ maxAttempts: 3, onError: (_error, failure) => failures.push(failure) })
    let healed = false
    const seen = collector<string>()
    events.on('connected', ({ id }) => {
      if (!healed) throw new TypeError('no')
      seen.push(id)
    })
    await events.start()
    const connection = await connect(events)
    await failures.reaches(3)
    expect(failures.items.map(({ attempt, parked }) => [attempt, parked])).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ])
    const parked = await until(
      () => events.listParked({ tenantId: 'org_1', limit: 10 }),
      ({ items }) => items.length > 0,
    )
    expect(parked.items).toMatchObject([
      { group: 'default', attempts: 3, reason: 'TypeError', connectionId: connection.id },
    ])
    expect((await events.listParked({ tenantId: 'org_2', limit: 10 })).items).toEqual([])
    healed = true
    expect(await events.retryParked('org_1', 'default')).toBe(1)
    await seen.reaches(1)
  })

  it('is called again although the store confirms the first failure only after the next attempt was claimed', async () => {
    const claimed = collector<number>()
    const slow = new Proxy(store, {
      get(target, name: keyof Store) {
        if (name === 'claimDeliveries')
          return async (...args: Parameters<Store['claimDeliveries']>) => {
            const deliveries = await target.claimDeliveries(...args)
            for (const { attempts } of deliveries) claimed.push(attempts)
            return deliveries
          }
        if (name === 'failDelivery')
          return async (...args: Parameters<Store['failDelivery']>) => {
            await target.failDelivery(...args)
            // Both searched for, the second one is the retry; handed over by the writer, the first one is.
            await claimed.reaches(direct ? 1 : 2)
          }
        const value = target[name]
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const events = make({ store: slow, onError() {} })
    const calls = collector<string>()
    events.on('connected', ({ id }) => {
      calls.push(id)
      if (calls.items.length === 1) throw new Error('not yet')
    })
    await events.start()
    await connect(events)
    const [first, second] = await calls.reaches(2)
    expect(second).toBe(first)
    await events.close()
    await nothingPending(['default'])
  })

  it('delays neither other groups nor other events of its own group', async () => {
    const events = make({ retryMs: 60_000, onError() {} })
    const [other, own] = [collector<string>(), collector<string>()]
    events.on('connected', ({ connection }) => {
      if (connection.account.id === 'bad') throw new Error('no')
      own.push(connection.account.id)
    })
    events.on('connected', ({ connection }) => other.push(connection.account.id), { group: 'crm' })
    await events.start()
    for (const key of ['bad', 'b', 'c']) await connect(events, key)
    expect((await own.reaches(2)).toSorted()).toEqual(['b', 'c'])
    expect((await other.reaches(3)).toSorted()).toEqual(['b', 'bad', 'c'])
  })

  it('even in the reporter does not stop the deliveries', async () => {
    const events = make({
      onError() {
        throw new Error('the reporter is broken, too')
      },
    })
    const seen = collector<number>()
    events.on('connected', () => {
      seen.push(1)
      throw new Error('no')
    })
    await events.start()
    await connect(events)
    await seen.reaches(2)
  })
})

describe.each([
  ['found', false],
  ['handed over by its writer', true],
])('a listener that hangs at an event %s', (_how, isDirect) => {
  beforeEach(() => {
    direct = isDirect
  })

  it('holds up nobody but its own group, and that only when all of its places are taken', async () => {
    const events = make({ concurrency: 2 })
    const [hung, seen] = [collector<() => void>(), collector<string>()]
    events.on('connected', () => new Promise<void>((resolve) => hung.push(resolve)))
    events.on('connected', ({ id }) => seen.push(id), { group: 'crm' })
    await events.start()
    for (let count = 0; count < 5; count++) await connect(events)
    await seen.reaches(5)
    expect(await hung.reaches(2)).toHaveLength(2)
    for (let freed = 0; freed < 5; freed++) (await hung.reaches(freed + 1))[freed]?.()
    await events.close()
    await nothingPending(['default', 'crm'])
  })

  it('is waited for when the process closes', async () => {
    const events = make()
    const begun = collector<() => void>()
    let ended = false
    events.on('connected', async () => {
      await new Promise<void>((resolve) => begun.push(resolve))
      ended = true
    })
    await events.start()
    await connect(events)
    await begun.reaches(1)
    const closed = events.close()
    begun.items[0]?.()
    await closed
    expect(ended).toBe(true)
    await nothingPending(['default'])
  })

  it('longer than its lease is not called a second time by the same process', async () => {
    // Later than anything that is written by the real clock.
    let time = Date.now() + 60_000
    const events = make({ now: () => time, leaseMs: 1_000 })
    const begun = collector<() => void>()
    events.on('connected', () => new Promise<void>((resolve) => begun.push(resolve)))
    const other = collector<string>()
    events.on('connected', ({ id }) => other.push(id), { group: 'crm' })
    await events.start()
    await connect(events)
    await begun.reaches(1)
    time += 5_000
    await connect(events)
    await begun.reaches(2)
    await other.reaches(2)
    expect(begun.items).toHaveLength(2)
    for (const end of begun.items) end()
  })
})

describe('on, once and off', () => {
  it('once takes the first event whose delivery succeeds', async () => {
    const events = make({ onError() {} })
    const [once, always] = [collector<string>(), collector<string>()]
    let calls = 0
    events.once('connected', ({ id }) => {
      if (++calls === 1) throw new Error('not yet')
      once.push(id)
    })
    events.on('connected', ({ id }) => always.push(id), { group: 'crm' })
    await events.start()
    await connect(events)
    await once.reaches(1)
    await connect(events)
    await always.reaches(2)
    await events.close()
    expect(once.items).toHaveLength(1)
  })

  it('off stops a listener', async () => {
    const events = make()
    const [stopped, going] = [collector<string>(), collector<string>()]
    const listener = ({ id }: IntegrationEvent) => stopped.push(id)
    events.on('connected', listener)
    events.on('connected', ({ id }) => going.push(id))
    events.off('connected', listener)
    await events.start()
    await connect(events)
    await going.reaches(1)
    expect(stopped.items).toEqual([])
  })

  it('a group that appears after the start is served, too', async () => {
    const events = make()
    await events.start()
    const seen = collector<string>()
    events.on('connected', ({ id }) => seen.push(id), { group: 'late' })
    await connect(events)
    await seen.reaches(1)
  })

  it.each([
    ['an unknown event', 'conected', () => {}, {}, /no event "conected"/],
    ['no function', 'connected', 'x', {}, /not a function/],
    ['a group with blanks', 'connected', () => {}, { group: 'a b' }, /group/],
  ])('refuses %s', (_name, type, listener, options, message) => {
    expect(() => make().on(type as 'connected', listener as () => void, options)).toThrow(message)
  })
})

describe('live progress', () => {
  it('reaches listeners and subscribers of this process, and nothing is stored', async () => {
    const events = make({ onError() {} })
    const [listened, subscribed] = [collector<IntegrationEvent>(), collector<string>()]
    events.on('backfill.progress', (event) => listened.push(event))
    const stop = events.subscribe(({ backfill }) => subscribed.push(backfill.id))
    await events.start()
    expect(events.groups()).toEqual([])
    const connection = {
      ...{ id: 'c', provider: 'acme', tenantId: 'org_1', userId: 'u', account: { id: '1', name: 'A' }, scopes: [] },
      ...{ status: 'active' as const, connectedAt: new Date(0).toISOString() },
    }
    const backfill = {
      ...{ id: 'bf', connectionId: 'c', status: 'running' as const, resources: [], startedAt: null, finishedAt: null },
      window: { from: '', to: '' },
    }
    events.emitLive({ type: 'backfill.progress', connection, backfill })
    expect(await listened.reaches(1)).toMatchObject([
      { type: 'backfill.progress', backfillId: 'bf', backfill, connection },
    ])
    stop()
    events.emitLive({ type: 'backfill.progress', connection, backfill })
    await listened.reaches(2)
    expect(subscribed.items).toEqual(['bf'])
  })
})

describe('a store that is down for a while', () => {
  it('is asked again, and nothing is lost', async () => {
    let down = false
    const failures = collector<EventFailure>()
    const flaky = new Proxy(store, {
      get(target, name: keyof Store) {
        const method = target[name]
        if (typeof method !== 'function') return method
        if (name === 'claimDeliveries' && down) return async () => Promise.reject(new Error('down'))
        return method.bind(target)
      },
    })
    const events = make({ store: flaky, onError: (_error, failure) => failures.push(failure) })
    const seen = collector<string>()
    events.on('connected', ({ id }) => seen.push(id))
    await events.start()
    down = true
    await connect(events)
    await failures.reaches(2)
    down = false
    await seen.reaches(1)
  })
})

async function until<T>(ask: () => Promise<T>, isGood: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask()
    if (isGood(value)) return value
    await new Promise((resolve) => setImmediate(resolve))
  }
}
