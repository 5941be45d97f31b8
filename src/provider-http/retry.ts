import { type HeaderSource, header } from './classify.js'

/** The longest wait that a request sleeps through; a longer one is told to the caller. */
export const MAX_WAIT_MS = 30_000

/** Milliseconds before try `attempt` (1: the first retry): doubling from 250, at most 8,000, between half and all of it. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(8000, 250 * 2 ** (attempt - 1))
  return full * (0.5 + random() / 2)
}

/**
 * Seconds to wait by `Retry-After` (seconds or a date, RFC 9110 §10.2.3), else by `X-RateLimit-Reset` / `RateLimit-Reset`. At most a
 * day: a longer one is taken for a mistake.
 */
export function retryAfterSeconds(headers: HeaderSource, now: number): number | undefined {
  const value = header(headers, 'retry-after').trim()
  if (/^\d+(\.\d+)?$/.test(value)) return bounded(Number(value))
  const date = value ? Date.parse(value) : Number.NaN
  if (!Number.isNaN(date)) return bounded((date - now) / 1000)
  const reset = Number(header(headers, 'ratelimit-reset') || header(headers, 'x-ratelimit-reset') || Number.NaN)
  if (Number.isNaN(reset)) return undefined
  // Some tell the seconds left, some the moment in seconds since 1970, some in milliseconds.
  return bounded(reset > 1e12 ? (reset - now) / 1000 : reset > 1e9 ? reset - now / 1000 : reset)
}

function bounded(seconds: number): number | undefined {
  return seconds > 86_400 ? undefined : Math.max(0, Math.ceil(seconds))
}
