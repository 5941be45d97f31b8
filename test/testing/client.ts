import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { ProviderLab } from '../../src/testing/index.js'

/** A plain HTTP client that goes where the option `origins` sends it, as the library's own door does. */
export async function send(lab: ProviderLab, address: string, init: RequestInit = {}): Promise<Response> {
  const url = new URL(address)
  const wildcard = url.origin.replace(/^https:\/\/[^.]+\./, 'https://*.')
  const target = lab.origins[url.origin] ?? lab.origins[wildcard]
  if (typeof target !== 'string') throw new Error(`The lab does not play ${url.origin}.`)
  const headers = new Headers(init.headers)
  headers.set('x-forwarded-host', url.host)
  return fetch(target + url.pathname + url.search, { redirect: 'manual', ...init, headers })
}

export function form(values: Record<string, string>): RequestInit {
  return { method: 'POST', body: new URLSearchParams(values) }
}

export function json(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
}

export function basic({
  clientId,
  clientSecret,
}: {
  clientId?: string
  clientSecret?: string
}): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` }
}

export const REDIRECT = 'http://localhost:3000/callback'

/** Goes through acme's consent page; resolves to the code with its PKCE verifier. */
export async function acmeCode(lab: ProviderLab, options: { account?: 'a' | 'b'; scope?: string } = {}) {
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    client_id: lab.credentials.acme?.clientId ?? '',
    redirect_uri: REDIRECT,
    response_type: 'code',
    state: 's-1',
    scope: options.scope ?? 'things.read vault.read',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  const callback = new URL((await lab.consent(`https://acme.example/oauth/authorize?${query}`, options)) ?? '')
  return { callback, code: callback.searchParams.get('code') ?? '', verifier, query }
}

export async function acmeExchange(
  lab: ProviderLab,
  code: string,
  verifier: string,
  changes: Record<string, string> = {},
) {
  const init = form({
    grant_type: 'authorization_code',
    code,
    redirect_uri: REDIRECT,
    code_verifier: verifier,
    ...changes,
  })
  return send(lab, 'https://acme.example/oauth/token', { ...init, headers: basic(lab.credentials.acme ?? {}) })
}

interface Tokens {
  access_token: string
  refresh_token: string
  expires_in: number
  scope: string
}

export async function acmeTokens(
  lab: ProviderLab,
  options: { account?: 'a' | 'b'; scope?: string } = {},
): Promise<Tokens> {
  const { code, verifier } = await acmeCode(lab, options)
  const answer = await acmeExchange(lab, code, verifier)
  return ((await answer.json()) as { data: Tokens }).data
}

export async function acmeRefresh(
  lab: ProviderLab,
  token: string,
): Promise<{ status: number; tokens: Tokens; error: string }> {
  const init = form({ grant_type: 'refresh_token', refresh_token: token })
  const answer = await send(lab, 'https://acme.example/oauth/token', {
    ...init,
    headers: basic(lab.credentials.acme ?? {}),
  })
  const body = (await answer.json()) as { data: Tokens; error: string }
  return { status: answer.status, tokens: body.data, error: body.error }
}

export function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}`, 'acme-version': '3' }
}

/** Signs as OAuth 1.0a says. */
export function oauth1Header(input: {
  method: string
  url: string
  consumerKey: string
  consumerSecret: string
  tokenSecret?: string
  params: Record<string, string>
}): string {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  const params: Record<string, string> = {
    oauth_consumer_key: input.consumerKey,
    oauth_nonce: randomBytes(8).toString('hex'),
    oauth_signature_method: 'HMAC-SHA1',
    oauth_timestamp: String(Math.floor(Date.now() / 1000)),
    oauth_version: '1.0',
    ...input.params,
  }
  const text = Object.keys(params)
    .sort()
    .map((name) => `${encode(name)}=${encode(params[name] as string)}`)
    .join('&')
  const base = `${input.method}&${encode(input.url)}&${encode(text)}`
  const key = `${encode(input.consumerSecret)}&${encode(input.tokenSecret ?? '')}`
  params.oauth_signature = createHmac('sha1', key).update(base).digest('base64')
  const pairs = Object.entries(params).map(([name, value]) => `${name}="${encode(value)}"`)
  return `OAuth ${pairs.join(', ')}`
}
