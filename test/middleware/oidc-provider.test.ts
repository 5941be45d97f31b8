import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import supertest from 'supertest'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type AtomIntegrations, atomIntegrations } from '../../src/atom-integrations.js'
import { defineProvider } from '../../src/strategies/define-provider.js'

const AUTH = 'https://auth.acme.example'
const API = 'https://api.acme.example'
const BASE = 'http://127.0.0.1:3000'
const DAY = 86_400_000
const LIFE_S = 3600
// It publishes no types.
const { default: Provider } = await import('oidc-provider' as string)

/** What a host writes for a provider that is in no catalogue. */
const acme = defineProvider({
  id: 'acme',
  name: 'Acme Notes',
  category: 'Documents',
  auth: {
    kind: 'oauth2',
    authorizationURL: `${AUTH}/auth`,
    tokenURL: `${AUTH}/token`,
    clientAuth: 'body',
    pkce: 'always',
    scopes: [
      { scope: 'openid', why: 'Who it is.' },
      { scope: 'offline_access', why: 'Reading later.' },
    ],
    authorizationParams: { prompt: 'consent' },
    refreshToken: 'rotating',
    tokens: {
      default: {
        accessToken: 'access_token',
        refreshToken: 'refresh_token',
        expiresIn: 'expires_in',
        scope: 'scope',
      },
    },
    issuer: { value: AUTH, required: true },
    revocation: {
      method: 'POST',
      url: `${AUTH}/token/revocation`,
      form: {
        token: '{token}',
        token_type_hint: 'refresh_token',
        client_id: '{client_id}',
        client_secret: '{client_secret}',
      },
      auth: 'none',
      token: 'refresh',
    },
  },
  identity: {
    request: { method: 'GET', url: `${AUTH}/me` },
    accountId: 'sub',
    accountName: 'sub',
  },
  api: { baseURL: API },
  resources: [
    {
      name: 'notes',
      request: { method: 'GET', url: `${API}/notes`, query: { since: '{since.iso8601}', limit: '2' } },
      pagination: { style: 'cursor', at: 'query', param: 'cursor', next: 'next' },
      items: 'notes',
      id: 'id',
      timestamp: { path: 'at', format: 'iso8601' },
      filter: 'server',
      order: 'desc',
    },
  ],
  guide: { setup: ['Register a client.'], sources: [] },
})

let op: Awaited<ReturnType<typeof startProvider>>
let api: Awaited<ReturnType<typeof startApi>>
let integrations: AtomIntegrations
let app: express.Express
const log: string[] = []

beforeEach(async () => {
  log.length = 0
  // Both sides read this clock, so that an hour is over at once.
  vi.useFakeTimers({ toFake: ['Date'], shouldAdvanceTime: true })
  op = await startProvider()
  api = await startApi(op.isAlive)
  const write = (fields: object, message: string) => void log.push(`${message} ${JSON.stringify(fields)}`)
  integrations = atomIntegrations({
    baseUrl: BASE,
    secret: 'a secret of at least thirty-two bytes',
    encryptionKeys: `k1:${Buffer.alloc(32, 7).toString('base64')}`,
    identify: () => ({ tenantId: 'org_acme', userId: 'ada' }),
    store: { kind: 'sqlite', path: ':memory:' },
    queue: { kind: 'embedded' },
    providers: { acme: { definition: acme, clientId: 'client-id', clientSecret: 'client-secret' } },
    origins: { [AUTH]: op.url, [API]: api.url },
    sync: { months: 1 },
    logger: { info: write, warn: write, error: write },
  })
  await integrations.ready()
  app = express()
  app.use(integrations)
})
afterEach(async () => {
  await integrations?.close()
  await api?.close()
  await op?.close()
  vi.useRealTimers()
})

describe('a provider of the host, at an authorization server of other authors', () => {
  it('is connected by redirect with PKCE, and the event and the backfill follow', async () => {
    const connected = new Promise<unknown>((resolve) =>
      integrations.once('connected', ({ connection }) => resolve(connection), { group: 'connected' }),
    )
    const completed = new Promise<string | undefined>((resolve) =>
      integrations.once('backfill.completed', ({ backfillId }) => resolve(backfillId), { group: 'completed' }),
    )
    const browser = supertest.agent(app)
    const done = await connect(browser, '/settings')
    expect([done.status, done.headers.location]).toEqual([303, '/settings'])

    const { items } = await integrations.forTenant('org_acme').connections.list()
    expect(items).toMatchObject([
      { provider: 'acme', status: 'active', account: { id: 'ada@acme' }, scopes: ['openid', 'offline_access'] },
    ])
    const id = items[0]?.id as string
    expect(await connected).toEqual(items[0])

    const backfill = await integrations.forTenant('org_acme').backfills.get((await completed) as string)
    expect(backfill).toMatchObject({
      connectionId: id,
      status: 'completed',
      resources: [{ resource: 'notes', pages: 3, records: 5, status: 'completed' }],
    })
    const records = await integrations.forTenant('org_acme').records.list({ connectionId: id })
    expect(records.items.map((record) => record.id).sort()).toEqual(['note-1', 'note-2', 'note-3', 'note-4', 'note-5'])
    expect(op.grants).toEqual(['authorization_code'])
  })

  it('is not connected with the code alone: the server wants the verifier that only the transaction has', async () => {
    const browser = supertest.agent(app)
    const start = await startAt(browser)
    expect(start.searchParams.get('code_challenge_method')).toBe('S256')
    const unproved = new URL(start)
    unproved.searchParams.delete('code_challenge')
    unproved.searchParams.delete('code_challenge_method')
    const refused = new URL(await op.approve(unproved))
    expect(refused.searchParams.get('error')).toBe('invalid_request')

    // The verifier of another attempt does not fit either.
    const swapped = new URL(start)
    swapped.searchParams.set('code_challenge', 'A'.repeat(43))
    const callback = new URL(await op.approve(swapped))
    const answer = await browser.get(callback.pathname + callback.search).set('accept', 'application/json')
    expect([answer.status, answer.body.code]).toEqual([400, 'AUTH_CODE_REJECTED'])
  })

  it('is not connected where the answer names another issuer, or none', async () => {
    for (const iss of ['https://evil.example', undefined]) {
      const browser = supertest.agent(app)
      const callback = new URL(await op.approve(await startAt(browser)))
      expect(callback.searchParams.get('iss')).toBe(AUTH)
      if (iss) callback.searchParams.set('iss', iss)
      else callback.searchParams.delete('iss')
      const before = op.grants.length
      const answer = await browser.get(callback.pathname + callback.search).set('accept', 'application/json')
      expect([answer.status, answer.body.code]).toEqual([400, 'AUTH_ISSUER_MISMATCH'])
      expect(op.grants.length).toBe(before)
    }
  })

  it('is calmly told when the user aborts there', async () => {
    const browser = supertest.agent(app)
    const callback = new URL(await op.approve(await startAt(browser), { abort: true }))
    const page = await browser.get(callback.pathname + callback.search).set('accept', 'text/html')
    expect(page.status).toBe(200)
    expect(page.text).toContain('You did not approve the connection to Acme Notes')
    // The server's own sentence is not ours.
    expect(page.text).not.toContain('aborted')
  })

  it('gets new access tokens, and each refresh rotates: the one before is of no use any more', async () => {
    const id = await connected()
    const tenant = integrations.forTenant('org_acme')
    const first = await tenant.accessToken(id)
    expect(await op.isAlive(first)).toBe(true)
    expect(await tenant.accessToken(id)).toBe(first)
    const before = op.grants.length

    // The server forgets the access token: the API answers 401, and one refresh serves everybody.
    await op.forget(first)
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => tenant.fetch(id, '/notes?limit=2').then((response) => response.json())),
    )
    expect(answers).toEqual(answers.map(() => ({ notes: expect.any(Array), next: '2' })))
    const second = await tenant.accessToken(id)
    expect(op.grants.slice(before)).toEqual(['refresh_token'])

    // Hours pass, and the tokens end by themselves.
    const seen = [first, second]
    for (let hour = 0; hour < 3; hour++) {
      vi.setSystemTime(Date.now() + LIFE_S * 1000)
      expect(await op.isAlive(seen.at(-1) as string)).toBe(false)
      const tokens = new Set(await Promise.all(Array.from({ length: 20 }, () => tenant.accessToken(id))))
      expect(tokens.size).toBe(1)
      seen.push(...tokens)
      expect(await op.isAlive(seen.at(-1) as string)).toBe(true)
    }
    expect(new Set(seen).size).toBe(5)
    expect(op.grants.slice(before)).toEqual(Array(4).fill('refresh_token'))
    // All but the last were consumed: sent again, any of them would end the grant.
    expect(await op.consumed()).toEqual([true, true, true, true, false])
    expect(await tenant.connections.get(id)).toMatchObject({ status: 'active' })
  })

  it('is reconnected as the same connection, with a grant that works', async () => {
    const id = await connected()
    const reconnected = new Promise<string>((resolve) =>
      integrations.once('reconnected', ({ connection }) => resolve(connection.id), { group: 'reconnected' }),
    )
    const done = await connect(supertest.agent(app))
    expect([done.status, done.headers.location]).toEqual([303, '/integrations?connected=acme'])
    expect(await reconnected).toBe(id)
    expect((await integrations.forTenant('org_acme').connections.list()).items).toHaveLength(1)
    expect(await op.isAlive(await integrations.forTenant('org_acme').accessToken(id))).toBe(true)
  })

  it('is revoked there by a disconnect', async () => {
    const id = await connected()
    const tenant = integrations.forTenant('org_acme')
    const token = await tenant.accessToken(id)
    const disconnected = new Promise<string>((resolve) =>
      integrations.once('disconnected', ({ connection }) => resolve(connection.id), { group: 'disconnected' }),
    )
    const answer = await supertest.agent(app).delete(`/integrations/connections/${id}`).set('origin', BASE)
    expect(answer.status).toBe(204)
    expect(await disconnected).toBe(id)
    expect(op.revocations()).toBe(1)
    expect(await op.isAlive(token)).toBe(false)
    await expect(tenant.accessToken(id)).rejects.toMatchObject({ code: 'CONNECTION_DISCONNECTED' })
  })

  it('leaves no secret in the log', async () => {
    const id = await connected()
    const tenant = integrations.forTenant('org_acme')
    await op.forget(await tenant.accessToken(id))
    await tenant.fetch(id, '/notes?limit=2')
    await tenant.connections.disconnect(id)
    expect(op.grants).toEqual(['authorization_code', 'refresh_token'])
    expect(op.secrets()).toHaveLength(2 * op.grants.length)
    for (const secret of [...op.secrets(), 'client-secret']) expect(log.join('\n')).not.toContain(secret)
  })
})

/** Connects, and resolves to the connection's id. */
async function connected(): Promise<string> {
  await connect(supertest.agent(app))
  const { items } = await integrations.forTenant('org_acme').connections.list()
  return items[0]?.id as string
}

async function startAt(browser: ReturnType<typeof supertest.agent>, returnTo?: string): Promise<URL> {
  const query = returnTo === undefined ? '' : `?${new URLSearchParams({ returnTo })}`
  const start = await browser.get(`/integrations/acme/connect${query}`).set({
    accept: 'text/html',
    'sec-fetch-site': 'same-origin',
  })
  expect(start.status).toBe(302)
  return new URL(start.headers.location as string)
}

async function connect(browser: ReturnType<typeof supertest.agent>, returnTo?: string) {
  const callback = new URL(await op.approve(await startAt(browser, returnTo)))
  expect(callback.origin + callback.pathname).toBe(`${BASE}/integrations/acme/callback`)
  return browser.get(callback.pathname + callback.search).set({ accept: 'text/html', 'sec-fetch-site': 'cross-site' })
}

async function listen(handler: RequestListener) {
  const server: Server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** A server of other authors: PKCE required, refresh tokens rotate, a used one ends its whole grant. */
async function startProvider() {
  const provider = new Provider(AUTH, {
    clients: [
      {
        client_id: 'client-id',
        client_secret: 'client-secret',
        redirect_uris: [`${BASE}/integrations/acme/callback`],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    cookies: { keys: ['a key for the cookies of this test'] },
    features: { revocation: { enabled: true } },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: { AccessToken: LIFE_S, RefreshToken: 86_400, Grant: 86_400, Interaction: 600, Session: 600 },
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
  })
  const grants: string[] = []
  const secrets: string[] = []
  const refreshTokens: string[] = []
  let revocations = 0
  provider.on('grant.success', (ctx: { oidc: { params: { grant_type: string } }; body: Record<string, string> }) => {
    grants.push(ctx.oidc.params.grant_type)
    secrets.push(ctx.body.access_token as string)
    refreshTokens.push(ctx.body.refresh_token as string)
  })
  provider.on('grant.revoked', () => revocations++)
  const { url, close } = await listen(provider.callback())
  return {
    url,
    close,
    grants: grants as readonly string[],
    secrets: () => [...secrets, ...refreshTokens],
    revocations: () => revocations,
    isAlive: async (token: string): Promise<boolean> => (await provider.AccessToken.find(token))?.isValid === true,
    forget: async (token: string): Promise<void> => (await provider.AccessToken.find(token)).destroy(),
    /** Whether each refresh token was used up, in the order they were issued. */
    async consumed(): Promise<boolean[]> {
      const found = await Promise.all(refreshTokens.map((token) => provider.RefreshToken.find(token)))
      return found.map((token) => token?.consumed !== undefined)
    },
    /** A person with a browser: signs in, approves (or aborts), and ends at the address of the callback. */
    async approve(authorization: URL, { abort = false } = {}): Promise<string> {
      const jar = new Map<string, string>()
      let next = { url: authorization.href, body: undefined as string | undefined }
      for (let step = 0; step < 12; step++) {
        const response: Response = await fetch(next.url, {
          method: next.body === undefined ? 'GET' : 'POST',
          redirect: 'manual',
          headers: {
            cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
            ...(next.body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
          },
          ...(next.body !== undefined && { body: next.body }),
        })
        for (const cookie of response.headers.getSetCookie()) {
          const [name = '', value = ''] = (cookie.split(';')[0] as string).split(/=(.*)/s)
          if (value === '') jar.delete(name)
          else jar.set(name, value)
        }
        const location = response.headers.get('location')
        const text = await response.text()
        if (location?.startsWith(BASE)) return location
        if (location) next = { url: new URL(location, next.url).href, body: undefined }
        else {
          const prompt = /name="prompt" value="(\w+)"/.exec(text)?.[1]
          if (!prompt) throw new Error(`the server answered ${response.status}: ${text.slice(0, 500)}`)
          next = abort
            ? { url: `${next.url}/abort`, body: undefined }
            : { url: next.url, body: new URLSearchParams({ prompt, login: 'ada@acme', password: 'x' }).toString() }
        }
      }
      throw new Error('the server goes round in circles')
    },
  }
}

/** A small API beside it: five notes of the last month, two on a page, and one that is older. */
async function startApi(isAlive: (token: string) => Promise<boolean>) {
  const notes = [1, 2, 3, 4, 5, 90].map((day, index) => ({
    id: `note-${index + 1}`,
    at: new Date(Date.now() - day * DAY).toISOString(),
    text: `Note of ${day} days ago`,
  }))
  const app = express()
  app.get('/notes', async (req, res) => {
    const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1]
    if (!token || !(await isAlive(token))) return void res.status(401).json({ error: 'invalid_token' })
    const since = String(req.query.since ?? '')
    const cursor = Number(req.query.cursor ?? 0)
    const limit = Number(req.query.limit)
    const found = notes.filter(({ at }) => at >= since)
    const end = cursor + limit
    res.json({ notes: found.slice(cursor, end), next: end < found.length ? String(end) : null })
  })
  return listen(app)
}
