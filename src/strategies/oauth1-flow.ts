import { createHmac, randomBytes } from 'node:crypto'
import type { DoorRequest } from '../provider-http/client.js'
import { scopeOf } from './call.js'
import type { OAuth1 } from './define-provider.js'
import { codeRejected, defaultScopes, type Flow, type FlowContext, failure, withState } from './flow.js'
import { identify } from './identify.js'
import { allowedOrigins, fillRecord, fillURL, pickString } from './template.js'

/** OAuth 1.0a (RFC 5849) with HMAC-SHA1. The state travels in the callback URL, as the protocol has none. */
export const oauth1Flow: Flow = {
  async start(context, { state, params }) {
    const { definition, client } = context
    const auth = definition.auth as OAuth1
    const scope = scopeOf(definition, client, { params })
    const { body } = await ask(
      context,
      'request_token',
      fillURL(auth.requestTokenURL, scope),
      { oauth_callback: withState(client.redirectURI, state) },
      '',
    )
    const requestToken = pickString(body, 'oauth_token')
    const requestTokenSecret = pickString(body, 'oauth_token_secret')
    if (!requestToken || !requestTokenSecret)
      throw failure(definition, 'PROVIDER_BAD_RESPONSE', 'the answer carries no request token')
    const url = new URL(fillURL(auth.authorizationURL, scope))
    const scopes = client.scopes ?? defaultScopes(definition)
    const query = {
      ...fillRecord(auth.authorizationParams ?? {}, scope),
      ...(scopes.length > 0 && { [auth.scopeParam ?? 'scope']: scopes.join(auth.scopeSeparator ?? ',') }),
      oauth_token: requestToken,
    }
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    return { url: url.href, data: { params, requestToken, requestTokenSecret } }
  },

  async complete(context, { data, query }) {
    const { definition, client, http } = context
    const auth = definition.auth as OAuth1
    if (query.oauth_token !== undefined && query.oauth_token !== data.requestToken)
      throw failure(
        definition,
        'AUTH_STATE_UNKNOWN',
        'the callback carries another request token than the one of this attempt',
      )
    // A "no" comes back without a verifier, and with nothing that says so.
    if (!query.oauth_verifier || !query.oauth_token)
      throw failure(definition, 'AUTH_DENIED', 'the callback carries no verifier')
    const scope = scopeOf(definition, client, { params: data.params })
    const fields = { oauth_token: query.oauth_token, oauth_verifier: query.oauth_verifier }
    const { body } = await codeRejected(
      definition,
      ask(context, 'token', fillURL(auth.accessTokenURL, scope), fields, data.requestTokenSecret ?? ''),
    )
    const accessToken = pickString(body, 'oauth_token')
    const tokenSecret = pickString(body, 'oauth_token_secret')
    if (!accessToken || !tokenSecret)
      throw failure(definition, 'PROVIDER_BAD_RESPONSE', 'the answer carries no access token')
    const grant = {
      tokens: { default: { accessToken, tokenSecret, issuedAt: Date.now() } },
      scopes: client.scopes ? [...client.scopes] : defaultScopes(definition),
      params: { ...data.params },
    }
    return identify(http, definition, client, grant, body, context.fingerprint)
  },
}

function ask(
  { http, definition, client }: FlowContext,
  endpoint: 'request_token' | 'token',
  url: string,
  fields: Record<string, string>,
  tokenSecret: string,
) {
  const { errors } = definition.auth
  const request: DoorRequest = {
    provider: definition.name,
    endpoint,
    method: 'POST',
    url,
    headers: {
      accept: '*/*',
      authorization: signedHeader('POST', url, fields, {
        consumerKey: client.clientId,
        consumerSecret: client.clientSecret,
        tokenSecret,
      }),
      'content-length': '0',
    },
    expect: 'form',
    origins: allowedOrigins(definition, scopeOf(definition, client, { params: {} })),
    secrets: [client.clientSecret, tokenSecret, ...Object.values(fields)],
    retries: 0,
    // Refusals are plain text. 401 is about the signature of this app or a token that was used: the stage tells which.
    errors: { ...errors, classify: (answer) => errors?.classify?.(answer) ?? refusal(answer.status, endpoint) },
  }
  return http.request(request)
}

function refusal(status: number, endpoint: 'request_token' | 'token') {
  if (status < 400 || status >= 500 || status === 429) return undefined
  return endpoint === 'token' ? 'invalid' : 'client'
}

/** The `Authorization` header of a signed request (RFC 5849 §3.4 and §3.5.1). `nonce` and `timestamp` are for known answers in tests. */
export function signedHeader(
  method: string,
  url: string,
  fields: Readonly<Record<string, string>>,
  keys: { consumerKey: string; consumerSecret: string; tokenSecret: string },
  {
    nonce = randomBytes(16).toString('hex'),
    timestamp = Math.floor(Date.now() / 1000),
  }: { nonce?: string; timestamp?: number } = {},
): string {
  const oauth: Record<string, string> = {
    ...fields,
    oauth_consumer_key: keys.consumerKey,
    oauth_nonce: nonce,
    oauth_signature_method: 'HMAC-SHA1',
    oauth_timestamp: String(timestamp),
    oauth_version: '1.0',
  }
  const target = new URL(url)
  const pairs = [...Object.entries(oauth), ...target.searchParams].map(
    ([name, value]) => [encode(name), encode(value)] as const,
  )
  pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1))
  const parameters = pairs.map((pair) => pair.join('=')).join('&')
  const text = [method.toUpperCase(), encode(target.origin + target.pathname), encode(parameters)].join('&')
  const signature = createHmac('sha1', `${encode(keys.consumerSecret)}&${encode(keys.tokenSecret)}`)
    .update(text)
    .digest('base64')
  return `OAuth ${Object.entries({ ...oauth, oauth_signature: signature })
    .map(([name, value]) => `${encode(name)}="${encode(value)}"`)
    .join(', ')}`
}

/** RFC 5849 §3.6: everything but the unreserved characters of RFC 3986. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
