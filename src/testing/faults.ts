const HTML_STATUS = [200, 400, 401, 403, 404, 429, 500, 502, 503, 504] as const

/**
 * What can go wrong on demand.
 *
 * - `html-<status>`: an HTML page with that status; `html` is `html-502`.
 * - `slow`: the right answer, after `delayMs` (3,000 by default). `hang`: no answer until the client gives up.
 * - `cut`: half of the right answer, then the connection ends. `oversized`: a JSON body of `bytes` (12 MiB by default).
 * - `invalid-json`, `empty`: status 200 with a body that cannot be used.
 * - `rate-limit`, `rate-limit-date`: 429 with `Retry-After` in seconds (`retryAfterSeconds`, 1 by default) or as a date.
 * - `unauthorized`, `forbidden`, `unavailable`: the provider's own way to say 401, 403, 503.
 * - `denied`: the user says no (endpoint `authorize` only).
 * - `rotated-away`: the refresh token is refused with `invalid_grant` (endpoint `refresh` only).
 */
export type LabFaultKind =
  | 'html'
  | `html-${(typeof HTML_STATUS)[number]}`
  | 'slow'
  | 'hang'
  | 'cut'
  | 'oversized'
  | 'invalid-json'
  | 'empty'
  | 'rate-limit'
  | 'rate-limit-date'
  | 'unauthorized'
  | 'forbidden'
  | 'unavailable'
  | 'denied'
  | 'rotated-away'

const KINDS: readonly string[] = [
  'html',
  ...HTML_STATUS.map((status) => `html-${status}`),
  'slow',
  'hang',
  'cut',
  'oversized',
  'invalid-json',
  'empty',
  'rate-limit',
  'rate-limit-date',
  'unauthorized',
  'forbidden',
  'unavailable',
  'denied',
  'rotated-away',
]

/**
 * Where: `authorize` (consent page), `request_token` (OAuth 1.0a), `link` (making and confirming a link token), `token` (exchange),
 * `refresh`, `identity`, `revoke`, `api` (every resource), or the name of one resource.
 */
export type LabEndpoint = 'authorize' | 'request_token' | 'link' | 'token' | 'refresh' | 'identity' | 'revoke' | 'api'

const ENDPOINTS: readonly string[] = [
  'authorize',
  'request_token',
  'link',
  'token',
  'refresh',
  'identity',
  'revoke',
  'api',
]

export interface LabFault {
  provider: string
  /** An endpoint, or the name of one of the provider's resources. */
  endpoint: LabEndpoint | (string & {})
  kind: LabFaultKind
  /** How many requests it meets. Default 1; `Infinity` until `clearFaults()`. */
  times?: number
  /** For `slow`. Milliseconds, default 3,000. */
  delayMs?: number
  /** For `rate-limit` and `rate-limit-date`. Default 1. */
  retryAfterSeconds?: number
  /** For `oversized`. Default 12 MiB. */
  bytes?: number
}

/** Faults that wait for a request. */
export class Faults {
  private waiting: { fault: LabFault; left: number }[] = []

  constructor(private readonly resources: ReadonlyMap<string, readonly string[]>) {}

  /** @throws TypeError naming what is unknown. */
  add(fault: LabFault): void {
    const { provider, endpoint, kind, times = 1 } = fault
    const resources = this.resources.get(provider)
    const refuse = (problem: string) => new TypeError(`lab.fault: ${problem}`)
    if (!resources)
      throw refuse(`unknown provider "${provider}"; the lab plays ${[...this.resources.keys()].join(', ')}.`)
    if (!ENDPOINTS.includes(endpoint) && !resources.includes(endpoint))
      throw refuse(
        `unknown endpoint "${endpoint}"; use ${ENDPOINTS.join(', ')} or a resource: ${resources.join(', ')}.`,
      )
    if (!KINDS.includes(kind)) throw refuse(`unknown kind "${kind}"; use ${KINDS.join(', ')}.`)
    if (kind === 'denied' && endpoint !== 'authorize') throw refuse('kind "denied" needs endpoint "authorize".')
    if (kind === 'rotated-away' && endpoint !== 'refresh') throw refuse('kind "rotated-away" needs endpoint "refresh".')
    if (times !== Number.POSITIVE_INFINITY && !(Number.isInteger(times) && times > 0))
      throw refuse('"times" must be a whole number above 0, or Infinity.')
    this.waiting.push({ fault, left: times })
  }

  clear(): void {
    this.waiting = []
  }

  /** Takes the first fault that is meant for this request. */
  take(provider: string, endpoint: string, resource: string | undefined): LabFault | undefined {
    const found = this.waiting.find(
      ({ fault }) => fault.provider === provider && (fault.endpoint === endpoint || fault.endpoint === resource),
    )
    if (!found) return undefined
    found.left--
    if (found.left <= 0) this.waiting = this.waiting.filter((one) => one !== found)
    return found.fault
  }
}

/** A page such as gateways send. */
export function htmlPage(status: number): string {
  const titles: Record<number, string> = {
    200: 'Scheduled maintenance',
    400: '400 Bad Request',
    401: 'Sign in to continue',
    403: 'Attention Required!',
    404: '404 Not Found',
    429: 'Too many requests',
    500: '500 Internal Server Error',
    502: '502 Bad Gateway',
    503: '503 Service Temporarily Unavailable',
    504: '504 Gateway Time-out',
  }
  const title = titles[status] ?? `${status}`
  return `<!DOCTYPE html>\n<html>\n<head><title>${title}</title></head>\n<body>\n<center><h1>${title}</h1></center>\n<hr><center>lab-gateway</center>\n</body>\n</html>\n`
}
