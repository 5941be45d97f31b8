import { runInNewContext } from 'node:vm'
import express, { type Express } from 'express'
import supertest from 'supertest'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ada, grace, type Host, startHost, type User } from '../support/host-app.js'

const BASE = 'http://127.0.0.1:3000'
const JSON_ONLY = { accept: 'application/json' }
const OWN = { accept: 'application/json', origin: BASE }

let host: Host
beforeAll(async () => {
  host = await startHost({ allowedOrigins: ['https://admin.example'] })
})
afterAll(() => host?.close())
afterEach(() => host.lab.clearFaults())

const connections = async () => (await host.integrations.admin.connections.list({ limit: 200 })).items
const exchanges = () => host.lab.requests.filter(({ endpoint }) => endpoint === 'token').length

/** Runs what a page does in a window that `opener` opened. */
function inPopup(page: supertest.Response): { posted: [message: unknown, target: string][]; closed: boolean } {
  const [, nonce, script] = /<script nonce="([^"]+)">([\s\S]*?)<\/script>/.exec(page.text) ?? []
  expect(page.headers['content-security-policy']).toContain(`script-src 'nonce-${nonce}'`)
  const seen = { posted: [] as [unknown, string][], closed: false }
  const opener = { postMessage: (message: unknown, target: string) => seen.posted.push([message, target]) }
  const window = {
    opener,
    close() {
      seen.closed = true
    },
  }
  runInNewContext(script ?? '', { window })
  // Without an opener it does nothing, and does not fail.
  runInNewContext(script ?? '', { window: { close: () => expect.unreachable('closes a window of the user') } })
  return JSON.parse(JSON.stringify(seen))
}

describe('in a popup', () => {
  it('the last page tells the opener which connection came, at the origin of baseUrl and nowhere else', async () => {
    const browser = host.browser()
    const callback = await browser.consent(await browser.start('slack', { mode: 'popup' }))
    const done = await browser.get(callback, { 'sec-fetch-site': 'cross-site' })
    expect(done.status).toBe(303)
    expect(done.headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
    const location = done.headers.location as string
    const connection = (await connections()).find(({ provider }) => provider === 'slack')
    expect(location).toBe(`/integrations/connected?provider=slack&connection=${connection?.id}`)
    const page = await browser.get(location)
    expect(page.status).toBe(200)
    expect(inPopup(page)).toEqual({
      posted: [[{ type: 'atom-integrations', provider: 'slack', connectionId: connection?.id }, BASE]],
      closed: true,
    })
  })

  it('a returnTo is not followed: the opener stays where it is', async () => {
    const browser = host.browser()
    const start = await browser.start('slack', { mode: 'popup', returnTo: '/settings' })
    const done = await browser.get(await browser.consent(start))
    expect(done.headers.location).toMatch(/^\/integrations\/connected\?/)
  })

  it('what goes wrong is told with its code, and the window stays open to be read', async () => {
    const told = async (go: (browser: ReturnType<Host['browser']>) => Promise<supertest.Response>) => {
      const page = await go(host.browser())
      const { posted, closed } = inPopup(page)
      expect(closed).toBe(false)
      expect(posted).toEqual([
        [{ type: 'atom-integrations', provider: expect.any(String), code: expect.any(String) }, BASE],
      ])
      return [page.status, (posted[0]?.[0] as { code: string }).code]
    }
    const start = { mode: 'popup' }
    expect(await told(async (b) => b.get(await b.consent(await b.start('slack', start), { deny: true })))).toEqual([
      200,
      'AUTH_DENIED',
    ])
    host.lab.fault({ provider: 'slack', endpoint: 'token', kind: 'html-502', times: 1 })
    expect(await told(async (b) => b.get(await b.consent(await b.start('slack', start))))).toEqual([
      502,
      'PROVIDER_HTML_RESPONSE',
    ])
    expect(
      await told(async (b) => {
        const callback = await b.consent(await b.start('slack', start))
        await b.get(callback)
        return b.get(callback)
      }),
    ).toEqual([400, 'AUTH_STATE_USED'])
    expect(
      await told(async (b) => {
        const callback = await b.consent(await b.start('slack', start))
        b.signIn(grace)
        return b.get(callback)
      }),
    ).toEqual([403, 'AUTH_TENANT_MISMATCH'])
    // Before the provider's page is reached: the request token of OAuth 1.0a.
    host.lab.fault({ provider: 'trello', endpoint: 'request_token', kind: 'html-503', times: 5 })
    expect(
      await told((b) => b.get('/integrations/trello/connect?mode=popup', { 'sec-fetch-site': 'same-origin' })),
    ).toEqual([502, 'PROVIDER_HTML_RESPONSE'])
  })

  it('a key ends there too, and the form keeps the mode through a mistake', async () => {
    const browser = host.browser()
    const page = await browser.get('/integrations/stripe/connect?mode=popup')
    const send = (from: supertest.Response, apiKey: string) => {
      const hidden = [...from.text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)]
      const fields = Object.fromEntries(hidden.map(([, name, value]) => [name, value]))
      return browser.post(
        '/integrations/stripe/connect',
        new URLSearchParams({ ...fields, 'params.apiKey': apiKey }).toString(),
      )
    }
    const wrong = await send(page, 'sk_test_000000000000000000')
    expect(wrong.status).toBe(422)
    const done = await send(wrong, host.lab.apiKey('stripe'))
    expect(done.status).toBe(303)
    expect(done.headers.location).toMatch(/^\/integrations\/connected\?provider=stripe&connection=/)
    expect(inPopup(await browser.get(done.headers.location as string))).toMatchObject({
      posted: [[{ provider: 'stripe', connectionId: expect.stringMatching(/./) }, BASE]],
      closed: true,
    })
  })

  it('the page for the opener cannot be made to run what a link brings', async () => {
    const query = new URLSearchParams({ provider: 'slack', connection: `</script><script>window.close()//'"` })
    const page = await host.browser().get(`/integrations/connected?${query}`)
    expect(page.text.match(/<script/g)).toHaveLength(1)
    expect(inPopup(page).posted).toEqual([
      [{ type: 'atom-integrations', provider: 'slack', connectionId: query.get('connection') }, BASE],
    ])
    expect((await host.browser().get('/integrations/connected?provider=nobody')).status).toBe(404)
  })
})

describe('a single-page app', () => {
  const start = async (browser: ReturnType<Host['browser']>, provider = 'notion') => {
    const response = await browser.get(`/integrations/${provider}/connect?mode=spa`, {
      ...JSON_ONLY,
      'sec-fetch-site': 'same-origin',
    })
    expect(response.status).toBe(200)
    return response
  }
  const codeOf = async (authorizationUrl: string) =>
    new URL(String(await host.lab.consent(authorizationUrl))).searchParams.get('code')

  it('reads the address, the state and its end, and brings the code back', async () => {
    const browser = host.browser()
    const started = await start(browser)
    expect(Object.keys(started.body).sort()).toEqual(['authorizationUrl', 'expiresAt', 'state'])
    expect(started.headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
    const { authorizationUrl, state, expiresAt } = started.body
    expect(new URL(authorizationUrl).searchParams.get('state')).toBe(state)
    const left = Date.parse(expiresAt) - Date.now()
    expect(left).toBeGreaterThan(9 * 60_000)
    expect(left).toBeLessThanOrEqual(10 * 60_000)

    const code = await codeOf(authorizationUrl)
    const done = await browser.post('/integrations/notion/callback', { code, state }, JSON_ONLY)
    expect(done.status).toBe(200)
    expect(done.headers['cache-control']).toBe('no-store')
    expect(done.headers.location).toBeUndefined()
    expect(done.body).toEqual({ connection: expect.objectContaining({ provider: 'notion', status: 'active' }) })
    const again = await browser.post('/integrations/notion/callback', { code, state }, JSON_ONLY)
    expect([again.status, again.body.code]).toEqual([400, 'AUTH_STATE_USED'])
  })

  it('is refused without an Origin and with a foreign one, which costs neither the code nor the attempt', async () => {
    const browser = host.browser()
    const { body } = await start(browser)
    const code = await codeOf(body.authorizationUrl)
    const before = [exchanges(), await connections()]
    const send = (origin: string) =>
      browser.post('/integrations/notion/callback', { code, state: body.state }, { ...JSON_ONLY, origin })
    for (const origin of [
      'https://evil.example',
      'null',
      '',
      `${BASE}.evil.example`,
      `${BASE}/`,
      'http://127.0.0.1:3001',
    ]) {
      const refused = await send(origin)
      expect([origin, refused.status, refused.body.code]).toEqual([origin, 403, 'REQUEST_FOREIGN_ORIGIN'])
      expect(refused.headers).not.toHaveProperty('access-control-allow-origin')
    }
    expect([exchanges(), await connections()]).toEqual(before)
    expect((await send('https://admin.example')).status).toBe(200)
  })

  it('needs its own browser: the answer of another one is refused', async () => {
    const { body } = await start(host.browser())
    const code = await codeOf(body.authorizationUrl)
    const other = await host.browser().post('/integrations/notion/callback', { code, state: body.state }, JSON_ONLY)
    expect([other.status, other.body.code]).toEqual([403, 'AUTH_BROWSER_MISMATCH'])
  })

  it('reads a problem where something failed, also when nobody is signed in', async () => {
    const browser = host.browser()
    const { body } = await start(browser)
    browser.signIn(undefined)
    const nobody = await browser.post('/integrations/notion/callback', { code: 'c', state: body.state }, JSON_ONLY)
    expect([nobody.status, nobody.body.code]).toEqual([401, 'AUTH_REQUIRED'])
    browser.signIn(ada)
    const wrong = await browser.post('/integrations/notion/callback', { code: 'c', state: body.state }, JSON_ONLY)
    expect([wrong.status, wrong.body.code]).toEqual([400, 'AUTH_CODE_REJECTED'])
    expect(wrong.headers['content-type']).toContain('application/problem+json')
    const denied = await start(browser)
    const fields = { error: 'access_denied', error_description: 'Ada said no', state: denied.body.state }
    const no = await browser.post('/integrations/notion/callback', fields, JSON_ONLY)
    expect(no.body).toMatchObject({ code: 'AUTH_DENIED' })
    expect(no.text).not.toContain('Ada said no')
  })

  it('of another origin gets no preflight answered: there is no CORS', async () => {
    const preflight = await supertest(host.app).options('/integrations/notion/callback').set({
      origin: 'https://admin.example',
      'access-control-request-method': 'POST',
    })
    // The host's own answer.
    expect(preflight.status).toBe(418)
    expect(preflight.headers).not.toHaveProperty('access-control-allow-origin')
  })
})

describe('a link token', () => {
  const post = (browser: ReturnType<Host['browser']>, path: string, body: object, headers = {}) =>
    browser.post(`/integrations/plaid/${path}`, body, { ...JSON_ONLY, ...headers })
  /** What the provider's own dialog would hand to the page. */
  const publicTokenOf = async ({ linkToken, hostedLinkUrl }: { linkToken: string; hostedLinkUrl: string }) => {
    await host.lab.consent(hostedLinkUrl)
    const confirm = host.lab.origins['https://sandbox.plaid.com'] ?? host.lab.origins['https://*.plaid.com']
    const { clientId, clientSecret } = host.lab.credentials.plaid as { clientId: string; clientSecret: string }
    const answer = await fetch(`${typeof confirm === 'string' ? confirm : confirm?.server}/link/token/get`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'plaid-version': '2020-09-14',
        'plaid-client-id': clientId,
        'plaid-secret': clientSecret,
      },
      body: JSON.stringify({ link_token: linkToken }),
    })
    return /"public_token":"([^"]+)"/.exec(await answer.text())?.[1] as string
  }

  it('is made for the page, which brings back what the dialog gave it', async () => {
    const browser = host.browser()
    const started = await post(browser, 'connect', {})
    expect(started.status).toBe(200)
    expect(Object.keys(started.body).sort()).toEqual(['expiresAt', 'hostedLinkUrl', 'linkToken', 'state'])
    expect(started.headers['set-cookie']?.[0]).toMatch(/^atom-[0-9a-f]{12}=/)
    const publicToken = await publicTokenOf(started.body)
    expect(publicToken).toMatch(/^lab-plaid-public-/)
    const done = await post(browser, 'callback', { publicToken, state: started.body.state })
    expect(done.body).toEqual({ connection: expect.objectContaining({ provider: 'plaid', status: 'active' }) })
    expect(done.text).not.toContain(publicToken)
  })

  it('takes nothing that another link token brought', async () => {
    const mallory = host.browser(grace)
    const foreign = await publicTokenOf((await post(mallory, 'connect', {})).body)
    const browser = host.browser()
    const { body } = await post(browser, 'connect', {})
    await publicTokenOf(body)
    const before = await connections()
    const swapped = await post(browser, 'callback', { publicToken: foreign, state: body.state })
    expect([swapped.status, swapped.body.code]).toEqual([400, 'AUTH_CODE_REJECTED'])
    expect(await connections()).toEqual(before)
  })

  it('is neither made nor used for a page of another origin', async () => {
    const browser = host.browser()
    const before = host.lab.requests.length
    for (const origin of ['https://evil.example', '']) {
      const refused = await post(browser, 'connect', {}, { origin })
      expect([refused.status, refused.body.code]).toEqual([403, 'REQUEST_FOREIGN_ORIGIN'])
    }
    expect(host.lab.requests.length).toBe(before)
    const { body } = await post(browser, 'connect', {})
    const refused = await post(browser, 'callback', { publicToken: 'x', state: body.state }, { origin: 'null' })
    expect([refused.status, refused.body.code]).toEqual([403, 'REQUEST_FOREIGN_ORIGIN'])
  })
})

describe('returnTo', () => {
  it('survives the confirmed start, and a key', async () => {
    const browser = host.browser()
    const page = await browser.get('/integrations/slack/connect?returnTo=/settings%3Ftab%3D2')
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
    expect(page.text).toContain('name="returnTo" value="/settings?tab=2"')
    const form = { csrf, mode: 'redirect', returnTo: '/settings?tab=2' }
    const started = await browser.post('/integrations/slack/connect', new URLSearchParams(form).toString())
    const done = await browser.get(await browser.consent(started.headers.location as string))
    expect([done.status, done.headers.location]).toEqual([303, '/settings?tab=2'])
    const key = { ...form, 'params.apiKey': host.lab.apiKey('stripe') }
    const connected = await browser.post('/integrations/stripe/connect', new URLSearchParams(key).toString())
    expect([connected.status, connected.headers.location]).toEqual([303, '/settings?tab=2'])
  })

  it('in any alphabet, and with an escaped percent sign, is where the browser ends', async () => {
    for (const [returnTo, location] of [
      ['/設定?größe=1', '/%E8%A8%AD%E5%AE%9A?gr%C3%B6%C3%9Fe=1'],
      ['/a path', '/a%20path'],
      ['/search?q=50%25', '/search?q=50%25'],
      ['/already%20encoded#part', '/already%20encoded#part'],
    ] as const) {
      const browser = host.browser()
      const done = await browser.get(await browser.consent(await browser.start('slack', { returnTo })))
      expect([returnTo, done.status, done.headers.location]).toEqual([returnTo, 303, location])
    }
  })

  it('of another app is refused in a body as in an address', async () => {
    for (const returnTo of [
      'https://evil.example',
      '//evil.example',
      '/\\evil.example',
      '/%255C/evil',
      '/%252F/..//evil',
    ]) {
      const answer = await host.browser().post('/integrations/slack/connect', { returnTo }, JSON_ONLY)
      expect([returnTo, answer.status, Object.keys(answer.body.fields ?? {})]).toEqual([returnTo, 400, ['returnTo']])
    }
  })
})

/** A browser on https: the proxy before the app ends TLS, so what the app says in its cookies is looked at and kept by hand. */
class Tab {
  readonly cookies = new Map<string, string>()
  /** Every `Set-Cookie` that came. */
  readonly set: string[] = []
  constructor(
    private readonly app: Express,
    private readonly more: Record<string, string> = {},
    private readonly user: User = ada,
  ) {}

  async send(method: 'get' | 'post', path: string, headers: Record<string, string> = {}, body?: string | object) {
    const request = supertest(this.app)
      [method](path)
      .set({ accept: 'text/html', 'x-user': JSON.stringify(this.user), ...this.more, ...headers })
    if (this.cookies.size > 0) request.set('cookie', [...this.cookies].map((pair) => pair.join('=')).join('; '))
    const response = await (body === undefined ? request : request.send(body))
    for (const line of (response.headers['set-cookie'] as unknown as string[] | undefined) ?? []) {
      this.set.push(line)
      const [name = '', value = ''] = (line.split(';')[0] as string).split('=')
      if (line.includes('Max-Age=0')) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return response
  }

  start(path: string) {
    return this.send('get', path, { 'sec-fetch-site': 'same-origin' })
  }
}

describe('on https', () => {
  let secure: Host
  beforeAll(async () => {
    secure = await startHost({ baseUrl: 'https://x.example' }, undefined, ['slack', 'notion'])
  })
  afterAll(() => secure?.close())

  it('the cookie of an attempt is __Host-, Secure, for the whole host, HttpOnly and Lax, and it counts', async () => {
    const tab = new Tab(secure.app)
    const started = await tab.start('/integrations/slack/connect')
    expect(tab.set).toHaveLength(1)
    const [pair, ...flags] = (tab.set[0] as string).split('; ')
    expect(pair).toMatch(/^__Host-atom-[0-9a-f]{12}=[\w-]{32,}$/)
    expect(flags.sort()).toEqual(['HttpOnly', 'Max-Age=3600', 'Path=/', 'SameSite=Lax', 'Secure'])
    const location = new URL(started.headers.location as string)
    expect(location.searchParams.get('redirect_uri')).toBe('https://x.example/integrations/slack/callback')
    const callback = new URL(String(await secure.lab.consent(location.href)))
    expect(callback.origin).toBe('https://x.example')
    const bare = [...tab.cookies].map(([name, value]) => `${name.replace('__Host-', '')}=${value}`).join('; ')
    const path = callback.pathname + callback.search
    // A cookie without the prefix may have been set by a neighbour under the same domain.
    const planted = await new Tab(secure.app).send('get', path, { ...JSON_ONLY, cookie: bare })
    expect([planted.status, planted.body.code]).toEqual([403, 'AUTH_BROWSER_MISMATCH'])
    expect((await tab.send('get', path)).status).toBe(303)
  })

  it('on plain http it has neither prefix nor Secure, for browsers would drop it', async () => {
    const tab = new Tab(host.app)
    await tab.start('/integrations/slack/connect')
    expect(tab.set[0]).toMatch(/^atom-[0-9a-f]{12}=[\w-]{32,}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=3600$/)
  })

  it('many attempts leave a bounded number of cookies, and the newest still work', async () => {
    const tab = new Tab(secure.app)
    let last = ''
    for (let attempt = 0; attempt < 15; attempt++)
      last = (await tab.start('/integrations/notion/connect')).headers.location as string
    expect(tab.cookies.size).toBe(12)
    for (const line of tab.set) expect(line).toMatch(/^__Host-.*; Path=\/; .*; Secure$/)
    const callback = new URL(String(await secure.lab.consent(last)))
    expect((await tab.send('get', callback.pathname + callback.search)).status).toBe(303)
  })
})

describe.each([
  ['the app at the root of its process', (app: Express) => app],
  ['the app mounted under that path', (app: Express) => express().use('/app', app)],
])('a baseUrl with a path, %s', (_what, mount) => {
  let nested: Host
  let app: Express
  beforeAll(async () => {
    nested = await startHost({ baseUrl: 'https://x.example/app' }, undefined, ['slack', 'stripe'])
    app = mount(nested.app)
  })
  afterAll(() => nested?.close())

  it('is in routes, redirect URI and links, and cookies hold for the host', async () => {
    const tab = new Tab(app)
    const started = await tab.start('/app/integrations/slack/connect')
    expect(started.status).toBe(302)
    expect(tab.set[0]).toMatch(/^__Host-atom-\w+=[\w-]+; Path=\/; /)
    const redirect = new URL(started.headers.location as string).searchParams.get('redirect_uri')
    expect(redirect).toBe('https://x.example/app/integrations/slack/callback')
    const callback = new URL(String(await nested.lab.consent(started.headers.location as string)))
    const done = await tab.send('get', callback.pathname + callback.search)
    expect([done.status, done.headers.location]).toEqual([303, '/app/integrations?connected=slack'])
    const index = await tab.send('get', '/app/integrations')
    const links = [...index.text.matchAll(/(?:href|action)="([^"]+)"/g)].map(([, link]) => link)
    expect(links.length).toBeGreaterThan(2)
    expect(links.shift()).toBe('/app')
    for (const link of links) expect(link).toMatch(/^\/app\/integrations(\/|\?|$)/)
    const page = await tab.send('get', '/app/integrations/stripe/connect')
    expect(page.text).toContain('action="/app/integrations/stripe/connect"')
  })

  it('is not in origins: messages go to, and writes come from, the origin alone', async () => {
    const tab = new Tab(app)
    const started = await tab.start('/app/integrations/slack/connect?mode=popup')
    const callback = new URL(String(await nested.lab.consent(started.headers.location as string)))
    const done = await tab.send('get', callback.pathname + callback.search)
    expect(done.headers.location).toMatch(/^\/app\/integrations\/connected\?/)
    expect(inPopup(await tab.send('get', done.headers.location as string)).posted).toMatchObject([
      [{ provider: 'slack' }, 'https://x.example'],
    ])
    const write = (origin: string) =>
      tab.send('post', '/app/integrations/slack/connect', { ...JSON_ONLY, origin }, { returnTo: '/app/settings' })
    expect((await write('https://x.example/app')).status).toBe(403)
    expect((await write('https://x.example')).status).toBe(200)
  })

  it('leaves what lies outside to the host', async () => {
    const elsewhere = await new Tab(nested.app).send('get', '/integrations')
    expect([elsewhere.status, elsewhere.text]).toEqual([418, 'the host'])
  })
})

describe('a hostile Host header', () => {
  const HOSTILE = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'gopher',
    'x-forwarded-prefix': '/evil.example',
    forwarded: 'host=evil.example;proto=gopher',
  }
  let trusting: Host
  beforeAll(async () => {
    trusting = await startHost({ loginUrl: '/login' }, (app) => void app.set('trust proxy', true))
  })
  afterAll(() => trusting?.close())

  it('is in no redirect, link, cookie or message', async () => {
    const seen: supertest.Response[] = []
    const tab = new Tab(trusting.app, HOSTILE)
    const get = async (path: string, headers: Record<string, string> = {}) => {
      const response = await tab.send('get', path, headers)
      seen.push(response)
      return response
    }
    const own = { 'sec-fetch-site': 'same-origin' }
    const started = await get('/integrations/slack/connect', own)
    expect(new URL(started.headers.location as string).searchParams.get('redirect_uri')).toBe(
      `${BASE}/integrations/slack/callback`,
    )
    const callback = new URL(String(await trusting.lab.consent(started.headers.location as string)))
    const path = callback.pathname + callback.search
    // Nobody is signed in: the bounce, then 401.
    const bounced = await get(path, { 'x-user': 'false' })
    expect(bounced.status).toBe(200)
    expect(bounced.text).toContain(`url=${BASE}/integrations/slack/callback`)
    expect((await get(`${path}&atom_bounced=1`, { 'x-user': 'false' })).status).toBe(401)
    expect((await get(path)).headers.location).toBe('/integrations?connected=slack')
    expect((await get(path)).status).toBe(400)
    await get('/integrations')
    await get('/integrations/shopify/connect')
    await get('/integrations/connected?provider=slack&connection=x')
    await get('/integrations/nobody/connect')
    const json = await get('/integrations/notion/connect', { ...JSON_ONLY, ...own })
    expect(new URL(json.body.authorizationUrl).searchParams.get('redirect_uri')).toBe(
      `${BASE}/integrations/notion/callback`,
    )
    expect(seen.map(({ status }) => status)).toEqual([302, 200, 401, 303, 400, 200, 200, 200, 404, 200])
    for (const { headers, text } of seen) expect(JSON.stringify(headers) + text).not.toMatch(/evil\.example|gopher/)
    for (const line of tab.set) expect(line).not.toMatch(/domain/i)
  })

  it('is no origin to write from', async () => {
    const tab = new Tab(trusting.app, HOSTILE)
    for (const origin of ['http://evil.example', 'gopher://evil.example']) {
      const refused = await tab.send('post', '/integrations/notion/connect', { ...OWN, origin }, {})
      expect([refused.status, refused.body.code]).toEqual([403, 'REQUEST_FOREIGN_ORIGIN'])
    }
    expect((await tab.send('post', '/integrations/notion/connect', OWN, {})).status).toBe(200)
  })
})
