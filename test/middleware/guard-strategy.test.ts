import { createServer, type RequestListener, type Server } from 'node:http'
import https from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import express, { type ErrorRequestHandler } from 'express'
import session from 'express-session'
import passport, { type Strategy } from 'passport'
import supertest from 'supertest'
import { afterEach, describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import { guardStrategy } from '../../src/middleware/guard-strategy.js'

// biome-ignore lint/suspicious/noExplicitAny: published strategies without types; each is a class taking options and verify
type AnyStrategy = new (options: any, verify: (...args: any[]) => void) => Strategy
const load = async (name: string) => {
  const module = (await import(name)) as { default?: { Strategy?: AnyStrategy }; Strategy?: AnyStrategy }
  return (module.Strategy ?? module.default?.Strategy) as AnyStrategy
}

const secret = 'client-secret-never-shown'
const callbackURL = 'http://app.test/callback'
const servers: Server[] = []

async function listen(handler: RequestListener): Promise<string> {
  const server = createServer(handler)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** How a provider can misbehave: at the token endpoint or at the profile. */
const answers: Record<string, { handler: RequestListener; code: string }> = {
  'a web page with 200': { handler: page(200, 'text/html'), code: 'PROVIDER_HTML_RESPONSE' },
  'a web page that calls itself JSON': { handler: page(200, 'application/json'), code: 'PROVIDER_HTML_RESPONSE' },
  'a web page with 503': { handler: page(503, 'text/html'), code: 'PROVIDER_HTML_RESPONSE' },
  'a web page with 404': { handler: page(404, 'text/html'), code: 'PROVIDER_HTML_RESPONSE' },
  'nothing within the timeout': { handler: () => {}, code: 'PROVIDER_TIMEOUT' },
  'an endless drip': {
    handler: (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => res.write(' '), 5)
      res.on('close', () => clearInterval(timer))
    },
    code: 'PROVIDER_TIMEOUT',
  },
  'more than allowed': {
    handler: (_req, res) => void res.end(`{"a":"${'x'.repeat(300_000)}"}`),
    code: 'PROVIDER_TOO_LARGE',
  },
  'half an answer': {
    handler: (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
      res.write('{"access_token":"a', () => res.destroy())
    },
    code: 'PROVIDER_BAD_RESPONSE',
  },
  'a closed connection': { handler: (req) => void req.socket.destroy(), code: 'PROVIDER_UNAVAILABLE' },
}

function page(status: number, type: string): RequestListener {
  return (_req, res) => {
    res.writeHead(status, { 'content-type': type })
    res.end(
      '<!doctype html><html><head><title>Down for a moment</title></head><body><h1>marker-of-the-page</h1></body></html>',
    )
  }
}

const json =
  (value: unknown): RequestListener =>
  (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(JSON.stringify(value))
  }
const form =
  (text: string): RequestListener =>
  (_req, res) =>
    void res.end(text)

type Make = (Strategy: AnyStrategy, base: string, verify: (...args: unknown[]) => void) => Strategy
const oauth2 =
  (profilePath: string): Make =>
  (Strategy, base, verify) =>
    new Strategy(
      {
        clientID: 'id',
        clientSecret: secret,
        callbackURL,
        state: true,
        tokenURL: `${base}/token`,
        userProfileURL: `${base}${profilePath}`,
      },
      verify,
    )

const published: Record<string, { make: Make; profile: unknown; token: RequestListener }> = {
  'passport-google-oauth20': {
    make: oauth2('/profile'),
    profile: { sub: '7', name: 'Ada' },
    token: json({ access_token: 'a' }),
  },
  'passport-github2': {
    make: oauth2('/profile'),
    profile: { id: 7, login: 'ada' },
    token: form('access_token=a&token_type=bearer'),
  },
  // Brings its own copy of the base class, and parses the token answer itself.
  'passport-spotify': {
    make: oauth2('/profile'),
    profile: { id: '7', display_name: 'Ada' },
    token: json({ access_token: 'a' }),
  },
  // Its profile URL is fixed: an agent, as behind a company proxy, leads it to the fake.
  'passport-discord': {
    make: (Strategy, base, verify) => {
      const strategy = oauth2('')(Strategy, base, verify)
      const agent = new https.Agent()
      agent.createConnection = () => connect(Number(new URL(base).port), '127.0.0.1')
      const client = (
        strategy as unknown as { _oauth2: { _accessTokenUrl: string; setAgent(agent: https.Agent): void } }
      )._oauth2
      client._accessTokenUrl = 'https://discord.com/token'
      client.setAgent(agent)
      return strategy
    },
    profile: { id: '7', username: 'ada' },
    token: json({ access_token: 'a' }),
  },
  // OAuth 1.0a; its error path names a class that it never imported.
  'passport-trello': {
    make: (Strategy, base, verify) =>
      new Strategy(
        {
          consumerKey: 'id',
          consumerSecret: secret,
          callbackURL,
          requestTokenURL: `${base}/request`,
          accessTokenURL: `${base}/token`,
          userAuthorizationURL: `${base}/authorize`,
          profileURL: `${base}/profile`,
        },
        verify,
      ),
    profile: { id: '7', fullName: 'Ada' },
    token: form('oauth_token=a&oauth_token_secret=b'),
  },
}

/** A host app as hosts have it, with the provider answering as told. Signs in and gives the error that Passport passed on. */
async function signIn(
  name: string,
  faults: { token?: RequestListener; profile?: RequestListener },
  timeoutMs = 10_000,
) {
  const { make, profile, token } = published[name] as (typeof published)[string]
  const base = await listen((req, res) => {
    if (req.url?.startsWith('/request'))
      return form('oauth_token=r&oauth_token_secret=s&oauth_callback_confirmed=true')(req, res)
    if (req.url?.startsWith('/token')) return (faults.token ?? token)(req, res)
    return (faults.profile ?? json(profile))(req, res)
  })
  const strategy = make(await load(name), base, (...args) => {
    const done = args.at(-1) as (error: unknown, user: unknown) => void
    const account = args.at(-2) as { id: string }
    done(null, { id: account.id })
  })
  const authenticator = new passport.Passport()
  const provider = 'Example'
  authenticator.use(guardStrategy(strategy, { provider, timeoutMs, maxBodyBytes: 200_000 }))
  const errors: unknown[] = []
  const app = express()
  app.use(session({ secret: 'session secret', resave: false, saveUninitialized: true }))
  app.get('/login', authenticator.authenticate(strategy.name as string, { session: false }))
  app.get(
    '/callback',
    authenticator.authenticate(strategy.name as string, { session: false }),
    (req, res) => void res.json(req.user),
  )
  const catchError: ErrorRequestHandler = (error, _req, res, _next) => {
    errors.push(error)
    res.status(502).json({ code: (error as IntegrationError).code ?? 'foreign' })
  }
  app.use(catchError)
  const agent = supertest.agent(app)
  const start = await agent.get('/login')
  const location = new URL(start.headers.location ?? 'http://none')
  const query = new URLSearchParams(
    location.searchParams.has('state')
      ? { code: 'c', state: location.searchParams.get('state') as string }
      : { oauth_token: 'r', oauth_verifier: 'v' },
  )
  return { response: await agent.get(`/callback?${query}`), errors }
}

describe.each(Object.keys(published))('guardStrategy around %s', (name) => {
  it('signs in as before when the provider is well', async () => {
    const { response, errors } = await signIn(name, {})
    expect(errors).toEqual([])
    expect(String(response.body.id)).toBe('7')
  })

  for (const endpoint of ['token', 'profile'] as const) {
    it.each(Object.entries(answers))(`turns %s at the ${endpoint} endpoint into one typed error`, async (_what, {
      handler,
      code,
    }) => {
      const { response, errors } = await signIn(
        name,
        { [endpoint]: handler },
        code === 'PROVIDER_TIMEOUT' ? 300 : undefined,
      )
      expect(response.body.code).toBe(code)
      expect(errors).toHaveLength(1)
      const shown = JSON.stringify(errors[0]) + String((errors[0] as Error).message)
      expect(shown).not.toMatch(/marker-of-the-page|client-secret|<html/)
    })
  }

  it('refuses a token answer without a token instead of calling verify with undefined', async () => {
    const { response } = await signIn(name, { token: json({ hello: 'world' }) })
    expect(response.body.code).toBe('PROVIDER_BAD_RESPONSE')
  })
})

describe('guardStrategy', () => {
  it('leaves a JSON refusal of the token endpoint to the strategy', async () => {
    const { errors } = await signIn('passport-google-oauth20', {
      token: (_req, res) => {
        res.writeHead(400, { 'content-type': 'application/json' })
        res.end('{"error":"invalid_grant","error_description":"Bad Request"}')
      },
    })
    expect(errors[0]).not.toBeInstanceOf(IntegrationError)
    expect(errors[0]).toMatchObject({ name: 'TokenError', code: 'invalid_grant' })
  })

  it('keeps class, name and identity of the strategy', async () => {
    const Strategy = await load('passport-github2')
    const strategy = new Strategy({ clientID: 'id', clientSecret: secret, callbackURL }, () => {})
    expect(guardStrategy(strategy, { provider: 'GitHub' })).toBe(strategy)
    expect(strategy).toBeInstanceOf(Strategy)
  })

  it('turns an exception and a rejection inside userProfile into an error', async () => {
    const Strategy = await load('passport-github2')
    for (const broken of [
      () => {
        throw new RangeError('boom')
      },
      async () => {
        throw new RangeError('boom')
      },
    ]) {
      const strategy = new Strategy({ clientID: 'id', clientSecret: secret, callbackURL }, () => {})
      const loose = strategy as unknown as { userProfile: (token: string, done: (error: unknown) => void) => void }
      loose.userProfile = broken
      guardStrategy(strategy, { provider: 'GitHub' })
      expect(await new Promise((resolve) => loose.userProfile('token', resolve))).toBeInstanceOf(RangeError)
    }
  })

  it('refuses what is no OAuth strategy with a TypeError', () => {
    expect(() =>
      guardStrategy({ name: 'local', authenticate: () => {} } as unknown as Strategy, { provider: 'Local' }),
    ).toThrow(TypeError)
  })
})
