import { backoff } from '../backoff.js'
import type { Store } from '../persistence/store.js'
import type { Queue, QueueStartOptions } from './queue.js'

export interface EmbeddedQueueOptions {
  store: Pick<Store, 'nextBackfillDueAt'>
  now?: () => number
  /** How often the store is asked without being woken, in milliseconds, give or take a quarter. Default 1,000. */
  pollMs?: number
}

/** Between two looks at the store while something is due that a slot was just given to. */
const MIN_POLL_MS = 50

/** Wakes within the process, and asks the store for what other processes left: no server needed. */
export function createEmbeddedQueue({ store, now = Date.now, pollMs = 1_000 }: EmbeddedQueueOptions): Queue {
  const wanted = new Set<string>()
  const running = new Set<Promise<void>>()
  const delayed = new Set<NodeJS.Timeout>()
  let work: ((backfillId: string | undefined) => Promise<void>) | undefined
  let { concurrency = 2, keepAlive = false, onError }: QueueStartOptions = {}
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | undefined
  let failures = 0
  let closed = false

  function run(backfillId: string | undefined): void {
    if (!work) return
    const done = work(backfillId)
      .catch((error: unknown) => onError?.(error))
      .finally(() => {
        running.delete(done)
        fill()
        lookIn(0)
      })
    running.add(done)
  }

  /** Gives free slots to the jobs that were woken. */
  function fill(): void {
    for (const id of wanted) {
      if (closed || running.size >= concurrency) return
      wanted.delete(id)
      run(id)
    }
  }

  function lookIn(delayMs: number): void {
    if (closed || !work) return
    clearTimeout(timer)
    timer = setTimeout(() => {
      looking ??= look().finally(() => {
        looking = undefined
      })
    }, delayMs)
    if (!keepAlive) timer.unref()
  }

  async function look(): Promise<void> {
    let wait = pollMs * (0.75 + Math.random() / 2)
    if (running.size < concurrency) {
      try {
        const dueAt = await store.nextBackfillDueAt()
        failures = 0
        if (dueAt !== null && dueAt <= now()) {
          if (!closed && running.size < concurrency) run(undefined)
          wait = MIN_POLL_MS
        } else if (dueAt !== null) wait = Math.max(MIN_POLL_MS, Math.min(wait, dueAt - now()))
      } catch (error) {
        onError?.(error)
        wait = backoff(++failures, { baseMs: pollMs, maxMs: 30_000 })
      }
    }
    lookIn(wait)
  }

  return {
    kind: 'embedded',
    async start(doWork, options = {}) {
      if (work || closed) return
      work = doWork
      ;({ concurrency = 2, keepAlive = false, onError } = options)
      fill()
      lookIn(0)
    },
    async wake(backfillId, delayMs = 0) {
      // Without workers here, those of other processes find it in the store; later ones are found by looking, too.
      if (closed || !work || delayMs > 60_000) return
      const timer = setTimeout(() => {
        delayed.delete(timer)
        wanted.add(backfillId)
        fill()
      }, delayMs)
      timer.unref()
      delayed.add(timer)
    },
    async close() {
      closed = true
      clearTimeout(timer)
      for (const waiting of delayed) clearTimeout(waiting)
      wanted.clear()
      await looking
      await Promise.all(running)
    },
    async ping() {},
  }
}
