import type { ProviderHttp } from '../provider-http/client.js'
import { type ClientConfig, callProvider } from './call.js'
import type { ProviderDefinition } from './define-provider.js'
import type { Credential } from './grant.js'

/**
 * Takes a token back in the provider's way (RFC 7009 and its relatives). Does nothing where the provider has none.
 *
 * @throws IntegrationError when the provider cannot be reached or refuses; a token that is gone already counts as refused too.
 */
export async function revokeToken(
  http: ProviderHttp,
  definition: ProviderDefinition,
  client: ClientConfig,
  { params, credential }: { params: Readonly<Record<string, string>>; credential: Credential },
): Promise<void> {
  const { revocation, errors } = definition.auth
  if (!revocation) return
  const token =
    revocation.token === 'refresh' ? (credential.refreshToken ?? credential.accessToken) : credential.accessToken
  await callProvider(http, definition, client, {
    request: revocation,
    endpoint: 'revoke',
    params,
    credential,
    scope: { extra: { token } },
    // Some answer with an empty body, some with a word: what counts is the status, and a refusal inside a 200.
    expect: 'text',
    ...(errors && { errors }),
  })
}
