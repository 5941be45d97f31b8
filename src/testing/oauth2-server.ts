import { createHash } from 'node:crypto'
import { type OAuth2, type ProviderDefinition, type TokenPaths, tokenPaths } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import { identityInToken } from './accounts.js'
import { type Grants, type IssuedPair, type LabGrant, newToken } from './grants.js'
import type { Answer } from './pages.js'
import { list, writeAt } from './paths.js'
import { Refusal } from './refusals.js'
import { type Captures, type Incoming, isPlaceholder } from './reverse-template.js'

/** How long an authorization code counts. */
const CODE_SECONDS = 60

export interface LabClient {
  clientId: string
  clientSecret: string
  /** Further variables of the operator. */
  env: Readonly<Record<string, string>>
}

interface Code {
  provider: string
  redirectURI: string
  challenge: string | undefined
  account: LabAccount
  scopes: readonly string[]
  /** Scopes asked for by a second parameter (Slack's bot scopes), for the second token. */
  furtherScopes: readonly string[]
  expiresAt: number
  grant?: LabGrant
}

/** A request to the consent page that can be decided. */
export interface AuthorizeRequest {
  redirectURI: string
  state: string | null
  scopes: readonly string[]
  furtherScopes: readonly string[]
  challenge: string | undefined
}

/** Mistakes that a real provider shows on its own page, because it does not know where to send the user back to. */
export class AuthorizeMistake extends Error {}

/** Authorization server of all OAuth 2.0 providers of the lab. */
export class OAuth2Server {
  private readonly codes = new Map<string, Code>()

  constructor(
    private readonly grants: Grants,
    private readonly now: () => number,
    private readonly accessTokenSeconds: number | undefined,
  ) {}

  /** Checks what the app sent the user with. */
  readAuthorize(auth: OAuth2, client: LabClient, query: URLSearchParams): AuthorizeRequest {
    const redirectURI = query.get('redirect_uri')
    if (query.get('client_id') !== client.clientId) throw new AuthorizeMistake('The client_id is not known.')
    if (!redirectURI || !URL.canParse(redirectURI)) throw new AuthorizeMistake('The redirect_uri is missing or no URL.')
    if (query.get('response_type') !== 'code') throw new AuthorizeMistake('The response_type must be "code".')
    const challenge = query.get('code_challenge') ?? undefined
    if (challenge !== undefined && auth.pkce === 'never') throw new AuthorizeMistake('PKCE is not known here.')
    if (challenge === undefined && auth.pkce === 'always') throw new AuthorizeMistake('A code_challenge is required.')
    if (challenge !== undefined && query.get('code_challenge_method') !== 'S256')
      throw new AuthorizeMistake('The code_challenge_method must be "S256".')
    for (const [name, value] of Object.entries(auth.authorizationParams ?? {}))
      if (!value.includes('{') && query.get(name) !== value)
        throw new AuthorizeMistake(`The parameter ${name} must be "${value}".`)
    const scopeParam = auth.scopeParam ?? 'scope'
    const further = scopeParam === 'scope' ? null : query.get('scope')
    return {
      redirectURI,
      state: query.get('state'),
      scopes: splitScopes(query.get(scopeParam), auth),
      furtherScopes: splitScopes(further, auth),
      challenge,
    }
  }

  /** The user approved: the code for the callback. */
  approve(definition: ProviderDefinition, request: AuthorizeRequest, account: LabAccount): string {
    const code = newToken(definition.id, 'code')
    this.codes.set(code, {
      provider: definition.id,
      redirectURI: request.redirectURI,
      challenge: request.challenge,
      account,
      scopes: request.scopes,
      furtherScopes: request.furtherScopes,
      expiresAt: this.now() + CODE_SECONDS * 1000,
    })
    return code
  }

  /** Provider that a code or token in a request belongs to, where several share one endpoint. */
  providerOf(secret: string): string | undefined {
    return this.codes.get(secret)?.provider ?? this.grants.providerOf(secret)
  }

  /** Answer of the token endpoint. Throws `Refusal`. */
  token(
    definition: ProviderDefinition,
    auth: OAuth2,
    client: LabClient,
    incoming: Incoming,
    captures: Captures,
  ): Answer {
    const values = bodyOf(auth, incoming)
    checkClient(auth, client, incoming, values)
    for (const [name, value] of Object.entries(auth.tokenHeaders ?? {}))
      if (!value.includes('{') && incoming.headers[name.toLowerCase()] !== value)
        throw new Refusal('invalid', `the header ${name} must be "${value}"`)
    const grantType = values.get('grant_type')
    if (grantType === 'authorization_code') {
      checkParams(auth.tokenParams, values)
      return this.exchange(definition, auth, values, captures)
    }
    if (grantType === 'refresh_token') {
      checkParams(auth.refreshParams, values)
      return this.refresh(definition, auth, values)
    }
    throw new Refusal('invalid', 'this grant_type is not known', 'unsupported_grant_type')
  }

  private exchange(
    definition: ProviderDefinition,
    auth: OAuth2,
    values: ReadonlyMap<string, string>,
    captures: Captures,
  ): Answer {
    const refuse = (why: string) => new Refusal('revoked', why, 'invalid_grant')
    const found = this.codes.get(values.get('code') ?? '')
    if (!found) throw refuse('the code is not known')
    if (found.grant) {
      // Somebody else may have it: what it brought ends (RFC 6749 §4.1.2).
      found.grant.revoked = true
      throw refuse('the code was used before')
    }
    if (found.expiresAt <= this.now()) throw refuse('the code has expired')
    if (values.get('redirect_uri') !== found.redirectURI) throw refuse('the redirect_uri is not the one of the code')
    for (const [name, value] of captures) {
      const own = found.account.params[name]
      if (own !== undefined && !value.startsWith('*') && value !== own) throw refuse(`the code is for another ${name}`)
    }
    const verifier = values.get('code_verifier')
    if (found.challenge !== undefined) {
      const hash = createHash('sha256')
        .update(verifier ?? '')
        .digest('base64url')
      if (verifier === undefined || hash !== found.challenge) throw refuse('the code_verifier does not fit')
    } else if (verifier !== undefined) throw refuse('a code_verifier came without a challenge')

    const scopes = auth.scopes.length > 0 ? found.scopes : undefined
    const grant = this.grants.open(definition, found.account, scopes)
    found.grant = grant
    const body: Record<string, unknown> = {}
    for (const [i, [name, paths]] of Object.entries(tokenPaths(auth)).entries()) {
      const own = i === 0 ? found.scopes : found.furtherScopes
      // A second token comes only when scopes for it were asked for.
      if (i > 0 && own.length === 0) continue
      const pair = this.grants.issue(grant, name, {
        seconds: this.lifeOf(auth),
        refresh: auth.refreshToken !== 'none',
      })
      writeToken(body, paths, pair, own, auth, 'first')
    }
    identityInToken(definition, found.account, body)
    return { status: 200, body: finished(body, auth) }
  }

  private refresh(definition: ProviderDefinition, auth: OAuth2, values: ReadonlyMap<string, string>): Answer {
    const rotated = this.grants.rotate(definition, values.get('refresh_token') ?? '', this.lifeOf(auth))
    if (!rotated) throw new Refusal('revoked', 'the refresh token is not valid', 'invalid_grant')
    const body: Record<string, unknown> = {}
    const paths =
      auth.refreshTokens ?? tokenPaths(auth)[rotated.name] ?? (Object.values(tokenPaths(auth))[0] as TokenPaths)
    // Where the refresh has its own paths, the last alternative is the one that the exchange does not have.
    writeToken(body, paths, rotated.pair, rotated.grant.scopes ?? [], auth, auth.refreshTokens ? 'last' : 'first')
    identityInToken(definition, rotated.grant.account, body)
    return { status: 200, body: finished(body, auth) }
  }

  private lifeOf(auth: OAuth2): number | undefined {
    if (auth.refreshToken === 'none' && auth.accessTokenSeconds === undefined) return undefined
    return this.accessTokenSeconds ?? auth.accessTokenSeconds ?? 3600
  }
}

/** Providers that say `ok: false` on failure say `ok: true` else. */
export function finished(body: Record<string, unknown>, { errors }: { errors?: OAuth2['errors'] }): unknown {
  return errors?.failed?.({ ok: false }) ? { ok: true, ...body } : body
}

export function splitScopes(text: string | null, auth: { scopeSeparator?: string }): string[] {
  return (text ?? '').split(auth.scopeSeparator ?? ' ').filter(Boolean)
}

function writeToken(
  body: Record<string, unknown>,
  paths: TokenPaths,
  pair: IssuedPair,
  scopes: readonly string[],
  auth: OAuth2,
  which: 'first' | 'last',
): void {
  const write = (alternatives: TokenPaths['scope'], value: unknown) => {
    const path = list(alternatives).at(which === 'first' ? 0 : -1)
    if (path !== undefined && value !== undefined) writeAt(body, path, value)
  }
  write(paths.accessToken, pair.access)
  write(paths.refreshToken, pair.refresh)
  write(paths.expiresIn, pair.expiresInSeconds)
  if (pair.refresh !== undefined && list(paths.refreshExpiresIn).length > 0)
    write(paths.refreshExpiresIn, auth.refreshIdleSeconds)
  const plural = list(paths.scope)[0]?.endsWith('scopes')
  if (auth.scopes.length > 0) write(paths.scope, plural ? [...scopes] : scopes.join(auth.scopeSeparator ?? ' '))
  const root = list(paths.accessToken).at(which === 'first' ? 0 : -1)
  if (root === 'access_token') body.token_type = 'bearer'
}

/** Body of a token request, in the form that `clientAuth` implies. */
function bodyOf(auth: OAuth2, incoming: Incoming): Map<string, string> {
  const json = auth.clientAuth === 'json_body' || auth.clientAuth === 'basic_json'
  if (json) {
    if (typeof incoming.json !== 'object' || incoming.json === null)
      throw new Refusal('invalid', 'the body must be JSON', 'invalid_request')
    return new Map(Object.entries(incoming.json).map(([name, value]) => [name, String(value)]))
  }
  const query = auth.clientAuth === 'query' ? [...incoming.query] : []
  if (!incoming.form && query.length === 0) throw new Refusal('invalid', 'the body must be a form', 'invalid_request')
  return new Map([...query, ...(incoming.form ?? [])])
}

/** The client must come exactly as `clientAuth` says; a secret at a second place is refused too. */
function checkClient(auth: OAuth2, client: LabClient, incoming: Incoming, values: ReadonlyMap<string, string>): void {
  const basic = basicOf(incoming)
  const inBody = { id: values.get('client_id'), secret: values.get('client_secret') }
  const refuse = (why: string) => new Refusal('client', why, 'invalid_client')
  if (auth.clientAuth === 'basic' || auth.clientAuth === 'basic_json') {
    if (!basic) throw refuse('the client must come by HTTP Basic')
    if (inBody.secret !== undefined) throw refuse('the client secret must not stand in the body')
    if (basic.id !== client.clientId) throw refuse('the client id is not known')
    if (basic.secret !== client.clientSecret) throw refuse('the client secret is wrong')
    return
  }
  if (basic) throw refuse('the client must not come by HTTP Basic')
  if (inBody.id !== client.clientId) throw refuse('the client id is not known')
  if (auth.clientAuth !== 'query' && incoming.query.has('client_secret'))
    throw refuse('the client secret must not stand in the URL')
  if (inBody.secret !== client.clientSecret) throw refuse('the client secret is wrong')
}

/** Client id and secret of HTTP Basic. Both are form-encoded inside (RFC 6749 §2.3.1). */
export function basicOf(incoming: Incoming): { id: string; secret: string } | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(incoming.headers.authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString().replaceAll('+', ' ')
  const colon = text.indexOf(':')
  if (colon < 0) return undefined
  try {
    return { id: decodeURIComponent(text.slice(0, colon)), secret: decodeURIComponent(text.slice(colon + 1)) }
  } catch {
    return undefined
  }
}

function checkParams(
  expected: Readonly<Record<string, string>> | undefined,
  values: ReadonlyMap<string, string>,
): void {
  for (const [name, value] of Object.entries(expected ?? {}))
    if (!isPlaceholder(value) && !value.includes('{') && values.get(name) !== value)
      throw new Refusal('invalid', `the parameter ${name} must be "${value}"`, 'invalid_request')
}
