import { IntegrationError } from '../errors.js'
import type { Sealer } from '../persistence/sealing.js'
import type { ConnectionDocument, Store } from '../persistence/store.js'
import { type CredentialOwner, openCredential, sealCredential } from '../tokens/credential.js'

export interface ResealProgress {
  /** Connections looked at. */
  connections: number
  /** Values sealed with the first key now. */
  resealed: number
  /** Values that were already. */
  current: number
  /** Values that did not open, by key id; they are left as they are. */
  failed: Record<string, number>
}

const PAGE = 100

/**
 * Seals everything with the first key that an older one sealed: the tokens of all connections, and the credentials of revocations
 * that are still to be retried. Safe beside a running app, and safe to stop: what is done is told by the key id of each value, so
 * another run goes on where this one ended.
 *
 * @param onProgress - After every page of 100 connections, and at the end.
 */
export async function reseal(
  store: Store,
  sealer: Sealer,
  onProgress: (progress: Readonly<ResealProgress>) => void = () => {},
  signal?: AbortSignal,
): Promise<ResealProgress> {
  const progress: ResealProgress = { connections: 0, resealed: 0, current: 0, failed: {} }
  for (let after: string | null | undefined; after !== null; ) {
    signal?.throwIfAborted()
    const page = await store.listConnections({ tenantId: null, limit: PAGE, ...(after && { after }) })
    for (const connection of page.items) {
      for (const name of Object.keys(connection.tokens)) await resealToken(connection, name)
      progress.connections++
    }
    after = page.next
    onProgress(progress)
  }
  for (let after: string | null | undefined; after !== null; ) {
    signal?.throwIfAborted()
    const page = await store.listRevocations({ limit: PAGE, ...(after && { after }) })
    for (const { id, tenantId, provider, connectionId, sealed } of page.items) {
      const renewed = { ...sealed }
      for (const [name, text] of Object.entries(sealed)) {
        const found = look({ tenantId, provider, id: connectionId }, name, text)
        count(found)
        if (found.state === 'resealed') renewed[name] = found.sealed
      }
      await store.resealRevocation(id, renewed)
    }
    after = page.next
  }
  onProgress(progress)
  return progress

  async function resealToken(start: ConnectionDocument, name: string): Promise<void> {
    let connection: ConnectionDocument | undefined = start
    // A token may be refreshed while it is sealed anew, by a process that has the old key first still: as often as that happens.
    for (;;) {
      const token = connection?.tokens[name]
      if (!connection || !token) return
      const found = look(connection, name, token.sealed)
      const isDone =
        found.state !== 'resealed' || (await store.replaceSealed(connection.id, name, token.version, found.sealed))
      if (isDone) return count(found)
      connection = await store.getConnection(null, connection.id)
    }
  }

  function look(owner: CredentialOwner, name: string, sealed: string): Found {
    let keyId = 'unreadable'
    try {
      keyId = sealer.keyIdOf(sealed)
      if (keyId === sealer.firstKeyId) return { state: 'current' }
      return {
        state: 'resealed',
        sealed: sealCredential(sealer, owner, name, openCredential(sealer, owner, name, sealed)),
      }
    } catch (error) {
      if (!(error instanceof IntegrationError)) throw error
      return { state: 'failed', keyId }
    }
  }

  function count(found: Found): void {
    if (found.state === 'failed') progress.failed[found.keyId] = (progress.failed[found.keyId] ?? 0) + 1
    else progress[found.state]++
  }
}

type Found = { state: 'current' } | { state: 'resealed'; sealed: string } | { state: 'failed'; keyId: string }
