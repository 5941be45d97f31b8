import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Connection } from '../../src/connection.js'
import type { IntegrationEvent } from '../../src/events.js'
import { catalogue } from '../../src/strategies/index.js'
import type { LabRequest } from '../../src/testing/index.js'
import { ada, type Browser, ben, type Host, startHost } from '../support/host-app.js'

/* What every provider promises, held through the real Express app and the provider lab. */

const POINTS = [
  'valid credentials connect',
  'invalid ones show an error, nothing is saved',
  'HTML at token, refresh, identity, API',
  'persisted, sealed, there after a restart',
  'backfill by itself, whole window, full receipt',
  'a message for people',
  'state: passed, refused when wrong, used, foreign',
] as const
const table = new Map<string, boolean[]>()

const json = { accept: 'application/json' }
const html = { accept: 'text/html' }
let folder: string
let host: Host
const connections = new Map<string, Connection>()
const tokens = new Map<string, string>()
const events: IntegrationEvent[] = []
const waiting = new Set<() => void>()

async function open(store: string): Promise<Host> {
  const opened = await startHost({ store: { kind: 'sqlite', path: store }, sync: { months: 3, concurrency: 4 } })
  const note = (event: IntegrationEvent) => {
    events.push(event)
    for (const wake of waiting) wake()
  }
  for (const type of ['connected', 'backfill.completed', 'backfill.failed'] as const)
    opened.integrations.on(type, note, { group: 'contract' })
  return opened
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atom-contract-'))
  host = await open(join(folder, 'atom.sqlite'))
})
afterAll(async () => {
  await host?.close()
  await rm(folder, { recursive: true, force: true })
  const rows = [...table].map(
    ([id, points]) => `${id.padEnd(18)}${points.map((is) => (is ? '✓' : '✗').padEnd(3)).join('')}`,
  )
  const full = [...table.values()].filter((points) => points.length === POINTS.length && points.every(Boolean)).length
  process.stdout.write(
    `\nThe seven-point contract\n${POINTS.map((point, index) => `  ${index + 1} ${point}`).join('\n')}\n\n${' '.repeat(18)}1  2  3  4  5  6  7\n${rows.join('\n')}\n${full} of ${Object.keys(catalogue).length} rows are full\n`,
  )
})

/** A test of one point; the table shows how it went. */
function point(number: number, id: string, check: () => Promise<void>): void {
  it(`${number} ${POINTS[number - 1]}`, async () => {
    const row = table.get(id) ?? POINTS.map(() => false)
    table.set(id, row)
    await check()
    row[number - 1] = true
  }, 60_000)
}

async function event(connectionId: string, types: readonly string[]): Promise<IntegrationEvent> {
  for (;;) {
    const found = events.find(({ type, connection }) => connection.id === connectionId && types.includes(type))
    if (found) return found
    await new Promise<void>((resolve) => waiting.add(resolve))
  }
}

/** Somebody of their own for each provider: tries of keys are counted per user. */
const owner = (id: string) => ({ tenantId: ada.tenantId, userId: `ada-${id}` })
const isKey = (id: string) => catalogue[id]?.auth.kind === 'api_key'
const saved = async () => (await host.integrations.admin.connections.list({ limit: 200 })).items
const field = (page: string, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? ''

/** Connects as a person does; the answer of the last step. */
async function connect(id: string, browser: Browser, accept: Record<string, string> = json) {
  if (!isKey(id)) return browser.connect(id, { accept: accept.accept as string })
  const key = (catalogue[id]?.auth as { key: string }).key
  return sendKey(id, browser, { ...host.lab.params(id), [key]: host.lab.apiKey(id) }, accept)
}

async function sendKey(id: string, browser: Browser, params: Record<string, string>, accept: Record<string, string>) {
  if (accept === json) return browser.post(`/integrations/${id}/connect`, { params }, json)
  const page = await browser.get(`/integrations/${id}/connect`, { 'sec-fetch-site': 'same-origin' })
  const fields = Object.entries(params).map(([name, value]) => [`params.${name}`, value])
  const form = new URLSearchParams([['csrf', field(page.text, 'csrf')], ...(fields as [string, string][])])
  return browser.post(`/integrations/${id}/connect`, form.toString(), html)
}

/** The words of a page, as they are read. */
const wordsOf = (page: string) =>
  page
    .replace(/<(style|script)[^>]*>.*?<\/\1>/gs, ' ')
    .replace(/<[^>]+>/g, ' ')
    .replace(/\s+/g, ' ')

const JARGON =
  /undefined|null|NaN|\[object|OAuth|JSON|HTTP|HTML|API\b(?! key)|grant_type|client_secret|access_token|stack|ECONN|<|&lt;/

function expectFriendly(page: string, id: string): void {
  const { name } = catalogue[id] as { name: string }
  const words = wordsOf(page)
  expect(words).toContain(name)
  expect(words).toMatch(/Reference r-[2-9a-z]{8}/)
  // What happened, and what to do: at least a sentence each.
  expect(words.split(/[.!?] /).length).toBeGreaterThanOrEqual(2)
  expect(words).toMatch(/again|Check|Copy|Ask|Tell|Start|Wait|Give/)
  expect(words.replaceAll(name, '')).not.toMatch(JARGON)
  for (const secret of [host.lab.credentials[id]?.clientSecret, tokens.get(id)])
    if (secret) expect(page).not.toContain(secret)
}

describe.each(Object.values(catalogue).map((one) => [one.id, one] as const))('%s', (id, definition) => {
  const pages: string[] = []

  point(1, id, async () => {
    const done = await connect(id, host.browser(owner(id)))
    expect([200, 201]).toContain(done.status)
    const { connection } = done.body as { connection: Connection }
    expect(connection).toMatchObject({
      provider: id,
      tenantId: ada.tenantId,
      userId: owner(id).userId,
      status: 'active',
    })
    expect(connection.account.id).toBeTruthy()
    expect(connection.account.name).toBeTruthy()
    expect(await saved()).toContainEqual(connection)
    expect((await event(connection.id, ['connected'])).connection).toEqual(connection)
    connections.set(id, connection)
    tokens.set(id, await host.integrations.admin.accessToken(connection.id))
  })

  point(2, id, async () => {
    const before = await saved()
    const browser = host.browser(owner(id))
    if (definition.auth.kind === 'api_key') {
      const key = host.lab.apiKey(id)
      const params = { ...host.lab.params(id), [definition.auth.key]: `${key.slice(0, -4)}${'0'.repeat(4)}` }
      const wrong = await sendKey(id, browser, params, html)
      expect(wrong.status).toBe(422)
      pages.push(wrong.text)
    } else {
      const callback = new URL(
        await browser.consent(await browser.start(id), { params: host.lab.params(id) }),
        'http://x',
      )
      for (const name of ['code', 'oauth_verifier', 'public_token'])
        if (callback.searchParams.has(name)) callback.searchParams.set(name, 'made-up')
      // A signed callback notices the change by itself.
      const wrong = await browser.get(callback.pathname + callback.search, { ...html, 'sec-fetch-site': 'cross-site' })
      if (definition.auth.kind !== 'link_token') {
        expect(wrong.status).toBeGreaterThanOrEqual(400)
        expectFriendly(wrong.text, id)
        pages.push(wrong.text)
      }
      const denied = await browser.get(
        await browser.consent(await browser.start(id), { deny: true, params: host.lab.params(id) }),
        html,
      )
      expect(denied.status).toBe(200)
      pages.push(denied.text)
    }
    expect(await saved()).toEqual(before)
  })

  point(3, id, async () => {
    const { lab, integrations } = host
    const connection = connections.get(id) as Connection
    await event(connection.id, ['backfill.completed', 'backfill.failed'])
    const before = await saved()
    const places = definition.auth.kind === 'api_key' ? ['identity'] : ['token', 'identity']
    const asksIdentity = lab.requests.some(({ provider, endpoint }) => provider === id && endpoint === 'identity')
    for (const endpoint of places) {
      if (endpoint === 'identity' && !asksIdentity) continue
      for (const kind of ['html-200', 'html-503'] as const) {
        lab.fault({ provider: id, endpoint, kind, times: 9 })
        const page = await connect(id, host.browser(owner(id)), html)
        lab.clearFaults()
        expect([502, 503], `${endpoint} ${kind}`).toContain(page.status)
        pages.push(page.text)
      }
    }
    expect(await saved()).toEqual(before)

    // A call that was made with the user's token, made again by the host.
    const usesToken = (request: LabRequest) => JSON.stringify(request).includes(tokens.get(id) ?? '')
    const own = lab.requests.filter((request) => request.provider === id && usesToken(request))
    const asked = (own.findLast(({ endpoint }) => endpoint === 'api') ??
      own.findLast(({ endpoint }) => endpoint === 'identity')) as LabRequest
    lab.fault({ provider: id, endpoint: asked.endpoint, kind: 'html-200', times: 9 })
    const type = asked.headers['content-type']
    const init = {
      method: asked.method,
      ...(asked.body && { body: asked.body }),
      ...(type && { headers: { 'content-type': type } }),
    }
    await expect(integrations.admin.fetch(connection.id, asked.url, init)).rejects.toMatchObject({
      code: 'PROVIDER_HTML_RESPONSE',
    })
    lab.clearFaults()

    const { auth } = definition
    if (auth.kind === 'oauth2' && auth.refreshToken !== 'none') {
      lab.expireTokens(id)
      lab.fault({ provider: id, endpoint: 'refresh', kind: 'html-503', times: 9 })
      const refused = integrations.admin.fetch(connection.id, asked.url, init)
      await expect(refused).rejects.toMatchObject({ code: 'PROVIDER_HTML_RESPONSE' })
      lab.clearFaults()
      expect((await integrations.admin.connections.get(connection.id))?.status).not.toBe('needs_reauth')
    }
    for (const page of pages.slice(-4)) expect(page).not.toContain('lab-gateway')
  })

  point(5, id, async () => {
    const connection = connections.get(id) as Connection
    expect(await event(connection.id, ['backfill.completed', 'backfill.failed'])).toMatchObject({
      type: 'backfill.completed',
    })
    const [backfill] = (await host.integrations.admin.backfills.list({ connectionId: connection.id })).items
    const from = new Date(backfill?.window.to ?? 0)
    from.setUTCMonth(from.getUTCMonth() - 3)
    expect(Math.abs(Date.parse(backfill?.window.from ?? '') - from.getTime())).toBeLessThan(4 * 86_400_000)
    expect(backfill?.resources.map(({ resource }) => resource).toSorted()).toEqual(
      definition.resources.map(({ name }) => name).toSorted(),
    )
    for (const receipt of backfill?.resources ?? []) {
      expect(receipt, receipt.resource).toMatchObject({ status: expect.stringMatching(/completed|skipped/) })
      const resource = definition.resources.find(({ name }) => name === receipt.resource)
      // What is not the whole window says why.
      if (receipt.coveredFrom !== backfill?.window.from || resource?.limits) expect(receipt.reason).toBeTruthy()
      if (receipt.status === 'skipped') continue
      const whole = resource?.filter !== 'none' && !resource?.reach && resource?.timestamp
      if (whole) expect(receipt.coveredFrom, receipt.resource).toBe(backfill?.window.from)
    }
  })

  point(6, id, async () => {
    expect(pages.length).toBeGreaterThan(0)
    for (const page of pages) {
      const words = wordsOf(page)
      expect(words).toContain(definition.name)
      expect(words.replaceAll(definition.name, '')).not.toMatch(JARGON)
      for (const secret of [host.lab.credentials[id]?.clientSecret, tokens.get(id)])
        if (secret) expect(page).not.toContain(secret)
    }
    const faults = pages.filter((page) => /Reference/.test(wordsOf(page)))
    for (const page of faults) expectFriendly(page, id)
  })

  point(7, id, async () => {
    const before = await saved()
    if (isKey(id)) {
      // A key travels in one request of ours: what a state does for the others, the origin and the form's token do here.
      const key = (definition.auth as { key: string }).key
      const body = { params: { ...host.lab.params(id), [key]: host.lab.apiKey(id) } }
      const foreign = await host
        .browser()
        .post(`/integrations/${id}/connect`, body, { ...json, origin: 'https://evil.example' })
      expect([foreign.status, foreign.body.code]).toEqual([403, 'REQUEST_FOREIGN_ORIGIN'])
      expect(await saved()).toEqual(before)
      return
    }
    const attempt = async (browser: Browser) =>
      new URL(await browser.consent(await browser.start(id), { params: host.lab.params(id) }), 'http://x')
    const go = (browser: Browser, { pathname, search }: URL) =>
      browser.get(pathname + search, { ...json, 'sec-fetch-site': 'cross-site' })
    const browser = host.browser(owner(id))
    const callback = await attempt(browser)
    const exchanges = () =>
      host.lab.requests.filter(({ provider, endpoint }) => provider === id && endpoint === 'token').length
    const asked = exchanges()
    const wrong = new URL(callback)
    wrong.searchParams.set('state', 'somebody-elses')
    expect((await go(browser, wrong)).body.code).toBe('AUTH_STATE_UNKNOWN')
    browser.signIn(ben)
    expect((await go(browser, callback)).body.code).toBe('AUTH_USER_MISMATCH')
    browser.signIn(owner(id))
    expect((await go(host.browser(owner(id)), callback)).body.code).toBe('AUTH_BROWSER_MISMATCH')
    expect(exchanges()).toBe(asked)
    expect((await go(browser, callback)).status).toBe(200)
    expect((await go(browser, callback)).body.code).toBe('AUTH_STATE_USED')
    expect((await saved()).map((one) => one.id)).toEqual(before.map((one) => one.id))
  })
})

describe('after a restart', () => {
  beforeAll(async () => {
    for (const id of connections.keys())
      tokens.set(id, await host.integrations.admin.accessToken(connections.get(id)?.id ?? ''))
    const { lab } = host
    await host.integrations.close()
    for (const name of await readdir(folder)) {
      // What SQLite removes at its end may be gone by now.
      const bytes = await readFile(join(folder, name)).catch(() => Buffer.alloc(0))
      for (const [id, token] of tokens)
        if (bytes.includes(token)) throw new Error(`the token of ${id} lies open in ${name}`)
    }
    const reopened = await startHost({
      store: { kind: 'sqlite', path: join(folder, 'atom.sqlite') },
      providers: lab.credentials,
      origins: lab.origins,
    })
    await reopened.lab.close()
    const close = async () => {
      await reopened.integrations.close()
      await lab.close()
    }
    host = { ...reopened, lab, close }
  })

  describe.each(Object.keys(catalogue))('%s', (id) => {
    point(4, id, async () => {
      const { id: connectionId } = connections.get(id) as Connection
      expect((await host.integrations.admin.connections.get(connectionId))?.status).toBe('active')
      expect(await host.integrations.admin.accessToken(connectionId)).toBe(tokens.get(id))
    })
  })
})
