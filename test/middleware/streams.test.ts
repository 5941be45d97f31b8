import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Backfill } from '../../src/sync/receipt.js'
import { ada, grace, type Host, listen, startHost, type User } from '../support/host-app.js'

const gates: { open: () => void }[] = []

/** Something that a test opens when it wants to. */
function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  gates.push({ open: () => open() })
  return { opened, open: () => open() }
}

let host: Host
let server: Server
let url: string
/** Pages of a backfill wait here before they count as read. */
let reading = gate()
/** `identify` of a request with the header `x-wait` waits here. */
let identifying = gate()
let identified = 0
let tenants = 0
const streams = new Set<Stream>()

beforeAll(async () => {
  host = await startHost(
    {
      sync: { months: 3, concurrency: 8, onRecords: () => reading.opened },
      identify: async (req) => {
        if (req.headers['x-wait']) {
          identified++
          await identifying.opened
        }
        return JSON.parse(String(req.headers['x-user'] ?? 'null'))
      },
    },
    undefined,
    ['linear'],
  )
  const listening = await listen(host.app)
  server = listening.server
  url = listening.url
})
afterEach(async () => {
  for (const stream of streams) stream.leave()
  streams.clear()
  identifying.open()
})
afterAll(async () => {
  for (const { open } of gates) open()
  server?.closeAllConnections()
  server?.close()
  await host?.close()
})

/** Of a tenant of their own: what was read for one test is not known in the next. */
const somebody = (): User => ({ tenantId: `org_${++tenants}`, userId: 'ada' })

interface Told {
  event: string
  data: Backfill
}

class Stream {
  readonly told: Told[] = []
  ended = false
  private constructor(
    readonly response: Response,
    private readonly controller: AbortController,
  ) {
    void this.read().catch(() => {})
  }

  static async open(id: string, user: User = ada, at = url): Promise<Stream> {
    const controller = new AbortController()
    const response = await fetch(`${at}/integrations/backfills/${id}/events`, {
      headers: { accept: 'text/event-stream', 'x-user': JSON.stringify(user) },
      signal: controller.signal,
    })
    const stream = new Stream(response, controller)
    streams.add(stream)
    return stream
  }

  private async read(): Promise<void> {
    if (!this.response.headers.get('content-type')?.includes('text/event-stream')) return
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of this.response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true })
      const parts = text.split('\n\n')
      text = parts.pop() as string
      for (const part of parts) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? []
        if (!event || !data) throw new Error(`not an event: ${part}`)
        this.told.push({ event, data: JSON.parse(data) })
      }
    }
    this.ended = true
  }

  /** Resolves when the server has ended the stream. */
  async end(): Promise<Told[]> {
    await expect.poll(() => this.ended, { timeout: 15_000 }).toBe(true)
    return this.told
  }

  leave(): void {
    this.controller.abort()
  }
}

/** Connects, and waits for its backfill to stand at the gate. */
async function connect(user: User, of: Host = host): Promise<{ id: string; backfillId: string }> {
  const { body } = await of.browser(user).connect('linear')
  const { id } = body.connection
  const list = async () => (await of.integrations.admin.backfills.list({ connectionId: id, limit: 1 })).items[0]
  await expect.poll(async () => (await list())?.status).toBe('running')
  return { id, backfillId: (await list())?.id as string }
}

const disconnect = (id: string) => host.integrations.admin.connections.disconnect(id, { records: 'delete' })

describe('the page after "Read again" or "Resume"', () => {
  it('says whether it is being read, or was a moment ago', async () => {
    reading = gate()
    const user = somebody()
    const { id, backfillId } = await connect(user)
    const page = async () => (await host.browser(user).get('/integrations?reading=linear')).text
    expect(await page()).toContain('Linear is being read.')
    reading.open()
    await expect.poll(async () => (await host.integrations.admin.backfills.get(backfillId))?.status).toBe('completed')
    expect(await page()).toContain('Linear was read a moment ago.')
    await disconnect(id)
  })
})

describe('the stream of a backfill', () => {
  it('tells progress, then the end under its own name and only once, each with the backfill', async () => {
    reading = gate()
    const user = somebody()
    const { id, backfillId } = await connect(user)
    // Without the look at the store every two seconds: what a run in this process tells must do.
    vi.useFakeTimers({ toFake: ['setInterval'] })
    const stream = await Stream.open(backfillId, user)
    vi.useRealTimers()
    expect(stream.response.status).toBe(200)
    expect(stream.response.headers.get('content-type')).toContain('text/event-stream')
    expect(stream.response.headers.get('cache-control')).toBe('no-store, no-transform')
    await expect.poll(() => stream.told.length).toBe(1)
    expect(stream.told[0]).toMatchObject({
      event: 'progress',
      data: { id: backfillId, connectionId: id, status: 'running', finishedAt: null },
    })
    reading.open()
    const told = await stream.end()
    const last = told.at(-1) as Told
    expect(last.event).toBe('completed')
    expect(last.data).toEqual(await host.integrations.admin.backfills.get(backfillId))
    for (const { event, data } of told.slice(0, -1)) {
      expect([event, data.status]).toEqual(['progress', 'running'])
      expect(data).toMatchObject({ id: backfillId, connectionId: id })
    }
    // Never back.
    const records = told.map(({ data }) => data.resources.reduce((sum, resource) => sum + resource.records, 0))
    expect(records).toEqual([...records].sort((a, b) => a - b))
    expect(records.at(-1)).toBeGreaterThan(0)
    await disconnect(id)
  })

  it('tells a failure under its own name', async () => {
    reading = gate()
    const user = somebody()
    const { id, backfillId } = await connect(user)
    vi.useFakeTimers({ toFake: ['setInterval'] })
    const stream = await Stream.open(backfillId, user)
    vi.useRealTimers()
    await expect.poll(() => stream.told.length).toBe(1)
    host.lab.revokeGrants('linear')
    reading.open()
    const told = await stream.end()
    expect(told.at(-1)).toEqual({ event: 'failed', data: await host.integrations.admin.backfills.get(backfillId) })
    expect(told.at(-1)?.data.status).toBe('failed')
    expect(told.slice(0, -1).map(({ event }) => event)).toEqual(Array(told.length - 1).fill('progress'))
    await disconnect(id)
  })

  it('ends when somebody disconnects meanwhile', async () => {
    reading = gate()
    const user = somebody()
    const { id, backfillId } = await connect(user)
    const stream = await Stream.open(backfillId, user)
    await expect.poll(() => stream.told.length).toBe(1)
    await disconnect(id)
    expect((await stream.end()).map(({ event }) => event)).toEqual(['progress', 'failed'])
  })

  it('ends after five minutes without an end of its own, so that who comes back is identified again', async () => {
    reading = gate()
    const user = somebody()
    const { id, backfillId } = await connect(user)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    try {
      const stream = await Stream.open(backfillId, user)
      await expect.poll(() => stream.told.length).toBe(1)
      vi.advanceTimersByTime(4 * 60_000)
      // Had it ended, a further answer of this server would come behind its end.
      expect((await Stream.open(backfillId, user)).response.status).toBe(200)
      expect(stream.ended).toBe(false)
      vi.advanceTimersByTime(60_000)
      expect((await stream.end()).map(({ event }) => event)).toEqual(['progress'])
    } finally {
      vi.useRealTimers()
    }
    await disconnect(id)
  })

  it('of one that is over tells its end and is over too', async () => {
    reading = gate()
    const user = somebody()
    const { id, backfillId } = await connect(user)
    reading.open()
    await expect.poll(async () => (await host.integrations.admin.backfills.get(backfillId))?.status).toBe('completed')
    expect((await (await Stream.open(backfillId, user)).end()).map(({ event }) => event)).toEqual(['completed'])
    await disconnect(id)
  })

  it('of a run in another process is told all the same', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'atom-streams-'))
    const store = { kind: 'sqlite', path: join(folder, 'atom.sqlite') } as const
    reading = gate()
    const worker = await startHost({ store, sync: { months: 3, onRecords: () => reading.opened } }, undefined, [
      'linear',
    ])
    const { origins, credentials } = worker.lab
    const web = await startHost(
      { store, sync: { months: 3 }, role: 'web', origins, providers: credentials },
      undefined,
      ['linear'],
    )
    const other = await listen(web.app)
    try {
      const { backfillId } = await connect(ada, worker)
      const stream = await Stream.open(backfillId, ada, other.url)
      await expect.poll(() => stream.told.length).toBe(1)
      reading.open()
      expect((await stream.end()).at(-1)).toMatchObject({ event: 'completed', data: { id: backfillId } })
    } finally {
      other.server.closeAllConnections()
      other.server.close()
      await web.close()
      await worker.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('is of its tenant: for another one, and for nobody, it is not there', async () => {
    reading = gate()
    const user = somebody()
    const { id, backfillId } = await connect(user)
    for (const path of [`/backfills/${backfillId}`, `/backfills/${backfillId}/events`]) {
      const get = (user: User | undefined) =>
        host.browser(user).get(`/integrations${path}`, { accept: 'application/json' })
      const foreign = await get(grace)
      expect([path, foreign.status, foreign.body.code]).toEqual([path, 404, 'SYNC_BACKFILL_NOT_FOUND'])
      // The same answer as for one that does not exist.
      const none = await host.browser(grace).get(`/integrations${path.replace(backfillId, 'nothing')}`, {
        accept: 'application/json',
      })
      expect({ ...none.body, reference: '' }).toEqual({ ...foreign.body, reference: '' })
      const nobody = host.browser()
      nobody.signIn(undefined)
      const anonymous = await nobody.get(`/integrations${path}`, { accept: 'application/json' })
      expect([anonymous.status, anonymous.body.code]).toEqual([401, 'AUTH_REQUIRED'])
    }
    // A colleague sees it.
    const stream = await Stream.open(backfillId, { ...user, userId: 'ben' })
    await expect.poll(() => stream.told[0]?.data.id).toBe(backfillId)
    await disconnect(id)
  })
})

describe('one stream for several backfills', () => {
  it('tells of each by its id, and ends when all have ended', async () => {
    reading = gate()
    const user = somebody()
    const one = await connect(user)
    const wider = { connectionId: one.id, months: 12 }
    const { backfillId: other } = await host.integrations.admin.triggerHistoricalSync(wider)
    const stream = await Stream.open(`${one.backfillId},${other}`, user)
    await expect.poll(() => new Set(stream.told.map(({ data }) => data.id))).toEqual(new Set([one.backfillId, other]))
    reading.open()
    const told = await stream.end()
    const ends = told.filter(({ event }) => event === 'completed').map(({ data }) => data.id)
    expect(ends.sort()).toEqual([one.backfillId, other].sort())
  })

  it('shows none of them when one is not of this tenant, and takes no more than a page shows', async () => {
    reading = gate()
    const [user, stranger] = [somebody(), somebody()]
    const [own, foreign] = [await connect(user), await connect(stranger)]
    expect((await Stream.open(`${own.backfillId},${foreign.backfillId}`, user)).response.status).toBe(404)
    const many = Array.from({ length: 51 }, (_, index) => `b${index}`).join(',')
    expect((await Stream.open(many, user)).response.status).toBe(400)
    reading.open()
    await disconnect(own.id)
    await disconnect(foreign.id)
  })
})

describe('streams of one user', () => {
  const user = somebody()
  let backfillId: string
  beforeAll(async () => {
    reading = gate()
    const { body } = await host.browser(user).connect('linear')
    const { backfillId: id } = await host.integrations.admin.triggerHistoricalSync({ connectionId: body.connection.id })
    backfillId = id
  })

  const openAll = async (count: number, of: User = user) => {
    const opened: Stream[] = []
    for (let i = 0; i < count; i++) opened.push(await Stream.open(backfillId, of))
    return opened
  }
  const statuses = (opened: readonly Stream[]) => opened.map(({ response }) => response.status)

  /** Who left in the test before is noticed within a moment; then all four are there at once. */
  const openFour = () =>
    expect
      .poll(async () => {
        const opened = await openAll(4)
        const all = statuses(opened)
        if (all.includes(429)) for (const stream of opened) stream.leave()
        return all
      })
      .toEqual([200, 200, 200, 200])

  it('are four at the same time; the fifth is 429, and others are not kept from theirs', async () => {
    await openFour()
    const refused = await Stream.open(backfillId, user)
    expect(refused.response.status).toBe(429)
    expect(refused.response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(refused.response.headers.get('content-type')).toContain('application/problem+json')
    expect((await Stream.open(backfillId, { ...user, userId: 'ben' })).response.status).toBe(200)
  })

  it('count until the client leaves, and no longer', async () => {
    for (let round = 0; round < 3; round++) {
      await openFour()
      expect((await Stream.open(backfillId, user)).response.status).toBe(429)
      for (const stream of streams) stream.leave()
    }
  })

  it('are not counted for clients that left before their stream began', async () => {
    identifying = gate()
    identified = 0
    let gone = 0
    const noteGone = (_req: unknown, res: { on(event: 'close', listener: () => void): void }) =>
      void res.on('close', () => gone++)
    server.on('request', noteGone)
    const controller = new AbortController()
    const headers = { 'x-user': JSON.stringify(user), 'x-wait': '1' }
    const early = Array.from({ length: 6 }, () =>
      fetch(`${url}/integrations/backfills/${backfillId}/events`, { headers, signal: controller.signal }).catch(
        () => {},
      ),
    )
    await expect.poll(() => identified).toBe(6)
    controller.abort()
    await Promise.all(early)
    await expect.poll(() => gone).toBeGreaterThanOrEqual(6)
    server.off('request', noteGone)
    identifying.open()
    // What was asked later is answered later: by then all six have gone their way.
    for (let i = 0; i < 3; i++)
      await host.browser(user).get(`/integrations/backfills/${backfillId}`, { accept: 'application/json' })
    expect(statuses(await openAll(4))).toEqual([200, 200, 200, 200])
  })
})
