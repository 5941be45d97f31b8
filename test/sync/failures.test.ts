import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import type { ConnectionDocument, Store } from '../../src/persistence/store.js'
import type { ProviderDefinition, Resource } from '../../src/strategies/define-provider.js'
import type { RunnerOptions } from '../../src/sync/runner.js'
import {
  type Answer,
  acme,
  addJob,
  allRecords,
  connect,
  type Handler,
  itemsInWindow,
  makeRunner,
  ORIGIN,
  openStore,
  receiptOf,
  runToEnd,
  serve,
  startProvider,
  things,
} from './provider.js'

let store: Store
const open: { close(): Promise<void> }[] = []

beforeEach(async () => {
  store = await openStore()
})
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
  await store.close()
})

async function setUp(
  resources: readonly Resource[],
  handler: Handler,
  more: { definition?: Partial<ProviderDefinition>; runner?: Partial<RunnerOptions>; scopes?: string[] } = {},
) {
  const provider = await startProvider(handler, more.runner?.now)
  open.push(provider)
  const definition = acme(resources, more.definition)
  const connection = await connect(store, { scopes: more.scopes ?? [] })
  const { id } = await addJob(store, connection, definition)
  const runner = makeRunner(store, provider, definition, more.runner)
  return { id, connection, definition, provider, runner }
}

const items = itemsInWindow(25)
const html: Answer = {
  status: 200,
  headers: { 'content-type': 'text/html' },
  body: '<!doctype html><title>Down for maintenance</title><h1>secret-page-text</h1>',
}
const other = things({ name: 'others', request: { method: 'GET', url: `${ORIGIN}/others` } })
const refusal = (status: number, error: string, headers?: Record<string, string>): Answer => ({
  ...{ status, body: { error } },
  ...(headers && { headers }),
})

describe('a page that fails', () => {
  it.each<[string, Answer]>([
    ['an HTML page with 200', html],
    ['an HTML page with 503', { ...html, status: 503 }],
    ['an empty body', { body: '' }],
    ['broken JSON', { body: '{"items": [' }],
    ['a missing list', { body: { ok: true } }],
    ['500', { status: 500, body: {} }],
  ])('is read again, and the backfill goes on: %s', async (_name, answer) => {
    // The door tries a GET three times by itself: what comes after that is the runner's.
    let left = 4
    const { id, runner, connection } = await setUp([things()], (request) =>
      request.query.get('cursor') === '10' && left-- > 0 ? answer : serve(items, request),
    )
    const job = await runToEnd(store, runner, id)
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'completed', pages: 3, records: 25 })
    expect(await allRecords(store, connection.id)).toHaveLength(25)
  })

  it('fails the job after some tries, with its checkpoint kept, and is gone on from later', async () => {
    let down = true
    const { id, runner, provider } = await setUp([things()], (request) =>
      down && request.query.get('cursor') === '20' ? html : serve(items, request),
    )
    const failed = await runToEnd(store, runner, id)
    expect(failed).toMatchObject({ status: 'failed', failure: { code: 'PROVIDER_HTML_RESPONSE' } })
    expect(failed.failure?.reference).toMatch(/^r-/)
    expect(receiptOf(failed, 'things')).toMatchObject({
      ...{ status: 'failed', pages: 2, records: 20 },
      reason: 'Acme sent a web page where data was expected.',
    })
    expect(JSON.stringify(failed)).not.toContain('secret-page-text')
    down = false
    provider.requests.length = 0
    await store.requeueBackfill(id, Date.now())
    const job = await runToEnd(store, runner, id)
    expect(provider.requests.map(({ query }) => query.get('cursor'))).toEqual(['20'])
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'completed', pages: 3, records: 25 })
    expect(receiptOf(job, 'things')).not.toHaveProperty('reason')
  })

  it('does not stop a provider that repeats its cursor from being noticed', async () => {
    const { id, runner, provider } = await setUp([things()], ({ query }) => ({
      body: { items: [{ id: `i${query.get('cursor')}`, at: items[0]?.at }], next: 'same' },
    }))
    const job = await runToEnd(store, runner, id)
    expect(job).toMatchObject({ status: 'failed', failure: { code: 'PROVIDER_BAD_RESPONSE' } })
    expect(provider.requests.length).toBeLessThan(20)
  })

  it('is noticed when an offset is ignored and the same page comes for ever', async () => {
    const pagination = { style: 'offset', at: 'query', param: 'offset', pageSize: 10 } as const
    const { id, runner, provider } = await setUp([things({ pagination })], () => ({
      body: { items: items.slice(0, 10) },
    }))
    expect((await runToEnd(store, runner, id)).status).toBe('failed')
    expect(provider.requests.length).toBeLessThan(30)
  })

  it('points to an address that is not the provider’s: nothing is sent there, and the rest is read', async () => {
    const pagination = { style: 'next_url', next: 'next' } as const
    const { id, runner } = await setUp([things({ pagination }), other], (request) =>
      request.path === '/others'
        ? serve(items, request)
        : { body: { items: items.slice(0, 10), next: 'https://evil.example/things?page=2' } },
    )
    const job = await runToEnd(store, runner, id)
    expect(job).toMatchObject({ status: 'failed', failure: { code: 'PROVIDER_ORIGIN_REFUSED' } })
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'failed', records: 10 })
    expect(receiptOf(job, 'others')).toMatchObject({ status: 'completed', records: 25 })
  })
})

describe('onRecords', () => {
  it('gets every page before it counts, with whose it is, and again when it threw', async () => {
    const seen: string[][] = []
    let throws = true
    const { id, runner, connection } = await setUp([things()], (request) => serve(items, request), {
      runner: {
        onRecords(batch, context) {
          expect(context).toMatchObject({ resource: 'things', backfillId: id, deletedIds: [] })
          expect(context.connection.id).toBe(connection.id)
          seen.push(batch.map((record) => record.id))
          if (seen.length === 2 && throws) {
            throws = false
            throw new Error('the host is busy')
          }
        },
      },
    })
    const job = await runToEnd(store, runner, id)
    expect(job.status).toBe('completed')
    expect(seen.map((batch) => batch[0])).toEqual(['t0', 't10', 't10', 't20'])
  })

  it('that throws for ever fails the job and keeps what it had taken', async () => {
    const { id, runner } = await setUp([things()], (request) => serve(items, request), {
      runner: {
        onRecords(batch) {
          if (batch[0]?.id === 't10') throw new TypeError('no')
        },
      },
    })
    const job = await runToEnd(store, runner, id)
    expect(job).toMatchObject({ status: 'failed', failure: { code: 'INTERNAL_ERROR' } })
    expect(receiptOf(job, 'things')).toMatchObject({
      pages: 1,
      records: 10,
      reason: 'Something went wrong on our side.',
    })
  })

  it('does not get what is only a parent, which is not kept either', async () => {
    const seen: string[] = []
    const parent = things({ name: 'parents', parentOnly: true, timestamp: undefined, filter: 'none' })
    const child = things({ parent: 'parents', request: { method: 'GET', url: `${ORIGIN}/c/{parent.id}` } })
    const { id, runner, connection } = await setUp([parent, child], (request) => serve(items.slice(0, 1), request), {
      runner: { onRecords: (_batch, { resource }) => void seen.push(resource) },
    })
    const job = await runToEnd(store, runner, id)
    expect(seen).toEqual(['things'])
    expect((await allRecords(store, connection.id)).map(({ resource }) => resource)).toEqual(['things'])
    expect(receiptOf(job, 'parents')).toMatchObject({ status: 'completed', pages: 1, records: 0 })
  })
})

describe('what the provider refuses', () => {
  it.each([
    ['missing_scope', 'A permission that Acme wants for this was not given.'],
    ['plan', 'The connected account, its plan or its role may not read this at Acme.'],
    ['ask_admin', 'An administrator at Acme has to allow this first.'],
  ])('for good is passed over with a reason, and the run goes on: %s', async (error, reason) => {
    const { id, runner } = await setUp([things(), other], (request) =>
      request.path === '/things' ? refusal(403, error) : serve(items, request),
    )
    const job = await runToEnd(store, runner, id)
    expect(job).toMatchObject({ status: 'completed', failure: null })
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'skipped', records: 0, reason, coveredFrom: null })
    expect(receiptOf(job, 'others')).toMatchObject({ status: 'completed', records: 25 })
  })

  it('for want of a scope is not even asked for', async () => {
    const { id, runner, provider } = await setUp([things({ scopes: ['things.read'] })], () => refusal(403, 'plan'), {
      scopes: ['others.read'],
    })
    const job = await runToEnd(store, runner, id)
    expect(provider.requests).toHaveLength(0)
    expect(receiptOf(job, 'things').reason).toBe('The permission things.read was not given when Acme was connected.')
  })

  it('takes the children of what could not be read with it', async () => {
    const child = things({
      name: 'children',
      parent: 'things',
      request: { method: 'GET', url: `${ORIGIN}/c/{parent.id}` },
    })
    const { id, runner } = await setUp([child, things()], () => refusal(403, 'plan'))
    const job = await runToEnd(store, runner, id)
    expect(receiptOf(job, 'children')).toMatchObject({
      status: 'skipped',
      reason: 'It is read for each of "things", which could not be read.',
    })
  })

  it('is looked at again once the job is taken up anew', async () => {
    let allowed = false
    const { id, runner, definition, connection } = await setUp([things(), other], (request) => {
      if (request.path === '/things') return allowed ? serve(items, request) : refusal(403, 'plan')
      return allowed ? serve(items, request) : { status: 401, body: { error: 'gone' } }
    })
    expect(await runToEnd(store, runner, id)).toMatchObject({
      status: 'failed',
      failure: { code: 'CONNECTION_NEEDS_REAUTH' },
    })
    allowed = true
    await store.requeueBackfill(id, Date.now())
    const job = await runToEnd(store, runner, id)
    expect(job.status).toBe('completed')
    expect(definition.resources.map(({ name }) => receiptOf(job, name).records)).toEqual([25, 25])
    expect(await allRecords(store, connection.id)).toHaveLength(50)
  })

  it('because the grant is gone ends the job', async () => {
    const { id, runner, provider } = await setUp([things(), other], () => refusal(401, 'gone'))
    const job = await runToEnd(store, runner, id)
    expect(job).toMatchObject({ status: 'failed', failure: { code: 'CONNECTION_NEEDS_REAUTH' } })
    expect(receiptOf(job, 'things').reason).toBe('The connection to Acme ended before this was read.')
    expect(provider.requests.every(({ path }) => path === '/things')).toBe(true)
  })
})

describe('a provider that asks to wait', () => {
  it('gets the time it asked for: the job goes back to the queue', async () => {
    let limited = true
    let time = Date.now()
    const { id, runner } = await setUp(
      [things()],
      (request) =>
        limited && request.query.get('cursor') === '10'
          ? refusal(429, 'slow_down', { 'retry-after': '90' })
          : serve(items, request),
      { runner: { now: () => time } },
    )
    await runner.work(id)
    const waiting = await store.getBackfill(null, id)
    expect(waiting).toMatchObject({ status: 'queued', lease: null, dueAt: time + 90_000 })
    expect(runner.woken).toEqual([{ id, delayMs: 90_000 }])
    limited = false
    await runner.work(id)
    expect((await store.getBackfill(null, id))?.status).toBe('queued')
    time += 90_000
    await runner.work(id)
    expect(receiptOf(await runToEnd(store, runner, id), 'things')).toMatchObject({
      status: 'completed',
      pages: 3,
      records: 25,
    })
  })

  it('may do so more often than a page may fail', async () => {
    let left = 30
    let time = Date.now()
    const { id, runner } = await setUp(
      [things()],
      (request) => (left-- > 0 ? refusal(400, 'later') : serve(items, request)),
      // Each look at the clock is a minute later, so that no wait takes real time.
      { runner: { now: () => (time += 60_000) } },
    )
    expect((await runToEnd(store, runner, id)).status).toBe('completed')
  })

  it('in the middle of a set is waited for in place', async () => {
    let left = 2
    const resource = things({ commit: 'set' })
    const { id, runner, provider } = await setUp([resource], (request) =>
      request.query.get('cursor') === '20' && left-- > 0 ? refusal(429, 'slow_down') : serve(items, request),
    )
    await runner.work(id)
    expect((await store.getBackfill(null, id))?.status).toBe('completed')
    expect(provider.requests.filter(({ query }) => !query.has('cursor'))).toHaveLength(1)
  })
})

describe('a cursor that expired', () => {
  it('restarts an ascending list from the newest time, and counts nothing twice', async () => {
    let expired = false
    const { id, runner, provider, connection } = await setUp([things()], (request) => {
      const { query } = request
      if (query.get('cursor') === '20' && !expired) {
        expired = true
        return refusal(400, 'bad_cursor')
      }
      return serve(
        items.filter(({ at }) => at >= Number(query.get('since'))),
        request,
      )
    })
    const job = await runToEnd(store, runner, id)
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'completed', records: 25 })
    expect(await allRecords(store, connection.id)).toHaveLength(25)
    expect(Number(provider.requests.at(-1)?.query.get('since'))).toBe((items[19]?.at ?? 0) - 1)
  })

  it('restarts any other list from its start', async () => {
    let expired = false
    const { id, runner, connection } = await setUp([things({ order: 'none' })], (request) => {
      if (request.query.get('cursor') === '20' && !expired) {
        expired = true
        return refusal(400, 'bad_cursor')
      }
      return serve(items, request)
    })
    const job = await runToEnd(store, runner, id)
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'completed', records: 25, pages: 5 })
    expect(await allRecords(store, connection.id)).toHaveLength(25)
  })

  it('again and again fails the job instead of going on for ever', async () => {
    const { id, runner, provider } = await setUp([things({ order: 'none' })], (request) =>
      request.query.get('cursor') === '20' ? refusal(400, 'bad_cursor') : serve(items, request),
    )
    expect((await runToEnd(store, runner, id)).status).toBe('failed')
    expect(provider.requests.length).toBeLessThan(100)
  })
})

describe('the connection', () => {
  it.each([
    ['needs_reauth', 'CONNECTION_NEEDS_REAUTH'],
    ['disconnected', 'CONNECTION_DISCONNECTED'],
  ] as const)('that is %s ends the job without a request', async (status, code) => {
    const { id, runner, provider, connection } = await setUp([things()], () => html)
    await store.updateStatus(connection.id, connection.generation, { status, cause: null, now: Date.now() }, null)
    expect(await runToEnd(store, runner, id)).toMatchObject({ status: 'failed', failure: { code } })
    expect(provider.requests).toHaveLength(0)
  })

  it('that is ended while it is read stops the run, and nothing more is written', async () => {
    let connection: ConnectionDocument | undefined
    const setup = await setUp([things()], async (request) => {
      if (request.query.get('cursor') === '10' && connection) {
        const { id, generation } = connection
        const event = { id: 'e1', type: 'disconnected', occurredAt: Date.now(), groups: [] } as const
        await store.disconnect(id, generation, { now: Date.now(), event, pendingRevocation: null })
      }
      return serve(items, request)
    })
    connection = setup.connection
    await setup.runner.work(setup.id)
    const job = await store.getBackfill(null, setup.id)
    expect(job).toMatchObject({ status: 'failed', failure: { code: 'CONNECTION_DISCONNECTED' } })
    expect((await allRecords(store, connection.id)).length).toBeLessThanOrEqual(10)
  })
})

describe('a provider that is not set up here', () => {
  it('ends the job with a code that says so', async () => {
    const { id, runner } = await setUp([things()], () => html, { runner: { providers: () => undefined } })
    expect(await runToEnd(store, runner, id)).toMatchObject({
      status: 'failed',
      failure: { code: 'PROVIDER_NOT_CONFIGURED' },
    })
  })
})

it('fails the job with the code of an error that no retry can mend', async () => {
  const { id, runner } = await setUp([things(), other], (request) => serve(items, request), {
    runner: {
      tokens: { call: async () => Promise.reject(new IntegrationError('STORE_KEY_UNKNOWN', 'key k9 is not known')) },
    },
  })
  expect(await runToEnd(store, runner, id)).toMatchObject({ status: 'failed', failure: { code: 'STORE_KEY_UNKNOWN' } })
})
