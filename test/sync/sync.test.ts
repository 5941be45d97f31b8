import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createEvents, type Events, type IntegrationEvent } from '../../src/events.js'
import type { BackfillDocument, ConnectionDocument, Store } from '../../src/persistence/store.js'
import { createEmbeddedQueue } from '../../src/sync/embedded-queue.js'
import { toBackfill } from '../../src/sync/receipt.js'
import { createSync, type Sync, type SyncOptions } from '../../src/sync/sync.js'
import {
  type Answer,
  acme,
  allRecords,
  createCaller,
  type Handler,
  itemsInWindow,
  openStore,
  receiptOf,
  serve,
  startProvider,
  things,
} from './provider.js'

/* The whole of it: an event in the store starts a backfill, which a worker runs to its end. */

let store: Store
const open: { close(): Promise<void> }[] = []
const items = itemsInWindow(25)
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NOW = Date.UTC(2026, 10, 21, 4, 39, 19)
let time = NOW

beforeEach(async () => {
  time = NOW
  store = await openStore()
})
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
  await store.close()
})

async function start(handler: Handler, options: Partial<SyncOptions> = {}, role = { web: true, worker: true }) {
  const provider = await startProvider(handler, () => time)
  const definition = acme([things()])
  const now = () => time
  const events = createEvents({ store, now, pollMs: 5 })
  const queue = createEmbeddedQueue({ store, now, pollMs: 5 })
  const sync = createSync({
    ...{ store, events, queue, now, retryMs: 1, tokens: createCaller(provider, definition) },
    providers: () => ({ definition }),
    ...options,
  })
  open.push(sync, events, provider)
  const ended: IntegrationEvent[] = []
  const waiting: (() => void)[] = []
  const note = (event: IntegrationEvent) => {
    ended.push(event)
    for (const wake of waiting) wake()
  }
  const started: IntegrationEvent[] = []
  events.on('backfill.started', (event) => void started.push(event), { group: 'test' })
  events.on('backfill.completed', note, { group: 'test' })
  events.on('backfill.failed', note, { group: 'test' })
  await events.start()
  await sync.start(role)
  async function endedCount(count: number): Promise<IntegrationEvent[]> {
    while (ended.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    return ended
  }
  return { sync, events, provider, ended, endedCount, started }
}

async function connect(events: Events, at = time): Promise<ConnectionDocument> {
  const saved = await store.saveConnection({
    ...{ newId: randomUUID(), tenantId: 'org_1', userId: 'user_1', provider: 'acme', accountKey: 'acme:1' },
    ...{ account: { id: '1', name: 'Acme One' }, scopes: [], params: {}, grantKey: null, now: at },
    tokensFor: () => ({ default: { sealed: 'sealed', expiresAt: null, refreshExpiresAt: null } }),
    eventId: randomUUID(),
    groups: events.groups(),
  })
  if (saved.outcome === 'grant_taken') throw new Error('unexpected')
  events.kick()
  return saved.connection
}

async function jobs(connectionId: string): Promise<BackfillDocument[]> {
  return (await store.listBackfills({ tenantId: 'org_1', connectionId, limit: 100 })).items
}

const html: Answer = { headers: { 'content-type': 'text/html' }, body: '<!doctype html><title>Oops</title>' }

describe('connecting', () => {
  it('reads the last months by itself, to the minute of the event', async () => {
    const { events, endedCount, started } = await start((request) => serve(items, request))
    const connection = await connect(events)
    const [event] = await endedCount(1)
    const [job] = await jobs(connection.id)
    if (!job) throw new Error('no job')
    expect(event).toMatchObject({ type: 'backfill.completed', backfillId: job.id, connection: { id: connection.id } })
    expect(started).toMatchObject([{ backfillId: job.id }])
    expect(toBackfill(job)).toEqual({
      ...{ id: job.id, connectionId: connection.id, status: 'completed' },
      window: { from: '2026-08-21T04:39:00.000Z', to: '2026-11-21T04:39:00.000Z' },
      resources: [
        {
          ...{ resource: 'things', pages: 3, records: 25, status: 'completed' },
          coveredFrom: '2026-08-21T04:39:00.000Z',
          coveredTo: '2026-11-21T04:39:00.000Z',
        },
      ],
      startedAt: new Date(NOW).toISOString(),
      finishedAt: new Date(NOW).toISOString(),
    })
    expect(await allRecords(store, connection.id)).toHaveLength(25)
  })

  it('starts one backfill however often the event is delivered, and whenever', async () => {
    const { events, endedCount } = await start((request) => serve(items, request))
    const connection = await connect(events)
    await endedCount(1)
    // As after a crash between the enqueueing and its acknowledgement, an hour later.
    time += 60 * MINUTE
    const again = createEvents({ store, now: () => time, pollMs: 5 })
    const silent = createSync({
      ...{ store, events: again, queue: createEmbeddedQueue({ store }), now: () => time },
      tokens: { call: () => Promise.reject(new Error('nothing to do')) },
      providers: () => ({ definition: acme([things()]) }),
    })
    open.unshift(silent, again)
    await store.updateStatus(
      connection.id,
      connection.generation,
      { status: 'degraded', cause: 'outage', now: time },
      { id: randomUUID(), type: 'connected', occurredAt: NOW, groups: ['atom:sync'] },
    )
    const acknowledged = new Promise<void>((resolve) => again.on('connected', () => resolve(), { group: 'after' }))
    await again.start()
    await store.updateStatus(
      connection.id,
      connection.generation,
      { status: 'active', cause: null, now: time },
      { id: randomUUID(), type: 'connected', occurredAt: NOW, groups: ['after'] },
    )
    again.kick()
    await acknowledged
    await again.close()
    expect(await jobs(connection.id)).toHaveLength(1)
  })

  it('the same account again reads what came since', async () => {
    const { events, endedCount, provider } = await start((request) => serve(items, request))
    const connection = await connect(events)
    await endedCount(1)
    time += 10 * DAY
    await connect(events)
    await endedCount(2)
    const [latest, first] = await jobs(connection.id)
    expect(latest?.window).toEqual({ from: first?.window.to, to: NOW + 10 * DAY - (NOW % MINUTE) })
    expect(provider.requests.at(-1)?.query.get('since')).toBe(String((first?.window.to ?? 0) / 1000))
    expect(await allRecords(store, connection.id)).toHaveLength(25)
  })

  it('again after its records were deleted reads the whole window', async () => {
    const { events, endedCount } = await start((request) => serve(items, request))
    const connection = await connect(events)
    await endedCount(1)
    const event = { id: randomUUID(), type: 'disconnected' as const, occurredAt: time, groups: [] }
    const ending = { now: time, event, pendingRevocation: null, deleteRecords: true }
    await store.disconnect(connection.id, connection.generation, ending)
    await store.deleteRecords(connection.id)
    time += 10 * DAY
    await connect(events)
    await endedCount(2)
    expect(await allRecords(store, connection.id)).toHaveLength(25)
    expect((await jobs(connection.id))[0]?.window.from).toBe(Date.UTC(2026, 8, 1, 4, 39))
  })

  it('again goes on with what had failed, from its checkpoint', async () => {
    let down = true
    const { events, endedCount, provider } = await start((request) =>
      down && request.query.get('cursor') === '20' ? html : serve(items, request),
    )
    const connection = await connect(events)
    expect((await endedCount(1))[0]?.type).toBe('backfill.failed')
    down = false
    provider.requests.length = 0
    time += 60 * MINUTE
    await connect(events)
    expect((await endedCount(2))[1]?.type).toBe('backfill.completed')
    const all = await jobs(connection.id)
    expect(all).toHaveLength(1)
    expect(receiptOf(all[0] as BackfillDocument, 'things')).toMatchObject({ pages: 3, records: 25 })
    expect(provider.requests.map(({ query }) => query.get('cursor'))).toEqual(['20'])
  })
})

describe('an outage that is over', () => {
  it('lets a failed backfill go on', async () => {
    let down = true
    const { events, endedCount } = await start((request) => (down ? html : serve(items, request)))
    const connection = await connect(events)
    await endedCount(1)
    down = false
    const { id, generation } = connection
    const change = { status: 'degraded', cause: 'outage', now: time } as const
    const event = { id: randomUUID(), type: 'recovered', occurredAt: time, groups: events.groups() } as const
    await store.updateStatus(id, generation, change, event)
    events.kick()
    expect((await endedCount(2))[1]?.type).toBe('backfill.completed')
  })
})

describe('triggerHistoricalSync', () => {
  const trigger = (sync: Sync, connectionId: string, months?: number) =>
    sync.triggerHistoricalSync('org_1', { connectionId, ...(months !== undefined && { months }) })

  it('is the same for the same window, and another for another', async () => {
    const { sync, events, endedCount } = await start((request) => serve(items, request))
    const connection = await connect(events)
    await endedCount(1)
    const [job] = await jobs(connection.id)
    expect(await trigger(sync, connection.id)).toEqual({ backfillId: job?.id, created: false })
    const longer = await trigger(sync, connection.id, 12)
    expect(longer.created).toBe(true)
    await endedCount(2)
    expect(await trigger(sync, connection.id, 12)).toEqual({ ...longer, created: false })
    time += MINUTE
    expect((await trigger(sync, connection.id)).created).toBe(true)
    await endedCount(3)
    expect(await allRecords(store, connection.id)).toHaveLength(25)
  })

  it('joins one that is under way and reads as much', async () => {
    // Nobody works here: the job stays queued.
    const { sync, events } = await start(() => html, {}, { web: true, worker: false })
    const connection = await connect(events)
    const queued = await waitForJob(connection.id)
    time += 5 * MINUTE
    expect(await trigger(sync, connection.id, 3)).toEqual({ backfillId: queued.id, created: false })
    expect(await trigger(sync, connection.id, 1)).toEqual({ backfillId: queued.id, created: false })
    expect((await trigger(sync, connection.id, 4)).created).toBe(true)
  })

  it('sends one that failed back to the queue', async () => {
    let down = true
    const { sync, events, endedCount } = await start((request) => (down ? html : serve(items, request)))
    const connection = await connect(events)
    await endedCount(1)
    const [job] = await jobs(connection.id)
    down = false
    time += 60 * MINUTE
    expect(await trigger(sync, connection.id)).toEqual({ backfillId: job?.id, created: false })
    expect((await endedCount(2))[1]?.type).toBe('backfill.completed')
  })

  it.each([0, 37, 1.5, -1, Number.NaN, '3', null])('refuses %s months', async (months) => {
    const { sync, events } = await start(() => html, {}, { web: true, worker: false })
    const connection = await connect(events)
    await expect(
      sync.triggerHistoricalSync('org_1', { connectionId: connection.id, months: months as number }),
    ).rejects.toMatchObject({ code: 'REQUEST_INVALID', fields: { months: expect.any(String) } })
  })

  it('finds only connections of its tenant that can be read', async () => {
    const { sync, events } = await start(() => html, {}, { web: true, worker: false })
    const connection = await connect(events)
    await expect(trigger(sync, 'unknown')).rejects.toMatchObject({ code: 'CONNECTION_NOT_FOUND' })
    await expect(sync.triggerHistoricalSync('org_2', { connectionId: connection.id })).rejects.toMatchObject({
      code: 'CONNECTION_NOT_FOUND',
    })
    for (const [status, code] of [
      ['needs_reauth', 'CONNECTION_NEEDS_REAUTH'],
      ['disconnected', 'CONNECTION_DISCONNECTED'],
    ] as const) {
      await store.updateStatus(connection.id, connection.generation, { status, cause: null, now: time }, null)
      await expect(trigger(sync, connection.id)).rejects.toMatchObject({ code, provider: 'Acme' })
    }
  })
})

describe('several workers', () => {
  it('share the jobs of one store, each job once', async () => {
    const first = await start((request) => serve(items, request), { concurrency: 3 })
    await start((request) => serve(items, request), { concurrency: 3 })
    const connections: ConnectionDocument[] = []
    for (let index = 0; index < 12; index++) {
      const saved = await store.saveConnection({
        ...{ newId: randomUUID(), tenantId: 'org_1', userId: 'u', provider: 'acme', accountKey: `acme:${index}` },
        ...{
          account: { id: '1', name: 'A' },
          scopes: [],
          params: {},
          grantKey: null,
          now: time,
          groups: first.events.groups(),
        },
        tokensFor: () => ({ default: { sealed: 's', expiresAt: null, refreshExpiresAt: null } }),
        eventId: randomUUID(),
      })
      if (saved.outcome !== 'grant_taken') connections.push(saved.connection)
    }
    first.events.kick()
    for (const connection of connections) {
      const job = await waitForJob(connection.id, 'completed')
      expect(receiptOf(job, 'things')).toMatchObject({ pages: 3, records: 25 })
      expect(job.attempts).toBe(1)
    }
  })

  it('take a job that a dead one left, once its lease has run out', async () => {
    const { events } = await start(() => html, {}, { web: true, worker: false })
    const connection = await connect(events)
    const { id } = await waitForJob(connection.id)
    const event = { id: randomUUID(), type: 'backfill.started', occurredAt: time, groups: [] } as const
    await store.claimBackfill({ owner: 'dead', now: time, leaseMs: MINUTE, id, event })
    await start((request) => serve(items, request))
    time += MINUTE
    expect(receiptOf(await waitForJob(connection.id, 'completed'), 'things').records).toBe(25)
  })
})

async function waitForJob(connectionId: string, status?: BackfillDocument['status']): Promise<BackfillDocument> {
  for (;;) {
    const job = (await jobs(connectionId))[0]
    if (job && (status === undefined || job.status === status)) return job
    await new Promise((resolve) => setImmediate(resolve))
  }
}
