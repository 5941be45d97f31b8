import { createHmac } from 'node:crypto'
import express, { type ErrorRequestHandler, type Express } from 'express'
import session from 'express-session'
import passport from 'passport'
import OAuth1Base from 'passport-oauth1'
import OAuth2Base from 'passport-oauth2'
import supertest from 'supertest'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { ERROR_CODES, type ErrorCode, IntegrationError } from '../../src/errors.js'
import {
  createStrategy,
  defineProvider,
  grantOf,
  NotionStrategy,
  PlaidStrategy,
  ShopifyStrategy,
  SlackStrategy,
  type StrategyClass,
  type StrategyOptions,
  StripeStrategy,
  strategyClass,
  stripe,
  TrelloStrategy,
  type Verify,
} from '../../src/strategies/index.js'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'

/** A grant that reaches two sites. */
const atlas = defineProvider({
  id: 'atlas',
  name: 'Atlas',
  category: 'projects',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://auth.atlas.example/authorize',
    tokenURL: 'https://auth.atlas.example/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [{ scope: 'read', why: 'read' }],
    refreshToken: 'rotating',
    tokens: { default: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in' } },
  },
  params: [
    { name: 'siteId', label: 'Site', pattern: /^site-[a-z]+$/, hint: 'Chosen after the approval.', from: 'token' },
  ],
  choices: {
    request: { method: 'GET', url: 'https://api.atlas.example/sites' },
    items: 'sites',
    id: 'id',
    name: 'title',
    param: 'siteId',
    noun: 'site',
  },
  identity: {
    request: { method: 'GET', url: 'https://api.atlas.example/{siteId}/me' },
    resolve: async ({ params }) => ({ id: params.siteId as string, name: 'A site' }),
  },
  api: { baseURL: 'https://api.atlas.example/{siteId}' },
  resources: [],
  guide: { setup: [], sources: [] },
  lab: {
    params: { siteId: 'site-north' },
    answers: [
      {
        method: 'GET',
        url: 'https://api.atlas.example/sites',
        body: () => ({
          sites: [
            { id: 'site-north', title: 'North' },
            { id: 'site-south', title: 'South' },
          ],
        }),
      },
    ],
  },
})

let lab: ProviderLab
beforeAll(async () => {
  const providers = ['slack', 'notion', 'shopify', 'trello', 'plaid', 'stripe', atlas]
  lab = await createProviderLab({ providers, recordsPerResource: 1 })
})
afterAll(() => lab.close())
beforeEach(() => lab.clearFaults())
afterEach(() => void vi.useRealTimers())

const callbackURL = 'http://app.test/callback'
const strategies: Readonly<Record<string, StrategyClass>> = {
  slack: SlackStrategy,
  notion: NotionStrategy,
  shopify: ShopifyStrategy,
  trello: TrelloStrategy,
  plaid: PlaidStrategy,
  stripe: StripeStrategy,
  atlas: strategyClass(atlas),
}
const ids = Object.keys(strategies)
/** Those that send the user to the provider. */
const redirecting = ids.filter((id) => id !== 'stripe')

interface AppOptions {
  verify?: Verify
  options?: Partial<StrategyOptions>
  /** For `passport.authenticate` of the callback. */
  callback?: passport.AuthenticateOptions
  sessions?: boolean
  setUp?: (app: Express) => void
}

const accept: Verify = (_req, _accessToken, _refreshToken, account, done) =>
  done(null, { id: account.id, name: account.name })

function optionsOf(id: string, more: Partial<StrategyOptions> = {}): StrategyOptions {
  const { clientId = '', clientSecret = '' } = lab.credentials[id] ?? {}
  return { clientID: clientId, clientSecret, callbackURL, origins: lab.origins, ...more }
}

/** An app as Passport's guide has it, and a browser in front of it. */
function openApp(id: string, { verify = accept, options, callback, sessions = true, setUp }: AppOptions = {}) {
  const Strategy = strategies[id] as StrategyClass
  const authenticator = new passport.Passport()
  authenticator.use(new Strategy(optionsOf(id, options), verify))
  authenticator.serializeUser((user, done) => done(null, user))
  authenticator.deserializeUser((user: Express.User, done) => done(null, user))
  const app = express()
  app.use(express.json())
  setUp?.(app)
  if (sessions) {
    app.use(session({ secret: 'session secret', resave: false, saveUninitialized: false }))
    app.use(authenticator.session())
  }
  // Tabs of one session survive the sign-in of another one only when the session does.
  const settings = { keepSessionInfo: true, failureMessage: sessions, session: sessions, ...callback }
  app.get('/connect', authenticator.authenticate(id, settings))
  app.all('/callback', authenticator.authenticate(id, settings), (req, res) => void res.json({ user: req.user }))
  app.get('/me', (req, res) => void res.json({ user: req.user ?? null }))
  app.get('/messages', (req, res) => {
    res.json((req.session as unknown as { messages?: string[] }).messages ?? [])
  })
  const errors: unknown[] = []
  const catchError: ErrorRequestHandler = (error, _req, res, next) => {
    errors.push(error)
    if (res.headersSent) return next(error)
    res.status((error as IntegrationError).status ?? 500).json({ code: (error as IntegrationError).code ?? 'foreign' })
  }
  app.use(catchError)
  const agent = supertest.agent(app)

  const start = async (): Promise<string> => {
    const query = new URLSearchParams(lab.params(id))
    const answer = await agent.get(`/connect?${query}`)
    expect(answer.status).toBe(302)
    return answer.headers.location as string
  }
  /** Approves at the provider; answers what the browser asks the app for then. */
  const consent = async (location: string, more: Parameters<ProviderLab['consent']>[1] = {}): Promise<string> => {
    const url = new URL(String(await lab.consent(location, { params: lab.params(id), ...more })))
    expect(url.origin + url.pathname).toBe(callbackURL)
    return url.pathname + url.search
  }
  const sendKey = (key: string | undefined) => agent.post('/callback').send({ params: { [stripe.auth.key]: key } })
  const connect = async (): Promise<supertest.Response> =>
    id === 'stripe' ? sendKey(lab.apiKey('stripe')) : agent.get(await consent(await start()))
  const messages = async () => (await agent.get('/messages')).body as string[]
  return { app, agent, errors, start, consent, connect, sendKey, messages }
}

/** Runs one connect and gives what `verify` was called with. */
async function verified(id: string, options?: Partial<StrategyOptions>): Promise<Parameters<Verify>> {
  const calls: unknown[][] = []
  const verify: Verify = (...args) => {
    calls.push(args)
    accept(...args)
  }
  const { connect, errors } = openApp(id, { verify, ...(options && { options }) })
  const answer = await connect()
  expect([answer.status, errors]).toEqual([200, []])
  expect(calls).toHaveLength(1)
  return calls[0] as Parameters<Verify>
}

describe.each(ids)('the strategy of %s in an ordinary Passport app', (id) => {
  it('signs in whom verify answers, and the session remembers it', async () => {
    const { connect, agent, errors } = openApp(id)
    const answer = await connect()
    const name = id === 'atlas' ? 'A site' : lab.account(id).name
    expect(answer.body).toEqual({ user: { id: expect.any(String), name: expect.stringContaining(name) } })
    expect((await agent.get('/me')).body).toEqual(answer.body)
    expect(errors).toEqual([])
  })

  it('gives verify five arguments: request, tokens, account, done', async () => {
    const args = await verified(id)
    expect(args).toHaveLength(5)
    const [req, accessToken, refreshToken, account, done] = args
    const { tokens } = grantOf(account)
    const first = Object.values(tokens)[0]
    expect(req.path).toBe('/callback')
    expect(accessToken).toBe(first?.accessToken)
    expect(accessToken).toMatch(/./)
    expect(refreshToken).toBe(first?.refreshToken)
    expect(account).toMatchObject({ provider: id, id: expect.any(String), key: expect.any(String) })
    expect(done).toBeTypeOf('function')
    // Logging the account shows no token.
    for (const token of Object.values(tokens)) expect(JSON.stringify(account)).not.toContain(token.accessToken)
  })

  it('fails when verify knows no user, with what it says about it', async () => {
    const verify: Verify = (_req, _a, _r, _account, done) => done(null, false, { message: 'Nobody by that name.' })
    const { connect, messages, errors } = openApp(id, { verify })
    expect((await connect()).status).toBe(401)
    expect(await messages()).toEqual(['Nobody by that name.'])
    expect(errors).toEqual([])
  })

  const failing: [how: string, verify: Verify][] = [
    ['answers an error', (_req, _a, _r, _account, done) => done(new RangeError('boom'))],
    [
      'throws',
      () => {
        throw new RangeError('boom')
      },
    ],
    [
      'rejects',
      async () => {
        await Promise.resolve()
        throw new RangeError('boom')
      },
    ],
  ]
  it.each(failing)('errors when verify %s', async (_how, verify) => {
    const { connect, agent, errors } = openApp(id, { verify })
    expect((await connect()).status).toBe(500)
    expect(errors).toEqual([new RangeError('boom')])
    expect((await agent.get('/me')).body).toEqual({ user: null })
  })

  it('lets nobody in when verify throws nothing at all', async () => {
    for (const nothing of [undefined, null, '', 0]) {
      const verify: Verify = () => Promise.reject(nothing)
      const { connect, errors } = openApp(id, { verify })
      expect((await connect()).status).toBe(500)
      expect(errors).toEqual([expect.any(Error)])
    }
  })

  it('errors on a web page where the account was expected', async () => {
    const { connect, errors } = openApp(id)
    lab.fault({ provider: id, endpoint: 'identity', kind: 'html-502', times: Number.POSITIVE_INFINITY })
    const answer = await connect()
    expect([answer.status, answer.body.code]).toEqual([502, 'PROVIDER_HTML_RESPONSE'])
    expect(errors).toEqual([expect.any(IntegrationError)])
  }, 20_000)

  it('goes where successRedirect and failureRedirect say', async () => {
    const callback = { successRedirect: '/welcome', failureRedirect: '/sorry' }
    const good = await openApp(id, { callback }).connect()
    expect([good.status, good.headers.location]).toEqual([302, '/welcome'])
    const verify: Verify = (_req, _a, _r, _account, done) => done(null, false)
    const bad = await openApp(id, { callback, verify }).connect()
    expect([bad.status, bad.headers.location]).toEqual([302, '/sorry'])
  })
})

describe.each(redirecting)('the strategy of %s', (id) => {
  it('refuses a state that nobody was given, with a message for people', async () => {
    const { start, consent, agent, messages, errors } = openApp(id)
    const callback = new URL(await consent(await start()), callbackURL)
    callback.searchParams.set('state', 'x'.repeat(43))
    const answer = await agent.get(callback.pathname + callback.search)
    expect(answer.status).toBe(400)
    expect(await messages()).toEqual([ERROR_CODES.AUTH_STATE_UNKNOWN.message])
    expect(errors).toEqual([])
  })

  it.each(['__proto__', 'constructor', 'toString'])('refuses the state %s', async (state) => {
    const { start, agent, messages, errors } = openApp(id)
    await start()
    const query = new URLSearchParams({ state, code: 'c', oauth_token: 't', oauth_verifier: 'v' })
    expect((await agent.get(`/callback?${query}`)).status).toBe(400)
    expect(await messages()).toEqual([ERROR_CODES.AUTH_STATE_UNKNOWN.message])
    expect(errors).toEqual([])
  })

  it('refuses a state that was used', async () => {
    const { start, consent, agent, messages } = openApp(id)
    const callback = await consent(await start())
    expect((await agent.get(callback)).status).toBe(200)
    expect((await agent.get(callback)).status).toBe(400)
    expect(await messages()).toEqual([ERROR_CODES.AUTH_STATE_UNKNOWN.message])
  })

  it('refuses a state of another browser', async () => {
    const mine = openApp(id)
    const callback = await mine.consent(await mine.start())
    const theirs = supertest.agent(mine.app)
    expect((await theirs.get(callback)).status).toBe(400)
    // It is still good where it belongs.
    expect((await mine.agent.get(callback)).status).toBe(200)
  })

  it('refuses a state after ten minutes, naming the provider', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { start, consent, agent, messages } = openApp(id)
    const callback = await consent(await start())
    vi.setSystemTime(Date.now() + 10 * 60_000)
    expect((await agent.get(callback)).status).toBe(400)
    const name = id === 'atlas' ? 'Atlas' : id[0]?.toUpperCase() + id.slice(1)
    expect(await messages()).toEqual([ERROR_CODES.AUTH_STATE_EXPIRED.message.replace('{provider}', name)])
  })

  it('fails when the user says no, and can start again', async () => {
    const { start, consent, agent, connect, messages, errors } = openApp(id)
    const answer = await agent.get(await consent(await start(), { deny: true }))
    expect(answer.status).toBe(401)
    expect(await messages()).toEqual([expect.stringContaining('You did not approve the connection')])
    expect((await agent.get('/me')).body).toEqual({ user: null })
    expect((await connect()).status).toBe(200)
    expect(errors).toEqual([])
  })

  it('follows several attempts of one session, whichever ends first', async () => {
    const { start, consent, agent } = openApp(id)
    const [first, second, third] = [await start(), await start(), await start()]
    for (const location of [second, third, first]) expect((await agent.get(await consent(location))).status).toBe(200)
  })

  it('answers a clear TypeError where there is no session, through the error path', async () => {
    const { agent, errors } = openApp(id, { sessions: false })
    const query = new URLSearchParams(lab.params(id))
    for (const path of [`/connect?${query}`, '/callback?state=x&code=c']) {
      errors.length = 0
      expect((await agent.get(path)).status).toBe(500)
      expect(errors).toEqual([
        new TypeError(
          `The strategy "${id}" has nowhere to keep its state: mount express-session before it, or give it the option "store".`,
        ),
      ])
    }
  })

  it('needs no session with a store of its own', async () => {
    const kept = new Map<string, unknown>()
    const store: StrategyOptions['store'] = {
      save: async (_req, state, data) => void kept.set(state, structuredClone(data)),
      claim: async (_req, state) => {
        const data = kept.get(state)
        if (!kept.delete(state)) throw new IntegrationError('AUTH_STATE_USED', 'used')
        return data as never
      },
    }
    const { start, consent, agent } = openApp(id, { sessions: false, options: { store } })
    const callback = await consent(await start())
    expect((await agent.get(callback)).status).toBe(200)
    expect((await agent.get(callback)).status).toBe(400)
  })

  it('hands an error on when the host has answered already', async () => {
    const { agent, errors } = openApp(id, {
      setUp: (app) =>
        app.use((req, res, next) => {
          if ('late' in req.query) res.status(503).end('That took too long.')
          next()
        }),
    })
    expect((await agent.get(`/connect?${new URLSearchParams({ ...lab.params(id), late: '' })}`)).status).toBe(503)
    await vi.waitFor(() => expect(errors).toMatchObject([{ code: 'ERR_HTTP_HEADERS_SENT' }]))
  })

  it.each(['clientID', 'clientSecret', 'callbackURL'] as const)('cannot be made without %s', (name) => {
    const Strategy = strategies[id] as StrategyClass
    for (const value of [undefined, ''])
      expect(() => new Strategy(optionsOf(id, { [name]: value }), accept)).toThrow(
        new TypeError(`The strategy "${id}" needs the option "${name}".`),
      )
    expect(() => new Strategy(undefined as never, accept)).toThrow(
      new TypeError(`The strategy "${id}" needs the option "clientID".`),
    )
  })

  it.each([
    '/callback',
    'app.test/callback',
    'localhost:3000/callback',
    'javascript:alert(1)',
    '//app.test/callback',
  ])('cannot be made with the callbackURL %s', (wrong) => {
    const Strategy = strategies[id] as StrategyClass
    expect(() => new Strategy(optionsOf(id, { callbackURL: wrong }), accept)).toThrow(
      new TypeError(`The strategy "${id}" needs an absolute callbackURL.`),
    )
  })
})

// Shopify signs the whole query, the lab only what it put there itself.
it.each(redirecting.filter((id) => id !== 'shopify'))('%s keeps a query that the callbackURL has', async (id) => {
  const { start, agent } = openApp(id, { options: { callbackURL: `${callbackURL}?of=acme` } })
  const back = new URL(String(await lab.consent(await start())))
  expect(back.searchParams.get('of')).toBe('acme')
  expect((await agent.get(back.pathname + back.search)).status).toBe(200)
})

const htmlAt: [id: string, endpoint: string][] = [
  ['slack', 'token'],
  ['notion', 'token'],
  ['shopify', 'token'],
  ['atlas', 'token'],
  ['trello', 'request_token'],
  ['trello', 'token'],
  ['plaid', 'link'],
  ['plaid', 'token'],
]
describe.each(['html-200', 'html-502'] as const)('a web page (%s) where data was expected', (kind) => {
  it.each(htmlAt)('from %s at %s is one IntegrationError, and the next attempt works', async (id, endpoint) => {
    const { agent, consent, connect, errors } = openApp(id)
    lab.fault({ provider: id, endpoint, kind, times: Number.POSITIVE_INFINITY })
    const start = await agent.get(`/connect?${new URLSearchParams(lab.params(id))}`)
    const early = start.status !== 302
    const answer = early ? start : await agent.get(await consent(start.headers.location as string))
    expect(early).toBe(endpoint === 'request_token' || endpoint === 'link')
    expect([answer.status, answer.body.code]).toEqual([502, 'PROVIDER_HTML_RESPONSE'])
    expect(errors).toEqual([expect.any(IntegrationError)])
    expect((await agent.get('/me')).body).toEqual({ user: null })
    lab.clearFaults()
    expect((await connect()).status).toBe(200)
  })
})

describe('the class of a strategy', () => {
  const names: [id: string, base: new (...args: never[]) => passport.Strategy, is: boolean][] = [
    ['slack', OAuth2Base, true],
    ['notion', OAuth2Base, true],
    ['shopify', OAuth2Base, true],
    ['atlas', OAuth2Base, true],
    ['trello', OAuth1Base, true],
    ['trello', OAuth2Base, false],
    ['plaid', OAuth2Base, false],
    ['stripe', OAuth2Base, false],
  ]
  it.each(names)('of %s extends the one of the protocol it speaks: %s', (id, Base, is) => {
    const Strategy = strategies[id] as StrategyClass
    const strategy = new Strategy(optionsOf(id), accept)
    expect(strategy).toBeInstanceOf(passport.Strategy)
    expect(strategy).toBeInstanceOf(Strategy)
    expect(strategy instanceof Base).toBe(is)
    expect(strategy.name).toBe(id)
    expect(Object.keys(strategy)).not.toContain('provider')
    expect(strategy.provider.id).toBe(id)
  })

  it.each(ids)('of %s cannot be made without verify', (id) => {
    const Strategy = strategies[id] as StrategyClass
    for (const verify of [undefined, {}])
      expect(() => new Strategy(optionsOf(id), verify as never)).toThrow(
        new TypeError(`The strategy "${id}" needs a verify function: (req, accessToken, refreshToken, account, done).`),
      )
  })

  it('of a definition of your own is made by createStrategy too', () => {
    const strategy = createStrategy(atlas, optionsOf('atlas'), accept)
    expect(strategy).toBeInstanceOf(OAuth2Base)
    expect([strategy.name, strategy.provider]).toEqual(['atlas', atlas])
  })
})

describe('Slack', () => {
  const params = (location: string) => new URL(location).searchParams

  it('brings a user token, and a bot token where bot scopes are asked for', async () => {
    const env = { SLACK_BOT_SCOPES: 'chat:write,users:read' }
    const { tokens } = grantOf((await verified('slack', { env }))[3])
    expect(Object.keys(tokens)).toEqual(['user', 'bot'])
    const access = Object.values(tokens).map(({ accessToken }) => accessToken)
    expect(new Set(access).size).toBe(2)
    for (const token of Object.values(tokens)) expect(token).toMatchObject({ refreshToken: expect.any(String) })
    expect(Object.keys(grantOf((await verified('slack'))[3]).tokens)).toEqual(['user'])
  })

  it('asks for the scopes of the option, and uses PKCE only when it is told to', async () => {
    const plain = params(await openApp('slack').start())
    expect([plain.get('user_scope'), plain.has('code_challenge'), plain.has('scope')]).toEqual([
      expect.stringContaining('channels:history'),
      false,
      false,
    ])
    const app = openApp('slack', { options: { scope: ['channels:read', 'im:read'], pkce: true } })
    const own = params(await app.start())
    expect([own.get('user_scope'), own.get('code_challenge_method')]).toEqual(['channels:read,im:read', 'S256'])
    expect((await app.connect()).status).toBe(200)
  })
})

describe('Shopify', () => {
  const start = async (query: Record<string, string>) => {
    const app = openApp('shopify')
    return { ...app, answer: await app.agent.get(`/connect?${new URLSearchParams(query)}`) }
  }

  it('sends the user to the shop that was pasted', async () => {
    const { origins: _, ...unmapped } = optionsOf('shopify')
    const app = express()
    app.use(session({ secret: 'session secret', resave: false, saveUninitialized: false }))
    const authenticator = new passport.Passport()
    authenticator.use(new ShopifyStrategy(unmapped, accept))
    app.get('/connect', authenticator.authenticate('shopify'))
    const answer = await supertest(app).get('/connect?shop=https%3A%2F%2FMy-Shop.myshopify.com%2Fadmin')
    expect(answer.headers.location).toMatch(/^https:\/\/my-shop\.myshopify\.com\/admin\/oauth\/authorize\?/)
  })

  it.each<Record<string, string>>([
    {},
    { shop: 'evil.example' },
    { shop: 'a.myshopify.com.evil.example' },
    { shop: 'evil.example/.myshopify.com' },
  ])('fails before anything leaves when the shop is %j', async (query) => {
    lab.requests.length = 0
    const { answer, messages, errors } = await start(query)
    expect(answer.status).toBe(400)
    expect(await messages()).toEqual([ERROR_CODES.REQUEST_INVALID.message])
    expect([errors, lab.requests]).toEqual([[], []])
  })

  it.each([
    ['another code', (query: URLSearchParams) => query.set('code', 'stolen')],
    ['no signature', (query: URLSearchParams) => query.delete('hmac')],
    ['another shop', (query: URLSearchParams) => query.set('shop', 'other.myshopify.com')],
    [
      'a signature by another secret',
      (query: URLSearchParams) => {
        query.delete('hmac')
        query.sort()
        query.set('hmac', createHmac('sha256', 'other secret').update(query.toString()).digest('hex'))
      },
    ],
  ])('refuses a callback with %s before the code is sent anywhere', async (_what, change) => {
    const { start: begin, consent, agent, messages, errors } = openApp('shopify')
    const callback = new URL(await consent(await begin()), callbackURL)
    change(callback.searchParams)
    lab.requests.length = 0
    expect((await agent.get(callback.pathname + callback.search)).status).toBe(400)
    expect(await messages()).toEqual([ERROR_CODES.AUTH_SIGNATURE_INVALID.message.replace('{provider}', 'Shopify')])
    expect([errors, lab.requests]).toEqual([[], []])
  })

  it('takes its parameters from authenticate() as well', async () => {
    const authenticator = new passport.Passport()
    authenticator.use(new ShopifyStrategy(optionsOf('shopify'), accept))
    const app = express()
    app.use(session({ secret: 'session secret', resave: false, saveUninitialized: false }))
    const options = { params: lab.params('shopify') } as passport.AuthenticateOptions
    app.get('/connect', (req, res, next) => authenticator.authenticate('shopify', options)(req, res, next))
    expect((await supertest(app).get('/connect')).status).toBe(302)
  })
})

describe('Trello', () => {
  it('refuses a callback that carries the request token of another attempt', async () => {
    const { start, consent, agent, messages } = openApp('trello')
    const [first, second] = [await consent(await start()), await consent(await start())]
    const mixed = new URL(first, callbackURL)
    mixed.searchParams.set('oauth_token', new URL(second, callbackURL).searchParams.get('oauth_token') ?? '')
    expect((await agent.get(mixed.pathname + mixed.search)).status).toBe(400)
    expect(await messages()).toEqual([ERROR_CODES.AUTH_STATE_UNKNOWN.message])
  })

  it('brings the secret of its token, and no refresh token', async () => {
    const [, , refreshToken, account] = await verified('trello')
    expect(refreshToken).toBeUndefined()
    expect(grantOf(account).tokens).toEqual({
      default: { accessToken: expect.any(String), tokenSecret: expect.any(String), issuedAt: expect.any(Number) },
    })
  })
})

describe('Plaid', () => {
  it('tells which user links a bank, when authenticate() is told', async () => {
    const authenticator = new passport.Passport()
    authenticator.use(new PlaidStrategy(optionsOf('plaid'), accept))
    const app = express()
    app.use(session({ secret: 'session secret', resave: false, saveUninitialized: false }))
    const options = { userId: 'user-7' } as passport.AuthenticateOptions
    app.get('/connect', (req, res, next) => authenticator.authenticate('plaid', options)(req, res, next))
    lab.requests.length = 0
    expect((await supertest(app).get('/connect')).status).toBe(302)
    expect(JSON.parse(lab.requests[0]?.body ?? '')).toMatchObject({ user: { client_user_id: 'user-7' } })
  })

  it('refuses a public token that the link did not produce, without exchanging it', async () => {
    const { start, consent, agent, messages } = openApp('plaid')
    lab.requests.length = 0
    const callback = `${await consent(await start())}&publicToken=public-of-somebody-else`
    expect((await agent.get(callback)).status).toBe(400)
    expect(await messages()).toEqual([ERROR_CODES.AUTH_CODE_REJECTED.message.replace('{provider}', 'Plaid')])
    expect(lab.requests.map(({ endpoint }) => endpoint)).toEqual(['link', 'authorize', 'link'])
  })
})

describe('Stripe', () => {
  const keys: [what: string, key: () => string | undefined, status: number, code: ErrorCode][] = [
    ['no key', () => undefined, 400, 'REQUEST_INVALID'],
    ['what is no key', () => 'hello', 400, 'REQUEST_INVALID'],
    ['a key that is not known', () => `rk_test_${'x'.repeat(40)}`, 422, 'CREDENTIALS_INVALID'],
    ['a key without permissions', () => lab.apiKey('stripe', { weak: true }), 422, 'CREDENTIALS_INSUFFICIENT'],
  ]
  it.each(keys)('fails for %s, with a message for people', async (_what, key, status, code) => {
    const { sendKey, messages, errors } = openApp('stripe')
    expect((await sendKey(key())).status).toBe(status)
    expect(await messages()).toEqual([ERROR_CODES[code].message.replace('{provider}', 'Stripe')])
    expect(errors).toEqual([])
  })

  it('takes the key from a plain form, and needs no session', async () => {
    const setUp = (app: Express) => app.use(express.urlencoded({ extended: false }))
    const { agent, errors } = openApp('stripe', { sessions: false, setUp })
    const answer = await agent
      .post('/callback')
      .type('form')
      .send({ [stripe.auth.key]: lab.apiKey('stripe') })
    expect([answer.status, errors]).toEqual([200, []])
  })

  it('needs no client', () => {
    const none = { clientID: '', clientSecret: '', callbackURL: '' }
    expect(new StripeStrategy(none, accept).name).toBe('stripe')
    expect(new StripeStrategy(undefined as never, accept).name).toBe('stripe')
  })
})

describe('a grant that reaches several accounts', () => {
  it('is that of the first one, as Passport knows no question in between', async () => {
    const [, , , account] = await verified('atlas')
    expect([account.id, account.params]).toEqual(['site-north', { siteId: 'site-north' }])
    expect(grantOf(account).params).toEqual({ siteId: 'site-north' })
  })
})

describe('grantOf', () => {
  it('refuses an account that no strategy gave', async () => {
    const [, , , account] = await verified('notion')
    expect(() => grantOf({ ...account })).toThrow(new TypeError('grantOf: this account does not come from a strategy.'))
  })
})
