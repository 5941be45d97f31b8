/** So many requests in so many seconds. */
export interface RateRule {
  requests: number
  perSeconds: number
}

/** What a request wants to keep to. */
export interface Limit {
  /** Whose budget: a connection, or a connection and resource. */
  key: string
  rules: readonly RateRule[]
  /** Most requests of the key at the same time. Default: no bound. */
  concurrency?: number
}

interface Bucket {
  /** Requests left, per rule. */
  left: number[]
  filledAt: number
  /** Nothing goes before this moment: an answer said so. */
  blockedUntil: number
  running: number
  waiting: (() => void)[]
}

export interface RateLimiter {
  /** Resolves when the request may go, with what to call once it is over. Rejects when `signal` aborts. */
  acquire(limit: Limit, signal?: AbortSignal): Promise<() => void>
  /** An answer said to wait: nobody of this key goes before. */
  block(key: string, milliseconds: number): void
  /** How long the next request would wait, in milliseconds. */
  waitMs(limit: Limit): number
}

/** Keys kept; the one used longest ago goes first, and starts with a full budget when it comes back. */
const MAX_KEYS = 10_000

/** Token buckets in this process, filled evenly, holding at most one window's requests. */
export function createRateLimiter({
  now = Date.now,
  sleep,
}: {
  now?: () => number
  sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>
}): RateLimiter {
  const buckets = new Map<string, Bucket>()

  function bucketOf(key: string, rules: readonly RateRule[]): Bucket {
    let bucket = buckets.get(key)
    if (bucket) buckets.delete(key)
    else
      bucket = { left: rules.map((rule) => rule.requests), filledAt: now(), blockedUntil: 0, running: 0, waiting: [] }
    buckets.set(key, bucket)
    if (buckets.size > MAX_KEYS) {
      for (const [oldest, { running }] of buckets) {
        if (running === 0) buckets.delete(oldest)
        if (buckets.size <= MAX_KEYS) break
      }
    }
    return bucket
  }

  function fill(bucket: Bucket, rules: readonly RateRule[]): number {
    const elapsedSeconds = Math.max(0, now() - bucket.filledAt) / 1000
    bucket.filledAt = now()
    let wait = bucket.blockedUntil - now()
    rules.forEach((rule, index) => {
      const rate = rule.requests / rule.perSeconds
      const left = Math.min(rule.requests, (bucket.left[index] ?? rule.requests) + elapsedSeconds * rate)
      bucket.left[index] = left
      if (left < 1) wait = Math.max(wait, ((1 - left) / rate) * 1000)
    })
    return Math.max(0, wait)
  }

  return {
    async acquire(limit, signal) {
      const bucket = bucketOf(limit.key, limit.rules)
      while (limit.concurrency !== undefined && bucket.running >= limit.concurrency) {
        await new Promise<void>((resolve, reject) => {
          const go = () => {
            signal?.removeEventListener('abort', stop)
            resolve()
          }
          const stop = () => {
            bucket.waiting.splice(bucket.waiting.indexOf(go), 1)
            reject(signal?.reason)
          }
          if (signal?.aborted) return reject(signal.reason)
          bucket.waiting.push(go)
          signal?.addEventListener('abort', stop, { once: true })
        })
      }
      bucket.running++
      const release = () => {
        bucket.running--
        bucket.waiting.shift()?.()
      }
      try {
        for (let wait = fill(bucket, limit.rules); wait > 0; wait = fill(bucket, limit.rules))
          await sleep(Math.ceil(wait), signal)
      } catch (error) {
        release()
        throw error
      }
      for (let index = 0; index < limit.rules.length; index++) bucket.left[index] = (bucket.left[index] ?? 0) - 1
      return release
    },
    block(key, milliseconds) {
      const bucket = bucketOf(key, [])
      bucket.blockedUntil = Math.max(bucket.blockedUntil, now() + milliseconds)
    },
    waitMs: (limit) => fill(bucketOf(limit.key, limit.rules), limit.rules),
  }
}
