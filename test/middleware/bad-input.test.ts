import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express, { type Express } from 'express'
import Database from 'libsql'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ada, ben, grace, type Host, listen, startHost } from '../support/host-app.js'

let host: Host
beforeAll(async () => {
  host = await startHost()
})
afterAll(() => host.close())

const connections = async () => (await host.integrations.admin.connections.list({ limit: 200 })).items
const exchanges = () => host.lab.requests.filter(({ endpoint }) => endpoint === 'token').length
const kit = () => host.lab.requests.length

describe('what a provider answers instead of JSON', () => {
  const faults = ['html-200', 'html-403', 'html-503', 'invalid-json', 'empty', 'cut'] as const
  for (const endpoint of ['token', 'identity'] as const) {
    it.each(faults)(`%s at ${endpoint} is a page that people understand, and nothing is saved`, async (kind) => {
      const before = await connections()
      host.lab.fault({ provider: 'slack', endpoint, kind, times: 5 })
      const page = await host.browser().connect('slack', { accept: 'text/html' })
      host.lab.clearFaults()
      expect([502, 503]).toContain(page.status)
      expect(page.text).toMatch(/<h1>[^<]*Slack/)
      expect(page.text).toMatch(/r-[2-9a-z]{8}/)
      expect(page.text).not.toMatch(/undefined|client_secret|invalid json/i)
      expect(page.headers['content-security-policy']).toContain("default-src 'none'")
      expect(await connections()).toEqual(before)
    })
  }

  it('is a problem for programs, with Retry-After where waiting helps', async () => {
    host.lab.fault({ provider: 'notion', endpoint: 'token', kind: 'rate-limit', times: 1 })
    const problem = await host.browser().connect('notion')
    expect(problem.status).toBe(503)
    expect(problem.headers['retry-after']).toMatch(/^\d+$/)
    expect(problem.headers['content-type']).toContain('application/problem+json')
    expect(problem.body).toMatchObject({
      code: 'PROVIDER_RATE_LIMITED',
      status: 503,
      reference: expect.stringMatching(/^r-/),
    })
  })
})

describe('an answer that is in order, and 5 MB', () => {
  it.each([
    ['notion', 'https://api.notion.com', '/v1/oauth/token'],
    ['trello', 'https://trello.com', '/1/OAuthGetRequestToken'],
    ['trello', 'https://trello.com', '/1/OAuthGetAccessToken'],
    ['plaid', 'https://sandbox.plaid.com', '/link/token/create'],
    ['plaid', 'https://sandbox.plaid.com', '/link/token/get'],
    ['plaid', 'https://sandbox.plaid.com', '/item/public_token/exchange'],
  ])('of %s at %s%s is too large, and nothing is saved', async (provider, origin, path) => {
    let proxy: Awaited<ReturnType<typeof listen>> | undefined
    const padded = await startHost(
      async ({ origins }) => {
        const target = String(origins[origin])
        proxy = await listen(padding(target, path))
        return { origins: { ...origins, [origin]: { browser: target, server: proxy.url } } }
      },
      undefined,
      [provider],
    )
    try {
      const browser = padded.browser()
      const json = { accept: 'application/json', 'sec-fetch-site': 'same-origin' }
      const start = await browser.get(`/integrations/${provider}/connect`, json)
      const answer =
        start.status === 200
          ? await browser.get(await browser.consent(start.body.authorizationUrl ?? start.body.hostedLinkUrl), json)
          : start
      expect([answer.status, answer.body.code]).toEqual([502, 'PROVIDER_TOO_LARGE'])
      expect((await padded.integrations.admin.connections.list({ limit: 1 })).items).toEqual([])
    } finally {
      await padded.close()
      proxy?.server.close()
    }
  })
})

/** A provider between us and the lab that has a lot to say at `path`: everything else is the lab's answer. */
function padding(target: string, path: string): Express {
  return express().use(express.raw({ type: () => true }), async (req, res) => {
    const { host: _, 'content-length': __, ...headers } = req.headers
    const answer = await fetch(target + req.url, {
      method: req.method,
      headers: headers as Record<string, string>,
      ...(Buffer.isBuffer(req.body) && { body: new Uint8Array(req.body) }),
    })
    const text = await answer.text()
    const more = 'x'.repeat(req.path === path && answer.ok ? 5_000_000 : 0)
    const body = text.startsWith('{') ? JSON.stringify({ ...JSON.parse(text), more }) : `${text}&more=${more}`
    res
      .status(answer.status)
      .type(answer.headers.get('content-type') ?? 'text/plain')
      .send(body)
  })
}

describe('the state', () => {
  it('missing, unknown, doubled, nested or huge is refused with its own reason, and nothing is exchanged', async () => {
    const before = exchanges()
    const get = (query: string) =>
      host.browser().get(`/integrations/slack/callback${query}`, { accept: 'application/json' })
    expect((await get('?code=c')).body.code).toBe('AUTH_STATE_MISSING')
    expect((await get('?code=c&state=nobody')).body.code).toBe('AUTH_STATE_UNKNOWN')
    expect((await get('?code=c&state[$ne]=x')).status).toBe(400)
    expect((await get('?code=c&state=a&state=b')).status).toBe(400)
    expect((await get(`?code=c&state=${'x'.repeat(12_000)}`)).status).toBe(400)
    expect(exchanges()).toBe(before)
  })

  it('counts once', async () => {
    const browser = host.browser()
    const callback = await browser.consent(await browser.start('slack'))
    expect((await browser.get(callback)).status).toBe(303)
    const before = exchanges()
    const again = await browser.get(callback, { accept: 'application/json' })
    expect([again.status, again.body.code]).toEqual([400, 'AUTH_STATE_USED'])
    expect(exchanges()).toBe(before)
  })

  it('is told apart from another browser, user, tenant and provider', async () => {
    const refused = async (path: string, user = ada, sameBrowser = true) => {
      const browser = host.browser()
      const callback = await browser.consent(await browser.start('slack'))
      const before = exchanges()
      if (sameBrowser) browser.signIn(user)
      const other = sameBrowser ? browser : host.browser(user)
      const { status, body } = await other.get(callback.replace('/slack/', `/${path}/`), { accept: 'application/json' })
      expect(exchanges()).toBe(before)
      return [status, body.code]
    }
    expect(await refused('slack', ada, false)).toEqual([403, 'AUTH_BROWSER_MISMATCH'])
    expect(await refused('slack', ben)).toEqual([403, 'AUTH_USER_MISMATCH'])
    expect(await refused('slack', { ...grace, userId: 'ada' })).toEqual([403, 'AUTH_TENANT_MISMATCH'])
    expect(await refused('notion')).toEqual([400, 'AUTH_PROVIDER_MISMATCH'])
  })

  it('of many tabs works in any order', async () => {
    const browser = host.browser()
    const starts = await Promise.all(['slack', 'notion', 'hubspot'].map((provider) => browser.start(provider)))
    const callbacks = await Promise.all(starts.map((location) => browser.consent(location)))
    for (const callback of callbacks.reverse()) expect((await browser.get(callback)).status).toBe(303)
  })
})

describe('a user who says no', () => {
  it('gets a calm page with status 200, and nothing is logged', async () => {
    const before = host.log.length
    const browser = host.browser()
    const page = await browser.get(await browser.consent(await browser.start('slack'), { deny: true }))
    expect(page.status).toBe(200)
    expect(page.text).toContain('You did not approve the connection to Slack')
    expect(page.text).not.toContain('Reference')
    expect(host.log.slice(before)).toEqual([])
  })
})

describe('returnTo', () => {
  it.each([
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    'javascript:alert(1)',
    '/%2F/evil.example',
    '/%5Cevil',
    '/a\nb',
    '%2F%2Fevil.example',
    'evil',
  ])('%j is refused at the start', async (returnTo) => {
    const query = new URLSearchParams({ returnTo })
    const response = await host
      .browser()
      .get(`/integrations/slack/connect?${query}`, { 'sec-fetch-site': 'same-origin', accept: 'application/json' })
    expect([response.status, Object.keys(response.body.fields ?? {})]).toEqual([400, ['returnTo']])
  })

  it('of this app is where the browser ends', async () => {
    const browser = host.browser()
    const callback = await browser.consent(await browser.start('slack', { returnTo: '/settings?tab=2' }))
    const response = await browser.get(callback)
    expect([response.status, response.headers.location]).toEqual([303, '/settings?tab=2'])
    expect(response.headers['cache-control']).toBe('no-store')
    expect(response.headers['referrer-policy']).toBe('no-referrer')
  })
})

describe('a shop outside its pattern', () => {
  it.each([
    'evil.example',
    '127.0.0.1',
    'shop.myshopify.com:8080',
    'my-shop.myshopify.com.evil.example',
    'a.b.myshopify.com',
    'slack.com',
    'x@evil.myshopify.com',
  ])('%s is refused by name, and nothing leaves', async (shop) => {
    const before = kit()
    const query = new URLSearchParams({ shop })
    const response = await host
      .browser()
      .get(`/integrations/shopify/connect?${query}`, { 'sec-fetch-site': 'same-origin', accept: 'application/json' })
    expect([response.status, Object.keys(response.body.fields ?? {})]).toEqual([400, ['shop']])
    expect(kit()).toBe(before)
  })

  it('keeps what was typed on the form, and a pasted address is understood', async () => {
    const browser = host.browser()
    const start = (shop: string) =>
      browser.get(`/integrations/shopify/connect?${new URLSearchParams({ shop })}`, { 'sec-fetch-site': 'same-origin' })
    const page = await start('https://evil.example/"><script>')
    expect(page.status).toBe(400)
    expect(page.text).toContain('aria-invalid="true"')
    expect(page.text).not.toContain('"><script>')
    const good = await start('https://My-Shop.myshopify.com/admin')
    expect(good.status).toBe(302)
    expect(good.headers.location).toContain('/admin/oauth/authorize')
  })
})

describe('providers that are not there', () => {
  it('are 404, or 409 with the names of what is missing for developers', async () => {
    const bare = await startHost({ providers: ['slack'] })
    try {
      const get = (path: string) =>
        bare.browser().get(path, { accept: 'application/json', 'sec-fetch-site': 'same-origin' })
      expect((await get('/integrations/unknown/connect')).status).toBe(404)
      const response = await get('/integrations/slack/connect')
      expect([response.status, response.body.code]).toEqual([409, 'PROVIDER_NOT_CONFIGURED'])
      expect(JSON.stringify(response.body)).toContain('SLACK_CLIENT_ID')
    } finally {
      await bare.close()
    }
  })
})

describe('an API key', () => {
  const post = (apiKey: string, headers?: Record<string, string>) =>
    host
      .browser()
      .post('/integrations/stripe/connect', { params: { apiKey } }, { accept: 'application/json', ...headers })

  it('that is wrong or weak is 422 with what is missing, and not saved', async () => {
    const before = await connections()
    const wrong = await post('sk_test_000000000000000000')
    expect([wrong.status, wrong.body.code]).toEqual([422, 'CREDENTIALS_INVALID'])
    const weak = await post(host.lab.apiKey('stripe', { weak: true }))
    expect([weak.status, weak.body.code]).toEqual([422, 'CREDENTIALS_INSUFFICIENT'])
    expect(JSON.stringify(weak.body)).not.toContain(host.lab.apiKey('stripe', { weak: true }))
    expect((await post('pk_test_publishable000000')).body.fields).toHaveProperty('apiKey')
    expect(await connections()).toEqual(before)
  })

  it('that works is saved, and never shown again', async () => {
    const response = await post(host.lab.apiKey('stripe'))
    expect(response.status).toBe(201)
    expect(response.body.connection).toMatchObject({ provider: 'stripe', status: 'active', tenantId: 'org_acme' })
    expect(response.text).not.toContain(host.lab.apiKey('stripe'))
  })

  it('is not on the page that comes back for another mistake, nor on one with a key in its address', async () => {
    const browser = host.browser()
    const key = host.lab.apiKey('stripe')
    const page = await browser.get(`/integrations/stripe/connect?apiKey=${key}`)
    expect(page.text).toContain('name="params.apiKey" type="password" value=""')
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
    const form = new URLSearchParams({ csrf, 'params.apiKey': key, 'params.accountId': 'not an account' })
    const again = await browser.post('/integrations/stripe/connect', form.toString())
    expect(again.status).toBe(400)
    expect(again.text).toContain('name="params.apiKey" type="password" value=""')
    expect(page.text + again.text).not.toContain(key)
  })

  it('is not taken from a page of another origin, nor without evidence', async () => {
    const key = host.lab.apiKey('stripe')
    expect((await post(key, { origin: 'https://evil.example' })).body.code).toBe('REQUEST_FOREIGN_ORIGIN')
    const form = await host
      .browser()
      .post('/integrations/stripe/connect', `params.apiKey=${key}`, { accept: 'application/json' })
    expect(form.body.code).toBe('REQUEST_FOREIGN_ORIGIN')
  })
})

describe('a start from elsewhere', () => {
  it('shows a page with one button, and nothing leaves before it is pressed', async () => {
    const before = kit()
    const browser = host.browser()
    const page = await browser.get('/integrations/shopify/connect?shop=my-shop.myshopify.com&hmac=x&timestamp=1', {
      'sec-fetch-site': 'cross-site',
    })
    expect(page.status).toBe(200)
    expect(page.text).toContain('Connect Shopify')
    expect(page.text).toContain('my-shop.myshopify.com')
    expect(page.headers['set-cookie']).toBeUndefined()
    expect(kit()).toBe(before)
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
    const form = { csrf, 'params.shop': 'my-shop.myshopify.com' }
    const send = (fields: Record<string, string>) =>
      browser.post('/integrations/shopify/connect', new URLSearchParams(fields).toString())
    expect((await send({ ...form, csrf: `${csrf}x` })).status).toBe(403)
    expect((await send(form)).status).toBe(302)
  })

  it('gets no address as JSON from another site', async () => {
    const response = await host
      .browser()
      .get('/integrations/slack/connect', { 'sec-fetch-site': 'cross-site', accept: 'application/json' })
    expect([response.status, response.body.code]).toEqual([403, 'REQUEST_FOREIGN_ORIGIN'])
  })
})

describe('identify', () => {
  it.each([
    ['rejects', () => Promise.reject(new Error('no session store'))],
    ['answers nobody', () => undefined],
    ['answers without ids', () => ({ tenantId: '', userId: 7 }) as never],
  ])('that %s is 401, with a way to sign in', async (_what, identify) => {
    const strict = await startHost({ identify, loginUrl: '/login' })
    try {
      const page = await strict.browser().get('/integrations')
      expect(page.status).toBe(401)
      expect(page.text).toContain('href="/login"')
      expect(
        (await strict.browser().get('/integrations/slack/connect', { accept: 'application/json' })).body.code,
      ).toBe('AUTH_REQUIRED')
    } finally {
      await strict.close()
    }
  })

  it('gets a second chance at the callback, where a strict cookie was not sent', async () => {
    const browser = host.browser()
    const callback = await browser.consent(await browser.start('slack'))
    browser.signIn(undefined)
    const bounced = await browser.get(callback)
    expect(bounced.status).toBe(200)
    const again = /url=http:\/\/127\.0\.0\.1:3000([^"]+)"/.exec(bounced.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    expect((await browser.get(again)).status).toBe(401)
    browser.signIn(ada)
    expect((await browser.get(again)).status).toBe(303)
  })
})

describe('what belongs to another tenant or user', () => {
  it('is not found, or not allowed', async () => {
    const { body } = await host.browser().connect('hubspot')
    const { id } = body.connection
    const path = `/integrations/connections/${id}`
    const json = { accept: 'application/json' }
    expect((await host.browser(grace).get(path, json)).body.code).toBe('CONNECTION_NOT_FOUND')
    expect((await host.browser(grace).delete(path, json)).status).toBe(404)
    expect(await host.integrations.forTenant('org_globex').connections.get(id)).toBeUndefined()
    await expect(host.integrations.forTenant('org_globex').accessToken(id)).rejects.toMatchObject({
      code: 'CONNECTION_NOT_FOUND',
    })
    expect((await host.browser(ben).get(path, json)).status).toBe(200)
    expect((await host.browser(ben).delete(path, json)).body.code).toBe('AUTH_FORBIDDEN')
    expect((await host.browser().delete(path, { ...json, origin: 'https://evil.example' })).status).toBe(403)
    expect((await host.browser().delete(path, json)).status).toBe(204)
    await expect(host.integrations.forTenant('org_acme').accessToken(id)).rejects.toMatchObject({
      code: 'CONNECTION_DISCONNECTED',
    })
  })

  it('cannot be connected twice where the provider keeps one grant', async () => {
    expect((await host.browser().connect('shopify')).status).toBe(200)
    const second = await host.browser(grace).connect('shopify')
    expect([second.status, second.body.code]).toEqual([409, 'AUTH_ACCOUNT_TAKEN'])
  })
})

describe('a reconnect', () => {
  it('with the same account emits reconnected and keeps the id; with another it is refused with both names', async () => {
    const events: string[] = []
    host.integrations.on('reconnected', ({ connection }) => void events.push(connection.id), { group: 'reconnect' })
    const first = (await host.browser().connect('notion')).body.connection
    const repair = async (account: 'a' | 'b') => {
      const browser = host.browser()
      const location = await browser.start('notion', { reconnect: first.id })
      return browser.get(await browser.consent(location, { account }), { accept: 'text/html' })
    }
    expect((await repair('a')).status).toBe(303)
    const page = await repair('b')
    expect(page.status).toBe(409)
    expect(page.text).toContain(host.lab.account('notion', 'a').name)
    expect(page.text).toContain(host.lab.account('notion', 'b').name)
    await expect.poll(() => events.includes(first.id)).toBe(true)
  })
})

describe('a reconnect where the host allows another account', () => {
  it('connects that one beside the one to repair, which stays as it is', async () => {
    const lenient = await startHost({ allowOtherAccountOnReconnect: true })
    const first = (await lenient.browser().connect('notion')).body.connection
    const browser = lenient.browser()
    const location = await browser.start('notion', { reconnect: first.id })
    const done = await browser.get(await browser.consent(location, { account: 'b' }), { accept: 'application/json' })
    expect(done.body.connection).toMatchObject({ account: { id: lenient.lab.account('notion', 'b').id } })
    const { items } = await lenient.integrations.admin.connections.list({ limit: 10 })
    expect(items.map(({ id }) => id).sort()).toEqual([first.id, done.body.connection.id].sort())
    expect(items.find(({ id }) => id === first.id)).toEqual(first)
    await lenient.close()
  })
})

describe('the store going down between exchange and saving', () => {
  it.each([
    ['slack', 'once the store can say that nobody else holds it'],
    ['gitlab', 'at once, as nobody else can hold it'],
  ])('is 503, the grant of %s is given back %s, and nothing half-written remains', async (provider) => {
    const folder = mkdtempSync(join(tmpdir(), 'atom-down-'))
    const path = join(folder, 'atom.sqlite')
    const broken = await startHost({ store: { kind: 'sqlite', path } }, undefined, [provider])
    const database = new Database(path)
    const revocations = () => broken.lab.requests.filter(({ endpoint }) => endpoint === 'revoke')
    try {
      const browser = broken.browser()
      const callback = await browser.consent(await browser.start(provider))
      // The attempt can still be claimed; nothing can be asked or told about connections.
      database.exec('ALTER TABLE connections RENAME TO away')
      const { status, body } = await browser.get(callback, { accept: 'application/json' })
      expect([status, body.code]).toEqual([503, 'STORE_UNAVAILABLE'])
      if (provider === 'slack') expect(revocations()).toEqual([])
      else expect(revocations()).toHaveLength(1)
      database.exec('ALTER TABLE away RENAME TO connections')
      await expect.poll(() => revocations().length).toBe(1)
      expect((await broken.integrations.admin.connections.list({ limit: 1 })).items).toEqual([])
      expect((await browser.connect(provider)).status).toBe(200)
    } finally {
      database.close()
      await broken.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('requests that are not ours', () => {
  it('pass, also those that begin alike', async () => {
    for (const path of [
      '/',
      '/other',
      '/integrations-elsewhere',
      '/integrationsx',
      '/integrations/nothing/here/at/all',
    ])
      expect((await host.browser().get(path)).status).toBe(418)
  })
})

describe('secrets', () => {
  it('are in no log line', () => {
    const secrets = Object.values(host.lab.credentials).flatMap(({ clientSecret }) =>
      clientSecret ? [clientSecret] : [],
    )
    const text = host.log.join('\n')
    for (const secret of [...secrets, host.lab.apiKey('stripe')]) expect(text).not.toContain(secret)
  })
})
