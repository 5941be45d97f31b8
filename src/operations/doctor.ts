import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { isProduction, MAKE_KEY, MAKE_SECRET, resolveBaseUrl, resolveSecret, resolveStore } from '../options.js'
import { createStore, type StoreChoice } from '../persistence/create-store.js'
import { createSealer, type Sealer } from '../persistence/sealing.js'
import type { Store } from '../persistence/store.js'
import { type CatalogueEntry, callbackURL, joinPath, resolveProviders } from '../provider-settings.js'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import { openCredential } from '../tokens/credential.js'

/** One thing that was looked at. `warn`: works, but look at it. `fail`: does not work, or not in production. */
export interface Finding {
  level: 'ok' | 'warn' | 'fail'
  subject: string
  /** What was found, never with a secret. */
  text: string
  /** What to do, where there is something. */
  cure?: string
}

export interface DoctorOptions {
  env: Readonly<Record<string, string | undefined>>
  catalogue: Readonly<Record<string, ProviderDefinition>>
  /** Default: as the environment says. */
  store?: StoreChoice
  /** Default: `ATOM_BASE_URL`. */
  baseUrl?: string
  /** Where the routes are mounted. Default `/integrations`. */
  path?: string
  /** Ids. Default: those with a variable that is set. */
  providers?: readonly string[]
}

const MAX_SKEW_MS = 2_000
const REACH_MS = 5_000
/** Connections whose keys are counted. */
const LOOKED_AT = 1_000

/**
 * Looks at everything that a start needs, and says what to do where something is wrong. Changes nothing but
 * the schema of the store: opening it brings that to this version, as a start of the app does.
 */
export async function* diagnose(options: DoctorOptions): AsyncGenerator<Finding> {
  const { env } = options
  const production = isProduction(env)
  yield* runtime(env, production)
  const baseUrl = attempt(() => resolveBaseUrl(options.baseUrl ?? env.ATOM_BASE_URL, production))
  yield 'value' in baseUrl
    ? { level: 'ok', subject: 'base URL', text: baseUrl.value.href }
    : {
        level: 'fail',
        subject: 'base URL',
        text: baseUrl.error,
        cure: 'Where the code of the app sets it: --base-url URL',
      }
  const keys = env.ATOM_ENCRYPTION_KEYS
  const choice = options.store ?? resolveStore({}, env)
  const sealer = keys ? attempt(() => createSealer(keys)) : undefined
  yield* encryptionKeys(sealer, choice, production)
  const secret = attempt(() => resolveSecret(env.ATOM_SECRET, keys ?? 'development', production))
  const made = 'made from the encryption key (development only)'
  yield 'value' in secret
    ? { level: 'ok', subject: 'secret', text: env.ATOM_SECRET ? 'ATOM_SECRET is long enough' : made }
    : {
        level: 'fail',
        subject: 'secret',
        text: `ATOM_SECRET ${env.ATOM_SECRET ? 'has fewer than 32 bytes' : 'is missing'}`,
        cure: `Make one: ${MAKE_SECRET}`,
      }
  yield* storeFindings(choice, sealer && 'value' in sealer ? sealer.value : undefined)
  yield* queue(env)
  if ('value' in baseUrl) {
    yield* cookies(baseUrl.value, production)
    yield* providers(options, baseUrl.value, production)
    yield* reachable(baseUrl.value, options.path ?? '/integrations')
  }
}

type Attempt<T> = { value: T } | { error: string }

function attempt<T>(work: () => T): Attempt<T> {
  try {
    return { value: work() }
  } catch (error) {
    return { error: messageOf(error) }
  }
}

function messageOf(error: unknown): string {
  return (error as Error).message.replace(/^atomIntegrations: /, '')
}

function* runtime(env: DoctorOptions['env'], production: boolean): Generator<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isOld = major < 20 || (major === 20 && minor < 19)
  yield {
    level: isOld ? 'fail' : 'ok',
    subject: 'Node',
    text: process.versions.node,
    ...(isOld && { cure: 'Use Node 20.19 or later.' }),
  }
  yield {
    level: 'ok',
    subject: 'environment',
    text: production
      ? `production (NODE_ENV is ${env.NODE_ENV ?? 'not set'}): keys and secret are demanded, loopback origins refused`
      : `${env.NODE_ENV}: keys are made where they are missing`,
  }
  if (env.HTTPS_PROXY ?? env.https_proxy)
    yield {
      level: 'warn',
      subject: 'proxy',
      text: 'HTTPS_PROXY is set, and is not used for calls to providers',
      cure: 'Let this machine reach the providers directly, or map their origins to your proxy with the option "origins".',
    }
}

function* encryptionKeys(
  sealer: Attempt<Sealer> | undefined,
  choice: StoreChoice,
  production: boolean,
): Generator<Finding> {
  const subject = 'encryption keys'
  if (sealer && 'error' in sealer) yield { level: 'fail', subject, text: sealer.error }
  else if (sealer) yield { level: 'ok', subject, text: `"${sealer.value.firstKeyId}" seals` }
  else if (production || choice.kind === 'mongo')
    yield {
      level: 'fail',
      subject,
      text: 'ATOM_ENCRYPTION_KEYS is missing',
      cure: `Make one: ${MAKE_KEY}`,
    }
  else yield { level: 'ok', subject, text: 'a key file beside the store (development only)' }
}

async function* storeFindings(choice: StoreChoice, sealer: Sealer | undefined): AsyncGenerator<Finding> {
  const subject = 'store'
  if (choice.kind === 'sqlite' && choice.path && !existsSync(choice.path)) {
    const found = attempt(() => accessSync(nearestFolder(choice.path as string), constants.W_OK))
    yield 'error' in found
      ? {
          level: 'fail',
          subject,
          text: `${choice.path} cannot be made here: ${found.error}`,
          cure: 'Set ATOM_DATA_DIR.',
        }
      : { level: 'ok', subject, text: `sqlite ${choice.path}, made at the first start` }
    return
  }
  if (choice.kind === 'sqlite' && choice.path && (statSync(dirname(choice.path)).mode & 0o077) !== 0)
    yield {
      level: 'warn',
      subject,
      text: `others on this machine may look into ${dirname(choice.path)}`,
      cure: `chmod 700 ${dirname(choice.path)}`,
    }
  const store = createStore(choice)
  try {
    await store.open()
    await store.ping()
    const text = `${store.kind}${choice.kind === 'sqlite' ? ` ${choice.path}` : ''} answers`
    yield { level: 'ok', subject, text }
    if (store.kind === 'mongo') yield await clock(store)
    if (sealer) yield* sealedWith(store, sealer)
  } catch (error) {
    yield { level: 'fail', subject, text: messageOf(error) }
  } finally {
    await store.close()
  }
}

async function clock(store: Store): Promise<Finding> {
  const subject = 'clock'
  const before = Date.now()
  const skew = (await store.serverTime()) - (before + Date.now()) / 2
  if (Math.abs(skew) <= MAX_SKEW_MS) return { level: 'ok', subject, text: 'in step with the database server' }
  return {
    level: 'warn',
    subject,
    text: `this machine is ${(Math.abs(skew) / 1000).toFixed(1)} seconds ${skew > 0 ? 'behind' : 'ahead of'} the database server`,
    cure: 'Keep the clocks of all machines in step (NTP): leases and expiry times are compared between them.',
  }
}

function nearestFolder(path: string): string {
  let folder = dirname(path)
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder)
  return folder
}

/** Which keys the stored tokens need. */
async function* sealedWith(store: Store, sealer: Sealer): AsyncGenerator<Finding> {
  const subject = 'stored tokens'
  const counts = new Map<string, number>()
  const unreadable = new Set<string>()
  let seen = 0
  for (let after: string | null | undefined; after !== null && seen < LOOKED_AT; ) {
    const page = await store.listConnections({ tenantId: null, limit: 200, ...(after && { after }) })
    for (const connection of page.items) {
      seen++
      for (const [name, { sealed }] of Object.entries(connection.tokens)) {
        const keyId = sealer.keyIdOf(sealed)
        counts.set(keyId, (counts.get(keyId) ?? 0) + 1)
        const opened = attempt(() => openCredential(sealer, connection, name, sealed))
        if ('error' in opened) unreadable.add(keyId)
      }
    }
    after = page.next
  }
  for (const [keyId, count] of counts) {
    const text = `${count} sealed with "${keyId}"`
    if (unreadable.has(keyId))
      yield {
        level: 'fail',
        subject,
        text: `${text}, which does not open them`,
        cure: `Put the key that was called "${keyId}" back into ATOM_ENCRYPTION_KEYS. Nothing is lost as long as you have it.`,
      }
    else if (keyId !== sealer.firstKeyId)
      yield { level: 'warn', subject, text, cure: 'Seal them with the first key: npx atom-integrations reseal' }
    else yield { level: 'ok', subject, text }
  }
  if (counts.size === 0) yield { level: 'ok', subject, text: 'none yet' }
}

async function* queue(env: DoctorOptions['env']): AsyncGenerator<Finding> {
  const subject = 'queue'
  if (!env.REDIS_URL) return yield { level: 'ok', subject, text: 'embedded' }
  try {
    const { Redis } = await import('ioredis')
    const redis = new Redis(env.REDIS_URL, { lazyConnect: true, connectTimeout: REACH_MS, retryStrategy: () => null })
    redis.on('error', () => {})
    try {
      await redis.connect()
      await redis.ping()
      yield { level: 'ok', subject, text: 'Redis answers' }
    } finally {
      redis.disconnect()
    }
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND'
    yield {
      level: 'fail',
      subject,
      text: missing ? 'REDIS_URL is set, and ioredis is not installed' : `Redis does not answer: ${messageOf(error)}`,
      cure: missing ? 'npm install ioredis bullmq' : 'Check REDIS_URL, or unset it: the embedded queue needs no Redis.',
    }
  }
}

function* cookies(baseUrl: URL, production: boolean): Generator<Finding> {
  const secure = baseUrl.protocol === 'https:'
  yield {
    level: secure || !production ? 'ok' : 'warn',
    subject: 'cookies',
    text: secure
      ? '__Host-atom-…, Secure, HttpOnly, SameSite=Lax'
      : 'atom-…, HttpOnly, SameSite=Lax, without Secure because the base URL is http',
    ...(!secure && production && { cure: 'Serve the app over https.' }),
  }
}

function* providers(
  { env, catalogue, providers: chosen, path = '/integrations' }: DoctorOptions,
  baseUrl: URL,
  production: boolean,
): Generator<Finding> {
  let shown = 0
  for (const id of chosen ?? Object.keys(catalogue)) {
    const subject = id
    const found = attempt(
      () => [...resolveProviders([id], catalogue, env, { baseUrl, path, appName: baseUrl.hostname }).values()][0],
    )
    if ('error' in found) {
      shown++
      yield { level: 'fail', subject, text: found.error }
      continue
    }
    const entry = found.value as CatalogueEntry
    if (!entry.configured) {
      if (!chosen) continue
      yield {
        level: 'warn',
        subject,
        text: 'not in the environment (fine where your code sets it)',
        cure: `Set ${entry.missing.join(', ')}.`,
      }
    } else if (entry.definition.auth.kind !== 'api_key') yield redirectFinding(entry, baseUrl, path, production)
    else if (chosen) yield { level: 'ok', subject, text: 'users bring a key of their own' }
    else continue
    shown++
  }
  if (shown === 0)
    yield {
      level: 'warn',
      subject: 'providers',
      text: 'none is configured, but for those whose users bring a key of their own',
      cure: 'Set the client id and secret of one, such as SLACK_CLIENT_ID and SLACK_CLIENT_SECRET. docs/providers has a guide for each.',
    }
}

function redirectFinding(entry: CatalogueEntry, baseUrl: URL, path: string, production: boolean): Finding {
  const { definition, client } = entry
  const expected = callbackURL(definition, { baseUrl, path })
  const subject = definition.id
  if (client.redirectURI !== expected)
    return {
      level: 'warn',
      subject,
      text: `the redirect URI ${client.redirectURI} does not lead to ${expected}`,
      cure: 'Leave the _REDIRECT_URI variable out, unless a proxy of yours leads from one to the other.',
    }
  if (production && !client.redirectURI.startsWith('https:'))
    return {
      level: 'warn',
      subject,
      text: `the redirect URI ${client.redirectURI} is not https`,
      cure: 'Most providers refuse it.',
    }
  return { level: 'ok', subject, text: `register the redirect URI ${client.redirectURI}` }
}

/** The app as a browser finds it: through whatever proxies stand before it. */
async function* reachable(baseUrl: URL, path: string): AsyncGenerator<Finding> {
  const subject = 'the app'
  const url = `${baseUrl.origin}${joinPath(baseUrl, path)}/health`
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(REACH_MS) })
    const isOurs = await response.json().then(
      (body: unknown) => typeof body === 'object' && body !== null && 'status' in body,
      () => false,
    )
    if (isOurs && response.status === 200) yield { level: 'ok', subject, text: `${url} answers` }
    else
      yield {
        level: 'warn',
        subject,
        text: `${url} answers ${response.status}${isOurs ? '' : ', and not by this library'}`,
        cure: isOurs
          ? 'Look at the log of the app: its store or queue is down.'
          : 'Check baseUrl, the mount path, and that proxies pass the path on unchanged.',
      }
  } catch {
    yield {
      level: 'warn',
      subject,
      text: `${url} cannot be reached from here`,
      cure: 'Fine while the app is not running. Otherwise check baseUrl and what stands before the app.',
    }
  }
}
