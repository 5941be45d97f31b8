import type { ProviderHttp } from '../provider-http/client.js'
import type { ClientConfig } from './call.js'
import { type ProviderDefinition, tokenPaths } from './define-provider.js'
import type { Credential, GrantedToken } from './grant.js'
import { checkParams, pickParams } from './identify.js'
import { askTokenEndpoint, noToken, type OAuth2Definition, readScopes, readToken } from './token-endpoint.js'

/** What a refresh brings. */
export type RefreshedToken = GrantedToken & { scopes?: string[]; params?: Record<string, string> }

/**
 * Trades a refresh token for a new access token (RFC 6749 §6). An answer without a refresh token keeps the one there is.
 *
 * @throws IntegrationError with `fault` `revoked` when the grant is gone (`invalid_grant`); whatever else fails says nothing about it.
 */
export async function refreshToken(
  http: ProviderHttp,
  definition: ProviderDefinition,
  client: ClientConfig,
  input: { params: Readonly<Record<string, string>>; credential: Credential; token: string; signal?: AbortSignal },
): Promise<RefreshedToken> {
  if (definition.auth.kind !== 'oauth2') throw new TypeError(`refreshToken: ${definition.id} is not OAuth 2.0.`)
  const { auth } = definition
  const { credential } = input
  const paths = auth.refreshTokens ?? tokenPaths(auth)[input.token]
  if (!paths || credential.refreshToken === undefined)
    throw new TypeError(`refreshToken: there is no refresh token "${input.token}".`)
  const { body } = await askTokenEndpoint(http, definition as OAuth2Definition, client, {
    endpoint: 'refresh',
    params: input.params,
    fields: { grant_type: 'refresh_token', refresh_token: credential.refreshToken },
    secrets: [credential.refreshToken, credential.accessToken],
    ...(input.signal && { signal: input.signal }),
  })
  const token = readToken(body, paths, auth, Date.now())
  if (!token) throw noToken(definition)
  const scopes = readScopes(body, paths, auth.scopeSeparator ?? ' ')
  const params = pickParams(body, auth.params)
  checkParams(definition, params)
  return {
    ...token,
    refreshToken: token.refreshToken ?? credential.refreshToken,
    ...(credential.secrets && { secrets: credential.secrets }),
    ...(scopes && { scopes }),
    ...(Object.keys(params).length > 0 && { params }),
  }
}
