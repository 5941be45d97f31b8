import { setTimeout as delay } from 'node:timers/promises'
import type { Queue as BullQueue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { IntegrationError } from '../errors.js'
import type { Store } from '../persistence/store.js'
import type { Queue, QueueStartOptions } from './queue.js'

export interface BullmqQueueOptions {
  /** Address of the Redis server, such as `redis://127.0.0.1:6379`. */
  url: string
  store: Pick<Store, 'nextBackfillDueAt'>
  /** Name of the queue in Redis. Default `atom-backfills`. */
  name?: string
  now?: () => number
  /** How often the store is asked for jobs that nobody was woken for, in milliseconds, give or take a quarter. Default 30,000. */
  sweepMs?: number
  /** How long Redis may take to answer, in milliseconds. Default 5,000. */
  timeoutMs?: number
}

interface JobData {
  /** Absent: whatever is due. Ids only: job data stands readable in Redis and in dashboards. */
  backfillId?: string
}

/**
 * Wakes workers of many processes through Redis. bullmq and ioredis are loaded when it is first used.
 *
 * No job has an id of ours: one that still lies among the finished would swallow the next.
 */
export function createBullmqQueue(options: BullmqQueueOptions): Queue {
  const { url, store, name = 'atom-backfills', now = Date.now, sweepMs = 30_000, timeoutMs = 5_000 } = options
  const connections: Redis[] = []
  let opening: Promise<{ queue: BullQueue<JobData>; redis: Redis }> | undefined
  let worker: Worker<JobData> | undefined
  let timer: NodeJS.Timeout | undefined
  let { onError }: QueueStartOptions = {}
  let closed = false

  async function load() {
    try {
      const [bullmq, ioredis] = await Promise.all([import('bullmq'), import('ioredis')])
      return { ...bullmq, Redis: ioredis.Redis }
    } catch (cause) {
      throw new TypeError('The queue "bullmq" needs the packages bullmq and ioredis: npm install bullmq ioredis', {
        cause,
      })
    }
  }

  function connect(Client: typeof Redis): Redis {
    // bullmq asks for `null`: its workers wait for Redis to come back.
    const redis = new Client(url, { maxRetriesPerRequest: null })
    redis.on('error', (error) => onError?.(error))
    connections.push(redis)
    return redis
  }

  function open() {
    opening ??= load().then(async ({ Queue: BullQueueClass, Redis: Client }) => {
      const redis = connect(Client)
      const queue = new BullQueueClass<JobData>(name, { connection: redis })
      queue.on('error', (error) => onError?.(error))
      return { queue, redis }
    })
    return opening
  }

  async function add(
    job: string,
    data: JobData,
    more: { delay?: number; deduplication?: { id: string; ttl: number } },
  ) {
    const { queue } = await open()
    await inTime(queue.add(job, data, { removeOnComplete: true, removeOnFail: true, ...more }))
  }

  async function inTime<T>(promise: Promise<T>): Promise<T> {
    const timeout = new AbortController()
    const late = delay(timeoutMs, undefined, { signal: timeout.signal, ref: false }).then(() => {
      throw new IntegrationError('STORE_UNAVAILABLE', `Redis did not answer within ${timeoutMs} ms`)
    })
    late.catch(() => {})
    try {
      return await Promise.race([promise, late])
    } finally {
      timeout.abort()
    }
  }

  /** What has no wake-up in Redis: jobs of workers that died, and those whose wake-up was lost. */
  async function sweep(): Promise<void> {
    try {
      const dueAt = await store.nextBackfillDueAt()
      // Several processes see the same; one wake-up for all of them is enough.
      if (dueAt !== null && dueAt <= now()) await add('sweep', {}, { deduplication: { id: 'sweep', ttl: 1_000 } })
    } catch (error) {
      onError?.(error)
    }
    sweepIn(sweepMs * (0.75 + Math.random() / 2))
  }

  function sweepIn(delayMs: number): void {
    if (closed) return
    clearTimeout(timer)
    timer = setTimeout(() => void sweep(), delayMs)
    timer.unref()
  }

  return {
    kind: 'bullmq',
    async start(work, startOptions = {}) {
      if (worker || closed) return
      onError = startOptions.onError
      const { Worker: WorkerClass, Redis: Client } = await load()
      const { queue } = await open()
      await inTime(queue.waitUntilReady())
      worker = new WorkerClass<JobData>(
        name,
        async ({ data }) => {
          // There may be more than one of them.
          if (data.backfillId === undefined) sweepIn(1_500)
          await work(data.backfillId).catch((error: unknown) => onError?.(error))
        },
        { connection: connect(Client), concurrency: startOptions.concurrency ?? 2 },
      )
      worker.on('error', (error) => onError?.(error))
      await inTime(worker.waitUntilReady())
      sweepIn(0)
    },
    async wake(backfillId, delayMs = 0) {
      if (closed) return
      await add('backfill', { backfillId }, delayMs > 0 ? { delay: delayMs } : {})
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await worker?.close()
      await opening?.then(({ queue }) => queue.close()).catch(() => {})
      for (const redis of connections) redis.disconnect()
    },
    async ping() {
      const { redis } = await open()
      await inTime(redis.ping())
    },
  }
}
