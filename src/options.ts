import { hkdfSync } from 'node:crypto'
import { dirname, join } from 'node:path'
import type { Request } from 'express'
import * as z from 'zod'
import type { Connection } from './connection.js'
import type { Logger } from './observability.js'
import { readOrCreateKeyFile } from './persistence/sealing.js'
import type { OriginMap } from './provider-http/client.js'
import { type CatalogueEntry, joinPath, type ProviderOptions, resolveProviders } from './provider-settings.js'
import type { ProviderDefinition } from './strategies/define-provider.js'
import type { RecordBatch, RecordContext } from './sync/runner.js'

/** Who uses the host app. Both ids are 1 to 200 characters. */
export interface Identity {
  tenantId: string
  userId: string
}

/** What `authorize` is asked about. `connection` is absent for `connect` and `list`. */
export type Action = 'list' | 'view' | 'connect' | 'reconnect' | 'disconnect' | 'backfill'

export interface AtomOptions {
  /** Public address of the host app, absolute. Or `ATOM_BASE_URL`. Redirect URIs, cookies and CSRF go by it alone. */
  baseUrl?: string
  /** At least 32 bytes; signs form tokens and fingerprints. Or `ATOM_SECRET`. Development makes one. */
  secret?: string
  /** `"k2:<base64 of 32 bytes>,k1:<…>"`: the first seals, all open. Or `ATOM_ENCRYPTION_KEYS`. Development on sqlite makes a key file. */
  encryptionKeys?: string
  /** Who is asking; may be async; falsy: not signed in. */
  identify: (req: Request) => MaybePromise<Identity | false | null | undefined | '' | 0>
  /** Decides inside a tenant. Default: everyone sees; only the one who connected reconnects, disconnects or starts a backfill. */
  authorize?: (identity: Identity, action: Action, connection?: Connection) => MaybePromise<boolean>
  /** Where the routes are mounted. Default `/integrations`. */
  path?: string
  /** Where pages send those who are not signed in. */
  loginUrl?: string
  /** Further origins whose pages may start and change connections. */
  allowedOrigins?: readonly string[]
  /**
   * What happens when a reconnect comes back with another account than the one to repair. Default `false`: refused, with both names, and
   * the new grant is revoked. `true`: the other account is connected beside the one that was to be repaired.
   */
  allowOtherAccountOnReconnect?: boolean
  /** Default: `MONGODB_URL`, else sqlite at `ATOM_DATA_DIR` or `.atom/atom.sqlite`. */
  store?:
    | { kind: 'sqlite'; path?: string }
    | { kind: 'mongo'; url: string }
    | { kind: 'mongo'; connection: MongooseConnection }
  /** Default: bullmq when `REDIS_URL` is set, else embedded. */
  queue?: { kind: 'embedded' } | { kind: 'bullmq'; url?: string }
  /** Default: every provider whose variables are set. */
  providers?: readonly string[] | Readonly<Record<string, ProviderOptions>>
  /** Sends a provider's origin elsewhere: sandboxes, recorded proxies, tests. Loopback only outside production. */
  origins?: OriginMap
  /** `false` switches backfills off. `months`: 1 to 36, default 3. */
  sync?:
    | false
    | {
        months?: number
        onRecords?: (batch: RecordBatch, context: RecordContext) => MaybePromise<void>
        concurrency?: number
      }
  /** `web` serves and enqueues, `worker` runs backfills and listeners. Default: both. */
  role?: 'web' | 'worker'
  /** Name of the app as providers show it. Default: the host of `baseUrl`. */
  appName?: string
  /** Default: console for the one line at start, refused requests, warnings and errors. `false`: silent. */
  logger?: Logger | false
  /** Limits of the door to the providers: milliseconds and bytes. */
  http?: { timeoutMs?: number; connectTimeoutMs?: number; maxBodyBytes?: number; idleTimeoutMs?: number }
  /** Refresh requests: their timeout (default 10,000 ms), and the lease, which must be longer (default 30,000 ms). */
  tokens?: { refreshTimeoutMs?: number; leaseMs?: number; cacheMs?: number }
  /** Refreshes connections before their refresh token ends by inactivity. Default false. */
  backgroundRefresh?: boolean
}
export type MaybePromise<T> = T | Promise<T>

/** What is used of the host's `mongoose.connection`; mongoose itself stays optional. */
export interface MongooseConnection {
  readonly readyState: number
  asPromise(): Promise<unknown>
}

/** Options with the environment and the defaults filled in. */
export interface Settings {
  baseUrl: URL
  secret: string
  encryptionKeys: string
  path: string
  loginUrl: string | undefined
  allowedOrigins: readonly string[]
  store: NonNullable<AtomOptions['store']> & { why: string }
  queue: { kind: 'embedded' } | { kind: 'bullmq'; url: string }
  providers: ReadonlyMap<string, CatalogueEntry>
  origins: OriginMap | undefined
  sync:
    | false
    | {
        months: number
        onRecords?: NonNullable<Exclude<AtomOptions['sync'], false | undefined>['onRecords']>
        concurrency?: number
      }
  role: { web: boolean; worker: boolean }
  appName: string
  /** Sentences for the one line at start. */
  notes: readonly string[]
}

type Env = Readonly<Record<string, string | undefined>>

const fn = z.custom<(...args: never[]) => unknown>((value) => typeof value === 'function', 'must be a function')
const whole = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error })
}
const milliseconds = whole(1, 600_000)
const providerSchema = z.strictObject({
  clientId: z.string().min(1).optional(),
  clientSecret: z.string().min(1).optional(),
  redirectUri: z.string().optional(),
  scopes: z.array(z.string().min(1)).optional(),
  pkce: z.boolean().optional(),
  params: z.record(z.string(), z.string()).optional(),
  env: z.record(z.string(), z.string()).optional(),
  definition: z.custom((value) => typeof value === 'object' && value !== null).optional(),
})
const schema = z.strictObject({
  baseUrl: z.string().optional(),
  secret: z.string().optional(),
  encryptionKeys: z.string().optional(),
  identify: fn,
  authorize: fn.optional(),
  path: z
    .string()
    .regex(/^(\/[A-Za-z0-9._~-]+)+$/, 'must begin with "/" and not end with it, such as "/integrations"')
    .default('/integrations'),
  loginUrl: z.string().min(1).optional(),
  allowedOrigins: z.array(z.string()).default([]),
  store: z
    .union(
      [
        z.strictObject({ kind: z.literal('sqlite'), path: z.string().min(1).optional() }),
        z.strictObject({ kind: z.literal('mongo'), url: z.string().min(1) }),
        z.strictObject({
          kind: z.literal('mongo'),
          connection: z.custom((value) => typeof value === 'object' && value !== null),
        }),
      ],
      'must be { kind: "sqlite", path? }, { kind: "mongo", url } or { kind: "mongo", connection: mongoose.connection }',
    )
    .optional(),
  queue: z
    .union(
      [
        z.strictObject({ kind: z.literal('embedded') }),
        z.strictObject({ kind: z.literal('bullmq'), url: z.string().min(1).optional() }),
      ],
      'must be { kind: "embedded" } or { kind: "bullmq", url? }',
    )
    .optional(),
  providers: z
    .union(
      [z.array(z.string()), z.record(z.string(), providerSchema)],
      'must be a list of ids, or an object with ids as keys',
    )
    .optional(),
  origins: z
    .record(
      z.string(),
      z.union(
        [z.string(), z.strictObject({ browser: z.string(), server: z.string() })],
        'must be an origin, or { browser, server }',
      ),
    )
    .optional(),
  sync: z
    .union(
      [
        z.literal(false),
        z.strictObject({
          months: whole(1, 36).optional(),
          onRecords: fn.optional(),
          concurrency: whole(1, 64).optional(),
        }),
      ],
      'must be false, or { months?, onRecords?, concurrency? }',
    )
    .optional(),
  role: z.enum(['web', 'worker']).optional(),
  appName: z.string().min(1).max(80).optional(),
  logger: z
    .union(
      [z.literal(false), z.custom((value) => typeof value === 'object' && value !== null)],
      'must be false, or an object with info, warn and error',
    )
    .optional(),
  http: z
    .strictObject({
      timeoutMs: milliseconds.optional(),
      connectTimeoutMs: milliseconds.optional(),
      maxBodyBytes: z.number().int().min(1024).optional(),
      idleTimeoutMs: milliseconds.optional(),
    })
    .optional(),
  tokens: z
    .strictObject({
      refreshTimeoutMs: milliseconds.optional(),
      leaseMs: milliseconds.optional(),
      cacheMs: whole(0, 10_000).optional(),
    })
    .optional(),
  backgroundRefresh: z.boolean().optional(),
  allowOtherAccountOnReconnect: z.boolean().optional(),
})

/**
 * Checks the options, fills in the environment (design §13) and the defaults.
 *
 * @throws TypeError naming the option or variable and the cure.
 */
export function resolveOptions(
  options: AtomOptions,
  catalogue: Readonly<Record<string, ProviderDefinition>>,
  environment: Env,
): Settings {
  const env = setVariables(environment)
  const parsed = schema.safeParse(options ?? {})
  if (!parsed.success) throw refusal(parsed.error.issues[0] as z.core.$ZodIssue, options)
  const given = parsed.data
  const production = isProduction(env)
  const baseUrl = resolveBaseUrl(options.baseUrl ?? env.ATOM_BASE_URL, production)
  const store = resolveStore(options, env)
  const notes = [`${baseUrl.origin}${joinPath(baseUrl, given.path)}`, `store ${store.why}`]
  const encryptionKeys = resolveKeys(options, env, store, production, notes)
  if (given.origins) refuseLoopbackInProduction(given.origins, production)

  const queueUrl =
    options.queue?.kind === 'bullmq' ? (options.queue.url ?? env.REDIS_URL) : options.queue ? undefined : env.REDIS_URL
  if (options.queue?.kind === 'bullmq' && !queueUrl)
    throw wrong('queue.url', 'is missing: set it, or the variable REDIS_URL')
  notes.push(queueUrl ? 'queue bullmq' : 'queue embedded')

  const appName = options.appName ?? baseUrl.hostname
  const providers = resolveProviders(options.providers, catalogue, env, { baseUrl, path: given.path, appName })
  notes.push(providersNote([...providers.values()], options.providers !== undefined))

  return {
    baseUrl,
    secret: resolveSecret(options.secret ?? env.ATOM_SECRET, encryptionKeys, production),
    encryptionKeys,
    path: joinPath(baseUrl, given.path),
    loginUrl: options.loginUrl,
    allowedOrigins: given.allowedOrigins.map((origin) => checkOrigin(origin)),
    store,
    queue: queueUrl ? { kind: 'bullmq', url: queueUrl } : { kind: 'embedded' },
    providers,
    origins: options.origins,
    sync: options.sync === false ? false : { ...options.sync, months: options.sync?.months ?? 3 },
    role: { web: options.role !== 'worker', worker: options.role !== 'web' },
    appName,
    notes,
  }
}

/** Those with a value: `ATOM_SECRET=`, as it stands in a copied .env.example, is not set. */
export function setVariables(env: Env): Env {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
}

/** Everything but `NODE_ENV` `development` or `test` (design §7). */
export function isProduction(env: Env): boolean {
  return env.NODE_ENV !== 'development' && env.NODE_ENV !== 'test'
}

/** Which are on and why, and what those that were asked for still need. */
function providersNote(entries: readonly CatalogueEntry[], named: boolean): string {
  const on = entries.filter(({ configured }) => configured)
  const ids = on.map(({ definition }) => definition.id).join(', ') || 'none'
  if (named) {
    const off = entries.filter(({ configured }) => !configured)
    const needs = off.map(({ definition, missing }) => `${definition.id} needs ${missing.join(', ')}`)
    return [`providers ${ids} (option providers)`, ...needs].join('; ')
  }
  const hint = on.every(({ definition }) => definition.auth.kind === 'api_key')
    ? '; no other has its variables set, such as SLACK_CLIENT_ID and SLACK_CLIENT_SECRET'
    : ''
  return `providers ${ids} (environment)${hint}`
}

/** What the schema found, in words that name the option and the cure. */
function refusal(issue: z.core.$ZodIssue, options: unknown): TypeError {
  const path = issue.path.map(String)
  const option = path.join('.') || 'options'
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    return wrong(
      [...path, key.slice(0, 40)].join('.'),
      `is unknown${cureOf(key, namesAt(schema, options, issue.path))}`,
    )
  }
  if (issue.code === 'invalid_type')
    return wrong(option, `must be ${/^[aeiou]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`)
  if (issue.code === 'invalid_value')
    return wrong(option, `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`)
  return wrong(option, issue.message)
}

/** Names that the schema has at a path; where it has a choice there, those of the forms that fit what was given. */
function namesAt(part: z.core.$ZodType, given: unknown, path: readonly PropertyKey[]): string[] {
  if (part instanceof z.ZodOptional || part instanceof z.ZodDefault) return namesAt(part.unwrap(), given, path)
  if (part instanceof z.ZodUnion) return [...new Set(part.options.flatMap((form) => namesAt(form, given, path)))]
  const [step, ...rest] = path
  const value = (name: PropertyKey) => (given as Record<PropertyKey, unknown> | null | undefined)?.[name]
  if (part instanceof z.ZodRecord) return step === undefined ? [] : namesAt(part.valueType, value(step), rest)
  if (!(part instanceof z.ZodObject)) return []
  const shape: Readonly<Record<string, z.core.$ZodType>> = part.shape
  if (step !== undefined) return namesAt(shape[String(step)] as z.core.$ZodType, value(step), rest)
  const fits = Object.entries(shape).every(
    ([name, form]) => !(form instanceof z.ZodLiteral) || form.values.has(value(name) as never),
  )
  return fits ? Object.keys(shape) : []
}

/** The right spelling of an unknown name, else all names there are. */
function cureOf(key: string, known: readonly string[]): string {
  const meant = known.find((name) => plain(name) === plain(key))
  return meant === undefined ? `; there are ${known.join(', ')}` : `: it is spelt "${meant}"`
}

const plain = (name: string) =>
  name
    .toLowerCase()
    .replace(/s$/, '')
    .replace(/ur[il]$/, 'url')

function wrong(option: string, problem: string): TypeError {
  return new TypeError(`atomIntegrations: option "${option}" ${problem}.`)
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || /^127(\.\d{1,3}){3}$/.test(host) || host === '[::1]'
}

/** @throws TypeError */
export function resolveBaseUrl(value: string | undefined, production: boolean): URL {
  if (!value)
    throw wrong(
      'baseUrl',
      'is missing: set it, or the variable ATOM_BASE_URL, to the public address of the app, such as "https://app.example.com"',
    )
  let url: URL
  try {
    url = new URL(value)
  } catch {
    throw wrong('baseUrl', `must be an absolute URL such as "https://app.example.com", not "${value.slice(0, 80)}"`)
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw wrong(
      'baseUrl',
      `must begin with https:// (or http:// on this machine, such as "http://localhost:3000"), not "${value.slice(0, 80)}"`,
    )
  if (url.protocol === 'http:' && production && !isLoopback(url.hostname))
    throw wrong('baseUrl', 'must begin with https:// in production (NODE_ENV is neither development nor test)')
  if (url.search || url.hash || url.username) throw wrong('baseUrl', 'must have no query, fragment or user')
  return url
}

function checkOrigin(value: string): string {
  const origin = URL.canParse(value) ? new URL(value).origin : 'null'
  if (origin !== value)
    throw wrong('allowedOrigins', `must hold origins such as "https://admin.example.com", not "${value.slice(0, 80)}"`)
  return origin
}

export function resolveStore(options: Pick<AtomOptions, 'store'>, env: Env): Settings['store'] {
  const sqlitePath = join(env.ATOM_DATA_DIR ?? '.atom', 'atom.sqlite')
  if (options.store?.kind === 'sqlite') {
    const path = options.store.path ?? sqlitePath
    return { kind: 'sqlite', path, why: `sqlite ${path} (option store)` }
  }
  if (options.store) return { ...options.store, why: 'mongo (option store)' }
  if (env.MONGODB_URL) return { kind: 'mongo', url: env.MONGODB_URL, why: 'mongo (MONGODB_URL)' }
  return { kind: 'sqlite', path: sqlitePath, why: `sqlite ${sqlitePath} (default)` }
}

export const MAKE_KEY = `node -e "console.log('k1:' + require('node:crypto').randomBytes(32).toString('base64'))"`
export const MAKE_SECRET = `node -e "console.log(require('node:crypto').randomBytes(32).toString('base64url'))"`

/** @throws TypeError */
export function resolveKeys(
  options: Pick<AtomOptions, 'encryptionKeys'>,
  env: Env,
  store: { kind: 'sqlite'; path?: string } | { kind: 'mongo' },
  production: boolean,
  notes: string[],
): string {
  const keys = options.encryptionKeys ?? env.ATOM_ENCRYPTION_KEYS
  if (keys) return keys
  const local =
    production && env.NODE_ENV !== 'production'
      ? `. On your own machine set NODE_ENV=development instead (it is ${env.NODE_ENV ? `"${env.NODE_ENV.slice(0, 40)}"` : 'not set'}), and a key is made for you`
      : ''
  const cure = `set it, or the variable ATOM_ENCRYPTION_KEYS. Make one with: ${MAKE_KEY}${local}`
  if (production) throw wrong('encryptionKeys', `is missing, and tokens are never stored in plain text: ${cure}`)
  if (store.kind === 'mongo') throw wrong('encryptionKeys', `is missing, and MongoDB always wants one: ${cure}`)
  const inMemory = store.path === undefined || store.path === ':memory:'
  const path = join(inMemory ? (env.ATOM_DATA_DIR ?? '.atom') : dirname(store.path as string), 'development.key')
  const file = readOrCreateKeyFile(path)
  notes.push(`encryption key ${path} (${file.created ? 'made now' : 'found'}; development only)`)
  return file.keys
}

/** @throws TypeError */
export function resolveSecret(secret: string | undefined, encryptionKeys: string, production: boolean): string {
  if (secret === undefined && !production) {
    return Buffer.from(hkdfSync('sha256', encryptionKeys, '', 'atom-integrations development secret', 32)).toString(
      'base64url',
    )
  }
  if (secret === undefined)
    throw wrong('secret', `is missing: set it, or the variable ATOM_SECRET. Make one with: ${MAKE_SECRET}`)
  if (Buffer.byteLength(secret) < 32)
    throw wrong('secret', `must have at least 32 bytes. Make one with: ${MAKE_SECRET}`)
  return secret
}

function refuseLoopbackInProduction(origins: OriginMap, production: boolean): void {
  if (!production) return
  for (const [origin, target] of Object.entries(origins)) {
    for (const value of typeof target === 'string' ? [target] : [target.browser, target.server]) {
      if (URL.canParse(value) && (new URL(value).protocol === 'http:' || isLoopback(new URL(value).hostname)))
        throw wrong(
          `origins["${origin}"]`,
          'may name plain http or this machine only with NODE_ENV development or test',
        )
    }
  }
}
