import { type ErrorCode, type FaultKind, IntegrationError } from '../errors.js'
import { type Classified, classifyText } from './classify.js'
import type { DoorAnswer, DoorRequest } from './client.js'
import type { ErrorRules } from './errors.js'
import type { Reply } from './exchange.js'
import { redactText, redactURL } from './redact.js'
import { retryAfterSeconds } from './retry.js'
import { decodeText, TOO_LARGE, unpack } from './unpack.js'

/** What a request came to when it came to nothing. */
export class Refusal {
  constructor(
    readonly error: IntegrationError,
    /** Whether the same request may do better later. */
    readonly retryable: boolean,
  ) {}
}

/** Names a request in messages: never with its query. */
export function where({ provider, endpoint, method, url, secrets }: DoorRequest): string {
  return `${provider} ${endpoint} (${method} ${redactURL(url, secrets)})`
}

/** Success, or the error that the answer is. */
export function judgeAnswer(
  request: DoorRequest,
  reply: Reply,
  url: string,
  maxBodyBytes: number,
  now: number,
): DoorAnswer | Refusal {
  const { status, headers } = reply
  const ok = status >= 200 && status <= 299
  const bytes = unpack(reply.bytes, headers, maxBodyBytes)
  if (bytes === TOO_LARGE) return new Refusal(tooLarge(request, status, maxBodyBytes), false)
  if (bytes.length === 0 && ok)
    return mayBeEmpty(request, status)
      ? { status, headers, body: undefined, text: '', url }
      : badResponse(request, reply, 'with an empty body', now)
  const text = decodeText(bytes)
  const found = classifyText(text, status, headers)
  if (found.kind === 'html_error') return htmlResponse(request, reply, found.page, now)
  if (isRedirect(reply)) return badResponse(request, reply, 'with a redirect, which is not followed here', now)
  const body = found.kind === 'json' ? found.value : text
  try {
    if (!ok || request.errors?.failed?.(body)) return providerError(request, reply, body, now)
  } catch (cause) {
    // A rule met a shape that it does not know.
    return badResponse(request, reply, 'in a shape that its rules cannot read', now, cause)
  }
  switch (request.expect ?? 'json') {
    case 'json':
      return found.kind === 'json'
        ? { status, headers, body, text, url }
        : badResponse(request, reply, 'without JSON', now)
    case 'form': {
      if (found.kind === 'json') return { status, headers, body, text, url }
      if (!text.includes('=')) return badResponse(request, reply, 'without a form', now)
      return { status, headers, body: Object.fromEntries(new URLSearchParams(text.trim())), text, url }
    }
    default:
      return { status, headers, body: text, text, url }
  }
}

/** 204 and 205 say themselves that nothing follows. */
function mayBeEmpty({ method, endpoint, expect }: DoorRequest, status: number): boolean {
  if (expect === 'any' || method === 'DELETE' || method === 'HEAD') return true
  return endpoint === 'revoke' || status === 204 || status === 205
}

export function isRedirect({ status, headers }: Reply): boolean {
  return status >= 300 && status <= 399 && headers.location !== undefined
}

export function tooLarge(request: DoorRequest, status: number, limit: number): IntegrationError {
  return new IntegrationError(
    'PROVIDER_TOO_LARGE',
    `${where(request)}: status ${status} with more than ${limit} bytes`,
    { provider: request.provider, providerStatus: status },
  )
}

function badResponse(request: DoorRequest, reply: Reply, what: string, now: number, cause?: unknown): Refusal {
  const type = redactText(reply.headers['content-type'] ?? 'no content type')
  const error = new IntegrationError(
    'PROVIDER_BAD_RESPONSE',
    `${where(request)}: status ${reply.status} ${what} (${type})`,
    {
      provider: request.provider,
      providerStatus: reply.status,
      retryAfterSeconds: retryAfterSeconds(reply.headers, now),
      cause,
    },
  )
  return new Refusal(error, cause === undefined && !isRedirect(reply))
}

function htmlResponse(request: DoorRequest, reply: Reply, page: NonNullable<Classified['page']>, now: number): Refusal {
  const title = page.title ? `, "${redactText(page.title, request.secrets)}"` : ''
  const reference = page.reference ? `, reference ${redactText(page.reference, request.secrets)}` : ''
  const error = new IntegrationError(
    'PROVIDER_HTML_RESPONSE',
    `${where(request)}: status ${reply.status} with a web page (${page.cause}${title}${reference})`,
    {
      provider: request.provider,
      fault: reply.status === 429 ? 'rate_limited' : page.retryable ? 'unavailable' : undefined,
      providerStatus: reply.status,
      retryAfterSeconds: retryAfterSeconds(reply.headers, now),
    },
  )
  return new Refusal(error, page.retryable)
}

const CODE_OF: Record<FaultKind, ErrorCode> = {
  expired: 'PROVIDER_UNAUTHORIZED',
  revoked: 'PROVIDER_UNAUTHORIZED',
  scope: 'PROVIDER_FORBIDDEN',
  permission: 'PROVIDER_FORBIDDEN',
  admin: 'PROVIDER_FORBIDDEN',
  account_gone: 'PROVIDER_FORBIDDEN',
  rate_limited: 'PROVIDER_RATE_LIMITED',
  unavailable: 'PROVIDER_UNAVAILABLE',
  not_ready: 'PROVIDER_UNAVAILABLE',
  not_found: 'PROVIDER_NOT_FOUND',
  client: 'PROVIDER_CLIENT_REFUSED',
  invalid: 'PROVIDER_REFUSED',
  wrong_region: 'PROVIDER_REFUSED',
  cursor_expired: 'PROVIDER_REFUSED',
}

function providerError(request: DoorRequest, reply: Reply, body: unknown, now: number): Refusal {
  const { status, headers } = reply
  const rules = request.errors
  const code = codeOf(rules, body)
  const fault =
    rules?.classify?.({ status, headers, body }) ??
    (code !== undefined && rules?.codes && Object.hasOwn(rules.codes, code) ? rules.codes[code] : undefined) ??
    faultOfStatus(status)
  // What waiting does not cure gets no delay, whatever the headers say.
  const waits = fault === 'rate_limited' || fault === 'unavailable' || fault === 'not_ready' || status >= 500
  const shown = code === undefined ? undefined : redactText(code, request.secrets)
  const error = new IntegrationError(
    CODE_OF[fault],
    `${where(request)}: status ${status}, ${fault}${shown ? ` (${shown})` : ''}`,
    {
      provider: request.provider,
      fault,
      providerStatus: status,
      providerCode: shown,
      retryAfterSeconds: waits
        ? ((headers['retry-after'] ? undefined : rules?.retryAfterSeconds?.({ headers, body })) ??
          retryAfterSeconds(headers, now))
        : undefined,
    },
  )
  return new Refusal(error, fault === 'rate_limited' || fault === 'unavailable')
}

function codeOf(rules: ErrorRules | undefined, body: unknown): string | undefined {
  for (const path of rules?.code ?? []) {
    let value: unknown = body
    for (const key of path.split('.'))
      value =
        value !== null && typeof value === 'object' && Object.hasOwn(value, key)
          ? (value as Record<string, unknown>)[key]
          : undefined
    if (typeof value === 'string' || typeof value === 'number') return String(value)
  }
  return undefined
}

function faultOfStatus(status: number): FaultKind {
  if (status === 401) return 'expired'
  if (status === 402 || status === 403) return 'permission'
  if (status === 404 || status === 410) return 'not_found'
  if (status === 429) return 'rate_limited'
  return status >= 500 || status === 408 ? 'unavailable' : 'invalid'
}
