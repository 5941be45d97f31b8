import { IntegrationError } from '../errors.js'
import { telemetry } from '../observability.js'
import type { ConnectionCause, ConnectionDocument } from '../persistence/store.js'
import type { ProviderHttp } from '../provider-http/client.js'
import type { OAuth2 } from '../strategies/define-provider.js'
import type { Credential, GrantedToken } from '../strategies/grant.js'
import { refreshToken } from '../strategies/refresh.js'
import { sealCredential } from './credential.js'
import { jwtExpiry } from './expiry.js'
import { hasChanged, judge } from './judge.js'
import { isValidFor, needsReauth, notFound, type OpenToken, openToken, type TokenParts } from './open-token.js'

/** How long a rotated token that could not be stored is kept trying, in milliseconds: losing it costs the user a new approval. */
const KEEP_COMMITTING_MS = 600_000
const LONGEST_BACKOFF_MS = 300_000
/** Time that a lease must outlive the request by: the store's own answers need some. */
const LEASE_SLACK_MS = 1_000

export interface Refresher {
  /**
   * Brings a newer token than `old`, with one request to the provider for any number of callers in any number of processes.
   *
   * @param mustChange - `false`: while another process refreshes, `old` is good enough as long as it is valid.
   */
  refresh(old: OpenToken, mustChange: boolean): Promise<OpenToken>
  /** Waits for what is under way: an answer that was bought must be stored. */
  close(): Promise<void>
}

interface Lease {
  fencing: number
  takenOver: boolean
  /** By the monotonic clock of this process. */
  startedAt: number
}

/**
 * Refresh as design §8 says: lease → send → compare-and-set. The process that gets the lease asks the provider; all others wait by
 * reading the store again, and take over once the lease ends without an answer.
 *
 * @param owner - Unique to this process and instance.
 * @param orphaned - Called with a grant that arrived for a connection that was disconnected meanwhile.
 */
export function createRefresher(
  parts: TokenParts,
  owner: string,
  orphaned: (token: OpenToken, credential: Credential) => Promise<void>,
): Refresher {
  const { store, now, sleep, leaseMs, refreshTimeoutMs } = parts
  const flights = new Map<string, Promise<OpenToken>>()
  const running = new Set<Promise<unknown>>()
  let closing = false
  /** The door as one refresh uses it: the lease has to outlive the request, and no text of the provider may carry a secret. */
  function doorFor({ credential }: OpenToken): ProviderHttp {
    const known = [credential.accessToken, credential.refreshToken].filter((secret) => secret !== undefined)
    return {
      ...parts.http,
      request: (request) => {
        const secrets = [...(request.secrets ?? []), ...known]
        return parts.http.request({ ...request, secrets, timeoutMs: refreshTimeoutMs, retries: 0 })
      },
    }
  }

  function refresh(old: OpenToken, mustChange: boolean): Promise<OpenToken> {
    const { document, name, stored } = old
    const key = `${document.id}\n${name}\n${document.generation}\n${stored.version}\n${mustChange}`
    const flying = flights.get(key)
    if (flying) return flying
    const flight = new Promise<OpenToken>((resolve, reject) => {
      const work = run(old, mustChange, reject)
        .then(resolve, reject)
        .finally(() => {
          flights.delete(key)
          running.delete(work)
        })
      running.add(work)
    })
    flights.set(key, flight)
    return flight
  }

  /** @param failEarly - Answers the callers while the work goes on. */
  async function run(old: OpenToken, mustChange: boolean, failEarly: (error: unknown) => void): Promise<OpenToken> {
    const startedAt = performance.now()
    let current = old
    for (let round = 0; ; round++) {
      refuseWhileBackingOff(current)
      const lease = await acquire(current)
      // Read again under the lease: the document may come from the cache, and only the holder changes it from here on.
      const newest = await read(current)
      if (hasChanged(old, newest)) {
        if (lease) await release(current, lease, lease.takenOver)
        return openToken(parts, newest, current.name)
      }
      current = openUnchanged(current, newest)
      if (lease) {
        const token = await hold(current, lease, failEarly)
        if (token) return token
      }
      if (!lease && !mustChange && isValidFor(current, now(), 0)) return current
      const waited = performance.now() - startedAt
      if (closing || waited > 2 * leaseMs + refreshTimeoutMs)
        throw unavailable(current, 'others hold the refresh of this connection for too long', 1)
      telemetry.count('atom.refresh.waits', { provider: current.document.provider })
      await sleep(Math.min(250, 20 * 1.5 ** round) * (0.75 + Math.random() / 2))
    }
  }

  function openUnchanged(current: OpenToken, newest: ConnectionDocument): OpenToken {
    return newest.status === current.document.status && newest.nextTryAt === current.document.nextTryAt
      ? current
      : openToken(parts, newest, current.name)
  }

  async function acquire(token: OpenToken): Promise<Lease | undefined> {
    const startedAt = performance.now()
    const lease = await store.acquireRefreshLease({
      connectionId: token.document.id,
      token: token.name,
      generation: token.document.generation,
      version: token.stored.version,
      owner,
      now: now(),
      ttlMs: leaseMs,
    })
    return lease && { ...lease, startedAt }
  }

  async function release({ document, name }: OpenToken, { fencing }: Lease, uncertain: boolean): Promise<void> {
    // A lease that cannot be given back ends by itself, and then says the same: somebody was here and did not finish.
    await store
      .releaseRefreshLease({ connectionId: document.id, token: name, owner, fencing, ...(uncertain && { uncertain }) })
      .catch((error: unknown) => parts.logger.warn({ error, connectionId: document.id }, 'a lease was not given back'))
  }

  async function read({ document }: OpenToken): Promise<ConnectionDocument> {
    const newest = await store.getConnection(document.tenantId, document.id)
    if (!newest) throw notFound(document.id)
    return newest
  }

  /** Refreshes under the lease. `undefined`: the lease was lost on the way, look again. */
  async function hold(
    token: OpenToken,
    lease: Lease,
    failEarly: (error: unknown) => void,
  ): Promise<OpenToken | undefined> {
    const auth = token.entry.definition.auth as OAuth2
    // Whether an answer to this refresh token may have been lost before, by us or by whoever held the lease.
    let uncertain = lease.takenOver
    const tries = auth.refreshReplaySeconds ? 3 : 2
    for (let attempt = 1; ; attempt++) {
      // A process that slept (a suspended machine, a long collection) may not send under a lease that is about to end.
      if (!fitsIn(lease)) {
        await release(token, lease, uncertain)
        return undefined
      }
      let granted: Awaited<ReturnType<typeof refreshToken>>
      try {
        granted = await send(token)
      } catch (error) {
        const verdict = judge(error)
        if (verdict.kind === 'error') {
          await release(token, lease, uncertain)
          throw error
        }
        if (verdict.kind === 'refused')
          return refused(token, lease, verdict.cause, uncertain && auth.refreshToken === 'rotating', error)
        uncertain ||= verdict.uncertain
        // Only a lost answer is asked for again at once; a provider that answers with an error is left alone for a while.
        if (verdict.lost && attempt < tries && fitsIn(lease)) {
          await sleep(100 * attempt * (0.75 + Math.random() / 2))
          continue
        }
        throw await outage(token, lease, uncertain, error)
      }
      return commit(token, lease, granted, failEarly)
    }
  }

  function fitsIn({ startedAt }: Lease): boolean {
    const slack = Math.min(LEASE_SLACK_MS, (leaseMs - refreshTimeoutMs) / 2)
    return performance.now() - startedAt + refreshTimeoutMs + slack <= leaseMs
  }

  async function send(token: OpenToken) {
    const { document, entry, name, credential } = token
    const startedAt = performance.now()
    const provider = document.provider
    return telemetry.span('atom.refresh', { provider, connection: document.id }, async () => {
      try {
        const granted = await refreshToken(doorFor(token), entry.definition, entry.client, {
          params: document.params,
          credential,
          token: name,
        })
        telemetry.count('atom.refreshes', { provider })
        return granted
      } finally {
        telemetry.duration('atom.refresh.duration', performance.now() - startedAt, { provider })
      }
    })
  }

  /** Stores what the provider gave, whatever it takes, before anybody gets it. */
  async function commit(
    token: OpenToken,
    lease: Lease,
    granted: GrantedToken & { scopes?: string[]; params?: Record<string, string> },
    failEarly: (error: unknown) => void,
  ): Promise<OpenToken | undefined> {
    const { document, name, stored, entry } = token
    const auth = entry.definition.auth as OAuth2
    const issuedAt = now()
    // What the answer said in seconds was counted from the system's clock.
    const byOurClock = (time: number | undefined) => time && time + issuedAt - (granted.issuedAt ?? issuedAt)
    const credential: Credential = {
      ...token.credential,
      accessToken: granted.accessToken,
      issuedAt,
      ...(granted.refreshToken && { refreshToken: granted.refreshToken }),
      ...(granted.tokenSecret && { tokenSecret: granted.tokenSecret }),
    }
    const input = {
      connectionId: document.id,
      token: name,
      generation: document.generation,
      version: stored.version,
      owner,
      fencing: lease.fencing,
      next: {
        sealed: sealCredential(parts.sealer, document, name, credential),
        expiresAt:
          byOurClock(granted.expiresAt) ??
          jwtExpiry(granted.accessToken) ??
          (auth.accessTokenSeconds ? issuedAt + auth.accessTokenSeconds * 1000 : null),
        refreshExpiresAt:
          byOurClock(granted.refreshExpiresAt) ??
          (auth.refreshIdleSeconds ? issuedAt + auth.refreshIdleSeconds * 1000 : stored.refreshExpiresAt),
      },
      now: issuedAt,
      event: parts.newEvent('token.refreshed'),
      alsoEvent: document.status === 'degraded' ? parts.newEvent('recovered') : null,
      ...(granted.scopes && { scopes: granted.scopes }),
      ...(granted.params && { params: { ...document.params, ...granted.params } }),
    }
    for (let wait = 25; ; wait = Math.min(wait * 2, 1_000)) {
      try {
        const written = await store.commitRefresh(input)
        if (written) {
          parts.forget(document.id)
          parts.onEvent()
          return openToken(parts, written, name)
        }
        // Somebody else was there, or an earlier try of ours was written although it did not say so.
        const newest = await read(token)
        if (newest.status === 'disconnected') await orphaned(token, credential)
        return hasChanged(token, newest) ? openToken(parts, newest, name) : undefined
      } catch (error) {
        if (!(error instanceof IntegrationError) || error.code !== 'STORE_UNAVAILABLE') throw error
        const age = performance.now() - lease.startedAt
        if (age > leaseMs) failEarly(error)
        if (age > leaseMs + KEEP_COMMITTING_MS || (closing && age > leaseMs)) {
          parts.logger.error({ error, connectionId: document.id }, 'a refreshed token could not be stored and is lost')
          throw error
        }
      }
      await sleep(wait)
    }
  }

  /** The provider says that this refresh token is no good. Unless somebody else was faster, the connection needs its user. */
  async function refused(
    token: OpenToken,
    lease: Lease,
    said: ConnectionCause,
    mayBeLost: boolean,
    error: unknown,
  ): Promise<OpenToken> {
    const { document, name, stored } = token
    const newest = await read(token)
    if (hasChanged(token, newest)) return openToken(parts, newest, name)
    const over = stored.refreshExpiresAt !== null && stored.refreshExpiresAt <= now()
    const cause = said !== 'revoked' ? said : mayBeLost ? 'rotation_lost' : over ? 'expired' : 'revoked'
    const written = await store.updateStatus(
      document.id,
      document.generation,
      { status: 'needs_reauth', cause, degradedSince: null, nextTryAt: null, now: now() },
      parts.newEvent('needs_reauth'),
    )
    await release(token, lease, false)
    parts.forget(document.id)
    if (written && written.tokens[name]?.version !== stored.version) {
      // A newer token was stored between our look and our write: the connection lives.
      const change = { status: 'active', cause: null, now: now() } as const
      const healed = await store.updateStatus(document.id, document.generation, change, parts.newEvent('recovered'))
      parts.onEvent()
      return openToken(parts, healed ?? (await read(token)), name)
    }
    parts.onEvent()
    parts.logger.warn({ connectionId: document.id, provider: document.provider, cause, error }, 'needs its user again')
    throw needsReauth(parts, document, cause, error)
  }

  /** Nobody is to blame but the provider's day: the connection stays, and all processes wait a little longer each time. */
  async function outage(token: OpenToken, lease: Lease, uncertain: boolean, error: unknown): Promise<unknown> {
    const { document } = token
    const time = now()
    const since = document.status === 'degraded' ? (document.degradedSince ?? time) : time
    // After the first failure the next caller may try at once; then the pauses grow with the length of the outage.
    const pause = document.status === 'degraded' ? Math.min(LONGEST_BACKOFF_MS, Math.max(1_000, (time - since) / 2)) : 0
    const asked = ((error as IntegrationError).retryAfterSeconds ?? 0) * 1000
    const nextTryAt = time + Math.round(Math.max(pause * (0.75 + Math.random() / 2), Math.min(asked, 3_600_000)))
    try {
      await store.updateStatus(
        document.id,
        document.generation,
        { status: 'degraded', cause: 'outage', degradedSince: since, nextTryAt, now: time },
        document.status === 'degraded' ? null : parts.newEvent('degraded'),
      )
      parts.onEvent()
    } catch (cause) {
      parts.logger.warn({ error: cause, connectionId: document.id }, 'the state of a connection was not saved')
    }
    await release(token, lease, uncertain)
    parts.forget(document.id)
    parts.logger.warn({ connectionId: document.id, provider: document.provider, error }, 'a refresh failed, will retry')
    return error
  }

  function refuseWhileBackingOff(token: OpenToken): void {
    const { status, nextTryAt } = token.document
    const left = status === 'degraded' && nextTryAt !== null ? nextTryAt - now() : 0
    if (left > 0) throw unavailable(token, 'a refresh failed and is not tried again yet', Math.ceil(left / 1000))
  }

  function unavailable(token: OpenToken, why: string, retryAfterSeconds: number): IntegrationError {
    const provider = token.entry.definition.name
    return new IntegrationError('PROVIDER_UNAVAILABLE', `${provider}: ${why}`, { provider, retryAfterSeconds })
  }

  async function close(): Promise<void> {
    closing = true
    await Promise.allSettled(running)
  }

  return { refresh, close }
}
