import type { FaultKind } from '../errors.js'

/**
 * How a provider says no. Data first; `classify` for what data cannot say.
 *
 * Order: `classify`, then `codes`, then the HTTP status (401 `expired`, 402 and 403 `permission`, 404 and 410 `not_found`, 429
 * `rate_limited`, 408 and 5xx `unavailable`, other 4xx `invalid`).
 */
export interface ErrorRules {
  /** Dotted paths to the provider's error code; the first that holds a string or number counts. */
  code?: readonly string[]
  /** What the provider's codes mean. */
  codes?: Readonly<Record<string, FaultKind>>
  /** True when a body is an error although the status is 2xx (Slack's `ok: false`, GraphQL's `errors`). */
  failed?: (body: unknown) => boolean
  /** For what no code says. */
  classify?: (answer: {
    status: number
    headers: Readonly<Record<string, string>>
    body: unknown
  }) => FaultKind | undefined
  /** Delay in seconds, asked only where an answer has no `Retry-After` (Shopify's throttle status). */
  retryAfterSeconds?: (answer: { headers: Readonly<Record<string, string>>; body: unknown }) => number | undefined
}
