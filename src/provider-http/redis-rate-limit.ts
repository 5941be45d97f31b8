import type { Redis } from 'ioredis'
import {
  type AcquireOptions,
  createRateLimiter,
  type Limit,
  once,
  type RateLimiter,
  type Sleep,
  Slots,
} from './rate-limit.js'

export interface RedisRateLimiterOptions {
  /** Address of the Redis server, such as `redis://127.0.0.1:6379`. */
  url: string
  /** Begins every key. Default `atom:rate:`. */
  prefix?: string
  sleep: Sleep
  now?: () => number
  /** Told when Redis cannot be asked; the rules are then kept per process. */
  onError?: (error: unknown) => void
}

/** After a failure Redis is left alone for so long, so that one that is away does not hold every request up. */
const AWAY_MS = 5_000

/**
 * Takes one request from a bucket: KEYS[1], most milliseconds to wait, then requests and milliseconds per rule. Answers the
 * milliseconds to wait, and takes nothing when they are more. The clock is the server's, the same for all workers.
 */
const TAKE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local stored = redis.call('HGETALL', KEYS[1])
local bucket = {}
for i = 1, #stored, 2 do bucket[stored[i]] = tonumber(stored[i + 1]) end
local elapsed = math.max(0, now - (bucket.at or now))
local wait = math.max(0, (bucket['until'] or 0) - now)
local keep = wait
local left = {}
for i = 2, #ARGV, 2 do
  local requests, per = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local rule = i / 2
  left[rule] = math.min(requests, (bucket['r' .. rule] or requests) + elapsed * requests / per)
  if left[rule] < 1 then wait = math.max(wait, (1 - left[rule]) * per / requests) end
  keep = math.max(keep, per * 2)
end
local taken = wait <= tonumber(ARGV[1]) and 1 or 0
redis.call('HSET', KEYS[1], 'at', string.format('%.3f', now))
for rule, value in ipairs(left) do redis.call('HSET', KEYS[1], 'r' .. rule, string.format('%.6f', value - taken)) end
redis.call('PEXPIRE', KEYS[1], math.ceil(keep + wait) + 1000)
return math.ceil(wait)`

/** Gives one request back: KEYS[1], number of rules. */
const GIVE_BACK = `
for rule = 1, tonumber(ARGV[1]) do
  if redis.call('HEXISTS', KEYS[1], 'r' .. rule) == 1 then redis.call('HINCRBYFLOAT', KEYS[1], 'r' .. rule, 1) end
end`

/** Lowers a bucket: KEYS[1], milliseconds to wait, most requests left or '', number of rules. */
const LOWER = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local wait = tonumber(ARGV[1])
if wait > 0 then
  local before = tonumber(redis.call('HGET', KEYS[1], 'until') or '0')
  redis.call('HSET', KEYS[1], 'until', string.format('%.3f', math.max(before, now + wait)))
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), math.ceil(wait) + 1000))
end
if ARGV[2] ~= '' then
  for rule = 1, tonumber(ARGV[3]) do
    local left = tonumber(redis.call('HGET', KEYS[1], 'r' .. rule) or ARGV[2])
    if left > tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'r' .. rule, ARGV[2]) end
  end
end`

/**
 * The same budget for all workers that share a Redis: token buckets there, concurrency in each process. ioredis is loaded when the
 * first request with rules comes. While Redis is away, every process keeps the rules by itself.
 */
export function createRedisRateLimiter(options: RedisRateLimiterOptions): RateLimiter {
  const { url, prefix = 'atom:rate:', sleep, now = Date.now, onError } = options
  const alone = createRateLimiter({ now, sleep })
  const slots = new Map<string, Slots>()
  let opening: Promise<Redis> | undefined
  let closed = false
  let awayUntil = 0

  async function open(): Promise<Redis> {
    const { Redis: Client } = await import('ioredis')
    // Short limits: a Redis that is away must not hold the requests up.
    const redis = new Client(url, { maxRetriesPerRequest: 1, commandTimeout: 1000, connectTimeout: 1000 })
    redis.on('error', (error) => onError?.(error))
    if (closed) redis.disconnect()
    return redis
  }

  async function evaluate(script: string, { key }: Limit, args: (string | number)[]): Promise<number> {
    opening ??= open()
    const redis = await opening
    return Number(await redis.eval(script, 1, prefix + key, ...args))
  }

  function tell(script: string, limit: Limit, args: (string | number)[]): void {
    evaluate(script, limit, args).catch((error) => onError?.(error))
  }

  function rulesOf({ rules }: Limit): number[] {
    return rules.flatMap(({ requests, perSeconds }) => [requests, perSeconds * 1000])
  }

  async function enter(limit: Limit, signal: AbortSignal | undefined): Promise<() => void> {
    const known = slots.get(limit.key) ?? new Slots()
    slots.set(limit.key, known)
    if (!known.tryEnter(limit.concurrency)) await known.enter(signal)
    return once(() => {
      known.leave()
      if (known.isIdle) slots.delete(limit.key)
    })
  }

  /** `undefined`: Redis is away. */
  async function takeShared(limit: Limit, maxWaitMs: number): Promise<number | undefined> {
    if (now() < awayUntil) return undefined
    try {
      return await evaluate(TAKE, limit, [maxWaitMs, ...rulesOf(limit)])
    } catch (error) {
      awayUntil = now() + AWAY_MS
      onError?.(error)
      return undefined
    }
  }

  /** Waits by itself, and holds no slot: those are counted here. */
  async function takeAlone({ key, rules }: Limit, options: AcquireOptions): Promise<number> {
    const turn = await alone.acquire({ key, rules }, options)
    if (turn.waitMs !== undefined) return turn.waitMs
    turn.release()
    return 0
  }

  return {
    async acquire(limit, { maxWaitMs, signal }) {
      const release = await enter(limit, signal)
      try {
        const waitMs = (await takeShared(limit, maxWaitMs)) ?? (await takeAlone(limit, { maxWaitMs, signal }))
        if (waitMs > maxWaitMs) {
          release()
          return { waitMs }
        }
        if (waitMs > 0)
          await sleep(waitMs, signal).catch((error) => {
            tell(GIVE_BACK, limit, [limit.rules.length])
            throw error
          })
        signal?.throwIfAborted()
        return { release }
      } catch (error) {
        release()
        throw signal?.aborted ? signal.reason : error
      }
    },
    observe(limit, hint) {
      alone.observe(limit, hint)
      if (now() >= awayUntil) tell(LOWER, limit, [hint.waitMs ?? 0, hint.remaining ?? '', limit.rules.length])
    },
    async close() {
      closed = true
      if (opening) (await opening.catch(() => undefined))?.disconnect()
    },
  }
}
