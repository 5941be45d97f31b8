import { createHash } from 'node:crypto'
import { redactText } from '../provider-http/redact.js'
import { randomText } from '../random.js'
import { scopeOf } from './call.js'
import { settle } from './choices.js'
import { tokenPaths } from './define-provider.js'
import { callbackParams, codeRejected, defaultScopes, type Flow, type FlowContext, failure } from './flow.js'
import type { Grant } from './grant.js'
import { checkParams, pickParams } from './identify.js'
import { fill, fillRecord, fillURL } from './template.js'
import { askTokenEndpoint, noToken, type OAuth2Definition, readScopes, readToken } from './token-endpoint.js'

/** Names that providers give to a "no" of the user. */
const DENIED =
  /^(access_denied|user_(cancel|denied)|consent_(denied|required)|authorization_declined|interaction_required)/

/** OAuth 2.0 authorization code (RFC 6749 §4.1) with PKCE S256 (RFC 7636). */
export const oauth2Flow: Flow = {
  async start(context, { state, params, secrets }) {
    const { definition, client } = context
    const { auth } = definition as OAuth2Definition
    const scope = scopeOf(definition, client, { params })
    const usePkce = auth.pkce === 'always' || (auth.pkce === 'optIn' && client.pkce === true)
    const verifier = usePkce ? randomText(32) : undefined
    const base = fillURL(auth.authorizationURL, scope)
    const scopes = client.scopes ?? defaultScopes(definition)
    const query: Record<string, string> = {
      response_type: 'code',
      client_id: client.clientId,
      redirect_uri: client.redirectURI,
      ...fillRecord(auth.authorizationParams ?? {}, scope),
      ...(scopes.length > 0 && { [auth.scopeParam ?? 'scope']: scopes.join(auth.scopeSeparator ?? ' ') }),
      state,
      ...(verifier && {
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      }),
    }
    const url = `${base}${base.includes('?') ? '&' : '?'}${new URLSearchParams(query)}`
    return {
      url,
      data: { params, ...(verifier && { verifier }), ...(Object.keys(secrets).length > 0 && { secrets }) },
    }
  },

  async complete(context, { data, query }) {
    const { definition, client, http } = context
    const { auth } = definition as OAuth2Definition
    checkIssuer(context, data.params, query)
    // The provider's own signature comes before anything else of the callback counts, a refusal too.
    definition.verifyCallback?.({ query, clientSecret: client.clientSecret, params: data.params, now: new Date() })
    if (query.error !== undefined) {
      const detail = redactText(`${query.error} ${query.error_description ?? ''}`, [client.clientSecret])
      if (DENIED.test(query.error)) throw failure(definition, 'AUTH_DENIED', detail)
      throw failure(
        definition,
        /^(server_error|temporarily_unavailable)$/.test(query.error) ? 'PROVIDER_UNAVAILABLE' : 'PROVIDER_REFUSED',
        detail,
      )
    }
    if (!query.code) throw failure(definition, 'AUTH_CODE_REJECTED', 'the callback carries no code')
    const params = { ...data.params, ...callbackParams(definition, query) }
    const { body } = await codeRejected(
      definition,
      askTokenEndpoint(http, definition as OAuth2Definition, client, {
        endpoint: 'token',
        params,
        fields: {
          grant_type: 'authorization_code',
          code: query.code,
          redirect_uri: client.redirectURI,
          ...(data.verifier && { code_verifier: data.verifier }),
        },
        secrets: [query.code, data.verifier ?? ''],
      }),
    )
    const found = pickParams(body, auth.params)
    checkParams(definition, found)
    const now = Date.now()
    const grant: Grant = {
      tokens: {},
      scopes: client.scopes ? [...client.scopes] : defaultScopes(definition),
      params: { ...params, ...found },
    }
    const granted: string[][] = []
    for (const [name, paths] of Object.entries(tokenPaths(auth))) {
      const token = readToken(body, paths, auth, now)
      if (!token) continue
      grant.tokens[name] = token
      granted.push(readScopes(body, paths, auth.scopeSeparator ?? ' ') ?? [])
    }
    if (Object.keys(grant.tokens).length === 0) throw noToken(definition)
    if (granted.flat().length > 0) grant.scopes = [...new Set(granted.flat())]
    return settle(context, grant, body)
  },
}

/** RFC 9207: an answer of another issuer is refused, and a missing name where the definition says that it is always sent. */
function checkIssuer(
  { definition, client }: FlowContext,
  params: Record<string, string>,
  query: Readonly<Record<string, string>>,
): void {
  const { issuer } = (definition as OAuth2Definition).auth
  if (!issuer) return
  const expected = fill(issuer.value, scopeOf(definition, client, { params }))
  if (query.iss === undefined ? issuer.required : query.iss !== expected)
    throw failure(definition, 'AUTH_ISSUER_MISMATCH', 'the parameter iss is missing or names another issuer')
}
