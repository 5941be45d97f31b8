import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createBullmqQueue } from '../../src/sync/bullmq-queue.js'
import { createEmbeddedQueue } from '../../src/sync/embedded-queue.js'
import type { Queue } from '../../src/sync/queue.js'
import { freePort, startRedis } from '../support/redis.js'

let redis: Awaited<ReturnType<typeof startRedis>>
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis?.stop())

/** What the queues see of the store: when something becomes due. */
class Due {
  at: number | null = null
  looks = 0
  nextBackfillDueAt = async () => {
    this.looks++
    return this.at
  }
}

/** Notes what a queue asks to be worked on. */
class Work {
  readonly calls: (string | undefined)[] = []
  running = 0
  most = 0
  private waiting: { count: number; resolve: () => void }[] = []
  constructor(private readonly task: (id: string | undefined) => Promise<void> = async () => {}) {}

  readonly run = async (id: string | undefined) => {
    this.calls.push(id)
    this.most = Math.max(this.most, ++this.running)
    for (const { count, resolve } of this.waiting) if (this.calls.length >= count) resolve()
    try {
      await this.task(id)
    } finally {
      this.running--
    }
  }

  async reaches(count: number): Promise<(string | undefined)[]> {
    if (this.calls.length < count) await new Promise<void>((resolve) => this.waiting.push({ count, resolve }))
    return this.calls
  }
}

function gate() {
  let open = () => {}
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open: () => open(), passed }
}

const kinds: [Queue['kind'], (due: Due, name: string) => Queue][] = [
  ['embedded', (store) => createEmbeddedQueue({ store, pollMs: 10 })],
  ['bullmq', (store, name) => createBullmqQueue({ url: redis.url, store, name, sweepMs: 10 })],
]

describe.each(kinds)('the queue %s', (kind, create) => {
  let due: Due
  let name: string
  const queues: Queue[] = []
  const make = () => {
    const queue = create(due, name)
    queues.push(queue)
    return queue
  }

  beforeEach(() => {
    due = new Due()
    name = `test-${randomUUID()}`
  })
  afterEach(async () => {
    for (const queue of queues.splice(0)) await queue.close()
  })

  it('says what it is and can be pinged', async () => {
    const queue = make()
    expect(queue.kind).toBe(kind)
    await queue.ping()
  })

  it('wakes a worker with the id', async () => {
    const queue = make()
    const work = new Work()
    await queue.start(work.run)
    await queue.wake('job-1')
    expect(await work.reaches(1)).toEqual(['job-1'])
  })

  it('wakes again for the same id, also when its last run is long finished', async () => {
    const queue = make()
    const work = new Work()
    await queue.start(work.run)
    for (let count = 1; count <= 3; count++) {
      await queue.wake('job-1')
      await work.reaches(count)
    }
    expect(work.calls).toEqual(['job-1', 'job-1', 'job-1'])
  })

  it('wakes for the same id once more while it runs', async () => {
    const queue = make()
    const first = gate()
    const work = new Work((id) => (id === 'job-1' && work.calls.length === 1 ? first.passed : Promise.resolve()))
    await queue.start(work.run)
    await queue.wake('job-1')
    await work.reaches(1)
    await queue.wake('job-1')
    await work.reaches(2)
    first.open()
  })

  it('wakes after a delay, not before it', async () => {
    const queue = make()
    const work = new Work()
    await queue.start(work.run)
    const start = performance.now()
    await queue.wake('later', 150)
    await queue.wake('now')
    expect(await work.reaches(2)).toEqual(['now', 'later'])
    expect(performance.now() - start).toBeGreaterThanOrEqual(145)
  })

  it('runs no more jobs at a time than it was told', async () => {
    const queue = make()
    const end = gate()
    const work = new Work(() => end.passed)
    await queue.start(work.run, { concurrency: 2 })
    for (let count = 0; count < 6; count++) await queue.wake(`job-${count}`)
    await work.reaches(2)
    end.open()
    await work.reaches(6)
    expect(work.most).toBe(2)
    expect(work.calls.toSorted()).toEqual(['job-0', 'job-1', 'job-2', 'job-3', 'job-4', 'job-5'])
  })

  it('goes on after work that failed, and tells of it', async () => {
    const queue = make()
    const errors: unknown[] = []
    const work = new Work(async (id) => {
      if (id === 'bad') throw new Error('no')
    })
    await queue.start(work.run, { onError: (error) => errors.push(error) })
    await queue.wake('bad')
    await work.reaches(1)
    await queue.wake('good')
    await work.reaches(2)
    expect(errors).toMatchObject([{ message: 'no' }])
  })

  it('finds by itself what is due in the store, as after a worker died', async () => {
    due.at = Date.now() - 1
    const queue = make()
    const work = new Work(async (id) => {
      if (id === undefined) due.at = null
    })
    await queue.start(work.run)
    expect((await work.reaches(1))[0]).toBeUndefined()
  })

  it('leaves alone what is not due yet', async () => {
    due.at = Date.now() + 60 * 60_000
    const queue = make()
    const work = new Work()
    await queue.start(work.run)
    while (due.looks < 3) await new Promise((resolve) => setImmediate(resolve))
    expect(work.calls).toEqual([])
  })

  it('waits for what runs when it closes, and takes nothing more', async () => {
    const queue = make()
    const end = gate()
    let ended = false
    const work = new Work(async () => {
      await end.passed
      ended = true
    })
    await queue.start(work.run)
    await queue.wake('job-1')
    await work.reaches(1)
    const closed = queue.close()
    await queue.wake('job-2')
    end.open()
    await closed
    expect(ended).toBe(true)
    expect(work.calls).toEqual(['job-1'])
  })

  it('can be closed without having been started', async () => {
    await make().close()
  })
})

describe('bullmq', () => {
  it('wakes the worker of another process', async () => {
    const name = `test-${randomUUID()}`
    const [web, worker] = [0, 1].map(() => createBullmqQueue({ url: redis.url, store: new Due(), name })) as [
      Queue,
      Queue,
    ]
    const work = new Work()
    await worker.start(work.run)
    await web.wake('job-1')
    expect(await work.reaches(1)).toEqual(['job-1'])
    await web.close()
    await worker.close()
  })

  it('keeps ids only, and nothing of what is finished', async () => {
    const name = `test-${randomUUID()}`
    const queue = createBullmqQueue({ url: redis.url, store: new Due(), name })
    await queue.wake('job-1')
    const { Redis } = await import('ioredis')
    const client = new Redis(redis.url)
    const data = await client.hget(`bull:${name}:1`, 'data')
    expect(JSON.parse(data ?? '')).toEqual({ backfillId: 'job-1' })
    const work = new Work()
    await queue.start(work.run)
    await work.reaches(1)
    await queue.close()
    expect(await client.keys(`bull:${name}:[0-9]*`)).toEqual([])
    client.disconnect()
  })

  it('refuses to start, and to be healthy, without Redis', async () => {
    const url = `redis://127.0.0.1:${await freePort()}`
    const queue = createBullmqQueue({ url, store: new Due(), name: 'test', timeoutMs: 200 })
    await expect(queue.ping()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await expect(queue.start(async () => {})).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await expect(queue.wake('job-1')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await queue.close()
  })
})

describe('embedded', () => {
  it('waits longer after each failure of the store, and goes on when it is back', async () => {
    let failures = 3
    const store = {
      nextBackfillDueAt: async () => {
        if (failures-- > 0) throw new Error('down')
        return Date.now() - 1
      },
    }
    const errors: unknown[] = []
    const queue = createEmbeddedQueue({ store, pollMs: 5 })
    const work = new Work()
    await queue.start(work.run, { onError: (error) => errors.push(error) })
    await work.reaches(1)
    expect(errors).toHaveLength(3)
    await queue.close()
  })
})
