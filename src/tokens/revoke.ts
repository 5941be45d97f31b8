import { IntegrationError } from '../errors.js'
import { telemetry } from '../observability.js'
import type { ConnectionDocument, PendingRevocation } from '../persistence/store.js'
import { isUnavailable } from '../persistence/unavailable.js'
import { newId } from '../random.js'
import type { Credential, Grant } from '../strategies/grant.js'
import { refreshToken } from '../strategies/refresh.js'
import { revokeToken } from '../strategies/revoke.js'
import { openCredential, sealCredential } from './credential.js'
import { entryOf, notFound, type OpenToken, type TokenParts } from './open-token.js'

/** Longer than a provider may take to answer, so that no other process tries the same at the same time. */
const REVOCATION_LEASE_MS = 120_000
const LONGEST_PAUSE_MS = 6 * 3_600_000
/** About four days, with the pauses growing from a minute to six hours. */
const MOST_ATTEMPTS = 24
/** How long a grant that could not be saved is kept in memory, until the store can say who else lives by it. */
const KEEP_REVOKING_MS = 600_000
/** No connection's id: all holders count. */
const NOBODY = '-'
/** Answers to a revocation that mean there is nothing left to revoke; some say `invalid` of a token that they have forgotten. */
const GONE = new Set(['expired', 'revoked', 'account_gone', 'not_found', 'invalid'])

/** Ends connections: here at once, at the provider at once or later. */
export function createRevoker(parts: TokenParts) {
  const { store, http, now, sleep, logger, leaseMs } = parts
  const waiting = new Set<Promise<unknown>>()
  let stopped = false

  async function disconnect(tenantId: string | null, connectionId: string, records: 'keep' | 'delete'): Promise<void> {
    for (;;) {
      const document = await store.getConnection(tenantId, connectionId)
      if (!document) throw notFound(connectionId)
      if (document.status === 'disconnected') {
        // A second call finishes what a crash may have left undone.
        if (records === 'delete') await store.deleteRecords(connectionId)
        return
      }
      const pending = pendingRevocation(document, document.tokens)
      const event = parts.newEvent('disconnected')
      const input = { now: now(), event, pendingRevocation: pending, deleteRecords: records === 'delete' }
      const ended = await store.disconnect(connectionId, document.generation, input)
      parts.forget(connectionId)
      // Connected again between our look and our write: look again.
      if (!ended) continue
      parts.onEvent()
      if (records === 'delete') await store.deleteRecords(connectionId)
      // From here on the connection is gone whatever the provider says; what it does not hear now it hears later.
      if (pending) await attempt(pending)
      return
    }
  }

  /** Kept before anything is sent, so that neither a crash nor an outage forgets it. `null`: this provider has no such endpoint. */
  function pendingRevocation(
    document: ConnectionDocument,
    tokens: Record<string, { sealed: string }>,
  ): PendingRevocation | null {
    if (!parts.providers(document.provider)?.definition.auth.revocation) return null
    return {
      id: newId(),
      connectionId: document.id,
      tenantId: document.tenantId,
      provider: document.provider,
      params: document.params,
      sealed: Object.fromEntries(Object.entries(tokens).map(([name, { sealed }]) => [name, sealed])),
      grantKey: document.grantKey,
      attempts: 0,
      dueAt: now() + REVOCATION_LEASE_MS,
    }
  }

  /** One try. Never rejects: a failure is written down for later. */
  async function attempt(pending: PendingRevocation): Promise<boolean> {
    const about = { connectionId: pending.connectionId, provider: pending.provider }
    try {
      // The provider keeps one grant per account: as long as another connection lives by it, it is not ours to end.
      // The connection itself gave its key back; if it holds it again, it was connected again.
      const shared = pending.grantKey ? await store.countGrantHolders(pending.grantKey, NOBODY) : 0
      if (shared === 0) await revokeAll(pending)
      await store.finishRevocation(pending.id)
      return true
    } catch (error) {
      const attempts = pending.attempts + 1
      logger.warn({ ...about, attempts, error }, 'a revocation at the provider failed, will retry')
      const later =
        attempts >= MOST_ATTEMPTS
          ? store.finishRevocation(pending.id)
          : store.deferRevocation(pending.id, now() + Math.min(LONGEST_PAUSE_MS, 60_000 * 2 ** Math.min(attempts, 10)))
      // Where the store is down too, the lease on it ends by itself.
      await later.catch((cause: unknown) => logger.warn({ ...about, error: cause }, 'a revocation was not put off'))
      return false
    }
  }

  async function revokeAll(pending: PendingRevocation): Promise<void> {
    const entry = entryOf(parts, pending.provider)
    const owner = { tenantId: pending.tenantId, provider: pending.provider, id: pending.connectionId }
    const keep = async (name: string, credential: Credential) => {
      const sealed = { ...pending.sealed, [name]: sealCredential(parts.sealer, owner, name, credential) }
      const before = pending.id
      Object.assign(pending, { sealed, id: newId() })
      await store.saveRevocation(pending)
      await store.finishRevocation(before)
    }
    for (const [name, sealed] of Object.entries(pending.sealed)) {
      if (!isRevoked(entry, name)) continue
      const credential = openCredential(parts.sealer, owner, name, sealed)
      await revokeOne(entry, pending.params, name, credential, (fresh) => keep(name, fresh))
    }
    telemetry.count('atom.revocations', { provider: pending.provider })
  }

  /** @param keep - Stores a rotated credential before it is used. */
  async function revokeOne(
    { definition, client }: ReturnType<typeof entryOf>,
    params: Record<string, string>,
    name: string,
    credential: Credential,
    keep: (credential: Credential) => Promise<void>,
  ): Promise<void> {
    const fault = await revokeToken(http, definition, client, { params, credential }).then(() => undefined, faultOf)
    const { auth } = definition
    if (fault !== 'expired' || !credential.refreshToken || auth.kind !== 'oauth2') return
    // The grant outlives its access token, and some providers end it only by a living one.
    try {
      const granted = await refreshToken(http, definition, client, { params, credential, token: name })
      const fresh = { ...credential, ...granted }
      await keep(fresh)
      await revokeToken(http, definition, client, { params, credential: fresh })
    } catch (error) {
      faultOf(error)
    }
  }

  /** A grant that arrived for a connection that no longer exists. */
  async function revokeOrphan({ document, name }: OpenToken, credential: Credential): Promise<void> {
    const sealed = sealCredential(parts.sealer, document, name, credential)
    const pending = pendingRevocation(document, { [name]: { sealed } })
    if (!pending) return
    await store.saveRevocation(pending)
    await attempt(pending)
  }

  async function revokeGrant(provider: string, grant: Grant, grantKey: string | null = null): Promise<boolean> {
    const failed = (error: unknown) => {
      logger.warn({ provider, error }, 'a grant that could not be saved was not revoked either')
      return false
    }
    try {
      return await revokeUnsaved(provider, grant, grantKey)
    } catch (error) {
      if (stopped || !isUnavailable(error)) return failed(error)
      // The store that did not take the grant cannot say who else lives by it either. Nobody waits for it to come back.
      const later = untilStoreAnswers(() => revokeUnsaved(provider, grant, grantKey))
        .catch(failed)
        .finally(() => waiting.delete(later))
      waiting.add(later)
      return false
    }
  }

  async function revokeUnsaved(provider: string, grant: Grant, grantKey: string | null): Promise<boolean> {
    const entry = entryOf(parts, provider)
    if (!entry.definition.auth.revocation) return false
    if (entry.definition.grant) {
      // Without knowing who else lives by this grant it is better to leave it than to end somebody's connection.
      if (!grantKey || (await store.countGrantHolders(grantKey, NOBODY)) > 0) return false
    }
    for (const [name, credential] of Object.entries(grant.tokens))
      if (isRevoked(entry, name)) await revokeOne(entry, grant.params, name, credential, () => Promise.resolve())
    return true
  }

  async function untilStoreAnswers<T>(work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    for (let wait = 25; ; wait = Math.min(wait * 2, 1_000)) {
      await sleep(wait)
      try {
        return await work()
      } catch (error) {
        const age = performance.now() - startedAt
        if (!isUnavailable(error) || age > KEEP_REVOKING_MS || (stopped && age > leaseMs)) throw error
      }
    }
  }

  async function retryRevocations(): Promise<number> {
    let finished = 0
    while (!stopped) {
      const pending = await store.claimRevocation(now(), REVOCATION_LEASE_MS)
      if (!pending) break
      if (await attempt(pending)) finished++
    }
    return finished
  }

  /** Waits for what only this process knows, as long as a lease. */
  async function close(): Promise<void> {
    stopped = true
    await Promise.allSettled(waiting)
  }

  return { disconnect, revokeGrant, revokeOrphan, retryRevocations, close }
}

/** Whether this token is the connection's own to end. */
function isRevoked({ definition: { auth } }: ReturnType<typeof entryOf>, name: string): boolean {
  return auth.kind !== 'oauth2' || auth.revocation?.only?.includes(name) !== false
}

/** The fault of an error that means there is nothing left to revoke; everything else goes on as it is. */
function faultOf(error: unknown): string {
  const fault = error instanceof IntegrationError ? error.fault : undefined
  if (fault && GONE.has(fault)) return fault
  throw error
}
