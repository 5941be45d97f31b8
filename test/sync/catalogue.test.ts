import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AtomIntegrations, atomIntegrations } from '../../src/atom-integrations.js'
import type { IntegrationEvent } from '../../src/events.js'
import { catalogue } from '../../src/strategies/index.js'
import { listOf } from '../../src/sync/page.js'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'

/* Every provider of the catalogue, connected through the real app and read from the lab: what is stored is what the lab serves. */

const CALM = ['hubspot', 'stripe', 'slack']
let lab: ProviderLab
let server: Server
let base: string
let integrations: AtomIntegrations
const ended = new Map<string, IntegrationEvent>()
const waiting = new Set<() => void>()

beforeAll(async () => {
  lab = await createProviderLab({ recordsPerResource: 40 })
  const app = express()
  server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  integrations = atomIntegrations({
    baseUrl: base,
    secret: 's'.repeat(32),
    encryptionKeys: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
    identify: () => ({ tenantId: 'org_1', userId: 'user_1' }),
    store: { kind: 'sqlite', path: ':memory:' },
    queue: { kind: 'embedded' },
    providers: lab.credentials,
    origins: lab.origins,
    sync: { concurrency: 8 },
    logger: false,
  })
  const note = (event: IntegrationEvent) => {
    ended.set(event.connection.id, event)
    for (const wake of waiting) wake()
  }
  integrations.on('backfill.completed', note).on('backfill.failed', note)
  app.use(integrations)
  await integrations.ready()
})
afterAll(async () => {
  await integrations?.close()
  await lab?.close()
  server?.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

/** Cookies of one attempt, and the connection at its end. */
async function connect(provider: string): Promise<string> {
  const json = { accept: 'application/json', 'content-type': 'application/json', origin: base }
  if (!lab.credentials[provider]?.clientId) {
    const body = JSON.stringify({ params: { ...lab.params(provider), apiKey: lab.apiKey(provider) } })
    const answer = await fetch(`${base}/integrations/${provider}/connect`, { method: 'POST', headers: json, body })
    expect(answer.status).toBe(201)
    return ((await answer.json()) as { connection: { id: string } }).connection.id
  }
  const start = await fetch(`${base}/integrations/${provider}/connect?${new URLSearchParams(lab.params(provider))}`, {
    redirect: 'manual',
    headers: { 'sec-fetch-site': 'same-origin', accept: 'text/html' },
  })
  const cookie = start.headers
    .getSetCookie()
    .map((line) => line.split(';', 1)[0])
    .join('; ')
  const callback = await lab.consent(start.headers.get('location') ?? '', { params: lab.params(provider) })
  const done = await fetch(callback ?? '', {
    headers: { cookie, accept: 'application/json', 'sec-fetch-site': 'cross-site' },
  })
  expect(done.status).toBe(200)
  return ((await done.json()) as { connection: { id: string } }).connection.id
}

async function end(connectionId: string): Promise<IntegrationEvent> {
  for (;;) {
    const event = ended.get(connectionId)
    if (event) return event
    await new Promise<void>((resolve) => waiting.add(resolve))
  }
}

async function storedIds(connectionId: string, resource: string): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | null | undefined; after !== null; ) {
    const page = await integrations.admin.records.list({ connectionId, resource, limit: 200, ...(after && { after }) })
    ids.push(...page.items.map(({ id }) => id))
    after = page.next
  }
  return ids
}

describe.concurrent.each(
  Object.values(catalogue).map((definition) => [definition.id, definition] as const),
)('the backfill of %s', (id, definition) => {
  it('stores what the provider has, each record once, and a receipt for every resource', async () => {
    if (CALM.includes(id)) {
      lab.fault({ provider: id, endpoint: 'api', kind: 'html-200', times: 4 })
      lab.fault({ provider: id, endpoint: 'api', kind: 'rate-limit', times: 1 })
    }
    const connectionId = await connect(id)
    expect(await end(connectionId)).toMatchObject({ type: 'backfill.completed' })
    const [backfill] = (await integrations.admin.backfills.list({ connectionId })).items
    expect(backfill?.resources.map(({ resource }) => resource).toSorted()).toEqual(
      definition.resources.map(({ name }) => name).toSorted(),
    )
    for (const resource of definition.resources) {
      const served = lab.data[id]?.[resource.name] ?? []
      const ids = await storedIds(connectionId, resource.name)
      expect(new Set(ids).size, resource.name).toBe(ids.length)
      const receipt = backfill?.resources.find((entry) => entry.resource === resource.name)
      expect(receipt, resource.name).toMatchObject({ status: 'completed', records: ids.length })
      // The lab's data does not know what a missing approval hides.
      if (!resource.reach?.unlessScope) expect(ids, resource.name).toHaveLength(served.length)
      const own = listOf(resource.id).filter((path) => !path.startsWith('parent:'))
      if (own.length === 1 && listOf(resource.id).length === 1 && !resource.reach?.unlessScope)
        expect(ids.toSorted(), resource.name).toEqual(
          served.map((item) => String(at(item, own[0] as string))).toSorted(),
        )
    }
  }, 60_000)
})

function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((found, key) => (found as Record<string, unknown>)?.[key], value)
}
