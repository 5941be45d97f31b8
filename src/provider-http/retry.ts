import { type HeaderSource, header } from './headers.js'

/** The longest wait that a request sleeps through; a longer one is told to the caller. */
export const MAX_WAIT_MS = 30_000
const DAY_SECONDS = 86_400

/** Milliseconds before try `attempt` (1: the first retry): doubling from 250, at most 8,000, between half and all of it. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(8000, 250 * 2 ** (attempt - 1))
  return full * (0.5 + random() / 2)
}

/**
 * Seconds to wait by `Retry-After` (seconds or a date, RFC 9110 §10.2.3), else by `X-RateLimit-Reset` / `RateLimit-Reset`. At most a
 * day.
 */
export function retryAfterSeconds(headers: HeaderSource, now: number): number | undefined {
  const value = header(headers, 'retry-after').trim()
  const seconds = /^\d+(?:\.\d+)?(?=$|,)/.exec(value)?.[0]
  if (seconds !== undefined) return bounded(Number(seconds))
  // Only what looks like a date: Date.parse makes one of nearly anything.
  const date = /^(?:[a-z]{3,9},? |\d{4}-\d\d-\d\d)/i.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? resetSeconds(headers, now) : bounded((date - now) / 1000)
}

/** Seconds until the window of the rate limit begins anew, where an answer tells. */
export function resetSeconds(headers: HeaderSource, now: number): number | undefined {
  const value = header(headers, 'ratelimit-reset') || header(headers, 'x-ratelimit-reset')
  if (!/^\d+(?:\.\d+)?$/.test(value)) return undefined
  const reset = Number(value)
  // Some tell the seconds left, some the moment in seconds since 1970, some in milliseconds.
  const seconds = reset > 1e12 ? (reset - now) / 1000 : reset > 1e9 ? reset - now / 1000 : reset
  return seconds > DAY_SECONDS ? undefined : bounded(seconds)
}

/** Requests left in the window, where an answer tells. */
export function remainingRequests(headers: HeaderSource): number | undefined {
  const value = header(headers, 'ratelimit-remaining') || header(headers, 'x-ratelimit-remaining')
  return /^\d+$/.test(value) ? Number(value) : undefined
}

function bounded(seconds: number): number {
  return Math.min(DAY_SECONDS, Math.max(0, Math.ceil(seconds)))
}
