import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { atomIntegrations } from '../../src/atom-integrations.js'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'

const BASE = 'http://127.0.0.1:3999'
let lab: ProviderLab
const children: ChildProcess[] = []
const folders: string[] = []

beforeAll(async () => {
  lab = await createProviderLab({ providers: ['hubspot'], recordsPerResource: 30 })
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  await lab.close()
})

afterEach(() => void vi.restoreAllMocks())

function optionsOn(path: string) {
  return {
    baseUrl: BASE,
    secret: 'a secret of at least thirty-two bytes',
    encryptionKeys: `k1:${Buffer.alloc(32, 7).toString('base64')}`,
    store: { kind: 'sqlite' as const, path },
    queue: { kind: 'embedded' as const },
    providers: lab.credentials,
    origins: lab.origins,
  }
}

function newFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'atom-e2e-'))
  folders.push(folder)
  return join(folder, 'atom.sqlite')
}

interface Process {
  child: ChildProcess
  port: number
  messages: { type: string; backfillId?: string }[]
  ended: Promise<unknown>
}

async function startProcess(path: string, die?: string): Promise<Process> {
  const child = fork(fileURLToPath(new URL('host.js', import.meta.url)), [], {
    env: { ...process.env, NODE_ENV: 'test' },
    execArgv: [],
  })
  children.push(child)
  const messages: Process['messages'] = []
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const port = await new Promise<number>((resolve) => {
    child.on('message', (message: { type: string; port?: number }) => {
      if (message.type === 'ready') resolve(message.port ?? 0)
      else messages.push(message)
    })
    child.send({ options: optionsOn(path), die })
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

describe('a process that is killed', () => {
  it.each([
    'callback',
    'event',
    'page',
  ])('at the step "%s" leaves nothing undone: event, backfill, records exactly once', async (die) => {
    const path = newFile()
    const first = await startProcess(path, die)
    await connect(first.port)
    await first.ended
    expect(first.messages.filter(({ type }) => type === 'completed')).toEqual([])

    // The leases of the dead end after half a minute; a clock that is ahead saves the wait.
    const { now } = Date
    vi.spyOn(Date, 'now').mockImplementation(() => now() + 45_000)
    const integrations = atomIntegrations({ ...optionsOn(path), logger: false, identify: () => null })
    const connected = new Promise((resolve) => integrations.on('connected', resolve))
    const completed = new Promise((resolve) => integrations.on('backfill.completed', resolve))
    await integrations.ready()
    if (die !== 'page') await connected
    await completed
    const { items } = await integrations.admin.connections.list()
    expect(items).toMatchObject([{ provider: 'hubspot', status: 'active' }])
    for (const [resource, served] of Object.entries(lab.data.hubspot ?? {})) {
      const stored = await integrations.admin.records.list({ connectionId: items[0]?.id ?? '', resource, limit: 200 })
      const ids = (list: readonly unknown[]) => list.map((item) => (item as { id: string }).id).toSorted()
      expect([resource, ids(stored.items.map(({ data }) => data))]).toEqual([resource, ids(served)])
    }
    await integrations.close()
  }, 90_000)
})

describe('two processes on one store', () => {
  it('deliver each event once per group, and run each job once', async () => {
    const path = newFile()
    const both = [await startProcess(path), await startProcess(path)]
    await connect(both[0]?.port ?? 0)
    const told = (type: string) => both.flatMap(({ messages }) => messages.filter((message) => message.type === type))
    await expect.poll(() => told('completed').length, { timeout: 30_000 }).toBe(1)
    for (const { child } of both) child.send('close')
    await Promise.all(both.map(({ ended }) => ended))
    expect([told('connected').length, told('completed').length]).toEqual([1, 1])
  }, 60_000)
})
