import { createHash } from 'node:crypto'
import { jwtClaims } from '../jwt.js'

/** Never hand out a token so close to its end that it dies on the way, and never refresh a young one: a tenth of its life, within these. */
const LONGEST_MARGIN_MS = 300_000
const SHORTEST_MARGIN_MS = 10_000

/**
 * How long before its end a token is refreshed. The jitter follows from the connection's id, so that connections made in one moment
 * do not all refresh in one moment, and all processes agree about each.
 */
export function refreshMarginMs(connectionId: string, lifeMs: number): number {
  const margin = Math.min(LONGEST_MARGIN_MS, lifeMs / 10) * (0.75 + share(connectionId) / 2)
  return Math.max(margin, Math.min(SHORTEST_MARGIN_MS, lifeMs / 2))
}

/** A number from 0 to 1 that is always the same for this text. */
export function share(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32
}

/** `exp` of a JSON Web Token in milliseconds; `undefined` for anything else. Only read, never trusted: it decides when to ask again. */
export function jwtExpiry(token: string): number | undefined {
  const exp = (jwtClaims(token) as { exp?: unknown } | null | undefined)?.exp
  return typeof exp === 'number' && exp > 0 && exp < 1e11 ? exp * 1000 : undefined
}
