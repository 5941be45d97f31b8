import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createEvents, type IntegrationEvent } from '../../src/events.js'
import { createBullmqQueue } from '../../src/sync/bullmq-queue.js'
import { createSync } from '../../src/sync/sync.js'
import { startRedis } from '../support/redis.js'
import { acme, allRecords, createCaller, itemsInWindow, openStore, serve, startProvider, things } from './provider.js'

let redis: Awaited<ReturnType<typeof startRedis>>
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis?.stop())

it('lets workers elsewhere run what a web process enqueues, and take over from one that leaves', async () => {
  const store = await openStore()
  const items = itemsInWindow(25)
  const definition = acme([things()])
  let held: (() => void) | undefined
  const isHeld = new Promise<void>((resolve) => {
    held = resolve
  })
  let holds = true
  const provider = await startProvider(async (request) => {
    if (request.query.get('cursor') === '10' && holds) {
      held?.()
      await new Promise<void>((resolve) => setImmediate(resolve))
      return { status: 503, body: {} }
    }
    return serve(items, request)
  })
  const name = `test-${randomUUID()}`
  const make = (retryMs: number) => {
    const events = createEvents({ store, pollMs: 5 })
    const queue = createBullmqQueue({ url: redis.url, store, name, sweepMs: 50 })
    const tokens = createCaller(provider, definition)
    return { events, sync: createSync({ store, events, queue, tokens, retryMs, providers: () => ({ definition }) }) }
  }
  const web = make(1)
  const completed = new Promise<IntegrationEvent>((resolve) => web.events.on('backfill.completed', resolve))
  await web.events.start()
  await web.sync.start({ web: true, worker: false })
  const leaving = make(1_000)
  await leaving.sync.start({ web: false, worker: true })

  const saved = await store.saveConnection({
    ...{ newId: randomUUID(), tenantId: 'org_1', userId: 'user_1', provider: 'acme', accountKey: 'acme:1' },
    ...{ account: { id: '1', name: 'Acme One' }, scopes: [], params: {}, grantKey: null, now: Date.now() },
    tokensFor: () => ({ default: { sealed: 'sealed', expiresAt: null, refreshExpiresAt: null } }),
    eventId: randomUUID(),
    groups: web.events.groups(),
  })
  if (saved.outcome === 'grant_taken') throw new Error('unexpected')
  web.events.kick()
  await isHeld
  await leaving.sync.close()
  holds = false
  const next = make(1)
  await next.sync.start({ web: false, worker: true })
  expect((await completed).connection.id).toBe(saved.connection.id)
  expect(await allRecords(store, saved.connection.id)).toHaveLength(25)
  for (const { sync, events } of [next, web]) {
    await sync.close()
    await events.close()
  }
  await provider.close()
  await store.close()
})
