import express, { type Express } from 'express'
import express4 from 'express4'
import supertest from 'supertest'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Connection } from '../../src/connection.js'
import { ERROR_CODES } from '../../src/errors.js'
import type { Action, Identity } from '../../src/options.js'
import { ada, Browser, ben, grace, type Host, startHost } from '../support/host-app.js'

const BASE = 'http://127.0.0.1:3000'
const JSON_ONLY = { accept: 'application/json' }
const OWN_START = { ...JSON_ONLY, 'sec-fetch-site': 'same-origin' }

type Rule = (identity: Identity, action: Action, connection?: Connection) => boolean | Promise<boolean>

/** With the rules of the host, or, while there are none, our own. */
let rule: Rule | undefined
let ruled: Host
let host: Host
beforeAll(async () => {
  const providers = ['notion', 'slack', 'stripe', 'shopify']
  host = await startHost({ sync: { months: 3 } }, undefined, providers)
  ruled = await startHost(
    { sync: { months: 3 }, authorize: (...asked) => (rule ? rule(...asked) : true) },
    undefined,
    providers,
  )
})
afterEach(() => {
  rule = undefined
})
afterAll(async () => {
  await host?.close()
  await ruled?.close()
})

const connect = async (of: Host = host, provider = 'notion') => {
  const { body } = await of.browser().connect(provider)
  return body.connection as Connection
}

describe('an error for programs', () => {
  it('has the fields of RFC 9457, a code, a reference, and fields only where fields were wrong', async () => {
    const nobody = host.browser()
    nobody.signIn(undefined)
    const answers = [
      await nobody.get('/integrations', JSON_ONLY),
      await host.browser().get('/integrations/connections/nothing', JSON_ONLY),
      await host.browser().get('/integrations/backfills/nothing', JSON_ONLY),
      await host.browser().get('/integrations/unheard-of/connect', OWN_START),
      await host.browser().get('/integrations/slack/callback?code=c', JSON_ONLY),
      await host.browser().get('/integrations/connections?limit=0', JSON_ONLY),
      await host.browser().post('/integrations/slack/connect', {}, { ...JSON_ONLY, origin: 'https://evil.example' }),
    ]
    expect(answers.map(({ body }) => body.code)).toEqual([
      'AUTH_REQUIRED',
      'CONNECTION_NOT_FOUND',
      'SYNC_BACKFILL_NOT_FOUND',
      'PROVIDER_UNKNOWN',
      'AUTH_STATE_MISSING',
      'REQUEST_INVALID',
      'REQUEST_FOREIGN_ORIGIN',
    ])
    for (const { status, headers, body } of answers) {
      expect(headers['content-type']).toMatch(/^application\/problem\+json\b/)
      expect(headers['cache-control']).toBe('no-store')
      const { fields, ...problem } = body
      expect(problem).toEqual({
        type: `urn:atom-integrations:error:${body.code}`,
        title: expect.stringMatching(/\S/),
        status,
        detail: expect.stringMatching(/\.$/),
        code: body.code,
        reference: expect.stringMatching(/^r-[2-9a-z]{8}$/),
      })
      expect(status).toBe(ERROR_CODES[body.code as keyof typeof ERROR_CODES].status)
      if (body.code === 'REQUEST_INVALID') expect(fields).toEqual({ limit: expect.stringMatching(/\.$/) })
      else expect(fields).toBeUndefined()
    }
    expect(new Set(answers.map(({ body }) => body.reference)).size).toBe(answers.length)
  })

  it('has a log line under its reference, whoever it is about, without what the request brought along', async () => {
    const browser = host.browser()
    const answers = [
      await browser.get('/integrations/connections/nothing', JSON_ONLY),
      await browser.get('/integrations/slack/callback?code=c&state=forged', JSON_ONLY),
      await browser.post('/integrations/slack/connect', {}, { ...JSON_ONLY, origin: 'https://evil.example' }),
      await browser.get('/integrations/connections?xoxb-1234567890%0Aforged[a]=1', JSON_ONLY),
    ]
    for (const { body } of answers) {
      const lines = host.log.filter((line) => line.includes(`"reference":"${body.reference}"`))
      expect(lines).toEqual([expect.stringContaining(`"code":"${body.code}"`)])
      // The console prints no fields of an info line.
      expect(lines[0]?.slice(0, lines[0].indexOf(' {"'))).toContain(body.reference)
      expect(lines[0]).not.toMatch(/xoxb-\d|\n/)
    }
    expect(host.log.join('\n')).toContain(
      'atom-integrations: no such connection in this tenant (CONNECTION_NOT_FOUND, r-',
    )
  })

  it('names the provider of a callback without state where only one can be meant', async () => {
    const detail = async (of: Host, path: string) => (await of.browser().get(path, JSON_ONLY)).body.detail
    expect(await detail(host, '/integrations/slack/callback')).toContain('The answer from Slack carries no reference')
    expect(await detail(host, '/integrations/elsewhere/callback')).toContain('from the other service carries')
    const [one, two] = [
      await startHost({}, undefined, ['gmail']),
      await startHost({}, undefined, ['gmail', 'google-drive']),
    ]
    expect(await detail(one, '/integrations/google/callback')).toContain('from Gmail carries')
    expect(await detail(two, '/integrations/google/callback')).toContain('from the other service carries')
    await one.close()
    await two.close()
  })

  it('is a problem unless a page is preferred, whatever the Accept header looks like', async () => {
    const typeFor = async (accept: string) => {
      const { headers } = await host.browser().get('/integrations/connections/nothing', { accept })
      return headers['content-type']?.split(';')[0]
    }
    for (const accept of ['*/*', '', 'application/problem+json', 'text/html;q=0.5, application/json', 'image/png'])
      expect([accept, await typeFor(accept)]).toEqual([accept, 'application/problem+json'])
    for (const accept of ['text/html', 'text/html,application/xhtml+xml,*/*;q=0.8', 'application/json;q=0.1,text/html'])
      expect([accept, await typeFor(accept)]).toEqual([accept, 'text/html'])
  })
})

describe('a body', () => {
  const raw = (body: string, type = 'application/json', app: Express = host.app) =>
    supertest(app)
      .post('/integrations/slack/connect')
      .set({ ...JSON_ONLY, origin: BASE, 'content-type': type, 'x-user': JSON.stringify(ada) })
      .send(body)

  it.each([
    ['JSON that breaks off', '{"params":{"shop":', 'application/json'],
    ['nothing at all as JSON', ' ', 'application/json'],
    ['a list', '[]', 'application/json'],
    ['null', 'null', 'application/json'],
    ['a text', '"slack"', 'application/json'],
    ['a list for a text', '{"returnTo":["/a","/b"]}', 'application/json'],
    ['an object for a text', '{"reconnect":{"$ne":"x"}}', 'application/json'],
    ['an object for a parameter', '{"params":{"shop":{"$ne":"x"}}}', 'application/json'],
    ['a text of 5,000 characters', `{"reconnect":"${'x'.repeat(5000)}"}`, 'application/json'],
    ['70 KiB', `{"a":"${'x'.repeat(70 * 1024)}"}`, 'application/json'],
    ['a doubled form field', 'mode=popup&mode=spa', 'application/x-www-form-urlencoded'],
    ['XML', '<a/>', 'application/xml'],
  ])('that is %s is 400 with a problem', async (_what, body, type) => {
    const answer = await raw(body, type)
    expect([answer.status, answer.body.code]).toEqual([400, 'REQUEST_INVALID'])
    expect(Object.keys(answer.body.fields)).toHaveLength(1)
    expect(answer.headers).not.toHaveProperty('set-cookie')
  })

  it('of no length is none, whatever type it claims', async () => {
    expect((await raw('')).status).toBe(200)
    expect((await raw('', 'text/plain')).status).toBe(200)
  })

  it('that is not JSON stays the business of a parser that the host mounted before', async () => {
    const app = express().use(express.json(), host.integrations)
    app.use(((error, _req, res, _next) => {
      res.status(error.status).send('the host says no')
    }) as express.ErrorRequestHandler)
    const answer = await raw('{"params":', 'application/json', app)
    expect([answer.status, answer.text]).toEqual([400, 'the host says no'])
  })
})

describe.each([
  ['express 5, json and urlencoded', () => express().use(express.json(), express.urlencoded({ extended: true }))],
  ['express 5, json alone', () => express().use(express.json())],
  ['express 5, urlencoded alone', () => express().use(express.urlencoded({ extended: false }))],
  ['express 4, json and urlencoded', () => express4().use(express4.json(), express4.urlencoded({ extended: true }))],
  ['express 4, json alone', () => express4().use(express4.json())],
  ['express 4, urlencoded alone', () => express4().use(express4.urlencoded({ extended: false }))],
])('behind body parsers of the host: %s', (_what, parsers) => {
  let browser: Browser
  beforeAll(() => {
    const app = parsers().use(host.integrations)
    browser = new Browser(app as never, ada, host.lab, BASE)
  })

  it('JSON and forms arrive, with all their fields', async () => {
    const key = { params: { apiKey: host.lab.apiKey('stripe') } }
    expect((await browser.post('/integrations/stripe/connect', key, JSON_ONLY)).status).toBe(201)
    const page = await browser.get('/integrations/shopify/connect')
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
    const fields = { csrf, mode: 'redirect', returnTo: '/settings', 'params.shop': 'my-shop.myshopify.com' }
    const started = await browser.post('/integrations/shopify/connect', new URLSearchParams(fields).toString())
    expect([started.status, started.headers.location]).toEqual([302, expect.stringContaining('/admin/oauth/authorize')])
    const spa = await browser.get('/integrations/notion/connect?mode=spa', OWN_START)
    const callback = new URL(String(await host.lab.consent(spa.body.authorizationUrl)))
    const code = callback.searchParams.get('code')
    const done = await browser.post('/integrations/notion/callback', { code, state: spa.body.state }, JSON_ONLY)
    expect(done.body.connection).toMatchObject({ provider: 'notion' })
    const { id } = done.body.connection
    const months = await browser.post(`/integrations/connections/${id}/backfills`, { months: 37 }, JSON_ONLY)
    expect([months.status, Object.keys(months.body.fields)]).toEqual([400, ['months']])
    const end = await browser.post(
      `/integrations/connections/${id}/disconnect`,
      new URLSearchParams({ csrf, records: 'delete' }).toString(),
    )
    expect([end.status, end.headers.location]).toEqual([303, '/integrations?disconnected=notion'])
  })

  it('an empty form is still a form without a token', async () => {
    const answer = await browser.post('/integrations/shopify/connect', '', {
      ...JSON_ONLY,
      'content-type': 'application/x-www-form-urlencoded',
    })
    expect([answer.status, answer.body.code]).toEqual([403, 'REQUEST_FOREIGN_ORIGIN'])
  })
})

describe('months', () => {
  it('are 1 to 36 and whole', async () => {
    const { id } = await connect()
    const path = `/integrations/connections/${id}/backfills`
    for (const months of [0, 37, -1, 1.5, 100, 1e21, '0', '37', '3x', '', ' 3', '٣', true, [3], { $gt: 0 }]) {
      const answer = await host.browser().post(path, { months }, JSON_ONLY)
      expect([months, answer.status, Object.keys(answer.body.fields ?? {})]).toEqual([months, 400, ['months']])
    }
    for (const months of [1, '2', 36]) {
      const answer = await host.browser().post(path, { months }, JSON_ONLY)
      expect([months, [200, 202].includes(answer.status)]).toEqual([months, true])
      const { body } = await host.browser().get(`/integrations/backfills/${answer.body.backfillId}`, JSON_ONLY)
      const { from, to } = body.window
      const span = (Date.parse(to) - Date.parse(from)) / 86_400_000
      expect(span).toBeGreaterThanOrEqual(28 * Number(months))
    }
  })

  it('asked for twice are read once', async () => {
    const { id } = await connect()
    const path = `/integrations/connections/${id}/backfills`
    const ask = () => host.browser().post(path, { months: 30 }, JSON_ONLY)
    const minute = () => Math.floor(Date.now() / 60_000)
    let asked: supertest.Response[]
    let began: number
    do {
      began = minute()
      asked = [await ask(), await ask()]
      // At the turn of a minute the window is another one.
    } while (minute() !== began)
    const [first, second] = asked
    expect(second?.status).toBe(200)
    expect(second?.body).toEqual({ backfillId: first?.body.backfillId, created: false })
  })
})

describe('open attempts of one user', () => {
  it('are twenty; the next is 429, others go on, and one that is finished makes room', async () => {
    const bounded = await startHost({}, undefined, ['notion'])
    try {
      const browser = bounded.browser()
      const start = (from = browser) => from.get('/integrations/notion/connect', OWN_START)
      const starts = []
      for (let attempt = 0; attempt < 20; attempt++) starts.push(await start())
      expect(starts.map(({ status }) => status)).toEqual(Array(20).fill(200))
      const refused = await start()
      expect([refused.status, refused.body.code]).toEqual([429, 'REQUEST_LIMIT'])
      expect(refused.headers).not.toHaveProperty('set-cookie')
      expect((await start(bounded.browser())).status).toBe(429)
      expect((await start(bounded.browser(ben))).status).toBe(200)
      expect((await start(bounded.browser({ ...grace, userId: 'ada' }))).status).toBe(200)
      const callback = await browser.consent(starts.at(-1)?.body.authorizationUrl)
      expect((await browser.get(callback)).status).toBe(303)
      expect((await start()).status).toBe(200)
    } finally {
      await bounded.close()
    }
  })

  it('and keys tried are bounded too, with the time to wait', async () => {
    const bounded = await startHost({}, undefined, ['stripe'])
    try {
      const attempt = (from = bounded.browser()) =>
        from.post('/integrations/stripe/connect', { params: { apiKey: 'sk_test_000000000000000000' } }, JSON_ONLY)
      for (let i = 0; i < 10; i++) expect((await attempt()).body.code).toBe('CREDENTIALS_INVALID')
      const before = bounded.lab.requests.length
      const refused = await attempt()
      expect([refused.status, refused.headers['retry-after']]).toEqual([429, '600'])
      expect(bounded.lab.requests.length).toBe(before)
      expect((await attempt(bounded.browser(ben))).status).toBe(422)
    } finally {
      await bounded.close()
    }
  })
})

describe('authorize', () => {
  /** Every route that asks, by the action that it asks about. */
  const routes = async (id: string, backfillId: string) => {
    const browser = ruled.browser(ben)
    const page = await browser.get('/integrations/slack/connect')
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
    return {
      list: [
        () => browser.get('/integrations', JSON_ONLY),
        () => browser.get('/integrations'),
        () => browser.get('/integrations/connections', JSON_ONLY),
      ],
      view: [
        () => browser.get(`/integrations/connections/${id}`, JSON_ONLY),
        () => browser.get(`/integrations/backfills/${backfillId}`, JSON_ONLY),
        () => browser.get(`/integrations/backfills/${backfillId}/events`, JSON_ONLY),
      ],
      connect: [
        () => browser.get('/integrations/notion/connect', OWN_START),
        () => browser.post('/integrations/notion/connect', {}, JSON_ONLY),
        () => browser.post('/integrations/notion/connect', new URLSearchParams({ csrf }).toString(), JSON_ONLY),
        () =>
          browser.post('/integrations/stripe/connect', { params: { apiKey: ruled.lab.apiKey('stripe') } }, JSON_ONLY),
      ],
      reconnect: [
        () => browser.get(`/integrations/notion/connect?reconnect=${id}`, OWN_START),
        () => browser.post('/integrations/notion/connect', { reconnect: id }, JSON_ONLY),
      ],
      backfill: [() => browser.post(`/integrations/connections/${id}/backfills`, { months: 2 }, JSON_ONLY)],
      disconnect: [
        () =>
          browser.post(
            `/integrations/connections/${id}/disconnect`,
            new URLSearchParams({ csrf }).toString(),
            JSON_ONLY,
          ),
        () => browser.delete(`/integrations/connections/${id}`, JSON_ONLY),
      ],
    } satisfies Record<Action, (() => Promise<supertest.Response>)[]>
  }

  it('is asked about each action with who and what, and what it refuses is 403', async () => {
    const connection = await connect(ruled)
    const { id } = connection
    const { backfillId } = await ruled.integrations.admin.triggerHistoricalSync({ connectionId: id })
    for (const [action, requests] of Object.entries(await routes(id, backfillId))) {
      for (const request of requests) {
        const asked: unknown[][] = []
        rule = (...args) => {
          asked.push(args)
          return args[1] !== action
        }
        const refused = await request()
        rule = undefined
        expect([action, refused.status]).toEqual([action, 403])
        if (refused.body.code) expect(refused.body.code).toBe('AUTH_FORBIDDEN')
        const [identity, last, about] = asked.at(-1) ?? []
        expect([identity, last]).toEqual([{ tenantId: 'org_acme', userId: 'ben' }, action])
        if (action === 'list' || action === 'connect') expect(about).toBeUndefined()
        else expect(about).toMatchObject({ id, userId: 'ada', provider: 'notion' })
      }
    }
    expect(await ruled.integrations.admin.connections.get(id)).toMatchObject({ status: 'active' })
    expect((await ruled.integrations.admin.connections.list({ userId: 'ben' })).items).toEqual([])
  })

  it('allows a colleague what our own rules would not', async () => {
    const { id } = await connect(ruled, 'slack')
    rule = async (_identity, action) => action !== 'list'
    const browser = ruled.browser(ben)
    const path = `/integrations/connections/${id}`
    expect((await browser.post(`${path}/backfills`, {}, JSON_ONLY)).status).toBeLessThan(300)
    expect((await browser.delete(path, JSON_ONLY)).status).toBe(204)
  })

  it('hides what may not be seen from lists, and buttons of what may not be done', async () => {
    const notion = await connect(ruled)
    const slack = await connect(ruled, 'slack')
    rule = (_identity, action, about) => about?.id !== notion.id && action !== 'disconnect'
    const { body } = await ruled.browser(ben).get('/integrations/connections', JSON_ONLY)
    expect(body.items.map(({ id }: Connection) => id)).toEqual([slack.id])
    const catalogue = await ruled.browser(ben).get('/integrations', JSON_ONLY)
    expect(catalogue.text).toContain(slack.id)
    expect(catalogue.text).not.toContain(notion.id)
    const page = await ruled.browser(ben).get('/integrations')
    expect(page.text).not.toContain(notion.id)
    expect(page.text).not.toContain('/disconnect"')
    rule = undefined
    expect((await ruled.browser(ben).get('/integrations')).text).toContain(`${slack.id}/disconnect"`)
  })

  it('counts as no where it answers anything but true, and where it fails', async () => {
    const { id } = await connect(ruled)
    const view = () => ruled.browser().get(`/integrations/connections/${id}`, JSON_ONLY)
    for (const answer of ['yes', 1, {}, undefined, Promise.resolve('true')]) {
      rule = () => answer as never
      expect((await view()).status).toBe(403)
    }
    rule = () => Promise.reject(new Error('the directory of the host is down: password hunter2'))
    const failed = await view()
    expect([failed.status, failed.body.code]).toEqual([500, 'INTERNAL_ERROR'])
    expect(failed.text).not.toContain('hunter2')
    rule = () => Promise.resolve(true)
    expect((await view()).status).toBe(200)
  })

  it('is not there: everyone of the tenant sees and connects, only the one who connected changes', async () => {
    const { id } = await connect()
    const { backfillId } = await host.integrations.admin.triggerHistoricalSync({ connectionId: id })
    const asBen = host.browser(ben)
    const path = `/integrations/connections/${id}`
    const codes = async (browser: ReturnType<Host['browser']>) => [
      (await browser.get(path, JSON_ONLY)).status,
      (await browser.get(`/integrations/backfills/${backfillId}`, JSON_ONLY)).status,
      (await browser.get(`/integrations/notion/connect?reconnect=${id}`, OWN_START)).status,
      (await browser.post(`${path}/backfills`, { months: 1 }, JSON_ONLY)).status,
      (await browser.delete(path, JSON_ONLY)).status,
    ]
    expect((await asBen.get('/integrations/connections', JSON_ONLY)).text).toContain(id)
    expect((await asBen.get('/integrations/notion/connect', OWN_START)).status).toBe(200)
    expect(await codes(asBen)).toEqual([200, 200, 403, 403, 403])
    // Another tenant learns nothing, whatever it asks.
    expect(await codes(host.browser(grace))).toEqual([404, 404, 404, 404, 404])
    const [view, backfill, reconnect, start, end] = await codes(host.browser())
    expect([view, backfill, reconnect, end]).toEqual([200, 200, 200, 204])
    expect(start).toBeLessThan(300)
  })
})

describe('an attempt that took longer than ten minutes', () => {
  it('is told from one that was used, and from one of another browser, and nothing is exchanged', async () => {
    vi.useFakeTimers({ toFake: ['Date'], shouldAdvanceTime: true })
    const slow = await startHost({}, undefined, ['slack'])
    try {
      const browser = slow.browser()
      const late = await browser.consent(await browser.start('slack'))
      const popup = await browser.consent(await browser.start('slack', { mode: 'popup' }))
      const inTime = await browser.consent(await browser.start('slack'))
      vi.setSystemTime(Date.now() + 10 * 60_000 - 30_000)
      // The code of the lab has ended by then, the attempt has not.
      expect((await browser.get(inTime, JSON_ONLY)).body.code).toBe('AUTH_CODE_REJECTED')
      vi.setSystemTime(Date.now() + 60_000)
      const exchanges = () => slow.lab.requests.filter(({ endpoint }) => endpoint === 'token').length
      const before = exchanges()
      const expired = await browser.get(late, JSON_ONLY)
      expect([expired.status, expired.body.code]).toEqual([400, 'AUTH_STATE_EXPIRED'])
      expect((await slow.browser().get(late, JSON_ONLY)).body.code).toBe('AUTH_BROWSER_MISMATCH')
      expect((await browser.get(inTime, JSON_ONLY)).body.code).toBe('AUTH_STATE_USED')
      const page = await browser.get(popup)
      expect(page.text).toContain('"code":"AUTH_STATE_EXPIRED"')
      expect(exchanges()).toBe(before)
    } finally {
      vi.useRealTimers()
      await slow.close()
    }
  })
})

describe('the connect page', () => {
  it('leads back to the app, and says so when nothing is set up, with what is missing', async () => {
    const bare = await startHost({ providers: ['slack', 'notion'], appName: 'Tidepool' }, undefined, ['notion'])
    const { text } = await bare.browser().get('/integrations')
    await bare.close()
    expect(text).toContain('<a href="/">Back to Tidepool</a>')
    expect(text).toContain('Nothing is set up yet.')
    expect(text).toMatch(/<details class="part" open>.*Slack: set SLACK_CLIENT_ID, SLACK_CLIENT_SECRET/s)
    const full = await host.browser().get('/integrations')
    expect(full.text).not.toContain('Nothing is set up yet.')
  })

  it('says "optional" once', async () => {
    const { text } = await host.browser().get('/integrations/stripe/connect')
    expect(text.match(/optional\)/g)).toHaveLength(1)
  })
})

describe('a browser at another address than baseUrl', () => {
  it('is told to the developer, once', async () => {
    const fresh = await startHost({}, undefined, ['notion'])
    const warned = () => fresh.log.filter((line) => line.includes('baseUrl'))
    await fresh.browser().get('/integrations', { ...JSON_ONLY, host: 'localhost:3111' })
    await fresh.browser().get('/integrations', { host: '127.0.0.1:3000' })
    expect(warned()).toEqual([])
    await fresh.browser().get('/integrations', { host: 'localhost:3111' })
    await fresh.browser().get('/integrations', { host: 'localhost:3111' })
    await fresh.close()
    expect(warned()).toEqual([
      expect.stringMatching(/came to localhost:3111, and baseUrl is http:\/\/127.0.0.1:3000: /),
    ])
  })
})

describe('/health', () => {
  it('says up or down to everyone, and the parts to those who are signed in', async () => {
    const nobody = host.browser()
    nobody.signIn(undefined)
    const anonymous = await nobody.get('/integrations/health')
    expect([anonymous.status, anonymous.body]).toEqual([200, { status: 'up' }])
    expect(anonymous.headers['cache-control']).toBe('no-store')
    const { body } = await host.browser().get('/integrations/health')
    expect(body).toEqual({
      status: 'up',
      store: { kind: 'sqlite', status: 'up' },
      queue: { kind: 'embedded', status: 'up' },
      providers: ['notion', 'slack', 'stripe', 'shopify'],
    })
  })

  it('is 503 once the store is gone, still without a word more for those who are not signed in', async () => {
    const closed = await startHost({}, undefined, ['notion'])
    await closed.close()
    const nobody = closed.browser()
    nobody.signIn(undefined)
    const anonymous = await nobody.get('/integrations/health')
    expect([anonymous.status, anonymous.body]).toEqual([503, { status: 'down' }])
    expect((await closed.browser().get('/integrations/health')).body).toMatchObject({
      status: 'down',
      store: { status: 'down' },
    })
  })
})

describe('a HEAD request', () => {
  const head = (path: string, browser: Record<string, string> = {}) =>
    supertest(host.app)
      .head(path)
      .set({ accept: 'text/html', 'x-user': JSON.stringify(ada), 'sec-fetch-site': 'same-origin', ...browser })

  it('has the headers of the page and no body', async () => {
    for (const [path, accept, type] of [
      ['/integrations', 'text/html', 'text/html'],
      ['/integrations', 'application/json', 'application/json'],
      ['/integrations/connections', 'application/json', 'application/json'],
      ['/integrations/health', 'application/json', 'application/json'],
    ] as const) {
      const answer = await head(path, { accept })
      expect([path, answer.status, answer.headers['content-type']?.split(';')[0]]).toEqual([path, 200, type])
      expect(answer.text ?? '').toBe('')
    }
    const missing = await head('/integrations/connections/nothing', JSON_ONLY)
    expect([missing.status, missing.text ?? '']).toEqual([404, ''])
  })

  it('starts nothing, uses nothing up and holds no stream open: it is left to the host', async () => {
    const browser = host.browser()
    const before = host.lab.requests.length
    const start = await head('/integrations/slack/connect')
    expect(start.status).toBe(418)
    expect(start.headers).not.toHaveProperty('set-cookie')

    const started = await browser.get('/integrations/slack/connect', { 'sec-fetch-site': 'same-origin' })
    const cookie = String(started.headers['set-cookie']).split(';')[0] as string
    const callback = await browser.consent(started.headers.location as string)
    const after = host.lab.requests.length
    expect((await head(callback, { cookie })).status).toBe(418)
    expect(host.lab.requests.length).toBe(after)
    expect((await browser.get(callback)).status).toBe(303)

    const { id } = await connect()
    const { backfillId } = await host.integrations.admin.triggerHistoricalSync({ connectionId: id })
    expect((await head(`/integrations/backfills/${backfillId}/events`)).status).toBe(418)
    expect(before).toBeLessThan(after)
  })
})

describe('a session cookie with SameSite=Strict', () => {
  it('is fetched by one step of our own page; programs get their 401 at once', async () => {
    const strict = await startHost(
      { identify: (req) => /(?:^|; )session=ada(?:;|$)/.test(String(req.headers.cookie)) && ada, loginUrl: '/login' },
      undefined,
      ['slack'],
    )
    try {
      const request = (path: string, cookie: string, headers: Record<string, string> = {}) =>
        supertest(strict.app)
          .get(path)
          .set({ accept: 'text/html', cookie, ...headers })
      const started = await request('/integrations/slack/connect', 'session=ada', { 'sec-fetch-site': 'same-origin' })
      const binding = String(started.headers['set-cookie']).split(';')[0] as string
      const callback = new URL(String(await strict.lab.consent(started.headers.location as string)))
      const path = callback.pathname + callback.search
      const cross = { 'sec-fetch-site': 'cross-site' }

      const program = await request(path, binding, { ...cross, ...JSON_ONLY })
      expect([program.status, program.body.code]).toEqual([401, 'AUTH_REQUIRED'])

      const page = await request(path, binding, cross)
      expect(page.status).toBe(200)
      expect(page.headers['cache-control']).toBe('no-store')
      expect(page.text).not.toContain('<script')
      const again = /http-equiv="refresh" content="0;url=([^"]+)"/.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
      expect(again).toBe(`${BASE}${path}&atom_bounced=1`)
      expect(page.text).toContain(`href="${again.replaceAll('&', '&amp;')}"`)

      // Still nobody: the second time counts, and does not go round in circles.
      const nobody = await request(again.slice(BASE.length), binding)
      expect(nobody.status).toBe(401)
      expect(nobody.text).toContain('href="/login"')
      expect(nobody.text).not.toContain('http-equiv="refresh"')

      // Nothing of this has used the attempt up.
      const done = await request(again.slice(BASE.length), `${binding}; session=ada`)
      expect([done.status, done.headers.location]).toEqual([303, '/integrations?connected=slack'])
    } finally {
      await strict.close()
    }
  })
})
