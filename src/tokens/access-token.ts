import { setTimeout as delay } from 'node:timers/promises'
import { IntegrationError } from '../errors.js'
import { type Logger, loadTelemetry, silentLogger } from '../observability.js'
import type { Sealer } from '../persistence/sealing.js'
import type { ConnectionDocument, Store } from '../persistence/store.js'
import type { DoorAnswer, ProviderHttp } from '../provider-http/client.js'
import { newId } from '../random.js'
import type { RequestTemplate, Resource } from '../strategies/define-provider.js'
import type { Grant } from '../strategies/grant.js'
import type { Scope } from '../strategies/template.js'
import { createApi, type FetchInit } from './fetch.js'
import { isValidFor, notFound, type OpenToken, openToken, type ProviderEntry, type TokenParts } from './open-token.js'
import { createRefresher } from './refresh.js'
import { createRefreshDue } from './refresh-due.js'
import { createRevoker } from './revoke.js'

export type { FetchInit } from './fetch.js'
export type { ProviderEntry } from './open-token.js'

export interface TokensOptions {
  store: Store
  sealer: Sealer
  http: ProviderHttp
  providers: (id: string) => ProviderEntry | undefined
  /** Listener groups that events are written for. */
  groups: () => readonly string[]
  /** Called when an event was written: wakes the dispatcher. */
  onEvent: () => void
  /** Awaited before the store is first used. */
  ready?: () => Promise<void>
  /** Where a user connects this provider again; stands in the detail of errors. Default `/integrations/<provider>/connect`. */
  connectPath?: (provider: string) => string
  /** Milliseconds since 1970. Clocks of processes may differ by less than `leaseMs - refreshTimeoutMs`. */
  now?: () => number
  sleep?: (milliseconds: number) => Promise<void>
  /** Most a refresh request may take. Default 10,000 ms. */
  refreshTimeoutMs?: number
  /** Length of the lease a refresh runs under; longer than the request. Default three times it, at least 30,000 ms. */
  leaseMs?: number
  /** How old a token may be that is answered without reading the store: 0 to 10,000 ms. Default 10,000. */
  cacheMs?: number
  /** Most connections whose tokens are kept in memory. Default 10,000. */
  cacheSize?: number
  /** Refreshes connections before their refresh token ends by inactivity. Default false. */
  backgroundRefresh?: boolean
  logger?: Logger
}

export interface AccessTokenOptions {
  /** Least time the token must still be valid, in seconds. Default 0, on top of our own margin. */
  minValiditySeconds?: number
  /** Which token, where a provider has several (`bot`, `user`). */
  token?: string
}

export interface Tokens {
  /** @throws IntegrationError `CONNECTION_NOT_FOUND`, `CONNECTION_NEEDS_REAUTH`, `CONNECTION_DISCONNECTED`, `PROVIDER_*`, `STORE_*` */
  accessToken(tenantId: string | null, connectionId: string, options?: AccessTokenOptions): Promise<string>
  /** An authenticated request of a connection; see `FetchInit`. */
  fetch(tenantId: string | null, connectionId: string, url: string, init?: FetchInit): Promise<Response>
  /** An API request of a definition, for the backfill. One refresh after a 401 that means expiry. */
  call(connectionId: string, request: RequestTemplate, options?: CallOptions): Promise<DoorAnswer>
  /** Forgets what this process keeps of a connection. */
  invalidate(connectionId: string): void
  /**
   * Takes back a grant that could not be saved, where the provider offers it and no connection lives by it. Resolves to whether it
   * was revoked; never rejects. A grant that others may hold waits in memory for a store that is down, ten minutes at most.
   */
  revokeGrant(provider: string, grant: Grant, grantKey?: string | null): Promise<boolean>
  disconnect(tenantId: string | null, connectionId: string, options?: { records?: 'keep' | 'delete' }): Promise<void>
  /** Tries the revocations that are due. Resolves to how many were finished. */
  retryRevocations(): Promise<number>
  /** Refreshes what is due by `backgroundRefresh`, whether it is on or not. Resolves to how many were refreshed. */
  refreshDue(): Promise<number>
  /** Starts what runs by itself: revocations to retry, and the background refresh where it is on. */
  start(role?: { web: boolean; worker: boolean }): Promise<void>
  /** Waits for refreshes under way, and for grants to be taken back. */
  close(): Promise<void>
}

export interface CallOptions {
  scope?: Partial<Scope>
  signal?: AbortSignal
  resource?: Resource
  /** Default: the connection's first token. */
  token?: string
}

/** Kept by connection; who asks, and for which token, is compared at each entry. */
interface CacheEntry {
  tenantId: string | null
  name: string | undefined
  token: OpenToken
  /** Used from `loadedAt` until here, by `now()`. */
  until: number
  loadedAt: number
  answer: Promise<string>
}

/**
 * A token that this process refreshed so recently is not refreshed again for a caller who wants it still younger, or for a 401 that
 * it did not cure.
 */
const JUST_REFRESHED_MS = 30_000
const HOUSEKEEPING_MS = 60_000

/**
 * Tokens of connections: handed out, kept alive, taken back.
 *
 * @throws TypeError when a time does not fit: the lease must be longer than the refresh request, the cache at most 10 s old.
 */
export function createTokens(options: TokensOptions): Tokens {
  const { store, ready = () => Promise.resolve(), now = Date.now, refreshTimeoutMs = 10_000 } = options
  const { leaseMs = Math.max(30_000, refreshTimeoutMs * 3), cacheMs = 10_000, cacheSize = 10_000 } = options
  checkTimes(refreshTimeoutMs, leaseMs, cacheMs)

  const cache = new Map<string, readonly CacheEntry[]>()
  const reads = new Map<string, Promise<OpenToken>>()
  /** When this process refreshed which version; bounded like the cache. */
  const refreshedAt = new Map<string, number>()
  /** Grows when something was forgotten, so that a read that began before is not kept. */
  let epoch = 0
  const parts: TokenParts = {
    store,
    sealer: options.sealer,
    http: options.http,
    providers: options.providers,
    connectPath: options.connectPath ?? ((provider) => `/integrations/${provider}/connect`),
    now,
    sleep: options.sleep ?? ((milliseconds) => delay(milliseconds)),
    newEvent: (type) => ({ id: newId(), type, occurredAt: now(), groups: options.groups() }),
    onEvent: options.onEvent,
    forget,
    logger: options.logger ?? silentLogger,
    refreshTimeoutMs,
    leaseMs,
  }
  const revoker = createRevoker(parts)
  const refresher = createRefresher(parts, newId(), revoker.revokeOrphan)
  const refreshDue = createRefreshDue(parts, (token) => refresher.refresh(token, true))
  const api = createApi(parts, { document, current, replace, wasJustRefreshed })
  let timer: NodeJS.Timeout | undefined
  let housekeeping: Promise<unknown> = Promise.resolve()
  let closed = false

  // Not async, and one Map look-up: a warm call costs no more than that.
  function accessToken(tenantId: string | null, connectionId: string, asked?: AccessTokenOptions): Promise<string> {
    const name = asked?.token
    const entry = find(tenantId, connectionId, name)
    if (entry !== undefined) {
      const time = now()
      const least = asked?.minValiditySeconds
      if (time < entry.until && time >= entry.loadedAt && (!least || isValidFor(entry.token, time, least * 1000)))
        return entry.answer
    }
    return current(tenantId, connectionId, name, checkSeconds(asked?.minValiditySeconds)).then(
      ({ credential }) => credential.accessToken,
    )
  }

  /** A token that is good to use now: from the cache, from the store, or refreshed. */
  async function current(
    tenantId: string | null,
    connectionId: string,
    name: string | undefined,
    leastMs = 0,
  ): Promise<OpenToken> {
    const token = await load(tenantId, connectionId, name)
    const time = now()
    const dueSoon = token.dueAt !== null && token.dueAt <= time
    const tooShort = !isValidFor(token, time, leastMs)
    if (!dueSoon && !tooShort) return token
    if (!token.refreshable) {
      // Nothing to refresh with. What is left of its life is used up, then only the user can help.
      if (isValidFor(token, time, 0)) return token
      throw await api.ended(token, 'expired')
    }
    if (!dueSoon && isValidFor(token, time, 0) && wasJustRefreshed(token)) return token
    try {
      const fresh = await refresh(token, tooShort)
      keep(tenantId, connectionId, name, fresh)
      return fresh
    } catch (error) {
      if (!isOutage(error) || !isValidFor(token, now(), leastMs)) throw error
      // The provider is down, but this token still works: the next look at the store comes with the end of the cache.
      keep(tenantId, connectionId, name, token, true)
      return token
    }
  }

  /** After a refusal: the token that replaces `old`, by a read if another process was faster, else by a refresh. */
  async function replace(tenantId: string | null, old: OpenToken, name: string | undefined): Promise<OpenToken> {
    const fresh = await refresh(old, true)
    keep(tenantId, old.document.id, name, fresh)
    return fresh
  }

  async function refresh(old: OpenToken, mustChange: boolean): Promise<OpenToken> {
    const fresh = await refresher.refresh(old, mustChange)
    if (fresh !== old) refreshedAt.set(versionOf(fresh), now())
    if (refreshedAt.size > cacheSize) refreshedAt.delete(refreshedAt.keys().next().value as string)
    return fresh
  }

  function wasJustRefreshed(token: OpenToken): boolean {
    const age = now() - (refreshedAt.get(versionOf(token)) ?? Number.NEGATIVE_INFINITY)
    return age >= 0 && age < JUST_REFRESHED_MS
  }

  async function document(tenantId: string | null, connectionId: string): Promise<ConnectionDocument> {
    const time = now()
    const kept = cache.get(connectionId)?.find((entry) => entry.tenantId === tenantId)
    if (kept && time - kept.loadedAt < cacheMs && time >= kept.loadedAt) return kept.token.document
    await ready()
    const found = await store.getConnection(tenantId, connectionId)
    if (!found) throw notFound(connectionId)
    return found
  }

  /** One read of the store for any number of callers at once. */
  async function load(tenantId: string | null, connectionId: string, name: string | undefined): Promise<OpenToken> {
    const entry = find(tenantId, connectionId, name)
    const time = now()
    if (entry && time < entry.until && time >= entry.loadedAt) return entry.token
    const key = JSON.stringify([tenantId, connectionId, name])
    let read = reads.get(key)
    if (!read) {
      read = readToken(tenantId, connectionId, name).finally(() => reads.delete(key))
      reads.set(key, read)
    }
    return read
  }

  async function readToken(tenantId: string | null, connectionId: string, name: string | undefined) {
    await ready()
    const before = epoch
    const found = await store.getConnection(tenantId, connectionId)
    if (!found) throw notFound(connectionId)
    const token = openToken(parts, found, name)
    if (before === epoch) keep(tenantId, connectionId, name, token)
    return token
  }

  /** @param pastDue - Keeps a token although it should be refreshed, as long as it is valid. */
  function keep(
    tenantId: string | null,
    connectionId: string,
    name: string | undefined,
    token: OpenToken,
    pastDue = false,
  ): void {
    const loadedAt = now()
    const end = pastDue || token.dueAt === null ? token.expiresAt : token.dueAt
    const until = Math.min(loadedAt + cacheMs, end ?? Number.POSITIVE_INFINITY)
    if (until <= loadedAt) return
    const answer = Promise.resolve(token.credential.accessToken)
    const others = (cache.get(connectionId) ?? []).filter((one) => one.tenantId !== tenantId || one.name !== name)
    cache.delete(connectionId)
    cache.set(connectionId, [...others, { tenantId, name, token, until, loadedAt, answer }])
    // Entries live for seconds, so the one that was loaded longest ago is the one used longest ago, near enough.
    if (cache.size > cacheSize) cache.delete(cache.keys().next().value as string)
  }

  function find(tenantId: string | null, connectionId: string, name: string | undefined): CacheEntry | undefined {
    const entries = cache.get(connectionId)
    if (entries === undefined) return undefined
    for (const entry of entries) if (entry.tenantId === tenantId && entry.name === name) return entry
    return undefined
  }

  function forget(connectionId: string): void {
    epoch++
    cache.delete(connectionId)
  }

  async function disconnect(
    tenantId: string | null,
    connectionId: string,
    { records = 'keep' }: { records?: 'keep' | 'delete' } = {},
  ): Promise<void> {
    await ready()
    await revoker.disconnect(tenantId, connectionId, records)
  }

  async function start(role = { web: true, worker: true }): Promise<void> {
    await loadTelemetry()
    if (!role.worker || timer || closed) return
    const round = async () => {
      await ready()
      await revoker.retryRevocations()
      if (options.backgroundRefresh) await refreshDue.run()
    }
    let busy = false
    timer = setInterval(() => {
      if (busy) return
      busy = true
      housekeeping = round()
        .catch((error: unknown) => parts.logger.warn({ error }, 'revocations and background refreshes will be retried'))
        .finally(() => {
          busy = false
        })
    }, HOUSEKEEPING_MS)
    timer.unref()
  }

  async function close(): Promise<void> {
    closed = true
    clearInterval(timer)
    refreshDue.stop()
    const revoking = revoker.close()
    await housekeeping
    await refresher.close()
    await revoking
    cache.clear()
  }

  return {
    accessToken,
    fetch: api.fetch,
    call: api.call,
    invalidate: forget,
    revokeGrant: revoker.revokeGrant,
    disconnect,
    retryRevocations: revoker.retryRevocations,
    refreshDue: refreshDue.run,
    start,
    close,
  }
}

function versionOf({ document, name, stored }: OpenToken): string {
  return `${document.id} ${document.generation} ${stored.version} ${name}`
}

/** What the provider's bad day looks like, as opposed to an answer about this connection. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof IntegrationError) || !error.code.startsWith('PROVIDER_')) return false
  return error.code !== 'PROVIDER_NOT_CONFIGURED' && error.code !== 'PROVIDER_ORIGIN_REFUSED'
}

function checkSeconds(seconds: number | undefined): number {
  if (seconds === undefined) return 0
  if (Number.isFinite(seconds) && seconds >= 0) return seconds * 1000
  throw new IntegrationError('REQUEST_INVALID', 'minValiditySeconds must be a number of at least 0', {
    fields: { minValiditySeconds: 'Must be a number of at least 0.' },
  })
}

function checkTimes(refreshTimeoutMs: number, leaseMs: number, cacheMs: number): void {
  if (!(refreshTimeoutMs > 0)) throw new TypeError('tokens.refreshTimeoutMs must be a number of milliseconds above 0.')
  if (!(leaseMs > refreshTimeoutMs))
    throw new TypeError(
      `tokens.leaseMs (${leaseMs}) must be longer than tokens.refreshTimeoutMs (${refreshTimeoutMs}): otherwise a second process would send the same refresh token.`,
    )
  if (!(cacheMs >= 0 && cacheMs <= 10_000))
    throw new TypeError('tokens.cacheMs must be from 0 to 10,000: older tokens are not handed out unseen.')
}
