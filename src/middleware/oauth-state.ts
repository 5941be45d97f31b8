import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { IntegrationError } from '../errors.js'

/** What a state carries for hosts with OAuth routes of their own. Readable by anyone who holds the URL: no secrets. */
export interface OAuthStatePayload {
  /** The provider this state was made for. */
  provider?: string
  /** When it ends: milliseconds since 1970. Default: 10 minutes from now. */
  expiresAt?: number
  /**
   * Something only this browser holds, such as the session id or a random cookie. Kept as a keyed hash; `parseOAuthState` with the
   * same value proves that the callback came to the browser that started (RFC 9700 §4.7).
   */
  browser?: string
  [key: string]: unknown
}

/** What the callback must match. What is left out is not checked. */
export interface OAuthStateExpectation {
  provider?: string
  browser?: string
}

const LIFETIME_MS = 10 * 60_000
const MAX_LENGTH = 4096

/**
 * Makes a signed `state`: base64url JSON, a dot, an HMAC-SHA256 (base64url). The nonce makes each one unique.
 *
 * It is not single use by itself: a host that must refuse a replay remembers the state until it ends.
 *
 * @param secret - At least 32 bytes.
 * @throws TypeError when the secret is short or the payload does not fit in 4096 characters.
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-10.12 | RFC 6749 §10.12}
 */
export function buildOAuthState(payload: OAuthStatePayload, secret: string): string {
  const { expiresAt = Date.now() + LIFETIME_MS, browser, ...data } = payload
  const envelope = {
    n: randomBytes(12).toString('base64url'),
    e: expiresAt,
    ...(browser !== undefined && { b: binding(browser, secret) }),
    d: data,
  }
  const body = Buffer.from(JSON.stringify(envelope)).toString('base64url')
  const state = `${body}.${sign(body, secret)}`
  if (state.length > MAX_LENGTH)
    throw new TypeError(`buildOAuthState: the payload is too large (at most ${MAX_LENGTH} characters).`)
  return state
}

/**
 * Checks a state and gives its payload back. `expiresAt` is there too, not enumerable.
 *
 * @throws IntegrationError `AUTH_STATE_MISSING`, `AUTH_STATE_UNKNOWN` (forged or mangled), `AUTH_STATE_EXPIRED`,
 * `AUTH_PROVIDER_MISMATCH`, `AUTH_BROWSER_MISMATCH`.
 */
export function parseOAuthState(
  state: unknown,
  secret: string,
  expected: OAuthStateExpectation = {},
): OAuthStatePayload {
  if (state === undefined || state === null || state === '')
    throw new IntegrationError('AUTH_STATE_MISSING', 'no state')
  if (typeof state !== 'string' || state.length > MAX_LENGTH) throw forged()
  const dot = state.indexOf('.')
  const body = state.slice(0, dot)
  if (dot < 1 || !same(state.slice(dot + 1), sign(body, secret))) throw forged()
  const envelope = JSON.parse(Buffer.from(body, 'base64url').toString()) as {
    e: number
    b?: string
    d: OAuthStatePayload
  }
  if (!(envelope.e > Date.now()))
    throw new IntegrationError('AUTH_STATE_EXPIRED', 'the state has expired', named(envelope.d))
  if (expected.provider !== undefined && envelope.d.provider !== expected.provider)
    throw new IntegrationError('AUTH_PROVIDER_MISMATCH', 'the state was made for another provider')
  if (expected.browser !== undefined && !same(envelope.b ?? '', binding(expected.browser, secret)))
    throw new IntegrationError('AUTH_BROWSER_MISMATCH', 'the state belongs to another browser', named(envelope.d))
  Object.defineProperty(envelope.d, 'expiresAt', { value: envelope.e, enumerable: false })
  return envelope.d
}

function forged(): IntegrationError {
  return new IntegrationError('AUTH_STATE_UNKNOWN', 'the state is not one of ours, or was changed')
}

function named(payload: OAuthStatePayload): { provider?: string } {
  return payload.provider === undefined ? {} : { provider: payload.provider }
}

function sign(body: string, secret: string): string {
  return createHmac('sha256', strong(secret)).update('atom-integrations state\0').update(body).digest('base64url')
}

function binding(browser: string, secret: string): string {
  return createHmac('sha256', strong(secret)).update('atom-integrations browser\0').update(browser).digest('base64url')
}

function strong(secret: string): string {
  if (typeof secret !== 'string' || Buffer.byteLength(secret) < 32)
    throw new TypeError('buildOAuthState and parseOAuthState: the secret must have at least 32 bytes.')
  return secret
}

function same(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
