import { IntegrationError } from '../errors.js'
import type { DoorAnswer, DoorRequest, ProviderHttp } from '../provider-http/client.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { basicAuth, type ClientConfig, scopeOf } from './call.js'
import type { OAuth2, ProviderDefinition, TokenPaths } from './define-provider.js'
import type { GrantedToken } from './grant.js'
import { allowedOrigins, fillRecord, fillURL, pick, pickString } from './template.js'

export type OAuth2Definition = ProviderDefinition & { auth: OAuth2 }

/** RFC 6749 §5.2, and what several providers add to it. */
const TOKEN_CODES: ErrorRules['codes'] = {
  invalid_grant: 'revoked',
  invalid_client: 'client',
  unauthorized_client: 'client',
  redirect_uri_mismatch: 'client',
  invalid_scope: 'scope',
  server_error: 'unavailable',
  temporarily_unavailable: 'unavailable',
  slow_down: 'rate_limited',
}

function tokenErrors(auth: OAuth2): ErrorRules {
  const own = auth.errors
  return {
    code: [...(own?.code ?? []), 'error'],
    codes: { ...TOKEN_CODES, ...own?.codes },
    failed: (body) =>
      own?.failed?.(body) === true ||
      (typeof pick(body, 'error') === 'string' && pick(body, 'access_token') === undefined),
    // Without a code, 401 is about the client, not about the grant; 400 may be about either, so it is no reason to give a grant up.
    classify: (answer) =>
      own?.classify?.(answer) ??
      (answer.status === 401 && pick(answer.body, 'error') === undefined ? 'client' : undefined),
    ...(own?.retryAfterSeconds && { retryAfterSeconds: own.retryAfterSeconds }),
  }
}

/** One POST to the token endpoint, authenticated in the provider's way. */
export function askTokenEndpoint(
  http: ProviderHttp,
  definition: OAuth2Definition,
  client: ClientConfig,
  input: {
    endpoint: 'token' | 'refresh'
    params: Readonly<Record<string, string>>
    fields: Record<string, string>
    secrets: readonly string[]
    signal?: AbortSignal
  },
): Promise<DoorAnswer> {
  const { auth } = definition
  const scope = scopeOf(definition, client, { params: input.params })
  const template = input.endpoint === 'refresh' ? (auth.refreshURL ?? auth.tokenURL) : auth.tokenURL
  const extra = fillRecord((input.endpoint === 'refresh' ? auth.refreshParams : auth.tokenParams) ?? {}, scope)
  const credentials = { client_id: client.clientId, client_secret: client.clientSecret }
  const inBody = auth.clientAuth === 'body' || auth.clientAuth === 'json_body'
  const asJson = auth.clientAuth === 'json_body' || auth.clientAuth === 'basic_json'
  const fields = {
    ...extra,
    ...input.fields,
    ...(inBody && credentials),
  }
  const url = fillURL(template, scope)
  const request: DoorRequest = {
    provider: definition.name,
    endpoint: input.endpoint,
    method: 'POST',
    url,
    headers: {
      accept: 'application/json',
      ...fillRecord(auth.tokenHeaders ?? {}, scope),
      'content-type': asJson ? 'application/json' : 'application/x-www-form-urlencoded',
      ...((auth.clientAuth === 'basic' || auth.clientAuth === 'basic_json') && { authorization: basicAuth(client) }),
    },
    body: asJson ? JSON.stringify(fields) : new URLSearchParams(fields).toString(),
    origins: allowedOrigins(definition, scope),
    errors: tokenErrors(auth),
    secrets: [client.clientSecret, ...input.secrets],
    retries: 0,
    ...(input.signal && { signal: input.signal }),
  }
  if (auth.clientAuth === 'query') {
    request.url = `${url}?${new URLSearchParams({ ...credentials, ...fields })}`
    delete request.body
    delete request.headers?.['content-type']
  }
  return http.request(request)
}

/** Reads one token of an answer. `undefined`: it is not there. */
export function readToken(body: unknown, paths: TokenPaths, auth: OAuth2, now: number): GrantedToken | undefined {
  const accessToken = pickString(body, paths.accessToken)
  if (accessToken === undefined) return undefined
  const seconds = secondsAt(body, paths.expiresIn) ?? auth.accessTokenSeconds
  const refreshSeconds = secondsAt(body, paths.refreshExpiresIn)
  const refreshToken = paths.refreshToken === undefined ? undefined : pickString(body, paths.refreshToken)
  return {
    accessToken,
    issuedAt: now,
    ...(refreshToken !== undefined && { refreshToken }),
    ...(seconds !== undefined && { expiresAt: now + seconds * 1000 }),
    ...(refreshSeconds !== undefined && { refreshExpiresAt: now + refreshSeconds * 1000 }),
    ...(refreshSeconds === undefined &&
      refreshToken !== undefined &&
      auth.refreshIdleSeconds !== undefined && { refreshExpiresAt: now + auth.refreshIdleSeconds * 1000 }),
  }
}

function secondsAt(body: unknown, path: TokenPaths['expiresIn']): number | undefined {
  const seconds = path === undefined ? Number.NaN : Number(pickString(body, path))
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined
}

/** Scopes as a list, whether they came as a text or an array. `undefined`: the answer does not say. */
export function readScopes(body: unknown, paths: TokenPaths, separator: string): string[] | undefined {
  const found = paths.scope === undefined ? undefined : pick(body, paths.scope)
  if (Array.isArray(found)) return found.filter((scope) => typeof scope === 'string')
  return typeof found === 'string' ? splitScopes(found, separator) : undefined
}

function splitScopes(text: string, separator: string): string[] {
  return text.split(separator === ' ' ? /[\s,]+/ : new RegExp(`[\\s${separator}]+`)).filter((scope) => scope !== '')
}

export function noToken(definition: ProviderDefinition): IntegrationError {
  return new IntegrationError('PROVIDER_BAD_RESPONSE', `${definition.name}: the token answer carries no access token`, {
    provider: definition.name,
  })
}
