import type { RequestHandler } from 'express'
import { createEvents, type EventName, type Listener } from './events.js'
import { createRouter } from './middleware/router.js'
import { countRequest, type Logger, redactingLogger } from './observability.js'
import { type AtomOptions, isProduction, resolveOptions, type Settings } from './options.js'
import { createStore, type StoreChoice } from './persistence/create-store.js'
import { createSealer } from './persistence/sealing.js'
import type { Store } from './persistence/store.js'
import { createProviderHttp } from './provider-http/client.js'
import { catalogue } from './strategies/index.js'
import { createBullmqQueue } from './sync/bullmq-queue.js'
import { createEmbeddedQueue } from './sync/embedded-queue.js'
import type { Queue } from './sync/queue.js'
import { createSync } from './sync/sync.js'
import { createTenantApi, type TenantApi } from './tenant.js'
import { createTokens } from './tokens/access-token.js'

/** What `atomIntegrations(options)` returns: an Express handler with the library's members on it. */
export interface AtomIntegrations extends RequestHandler {
  /**
   * Calls `listener` for every event of this type, at least once each, also for those of other processes and of before a restart.
   *
   * @param options.group - Listeners of one group are acknowledged together and by itself; default `'default'`.
   */
  on<T extends EventName>(type: T, listener: Listener<T>, options?: { group?: string }): AtomIntegrations
  once<T extends EventName>(type: T, listener: Listener<T>, options?: { group?: string }): AtomIntegrations
  off<T extends EventName>(type: T, listener: Listener<T>): AtomIntegrations
  /** Resolves once the store is open and workers run. Rejects with what is wrong; a later call tries again. */
  ready(): Promise<void>
  /** What code of the host does for one of its users. */
  forTenant(tenantId: string): TenantApi
  /** The same members across tenants: operations and migrations. */
  readonly admin: TenantApi
  /** Stops taking work, waits for what runs, closes the store. */
  close(): Promise<void>
}

/**
 * Gives an Express app its integrations: `app.use(atomIntegrations(options))`.
 *
 * @throws TypeError naming the option and the cure when something is set wrong.
 */
export function atomIntegrations(options: AtomOptions): AtomIntegrations {
  const settings = resolveOptions(options, catalogue, process.env)
  // The only way to the host's logger: nothing secret gets there, and what it throws ends here.
  const logger = options.logger === false ? undefined : redactingLogger(options.logger ?? consoleLogger)
  const now = Date.now

  const sealer = createSealer(settings.encryptionKeys, { fingerprintSecret: settings.secret })
  const store = createStore(settings.store as StoreChoice)
  const ids = new Map([...settings.providers].map(([id, { definition }]) => [definition.name, id]))
  const http = createProviderHttp({
    ...options.http,
    ...(settings.origins && { origins: settings.origins }),
    onRequest: (info) => countRequest(ids.get(info.provider) ?? info.provider, info),
    // Workers that share a Redis share the providers' rate limits.
    ...(settings.queue.kind === 'bullmq' && {
      redisURL: settings.queue.url,
      onRedisError: (error: unknown) => logger?.warn({ error }, 'atom-integrations: the shared rate limits are away'),
    }),
  })
  const events = createEvents({ store, now, ...(logger && { logger }) })
  const tokens = createTokens({
    store,
    sealer,
    http,
    providers: (id) => settings.providers.get(id),
    groups: () => events.groups(),
    onEvent: () => events.kick(),
    ready,
    connectPath: (provider) => `${settings.path}/${provider}/connect`,
    now,
    ...options.tokens,
    ...(options.backgroundRefresh && { backgroundRefresh: true }),
    ...(logger && { logger }),
  })
  const queue = createQueue(settings, store)
  const sync = settings.sync
    ? createSync({
        store,
        tokens,
        queue,
        events,
        providers: (id) => settings.providers.get(id),
        now,
        ...settings.sync,
        ...(logger && { logger }),
      })
    : undefined
  const router = createRouter({
    baseUrl: settings.baseUrl,
    path: settings.path,
    secret: settings.secret,
    allowedOrigins: settings.allowedOrigins,
    identify: options.identify,
    store,
    sealer,
    http,
    providers: settings.providers,
    tokens,
    sync,
    events,
    queue,
    ready,
    now,
    allowOtherAccountOnReconnect: options.allowOtherAccountOnReconnect === true,
    development: !isProduction(process.env),
    ...(options.authorize && { authorize: options.authorize }),
    ...(settings.loginUrl && { loginUrl: settings.loginUrl }),
    ...(logger && { logger }),
  })

  let starting: Promise<void> | undefined
  let closed = false
  function ready(): Promise<void> {
    if (closed) return Promise.reject(new Error('atom-integrations is closed'))
    if (!starting) {
      starting = start()
      starting.catch(() => {
        starting = undefined
      })
    }
    return starting
  }
  async function start(): Promise<void> {
    await store.open()
    // A process that serves only leaves what it writes to the workers: deliveries stay pending, none is claimed with its write.
    if (settings.role.worker) await events.start(!settings.role.web)
    if (sync) await sync.start(settings.role)
    await tokens.start(settings.role)
  }
  async function close(): Promise<void> {
    if (closed) return
    const started = starting
    closed = true
    await started?.catch(() => {})
    await sync?.close()
    await events.close()
    await tokens.close()
    await http.close()
    await store.close()
  }

  logger?.info({}, `atom-integrations: ${settings.notes.join('; ')}`)
  // Workers must run without a first request. A store that is down is told by ready() and by every answer; the next call tries again.
  ready().catch((error: unknown) => logger?.error({ error }, 'atom-integrations: could not start'))

  const api = { store, tokens, sync, ready, kick: () => events.kick() }
  const integrations = Object.assign(router, {
    on(...args: Parameters<AtomIntegrations['on']>) {
      events.on(...args)
      return integrations
    },
    once(...args: Parameters<AtomIntegrations['once']>) {
      events.once(...args)
      return integrations
    },
    off(...args: Parameters<AtomIntegrations['off']>) {
      events.off(...args)
      return integrations
    },
    ready,
    close,
    forTenant(tenantId: string) {
      if (typeof tenantId !== 'string' || tenantId === '' || tenantId.length > 200)
        throw new TypeError('forTenant: the tenant id must be a string of 1 to 200 characters.')
      return createTenantApi(tenantId, api)
    },
    admin: createTenantApi(null, api),
  }) as AtomIntegrations
  return integrations
}

function createQueue({ queue }: Settings, store: Store): Queue {
  return queue.kind === 'bullmq' ? createBullmqQueue({ url: queue.url, store }) : createEmbeddedQueue({ store })
}

const consoleLogger: Logger = {
  info: (_fields, message) => console.info(message),
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
}
