import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import express from 'express'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type AtomIntegrations, atomIntegrations } from '../../src/atom-integrations.js'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'
import { type StorePlace, storePlace } from '../tokens/kit.js'

const BASE = 'http://127.0.0.1:3999'
let lab: ProviderLab
const children: ChildProcess[] = []
const places: { remove(): void }[] = []

beforeAll(async () => {
  lab = await createProviderLab({ providers: ['hubspot'], recordsPerResource: 30 })
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const place of places) place.remove()
  await lab.close()
})

afterEach(() => void vi.restoreAllMocks())

function optionsOn(store: StorePlace) {
  return {
    baseUrl: BASE,
    secret: 'a secret of at least thirty-two bytes',
    encryptionKeys: `k1:${Buffer.alloc(32, 7).toString('base64')}`,
    store,
    queue: { kind: 'embedded' as const },
    providers: lab.credentials,
    origins: lab.origins,
  }
}

async function newStore(kind: 'sqlite' | 'mongo'): Promise<StorePlace> {
  const { remove, ...place } = await storePlace(kind)
  places.push({ remove })
  return place
}

interface Process {
  child: ChildProcess
  port: number
  messages: { type: string; backfillId?: string }[]
  /** The signal that ended it. */
  ended: Promise<string | null>
}

async function startProcess(store: StorePlace, die?: string): Promise<Process> {
  const child = fork(fileURLToPath(new URL('host.js', import.meta.url)), [], {
    env: { ...process.env, NODE_ENV: 'test' },
    execArgv: [],
  })
  children.push(child)
  const messages: Process['messages'] = []
  const ended = new Promise<string | null>((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
  const port = await new Promise<number>((resolve) => {
    child.on('message', (message: { type: string; port?: number }) => {
      if (message.type === 'ready') resolve(message.port ?? 0)
      else messages.push(message)
    })
    child.send({ options: optionsOn(store), die })
  })
  return { child, port, messages, ended }
}

/** Connects over HTTP; a process that dies on the way answers nothing. */
async function connect(port: number): Promise<void> {
  const url = `http://127.0.0.1:${port}/integrations/hubspot`
  const start = await fetch(`${url}/connect`, {
    redirect: 'manual',
    headers: { 'sec-fetch-site': 'same-origin', accept: 'text/html' },
  })
  const cookie = start.headers
    .getSetCookie()
    .map((line) => line.split(';', 1)[0])
    .join('; ')
  const callback = new URL(String(await lab.consent(start.headers.get('location') ?? '')))
  await fetch(`http://127.0.0.1:${port}${callback.pathname}${callback.search}`, {
    redirect: 'manual',
    headers: { cookie, accept: 'text/html' },
  }).catch(() => {})
}

/** The next process on a store whose last one was killed, in this one. */
function restart(store: StorePlace) {
  // The leases of the dead end after half a minute; a clock that is ahead saves the wait.
  const { now } = Date
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 45_000)
  const identify = () => ({ tenantId: 'org', userId: 'ada' })
  const integrations = atomIntegrations({ ...optionsOn(store), logger: false, identify })
  const told: string[] = []
  integrations.on('connected', () => void told.push('connected'))
  integrations.on('backfill.completed', () => void told.push('completed'))
  return { integrations, told }
}

/** Every record that the provider served is in the store once. */
async function expectAllRecords({ admin }: AtomIntegrations): Promise<void> {
  const { items } = await admin.connections.list()
  expect(items).toMatchObject([{ provider: 'hubspot', status: 'active' }])
  for (const [resource, served] of Object.entries(lab.data.hubspot ?? {})) {
    const stored = await admin.records.list({ connectionId: items[0]?.id ?? '', resource, limit: 200 })
    const ids = (list: readonly unknown[]) => list.map((item) => (item as { id: string }).id).toSorted()
    expect([resource, ids(stored.items.map(({ data }) => data))]).toEqual([resource, ids(served)])
  }
}

describe.each(['sqlite', 'mongo'] as const)('a process that is killed, on %s', (kind) => {
  it.each([
    'after the save',
    'callback',
    'event',
    'page',
  ])('at the step "%s" leaves nothing undone: event, backfill, records exactly once', async (die) => {
    const store = await newStore(kind)
    const first = await startProcess(store, die)
    await connect(first.port)
    expect(await first.ended).toBe('SIGKILL')
    expect(first.messages.filter(({ type }) => type === 'completed')).toEqual([])

    const { integrations, told } = restart(store)
    // An event that was told just before the kill may be told again, but need not.
    const all = () => [...first.messages.map(({ type }) => type), ...told]
    await expect.poll(all, { timeout: 60_000 }).toEqual(expect.arrayContaining(['connected', 'completed']))
    await expectAllRecords(integrations)
    await integrations.close()
  }, 90_000)

  it('before the save leaves nothing half connected, and the user connects again', async () => {
    const store = await newStore(kind)
    const first = await startProcess(store, 'before the save')
    await connect(first.port)
    expect(await first.ended).toBe('SIGKILL')

    const { integrations, told } = restart(store)
    await integrations.ready()
    expect(await integrations.admin.connections.list()).toMatchObject({ items: [] })
    expect(await integrations.admin.backfills.list()).toMatchObject({ items: [] })
    const server = createServer(express().use(integrations)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    await connect((server.address() as AddressInfo).port)
    await expect.poll(() => told.toSorted(), { timeout: 60_000 }).toEqual(['completed', 'connected'])
    await expectAllRecords(integrations)
    server.close()
    await integrations.close()
  }, 90_000)
})

describe.each(['sqlite', 'mongo'] as const)('two processes on one store, on %s', (kind) => {
  it('deliver each event once per group, and run each job once', async () => {
    const store = await newStore(kind)
    const both = [await startProcess(store), await startProcess(store)]
    await connect(both[0]?.port ?? 0)
    const told = (type: string) => both.flatMap(({ messages }) => messages.filter((message) => message.type === type))
    await expect.poll(() => told('completed').length, { timeout: 30_000 }).toBe(1)
    for (const { child } of both) child.send('close')
    await Promise.all(both.map(({ ended }) => ended))
    expect([told('connected').length, told('completed').length]).toEqual([1, 1])
  }, 60_000)
})
