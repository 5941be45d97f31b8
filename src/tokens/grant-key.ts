import { createHash } from 'node:crypto'
import type { ConnectedAccount } from '../strategies/grant.js'
import type { ProviderEntry } from './open-token.js'

/**
 * What tells apart the grants of a provider that keeps one per account and client: the fields of that name in `SaveConnection`.
 * Products that share a client (Google's) share the grant too.
 */
export function grantKeyOf(
  { definition, client }: ProviderEntry,
  account: Pick<ConnectedAccount, 'key'> & Partial<Pick<ConnectedAccount, 'id'>>,
): { grantKey: string | null; grantShared?: boolean } {
  if (!definition.grant) return { grantKey: null }
  const whose = definition.grantPer === 'account' ? (account.id ?? account.key) : account.key
  const parts = [definition.client?.id ?? definition.id, client.clientId, whose]
  const grantKey = createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
  return { grantKey, grantShared: definition.grant === 'shared' }
}
