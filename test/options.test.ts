import { mkdtempSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { describe, expect, it } from 'vitest'
import { type AtomOptions, resolveOptions } from '../src/options.js'
import { catalogue } from '../src/strategies/index.js'

const key = `k1:${Buffer.alloc(32, 7).toString('base64')}`
const secret = 'a secret of at least thirty-two bytes'
const identify = () => null
const production = { ATOM_BASE_URL: 'https://app.example.com', ATOM_SECRET: secret, ATOM_ENCRYPTION_KEYS: key }
const resolve = (options: Partial<AtomOptions>, env: Record<string, string> = production) =>
  resolveOptions({ identify, ...options } as AtomOptions, catalogue, env)

describe('wrong options', () => {
  const wrong: [string, Partial<AtomOptions> | Record<string, unknown>, Record<string, string>, RegExp][] = [
    ['no base URL', {}, { ...production, ATOM_BASE_URL: '' }, /"baseUrl".*ATOM_BASE_URL/],
    ['a relative base URL', { baseUrl: '/app' }, production, /"baseUrl" must be an absolute URL/],
    ['http in production', { baseUrl: 'http://app.example.com' }, production, /"baseUrl".*https/],
    ['another scheme', { baseUrl: 'ftp://app.example.com' }, production, /"baseUrl"/],
    [
      'no secret in production',
      {},
      { ...production, ATOM_SECRET: undefined as never },
      /"secret" is missing.*randomBytes/,
    ],
    ['a short secret', { secret: 'short' }, production, /"secret" must have at least 32 bytes/],
    [
      'no key in production',
      {},
      { ...production, ATOM_ENCRYPTION_KEYS: '' },
      /"encryptionKeys".*never stored in plain text.*randomBytes/,
    ],
    [
      'no key for MongoDB in development',
      { store: { kind: 'mongo', url: 'mongodb://x' } },
      { NODE_ENV: 'development', ATOM_BASE_URL: 'http://localhost' },
      /"encryptionKeys".*MongoDB/,
    ],
    ['no identify', { identify: undefined }, production, /"identify"/],
    ['an unknown option', { webhooks: {} }, production, /"webhooks" is unknown; there are baseUrl, secret,/],
    ['a misspelt option', { baseURL: 'http://x' }, production, /"baseURL" is unknown: it is spelt "baseUrl"/],
    [
      'a misspelt option of a provider',
      { providers: { slack: { clientID: 'x' } } },
      production,
      /"providers.slack.clientID" is unknown: it is spelt "clientId"/,
    ],
    [
      'an unknown option of a provider',
      { providers: { slack: { token: 'x' } } },
      production,
      /"providers.slack.token" is unknown; there are clientId, clientSecret, redirectUri/,
    ],
    [
      'an option without its unit',
      { http: { timeout: 5 } },
      production,
      /"http.timeout" is unknown; there are timeoutMs,/,
    ],
    ['a nested singular', { sync: { month: 3 } }, production, /"sync.month" is unknown: it is spelt "months"/],
    ['a nested capital', { tokens: { leaseMS: 3 } }, production, /"tokens.leaseMS" is unknown: it is spelt "leaseMs"/],
    [
      'an unknown option of sqlite',
      { store: { kind: 'sqlite', file: 'x' } },
      production,
      /"store.file" is unknown; there are kind, path\.$/,
    ],
    [
      'an unknown option of MongoDB',
      { store: { kind: 'mongo', url: 'mongodb://x', database: 'x' } },
      production,
      /"store.database" is unknown; there are kind, url\b/,
    ],
    [
      'an unknown option of a queue',
      { queue: { kind: 'bullmq', prefix: 'x' } },
      production,
      /"queue.prefix" is unknown; there are kind, url\.$/,
    ],
    [
      'a misspelt half of an origin',
      { origins: { 'https://slack.com': { browser: 'a', server: 'b', sever: 'c' } } },
      production,
      /"origins.https:\/\/slack.com.sever" is unknown; there are browser, server/,
    ],
    [
      'a name every object has',
      { http: { constructor: 1 } },
      production,
      /"http.constructor" is unknown; there are time/,
    ],
    ['an option of the wrong kind', { baseUrl: 3000 }, production, /"baseUrl" must be a string/],
    [
      'a base URL without a scheme',
      { baseUrl: 'localhost:3000' },
      production,
      /"http:\/\/localhost:3000"\), not "localhost/,
    ],
    ['an unknown store', { store: { kind: 'postgres' } }, production, /"store" must be { kind: "sqlite", path\? }, {/],
    ['an unknown queue', { queue: { kind: 'sqs' } }, production, /"queue" must be { kind: "embedded" } or {/],
    ['an unknown role', { role: 'both' }, production, /"role" must be "web" or "worker"/],
    [
      'no key, and no NODE_ENV either',
      {},
      { ATOM_BASE_URL: 'http://localhost:3000' },
      /"encryptionKeys".*NODE_ENV=development instead \(it is not set\)/,
    ],
    [
      'no key, and a NODE_ENV that is not ours',
      {},
      { ATOM_BASE_URL: 'http://localhost:3000', NODE_ENV: 'dev' },
      /NODE_ENV=development instead \(it is "dev"\)/,
    ],
    ['a path that ends in a slash', { path: '/x/' }, production, /"path"/],
    ['an unknown provider', { providers: ['slak'] }, production, /"slak".*catalogue/],
    [
      'a half-configured provider',
      { providers: { slack: { clientId: 'x' } } },
      production,
      /"slack" is half configured: set SLACK_CLIENT_SECRET/,
    ],
    [
      'a half-configured environment',
      {},
      { ...production, NOTION_CLIENT_SECRET: 'x' },
      /"notion" is half configured: set NOTION_CLIENT_ID/,
    ],
    [
      'a relative redirect URI',
      { providers: { slack: { clientId: 'x', clientSecret: 'y', redirectUri: '/cb' } } },
      production,
      /providers.slack.redirectUri/,
    ],
    [
      'an operator parameter outside its pattern',
      {},
      { ...production, PLAID_CLIENT_ID: 'x', PLAID_SECRET: 'y', PLAID_ENVIRONMENT: 'evil.example' },
      /PLAID_ENVIRONMENT/,
    ],
    [
      'loopback origins in production',
      { origins: { 'https://slack.com': 'http://127.0.0.1:1' } },
      production,
      /origins.*development or test/,
    ],
    ['bullmq without a URL', { queue: { kind: 'bullmq' } }, production, /REDIS_URL/],
    ['an origin with a path', { allowedOrigins: ['https://a.example/x'] }, production, /"allowedOrigins"/],
    ['too many months', { sync: { months: 99 } }, production, /"sync.months" must be a whole number from 1 to 36/],
  ]
  it.each(wrong)('%s throws a TypeError that names it and the cure', (_what, options, env, message) => {
    expect(() => resolve(options as Partial<AtomOptions>, env)).toThrow(TypeError)
    expect(() => resolve(options as Partial<AtomOptions>, env)).toThrow(message)
  })

  it('never repeats a secret in the message', () => {
    expect(() => resolve({ secret: 'hunter2' })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('hunter2') }),
    )
  })
})

describe('providers', () => {
  it('are all whose variables are set when the option is left out', () => {
    const settings = resolve({}, { ...production, SLACK_CLIENT_ID: 'a', SLACK_CLIENT_SECRET: 'b' })
    expect(settings.providers.get('slack')).toMatchObject({
      configured: true,
      client: { clientId: 'a', clientSecret: 'b' },
    })
    expect(settings.providers.get('notion')).toMatchObject({
      configured: false,
      missing: ['NOTION_CLIENT_ID', 'NOTION_CLIENT_SECRET'],
    })
  })

  it('are only those named when the option is there, the environment filling in', () => {
    const settings = resolve(
      { providers: ['gmail'] },
      {
        ...production,
        GOOGLE_CLIENT_ID: 'a',
        GOOGLE_CLIENT_SECRET: 'b',
        SLACK_CLIENT_ID: 'c',
        SLACK_CLIENT_SECRET: 'd',
      },
    )
    expect([...settings.providers.keys()]).toEqual(['gmail'])
    expect(settings.providers.get('gmail')?.client.redirectURI).toBe(
      'https://app.example.com/integrations/google/callback',
    )
  })

  it('take scopes from the environment, one list per provider', () => {
    const settings = resolve({}, { ...production, SLACK_SCOPES: 'users:read,channels:read' })
    expect(settings.providers.get('slack')?.client.scopes).toEqual(['users:read', 'channels:read'])
  })

  it('need no variables where users bring keys of their own', () => {
    expect(resolve({}).providers.get('stripe')).toMatchObject({ configured: true, missing: [] })
  })
})

describe('the line at start', () => {
  it('begins with the address of the connect page', () => {
    expect(resolve({ path: '/connect' }).notes[0]).toBe('https://app.example.com/connect')
  })

  it('names what a chosen provider still needs', () => {
    expect(resolve({ providers: ['slack', 'stripe'] }).notes.at(-1)).toBe(
      'providers stripe (option providers); slack needs SLACK_CLIENT_ID, SLACK_CLIENT_SECRET',
    )
  })

  it('says that nothing was found in the environment', () => {
    expect(resolve({}).notes.at(-1)).toMatch(
      /^providers openai, sendgrid, stripe \(environment\); no other .*SLACK_CLIENT_ID/,
    )
    const env = { ...production, SLACK_CLIENT_ID: 'a', SLACK_CLIENT_SECRET: 'b' }
    expect(resolve({}, env).notes.at(-1)).toBe('providers openai, sendgrid, slack, stripe (environment)')
  })
})

describe('a variable without a value', () => {
  it('is not set, as in a copied .env.example', () => {
    const example = readFileSync(new URL('../.env.example', import.meta.url), 'utf8').replaceAll(
      /^# (?=[A-Z_]+=)/gm,
      '',
    )
    const copied = parseEnv(example) as Record<string, string>
    expect(copied).toMatchObject({ ATOM_DATA_DIR: '', SLACK_REDIRECT_URI: '' })
    const settings = resolve(
      {},
      { ...copied, ...production, SLACK_CLIENT_ID: 'a', SLACK_CLIENT_SECRET: 'b', SLACK_SCOPES: '' },
    )
    expect(settings.store).toMatchObject({ path: join('.atom', 'atom.sqlite') })
    expect(settings.providers.get('slack')?.client).not.toHaveProperty('scopes')
    expect(settings.providers.get('slack')?.client.redirectURI).toBe(
      'https://app.example.com/integrations/slack/callback',
    )
  })
})

describe('development', () => {
  it('makes a key file with mode 0600 beside the database, and says so', () => {
    const folder = mkdtempSync(join(tmpdir(), 'atom-'))
    const env = { NODE_ENV: 'development', ATOM_BASE_URL: 'http://localhost:3000', ATOM_DATA_DIR: join(folder, 'data') }
    const first = resolve({}, env)
    const file = join(folder, 'data', 'development.key')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(first.notes.join()).toContain(file)
    expect(readFileSync(file, 'utf8')).toContain(first.encryptionKeys)
    expect(resolve({}, env)).toMatchObject({ encryptionKeys: first.encryptionKeys, secret: first.secret })
  })

  it('is not assumed when NODE_ENV is missing', () => {
    expect(() => resolve({}, { ATOM_BASE_URL: 'http://localhost:3000' })).toThrow(/encryptionKeys/)
  })
})
