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
  /** Most requests of the key at the same time, in this process. Default: no bound. */
  concurrency?: number
}

export interface AcquireOptions {
  /** A longer wait is not begun but answered. */
  maxWaitMs: number
  signal?: AbortSignal | undefined
}

/** Leave to send one request, or how long it would have to wait. */
export type Turn = { release(): void; waitMs?: undefined } | { waitMs: number }

/** What an answer said about the budget. */
export interface Hint {
  /** Nobody of this key goes for so long. */
  waitMs?: number
  /** No more requests than these are left. */
  remaining?: number
}

/** Port. Keeps the requests of a key within its rules. */
export interface RateLimiter {
  /** Resolves when the request may go; call `release` once it is over. Rejects with the signal's reason when it aborts. */
  acquire(limit: Limit, options: AcquireOptions): Promise<Turn>
  /** The lowest of what answers say wins. */
  observe(limit: Limit, hint: Hint): void
  close(): Promise<void>
}

/** Keys kept; the one used longest ago goes first, and starts with a full budget when it comes back. */
const MAX_KEYS = 10_000

export type Sleep = (milliseconds: number, signal?: AbortSignal) => Promise<void>

/** Token buckets in this process, filled evenly, holding at most one window's requests. */
export function createRateLimiter({
  now = Date.now,
  sleep,
  maxKeys = MAX_KEYS,
}: {
  now?: () => number
  sleep: Sleep
  maxKeys?: number
}): RateLimiter {
  const buckets = new Map<string, Bucket>()

  function bucketOf(key: string): Bucket {
    let bucket = buckets.get(key)
    if (bucket && buckets.size * 2 <= maxKeys) return bucket
    // Taken out and put back, once it matters: a Map is in order of insertion, so that the first is the one used longest ago.
    if (bucket) buckets.delete(key)
    else bucket = new Bucket(now())
    buckets.set(key, bucket)
    if (buckets.size > maxKeys) {
      for (const [oldest, { slots }] of buckets) {
        if (slots.isIdle) buckets.delete(oldest)
        if (buckets.size <= maxKeys) break
      }
    }
    return bucket
  }

  return {
    async acquire(limit, { maxWaitMs, signal }) {
      const bucket = bucketOf(limit.key)
      if (!bucket.slots.tryEnter(limit.concurrency)) await bucket.slots.enter(signal)
      const release = once(() => bucket.slots.leave())
      try {
        for (;;) {
          const waitMs = bucket.take(limit.rules, now(), maxWaitMs)
          if (waitMs === 0) return { release }
          if (waitMs > maxWaitMs) {
            release()
            return { waitMs }
          }
          try {
            await sleep(Math.ceil(waitMs), signal)
          } catch (error) {
            bucket.giveBack(limit.rules)
            throw error
          }
          if (bucket.blockedUntil <= now()) return { release }
          // An answer that came meanwhile said to wait: the place is given up and taken again behind it.
          bucket.giveBack(limit.rules)
        }
      } catch (error) {
        release()
        throw signal?.aborted ? signal.reason : error
      }
    },
    observe(limit, { waitMs = 0, remaining }) {
      const bucket = bucketOf(limit.key)
      if (waitMs > 0) bucket.blockedUntil = Math.max(bucket.blockedUntil, now() + waitMs)
      if (remaining !== undefined) bucket.lower(limit.rules, now(), remaining)
    },
    async close() {},
  }
}

class Bucket {
  readonly slots = new Slots()
  /** Nothing goes before this moment: an answer said so. */
  blockedUntil = 0
  /** Requests left, per rule; below zero: promised to those who wait. */
  private readonly left: number[] = []

  constructor(private filledAt: number) {}

  /** Takes one request and answers the milliseconds until it may go. Takes nothing when they are more than `maxWaitMs`. */
  take(rules: readonly RateRule[], now: number, maxWaitMs: number): number {
    this.fill(rules, now)
    let waitMs = Math.max(0, this.blockedUntil - now)
    for (const [index, rule] of rules.entries()) {
      const missing = 1 - (this.left[index] as number)
      if (missing > 0) waitMs = Math.max(waitMs, (missing * rule.perSeconds * 1000) / rule.requests)
    }
    if (waitMs <= maxWaitMs) for (const index of rules.keys()) (this.left[index] as number)--
    return waitMs
  }

  giveBack(rules: readonly RateRule[]): void {
    for (const index of rules.keys()) (this.left[index] as number)++
  }

  lower(rules: readonly RateRule[], now: number, remaining: number): void {
    this.fill(rules, now)
    for (const index of rules.keys()) this.left[index] = Math.min(this.left[index] as number, remaining)
  }

  private fill(rules: readonly RateRule[], now: number): void {
    const elapsedMs = Math.max(0, now - this.filledAt)
    this.filledAt = now
    for (const [index, { requests, perSeconds }] of rules.entries())
      this.left[index] = Math.min(
        requests,
        (this.left[index] ?? requests) + (elapsedMs * requests) / (perSeconds * 1000),
      )
  }
}

/** How many are on their way at once. A slot that is left goes to the one who waits longest. */
export class Slots {
  private running = 0
  private readonly waiting: (() => void)[] = []

  get isIdle(): boolean {
    return this.running === 0
  }

  tryEnter(most = Number.POSITIVE_INFINITY): boolean {
    if (this.running >= most) return false
    this.running++
    return true
  }

  enter(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const go = () => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }
      const stop = () => {
        this.waiting.splice(this.waiting.indexOf(go), 1)
        reject(signal?.reason)
      }
      this.waiting.push(go)
      signal?.addEventListener('abort', stop, { once: true })
    })
  }

  leave(): void {
    const next = this.waiting.shift()
    if (next) next()
    else this.running--
  }
}

export function once(work: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    work()
  }
}
