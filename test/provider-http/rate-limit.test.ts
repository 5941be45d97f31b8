import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DoorRequest } from '../../src/provider-http/client.js'
import { createRateLimiter, type Limit, type RateLimiter, type Turn } from '../../src/provider-http/rate-limit.js'
import { createRedisRateLimiter } from '../../src/provider-http/redis-rate-limit.js'
import { startRedis } from '../support/redis.js'
import { ask, failure, json, nobody, openDoor, startProvider } from './provider.js'

/** A limiter whose waits pass at once, and move its clock. */
function local(maxKeys?: number) {
  const clock = { now: 1_000_000 }
  const waits: number[] = []
  const limiter = createRateLimiter({
    now: () => clock.now,
    sleep: async (milliseconds) => {
      waits.push(milliseconds)
      clock.now += milliseconds
    },
    ...(maxKeys !== undefined && { maxKeys }),
  })
  return { limiter, clock, waits }
}
const patient = { maxWaitMs: 1e9 }
const release = (turn: Turn) => {
  if (turn.waitMs !== undefined) throw new Error(`no turn for ${turn.waitMs} ms`)
  turn.release()
}
async function take(limiter: RateLimiter, limit: Limit, times = 1) {
  for (let turn = 0; turn < times; turn++) release(await limiter.acquire(limit, patient))
}

describe('the limiter of one process', () => {
  it('lets one window of requests go, then one after the other', async () => {
    const { limiter, waits } = local()
    const limit = { key: 'a', rules: [{ requests: 5, perSeconds: 10 }] }
    await take(limiter, limit, 5)
    expect(waits).toEqual([])
    await take(limiter, limit, 3)
    expect(waits).toEqual([2000, 2000, 2000])
  })

  it('fills again with time, up to one window', async () => {
    const { limiter, clock, waits } = local()
    const limit = { key: 'a', rules: [{ requests: 2, perSeconds: 1 }] }
    await take(limiter, limit, 2)
    clock.now += 60_000
    await take(limiter, limit, 2)
    expect(waits).toEqual([])
    await take(limiter, limit)
    expect(waits).toEqual([500])
  })

  it('keeps to the strictest of several rules', async () => {
    const { limiter, clock } = local()
    const rules = [
      { requests: 10, perSeconds: 1 },
      { requests: 30, perSeconds: 60 },
    ]
    const begin = clock.now
    await take(limiter, { key: 'a', rules }, 40)
    expect(clock.now - begin).toBeGreaterThanOrEqual(18_000)
    expect(clock.now - begin).toBeLessThan(21_000)
  })

  it('keeps keys apart', async () => {
    const { limiter, waits } = local()
    const rules = [{ requests: 1, perSeconds: 1 }]
    for (const key of ['a', 'b', 'c']) await take(limiter, { key, rules })
    expect(waits).toEqual([])
  })

  it('gives those who wait their turns one after the other', async () => {
    const waits: number[] = []
    const limiter = createRateLimiter({ now: () => 0, sleep: async (milliseconds) => void waits.push(milliseconds) })
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 1 }] }
    await Promise.all(Array.from({ length: 4 }, () => limiter.acquire(limit, patient)))
    expect(waits).toEqual([1000, 2000, 3000])
  })

  it('answers a wait that is too long instead of beginning it, and takes nothing', async () => {
    const { limiter } = local()
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 100 }] }
    await take(limiter, limit)
    for (let turn = 0; turn < 3; turn++)
      expect(await limiter.acquire(limit, { maxWaitMs: 500 })).toEqual({ waitMs: 100_000 })
  })

  it('waits as long as an answer says, however much of the budget is left', async () => {
    const { limiter, waits } = local()
    const limit = { key: 'a', rules: [{ requests: 100, perSeconds: 1 }] }
    await take(limiter, limit)
    limiter.observe(limit, { waitMs: 7000 })
    limiter.observe(limit, { waitMs: 10 })
    await take(limiter, limit)
    expect(waits).toEqual([7000])
  })

  it('lets nobody go who waits while an answer says to wait longer', async () => {
    let clock = 0
    const waits: number[] = []
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 1 }] }
    const limiter: RateLimiter = createRateLimiter({
      now: () => clock,
      sleep: async (milliseconds) => {
        if (waits.length === 0) limiter.observe(limit, { waitMs: 5000 })
        waits.push(milliseconds)
        clock += milliseconds
      },
    })
    await take(limiter, limit, 2)
    expect(waits).toEqual([1000, 4000])
  })

  it('has no more left than an answer says', async () => {
    const { limiter, waits } = local()
    const limit = { key: 'a', rules: [{ requests: 100, perSeconds: 100 }] }
    await take(limiter, limit)
    limiter.observe(limit, { remaining: 2 })
    await take(limiter, limit, 3)
    expect(waits).toEqual([1000])
    limiter.observe(limit, { remaining: 90 })
    await take(limiter, limit)
    expect(waits).toEqual([1000, 1000])
  })

  it('bounds the number that is on its way, first come first served', async () => {
    const { limiter } = local()
    const limit = { key: 'a', rules: [], concurrency: 2 }
    const order: number[] = []
    const turns = Array.from({ length: 5 }, async (_none, index) => {
      const turn = await limiter.acquire(limit, patient)
      order.push(index)
      return turn
    })
    const [first, second] = await Promise.all(turns.slice(0, 2))
    expect(order).toEqual([0, 1])
    release(first as Turn)
    release(first as Turn) // A second time is no second slot.
    await turns[2]
    expect(order).toEqual([0, 1, 2])
    release(second as Turn)
    await turns[3]
    release((await turns[2]) as Turn)
    await turns[4]
    expect(order).toEqual([0, 1, 2, 3, 4])
  })

  it('ends a wait for a slot with the reason of the caller, and passes the slot on', async () => {
    const { limiter } = local()
    const limit = { key: 'a', rules: [], concurrency: 1 }
    const held = await limiter.acquire(limit, patient)
    const stop = new AbortController()
    const waiting = limiter.acquire(limit, { ...patient, signal: stop.signal })
    const next = limiter.acquire(limit, patient)
    stop.abort(new Error('changed my mind'))
    await expect(waiting).rejects.toThrow('changed my mind')
    await expect(limiter.acquire(limit, { ...patient, signal: stop.signal })).rejects.toThrow('changed my mind')
    release(held)
    release(await next)
  })

  it('gives back what a caller took who went before his turn', async () => {
    const stop = new AbortController()
    const waits: number[] = []
    const limiter = createRateLimiter({
      now: () => 0,
      sleep: async (milliseconds, signal) => {
        waits.push(milliseconds)
        if (signal) {
          stop.abort(new Error('changed my mind'))
          throw new Error('of the sleep')
        }
      },
    })
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 1 }], concurrency: 1 }
    await take(limiter, limit)
    await expect(limiter.acquire(limit, { ...patient, signal: stop.signal })).rejects.toThrow('changed my mind')
    await take(limiter, limit)
    expect(waits).toEqual([1000, 1000])
  })

  it('forgets the key used longest ago, never one that is in use', async () => {
    const { limiter, waits } = local(2)
    const limit = (key: string) => ({ key, rules: [{ requests: 1, perSeconds: 1000 }] })
    const held = await limiter.acquire(limit('held'), patient)
    await take(limiter, limit('a'))
    await take(limiter, limit('b'))
    await take(limiter, limit('a'))
    expect(waits).toEqual([])
    expect(await limiter.acquire(limit('held'), { maxWaitMs: 0 })).toEqual({ waitMs: 1_000_000 })
    release(held)
  })
})

describe('the door', () => {
  const limited = (limit: Limit, more: Partial<DoorRequest> = {}) => ask('/', { limit, ...more })

  it('keeps a connection to its rules and its concurrency', async () => {
    const held: ServerResponse[] = []
    let most = 0
    const provider = await startProvider((_seen, response) => {
      most = Math.max(most, held.push(response))
      // Whoever does not keep to the bound comes now.
      if (held.length === 3) setImmediate(() => held.splice(0).map((one) => json(one, {})))
    })
    const door = openDoor(provider.url, { now: () => 0 })
    const limit = { key: 'a', rules: [{ requests: 10, perSeconds: 1 }], concurrency: 3 }
    await Promise.all(Array.from({ length: 12 }, () => door.request(limited(limit))))
    expect(most).toBe(3)
    expect(door.waits).toEqual([100, 200])
  })

  it('says when its share comes back instead of waiting for long', async () => {
    const provider = await startProvider((_seen, response) => json(response, {}))
    const door = openDoor(provider.url)
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 60 }] }
    await door.request(limited(limit))
    expect(await failure(door.request(limited(limit)))).toMatchObject({
      code: 'PROVIDER_RATE_LIMITED',
      fault: 'rate_limited',
      retryAfterSeconds: 60,
      sent: 'no',
    })
    expect(provider.seen).toHaveLength(1)
  })

  it('holds all of a connection back after a refusal of one', async () => {
    const provider = await startProvider((_seen, response) => json(response, {}, 429, { 'retry-after': '40' }))
    const door = openDoor(provider.url)
    await failure(door.request(limited({ key: 'a', rules: [] })))
    const error = await failure(door.request(limited({ key: 'a', rules: [] })))
    expect(error).toMatchObject({ sent: 'no', retryAfterSeconds: 40 })
    await failure(door.request(limited({ key: 'b', rules: [] })))
    expect(provider.seen).toHaveLength(2)
  })

  it('holds back before the provider has to refuse, where an answer says that nothing is left', async () => {
    const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '45' }
    const provider = await startProvider((_seen, response) => json(response, {}, 200, headers))
    const door = openDoor(provider.url)
    const limit = { key: 'a', rules: [{ requests: 1000, perSeconds: 60 }] }
    await door.request(limited(limit))
    expect(await failure(door.request(limited(limit)))).toMatchObject({ sent: 'no', retryAfterSeconds: 45 })
  })

  it('gives its slot to others while it waits to try again', async () => {
    let turn = 0
    const provider = await startProvider((_seen, response) => json(response, {}, turn++ === 0 ? 503 : 200))
    const limit = { key: 'a', rules: [], concurrency: 1 }
    let between: Promise<unknown> | undefined
    const door = openDoor(provider.url, {
      sleep: async () => {
        between = door.request(limited(limit, { url: 'https://api.acme.example/between' }))
        await between
      },
    })
    await door.request(limited(limit, { retries: 1 }))
    expect(provider.seen.map(({ path }) => path)).toEqual(['/', '/between', '/'])
  })
})

describe('the limiter over redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis?.stop())

  const prefix = () => `test:${Math.random().toString(36).slice(2)}:`
  function workers(count: number, url = redis.url) {
    const waits: number[] = []
    const errors: unknown[] = []
    const shared = prefix()
    const limiters = Array.from({ length: count }, () =>
      createRedisRateLimiter({
        url,
        prefix: shared,
        sleep: async (milliseconds) => void waits.push(milliseconds),
        onError: (error) => errors.push(error),
      }),
    )
    return { limiters, waits, errors, close: () => Promise.all(limiters.map((limiter) => limiter.close())) }
  }

  it('shares one budget among workers', async () => {
    const { limiters, waits, errors, close } = workers(3)
    const limit = { key: 'a', rules: [{ requests: 6, perSeconds: 600 }] }
    await Promise.all(limiters.flatMap((limiter) => [take(limiter, limit), take(limiter, limit)]))
    expect(waits).toEqual([])
    await Promise.all(limiters.map((limiter) => take(limiter, limit)))
    const sorted = [...waits].sort((a, b) => a - b)
    for (const [index, wait] of sorted.entries()) {
      expect(wait).toBeGreaterThan(100_000 * (index + 1) - 5000)
      expect(wait).toBeLessThanOrEqual(100_000 * (index + 1))
    }
    expect(errors).toEqual([])
    await close()
  })

  it('answers a wait that is too long, and takes nothing', async () => {
    const { limiters, close } = workers(1)
    const [limiter] = limiters as [RateLimiter]
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 100 }] }
    await take(limiter, limit)
    for (let turn = 0; turn < 3; turn++) {
      const { waitMs } = await limiter.acquire(limit, { maxWaitMs: 500 })
      expect(waitMs).toBeGreaterThan(95_000)
      expect(waitMs).toBeLessThanOrEqual(100_000)
    }
    await close()
  })

  it('tells all workers what an answer said to one', async () => {
    const { limiters, close } = workers(2)
    const [one, other] = limiters as [RateLimiter, RateLimiter]
    const limit = { key: 'a', rules: [{ requests: 100, perSeconds: 1 }] }
    await take(one, limit)
    one.observe(limit, { waitMs: 60_000, remaining: 0 })
    // Behind the word of the first on its own connection; then the other sees it.
    await one.acquire(limit, { maxWaitMs: 0 })
    const { waitMs } = await other.acquire(limit, { maxWaitMs: 0 })
    expect(waitMs).toBeGreaterThan(55_000)
    await close()
  })

  it('gives back what a caller took who went before his turn', async () => {
    const stop = new AbortController()
    const shared = prefix()
    const limiter = createRedisRateLimiter({
      url: redis.url,
      prefix: shared,
      sleep: async () => {
        stop.abort(new Error('changed my mind'))
        throw new Error('of the sleep')
      },
    })
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 100 }], concurrency: 1 }
    await take(limiter, limit)
    await expect(limiter.acquire(limit, { ...patient, signal: stop.signal })).rejects.toThrow('changed my mind')
    const { waitMs } = await limiter.acquire(limit, { maxWaitMs: 0 })
    expect(waitMs).toBeLessThanOrEqual(100_000)
    await limiter.close()
  })

  it('leaves each process to itself while redis is away', async () => {
    const { limiters, waits, errors, close } = workers(1, (await nobody()).replace('http:', 'redis:'))
    const [limiter] = limiters as [RateLimiter]
    const limit = { key: 'a', rules: [{ requests: 1, perSeconds: 10 }], concurrency: 1 }
    await take(limiter, limit, 2)
    expect(waits).toHaveLength(1)
    expect(errors.length).toBeGreaterThan(0)
    await close()
  })

  it('is used by the door when its address is given, and closed with it', async () => {
    const provider = await startProvider((_seen, response) => json(response, {}))
    const doors = [1, 2].map(() => openDoor(provider.url, { redisURL: redis.url }))
    const limit = { key: prefix(), rules: [{ requests: 1, perSeconds: 100 }] }
    await doors[0]?.request(ask('/', { limit }))
    expect(await failure(doors[1]?.request(ask('/', { limit })) as Promise<unknown>)).toMatchObject({
      code: 'PROVIDER_RATE_LIMITED',
      sent: 'no',
    })
  })
})
