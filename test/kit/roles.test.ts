import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Connection } from '../../src/connection.js'
import { createStore } from '../../src/persistence/create-store.js'
import { type Host, startHost } from '../support/host-app.js'

let folder: string
let path: string
let hosts: Host[]
/** Who was told what. */
let told: string[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atom-roles-'))
  path = join(folder, 'atom.sqlite')
  hosts = []
  told = []
})
afterEach(async () => {
  // The lab is the first one's.
  for (const host of hosts.reverse()) await host.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A process of the same app; all of them share a sqlite file and one lab. */
async function start(role?: 'web' | 'worker'): Promise<Host> {
  const name = role ?? 'both'
  const lab = hosts[0]?.lab
  const options = {
    store: { kind: 'sqlite', path },
    sync: { months: 3 },
    ...(role && { role }),
    ...(lab && { origins: lab.origins, providers: lab.credentials }),
  } as const
  const host = await startHost(options, undefined, ['linear'])
  for (const type of ['connected', 'backfill.started', 'backfill.completed'] as const)
    host.integrations.on(type, () => void told.push(`${name}: ${type}`))
  hosts.push(host)
  return host
}

async function connect(host: Host): Promise<Connection> {
  const { body } = await host.browser().connect('linear')
  expect(body.connection).toMatchObject({ provider: 'linear', status: 'active' })
  return body.connection
}

/** Waits for what is told last. */
const allTold = () => expect.poll(() => told.toSorted().join(), { timeout: 15_000 })

describe('role', () => {
  it('web connects and enqueues, and leaves listeners and backfills to a worker', async () => {
    const web = await start('web')
    const { id } = await connect(web)
    const { backfillId } = await web.integrations.admin.triggerHistoricalSync({ connectionId: id, months: 1 })
    expect((await web.integrations.admin.backfills.list()).items).toMatchObject([{ id: backfillId, status: 'queued' }])
    // What it had taken would be waited for.
    await web.integrations.close()
    expect(told).toEqual([])

    // Nothing was taken: a worker has it at once, and need not wait for the end of a claim.
    const store = createStore({ kind: 'sqlite', path })
    await store.open()
    const taken = await store.claimDeliveries(['default', 'atom:sync'], 'somebody', Date.now(), 1, 10)
    await store.close()
    expect(taken.map(({ group, type, attempts }) => [group, type, attempts]).sort()).toEqual([
      ['atom:sync', 'connected', 1],
      ['default', 'connected', 1],
    ])
  })

  it('worker is told what was connected elsewhere, and reads it', async () => {
    const web = await start('web')
    await start('worker')
    const { id } = await connect(web)
    await allTold().toBe('worker: backfill.completed,worker: backfill.started,worker: connected')
    const { items } = await web.integrations.admin.backfills.list({ connectionId: id })
    expect(items).toMatchObject([{ status: 'completed' }])
  })

  it('worker stays without anything else to do, until it is closed', async () => {
    const worker = spawn(process.execPath, [fileURLToPath(new URL('worker.js', import.meta.url)), path])
    let output = ''
    worker.stdout.setEncoding('utf8').on('data', (text) => {
      output += text
      if (output.endsWith('later\n')) worker.kill('SIGTERM')
    })
    await once(worker, 'exit')
    expect(output).toBe('ready\nlater\nclosed\n')
  })

  it('none is both', async () => {
    await connect(await start())
    await allTold().toBe('both: backfill.completed,both: backfill.started,both: connected')
  })
})

describe('parked deliveries', () => {
  it('are listed, and after a retry the worker is told', async () => {
    const web = await start('web')
    const { id } = await connect(web)
    const store = createStore({ kind: 'sqlite', path })
    await store.open()
    for (const delivery of await store.claimDeliveries(['default'], 'somebody', Date.now(), 30_000, 10))
      await store.failDelivery(delivery, 'somebody', null, 'TypeError', Date.now())
    await store.close()
    const { admin } = web.integrations
    const { items } = await admin.parked.list()
    expect(items).toMatchObject([{ type: 'connected', group: 'default', connectionId: id, reason: 'TypeError' }])
    expect(await admin.parked.retry('another')).toBe(0)
    expect(await web.integrations.forTenant('org_globex').parked.retry()).toBe(0)
    expect(await admin.parked.retry()).toBe(1)
    expect(await admin.parked.list()).toEqual({ items: [], next: null })
    await start('worker')
    await expect.poll(() => told).toContain('worker: connected')
  })
})
