import { createHmac, timingSafeEqual } from 'node:crypto'
import type { OAuth1, ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import { type Grants, newToken } from './grants.js'
import type { LabClient } from './oauth2-server.js'
import type { Answer } from './pages.js'
import { Refusal } from './refusals.js'
import type { Incoming } from './reverse-template.js'

const REQUEST_TOKEN_SECONDS = 600
const CLOCK_SKEW_SECONDS = 300

interface RequestToken {
  secret: string
  callback: string
  account?: LabAccount
  verifier?: string
  scopes: readonly string[]
  expiresAt: number
}

/** OAuth 1.0a server: signatures are checked over the provider's own address, not over the lab's. */
export class OAuth1Server {
  private readonly requestTokens = new Map<string, RequestToken>()
  private readonly nonces = new Set<string>()

  constructor(
    private readonly grants: Grants,
    private readonly now: () => number,
  ) {}

  requestToken(definition: ProviderDefinition, client: LabClient, incoming: Incoming): Answer {
    const params = this.verify(client, incoming, '')
    const callback = params.get('oauth_callback')
    if (!callback || !URL.canParse(callback)) throw new Refusal('invalid', 'oauth_callback is missing or no URL')
    const token = newToken(definition.id, 'request')
    const secret = newToken(definition.id, 'secret')
    this.requestTokens.set(token, {
      secret,
      callback,
      scopes: [],
      expiresAt: this.now() + REQUEST_TOKEN_SECONDS * 1000,
    })
    return form({ oauth_token: token, oauth_token_secret: secret, oauth_callback_confirmed: 'true' })
  }

  /** Where the consent page sends the user back to; `undefined`: the request token is not known, used or too old. */
  callbackOf(token: string | null): string | undefined {
    const found = this.requestTokens.get(token ?? '')
    return found && !found.account && found.expiresAt > this.now() ? found.callback : undefined
  }

  /** The user approved: the verifier for the callback. */
  approve(definition: ProviderDefinition, token: string, account: LabAccount, scopes: readonly string[]): string {
    const found = this.requestTokens.get(token) as RequestToken
    found.account = account
    found.scopes = scopes
    found.verifier = newToken(definition.id, 'verifier')
    return found.verifier
  }

  deny(token: string): void {
    this.requestTokens.delete(token)
  }

  accessToken(definition: ProviderDefinition, client: LabClient, incoming: Incoming): Answer {
    const token = oauthParams(incoming).get('oauth_token') ?? ''
    const found = this.requestTokens.get(token)
    const refuse = (why: string) => new Refusal('revoked', why)
    if (!found || found.expiresAt <= this.now()) throw refuse('invalid token')
    const params = this.verify(client, incoming, found.secret)
    if (!found.account || !found.verifier || params.get('oauth_verifier') !== found.verifier)
      throw refuse('invalid token: not approved')
    this.requestTokens.delete(token)
    const scopes = (definition.auth as OAuth1).scopes.length > 0 ? found.scopes : undefined
    const grant = this.grants.open(definition, found.account, scopes)
    grant.tokenSecret = newToken(definition.id, 'secret')
    const access = newToken(definition.id, 'access')
    this.grants.adopt(access, grant)
    return form({ oauth_token: access, oauth_token_secret: grant.tokenSecret })
  }

  /** All signed parameters of a genuine request. */
  private verify(client: LabClient, incoming: Incoming, tokenSecret: string): Map<string, string> {
    const oauth = oauthParams(incoming)
    const refuse = (why: string) => new Refusal('client', why)
    if (oauth.get('oauth_consumer_key') !== client.clientId) throw refuse('invalid key')
    if (oauth.get('oauth_signature_method') !== 'HMAC-SHA1') throw refuse('the signature method must be HMAC-SHA1')
    const seconds = Number(oauth.get('oauth_timestamp'))
    if (!(Math.abs(this.now() / 1000 - seconds) <= CLOCK_SKEW_SECONDS))
      throw refuse('the timestamp is too far from now')
    const nonce = oauth.get('oauth_nonce') ?? ''
    if (nonce === '' || this.nonces.has(nonce)) throw refuse('the nonce is missing or was used before')

    const pairs = [...oauth, ...incoming.query, ...(incoming.form ?? [])].filter(([name]) => name !== 'oauth_signature')
    const sorted = pairs
      .map(([name, value]) => [encode(name), encode(value)] as const)
      .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
      .map(([name, value]) => `${name}=${value}`)
      .join('&')
    const base = [incoming.method, `${incoming.origin}${incoming.pathname}`, sorted].map(encode).join('&')
    const key = `${encode(client.clientSecret)}&${encode(tokenSecret)}`
    const expected = createHmac('sha1', key).update(base).digest()
    const given = Buffer.from(oauth.get('oauth_signature') ?? '', 'base64')
    if (given.length !== expected.length || !timingSafeEqual(given, expected))
      throw refuse('the signature does not fit')
    this.nonces.add(nonce)
    return new Map(pairs)
  }
}

/** Parameters of an `Authorization: OAuth …` header. */
function oauthParams(incoming: Incoming): Map<string, string> {
  const header = /^OAuth\s+(.*)$/i.exec(incoming.headers.authorization ?? '')?.[1] ?? ''
  const params = new Map<string, string>()
  for (const [, name, value] of header.matchAll(/([A-Za-z_]+)="([^"]*)"/g))
    if (name !== 'realm') params.set(name as string, decodeURIComponent(value as string))
  return params
}

/** RFC 3986, as OAuth 1.0a wants it. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function form(values: Record<string, string>): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(values).toString(),
  }
}
