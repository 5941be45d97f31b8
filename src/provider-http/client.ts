import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, type Dispatcher } from 'undici'
import { type ErrorCode, type FaultKind, IntegrationError } from '../errors.js'
import { type Classified, classifyResponse } from './classify.js'
import type { ErrorRules } from './errors.js'
import {
  createOriginMapper,
  isAllowedOrigin,
  isPrivateAddress,
  literalAddress,
  type OriginMap,
  PRIVATE_ADDRESS,
  publicLookup,
} from './origins.js'
import { createRateLimiter, type Limit } from './rate-limit.js'
import { redactText, redactURL } from './redact.js'
import { backoffMs, MAX_WAIT_MS, retryAfterSeconds } from './retry.js'

export type { OriginMap } from './origins.js'

export interface ProviderHttpOptions {
  /** From sending to the last byte of the answer, per try. Default 10,000. */
  timeoutMs?: number
  /** Default 5,000. */
  connectTimeoutMs?: number
  /** Default 10 MiB. */
  maxBodyBytes?: number
  /** A streamed body may be silent for so long. Default 30,000. */
  idleTimeoutMs?: number
  /** @throws TypeError when a target is plain http to another machine. */
  origins?: OriginMap
  userAgent?: string
  /** Called once per request, retries included, with what happened. Never with a secret. */
  onRequest?: (info: RequestInfo) => void
  now?: () => number
  sleep?: (milliseconds: number, signal?: AbortSignal) => Promise<void>
}

/** For telemetry. */
export interface RequestInfo {
  provider: string
  endpoint: Endpoint
  method: string
  /** Without query. */
  url: string
  milliseconds: number
  status?: number
  code?: ErrorCode
}

export type Endpoint = 'request_token' | 'token' | 'refresh' | 'identity' | 'api' | 'revoke' | 'link'

export interface DoorRequest {
  /** The provider's name for people, such as `Slack`. */
  provider: string
  endpoint: Endpoint
  method: string
  /** The provider's own URL, also where `origins` leads it elsewhere. */
  url: string
  headers?: Record<string, string>
  body?: string | Uint8Array | Readable
  /** What the answer must be. `form`: `application/x-www-form-urlencoded` (OAuth 1.0a). Default `json`. */
  expect?: 'json' | 'form' | 'text' | 'any'
  /** Exact https origins, or `https://*.example.com` for one label. A request to any other is refused before a byte leaves. */
  origins: readonly string[]
  errors?: ErrorRules
  /** Further tries where one can help. Default 2 for GET on `api` and `identity`, else 0. */
  retries?: number
  limit?: Limit
  /** Taken out of any provider text that goes into an error. */
  secrets?: readonly string[]
  signal?: AbortSignal
  timeoutMs?: number
  maxBodyBytes?: number
}

export interface DoorAnswer {
  status: number
  /** Names in lower case. */
  headers: Record<string, string>
  /** Parsed; a text for `expect: 'text'`; `undefined` where an empty answer is in order. */
  body: unknown
  /** As it came: numbers that JSON.parse would round are whole in it. */
  readonly text: string
  url: string
}

/** The one door to the providers. */
export interface ProviderHttp {
  /**
   * Resolves on success only.
   *
   * @throws IntegrationError with `fault`, `providerStatus`, `providerCode`, `retryAfterSeconds`; without an answer with `sent`.
   */
  request(request: DoorRequest): Promise<DoorAnswer>
  /** For large bodies: the answer as it comes, unclassified on 2xx, under the idle timeout. Throws like `request` otherwise. */
  stream(request: DoorRequest): Promise<Response>
  /** Where the browser is sent for a URL of the provider. */
  browserURL(url: string): string
  close(): Promise<void>
}

interface Reply {
  status: number
  headers: Record<string, string>
  body: Dispatcher.ResponseData['body']
  url: string
}

const MAX_REDIRECTS = 3
/** Certificate and name errors, refused and unreachable: nothing of the request can have arrived. */
const NEVER_SENT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_|ERR_TLS|ERR_SSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_ATOM_PRIVATE)/

export function createProviderHttp(options: ProviderHttpOptions = {}): ProviderHttp {
  const {
    timeoutMs = 10_000,
    connectTimeoutMs = 5_000,
    maxBodyBytes = 10 * 1024 * 1024,
    idleTimeoutMs = 30_000,
  } = options
  const { now = Date.now, sleep = (milliseconds, signal) => delay(milliseconds, undefined, signal && { signal }) } =
    options
  const mapper = createOriginMapper(options.origins)
  const limiter = createRateLimiter({ now, sleep })
  const shared = {
    connections: 64,
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 300_000,
    headersTimeout: 0,
    bodyTimeout: 0,
    pipelining: 1,
  }
  const outside = new Agent({ ...shared, connect: { timeout: connectTimeoutMs, lookup: publicLookup } })
  /** For origins that the operator mapped: they may be on this machine. */
  const mapped = new Agent({ ...shared, connect: { timeout: connectTimeoutMs } })

  /** One exchange, redirects followed where allowed. The body is still to be read. */
  async function send(request: DoorRequest, signal: AbortSignal, bodyTimeout: number): Promise<Reply> {
    let { url, method, body } = request
    let headers: Record<string, string> = {
      'user-agent': options.userAgent ?? 'atom-integrations',
      accept: 'application/json',
      ...request.headers,
    }
    for (let redirects = 0; ; redirects++) {
      const target = checkURL(request, url)
      const other = mapper.find(target.origin, 'server')
      if (!other) refuseLiteral(request, target)
      const reply = await (other ? mapped : outside).request({
        origin: other ?? target.origin,
        path: target.pathname + target.search,
        method: method as Dispatcher.HttpMethod,
        headers: other ? { ...headers, 'x-forwarded-host': target.host } : headers,
        body: body ?? null,
        signal,
        bodyTimeout,
      })
      const plain = flat(reply.headers)
      const location = plain.location
      if (reply.statusCode < 300 || reply.statusCode > 399 || location === undefined)
        return { status: reply.statusCode, headers: plain, body: reply.body, url }
      const next = URL.canParse(location, url) ? new URL(location, url) : undefined
      const follows =
        (request.endpoint === 'api' || request.endpoint === 'identity') && (method === 'GET' || method === 'HEAD')
      if (!follows || !next || redirects === MAX_REDIRECTS)
        return { status: reply.statusCode, headers: plain, body: reply.body, url }
      await reply.body.dump()
      if (next.origin !== target.origin) {
        // Another origin of the connection, such as a file store: it gets the request, not the credentials.
        const { authorization: _a, cookie: _c, ...rest } = headers
        headers = rest
      }
      url = next.href
      body = undefined
    }
  }

  async function attempt(request: DoorRequest): Promise<DoorAnswer> {
    const limit = request.maxBodyBytes ?? maxBodyBytes
    const budget = request.timeoutMs ?? timeoutMs
    const timer = new AbortController()
    const timeout = setTimeout(() => timer.abort(TIMEOUT), budget)
    const stop = () => timer.abort(request.signal?.reason)
    request.signal?.addEventListener('abort', stop, { once: true })
    try {
      request.signal?.throwIfAborted()
      const reply = await send(request, timer.signal, 0)
      const bytes = await readAll(reply, limit, request)
      return judge(request, reply, bytes, now())
    } catch (error) {
      throw asIntegrationError(error, request, timer.signal, budget)
    } finally {
      clearTimeout(timeout)
      request.signal?.removeEventListener('abort', stop)
    }
  }

  async function guarded<T>(request: DoorRequest, run: () => Promise<T>): Promise<T> {
    const retries =
      request.retries ??
      (request.method === 'GET' && (request.endpoint === 'api' || request.endpoint === 'identity') ? 2 : 0)
    const started = options.onRequest && now()
    const report = (outcome: { status?: number; code?: ErrorCode }) =>
      options.onRequest?.({
        provider: request.provider,
        endpoint: request.endpoint,
        method: request.method,
        url: redactURL(request.url, request.secrets),
        milliseconds: now() - (started ?? 0),
        ...outcome,
      })
    for (let tries = 0; ; tries++) {
      const release = request.limit && (await acquire(request, request.limit))
      try {
        const result = await run()
        if (started !== undefined) report({ status: (result as { status: number }).status })
        return result
      } catch (error) {
        if (!(error instanceof IntegrationError)) throw error
        const waitMs = (error.retryAfterSeconds ?? 0) * 1000
        if (request.limit && waitMs > 0) limiter.block(request.limit.key, waitMs)
        if (tries >= retries || !mayRetry(error) || waitMs > MAX_WAIT_MS || isStream(request.body)) {
          if (started !== undefined)
            report({ code: error.code, ...(error.providerStatus && { status: error.providerStatus }) })
          throw error
        }
        await sleep(Math.max(waitMs, backoffMs(tries + 1)), request.signal)
      } finally {
        release?.()
      }
    }
  }

  async function acquire(request: DoorRequest, limit: Limit): Promise<() => void> {
    const waitMs = limiter.waitMs(limit)
    if (waitMs > MAX_WAIT_MS)
      throw new IntegrationError('PROVIDER_RATE_LIMITED', `${where(request)}: our share of the rate limit is used up`, {
        provider: request.provider,
        fault: 'rate_limited',
        retryAfterSeconds: Math.ceil(waitMs / 1000),
        sent: 'no',
      })
    return limiter.acquire(limit, request.signal)
  }

  return {
    request: (request) => guarded(request, () => attempt(request)),
    stream: (request) =>
      guarded(request, async () => {
        const timer = new AbortController()
        const budget = request.timeoutMs ?? timeoutMs
        const timeout = setTimeout(() => timer.abort(TIMEOUT), budget)
        const signal = request.signal ? AbortSignal.any([request.signal, timer.signal]) : timer.signal
        try {
          const reply = await send(request, signal, idleTimeoutMs)
          if (reply.status < 200 || reply.status > 299)
            judge(request, reply, await readAll(reply, request.maxBodyBytes ?? maxBodyBytes, request), now())
          const empty = reply.status === 204 || reply.status === 205
          return new Response(empty ? null : (Readable.toWeb(reply.body) as ReadableStream<Uint8Array>), {
            status: reply.status,
            headers: reply.headers,
          })
        } catch (error) {
          throw asIntegrationError(error, request, signal, budget)
        } finally {
          clearTimeout(timeout)
        }
      }),
    browserURL(url) {
      const { origin } = new URL(url)
      const other = mapper.find(origin, 'browser')
      return other ? other + url.slice(origin.length) : url
    },
    async close() {
      await Promise.all([outside.destroy(), mapped.destroy()])
    },
  }
}

const TIMEOUT = Symbol('timeout')

function where({ provider, endpoint, method, url, secrets }: DoorRequest): string {
  return `${provider} ${endpoint} (${method} ${redactURL(url, secrets)})`
}

function checkURL(request: DoorRequest, url: string): URL {
  const target = URL.canParse(url) ? new URL(url) : undefined
  if (target && isAllowedOrigin(target, request.origins)) return target
  throw refused(
    request,
    `${target ? redactText(target.origin, request.secrets) : 'what is no URL'} is no origin of this connection`,
  )
}

function refuseLiteral(request: DoorRequest, target: URL): void {
  const address = literalAddress(target.hostname)
  if (address && isPrivateAddress(address)) throw refused(request, 'the host is a private address')
}

function refused(request: DoorRequest, reason: string, cause?: unknown): IntegrationError {
  return new IntegrationError('PROVIDER_ORIGIN_REFUSED', `${where(request)}: ${reason}`, {
    provider: request.provider,
    cause,
    sent: 'no',
  })
}

function flat(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const plain: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (value !== undefined) plain[name] = typeof value === 'string' ? value : value.join(', ')
  }
  return plain
}

async function readAll(reply: Reply, limit: number, request: DoorRequest): Promise<Buffer> {
  const tooLarge = () => {
    reply.body.destroy()
    return new IntegrationError(
      'PROVIDER_TOO_LARGE',
      `${where(request)}: status ${reply.status} with more than ${limit} bytes`,
      {
        provider: request.provider,
        providerStatus: reply.status,
      },
    )
  }
  if (Number(reply.headers['content-length']) > limit) throw tooLarge()
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of reply.body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw tooLarge()
    chunks.push(chunk)
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
}

/** Success, or the error that the answer is. */
function judge(request: DoorRequest, reply: Reply, bytes: Buffer, now: number): DoorAnswer {
  const { status, headers, url } = reply
  const answer = {
    status,
    headers,
    url,
    get text() {
      return bytes.toString('utf8')
    },
  }
  const ok = status >= 200 && status <= 299
  const expect = request.expect ?? 'json'
  if (bytes.length === 0 && ok) {
    // 204 and 205 say themselves that nothing follows.
    if (request.method === 'DELETE' || request.endpoint === 'revoke' || status === 204 || status === 205)
      return Object.assign(answer, { body: undefined })
    throw badResponse(request, reply, 'with an empty body', now)
  }
  const found = classifyResponse({ status, headers, body: bytes })
  if (found.kind === 'html_error') throw htmlResponse(request, reply, found.page, now)
  const body = found.kind === 'json' ? found.value : bytes.toString('utf8')
  if (!ok || request.errors?.failed?.(body)) throw providerError(request, reply, body, now)
  if (expect === 'text') return Object.assign(answer, { body: answer.text })
  if (expect === 'form')
    return Object.assign(answer, {
      body: found.kind === 'json' ? body : Object.fromEntries(new URLSearchParams(String(body).trim())),
    })
  if (found.kind !== 'json') throw badResponse(request, reply, 'without JSON', now)
  return Object.assign(answer, { body })
}

function badResponse(request: DoorRequest, reply: Reply, what: string, now: number): IntegrationError {
  const type = redactText(reply.headers['content-type'] ?? 'no content type')
  return new IntegrationError('PROVIDER_BAD_RESPONSE', `${where(request)}: status ${reply.status} ${what} (${type})`, {
    provider: request.provider,
    providerStatus: reply.status,
    retryAfterSeconds: retryAfterSeconds(reply.headers, now),
  })
}

function htmlResponse(
  request: DoorRequest,
  reply: Reply,
  page: NonNullable<Classified['page']>,
  now: number,
): IntegrationError {
  const title = page.title ? `, "${redactText(page.title, request.secrets)}"` : ''
  const reference = page.reference ? `, reference ${page.reference}` : ''
  return new IntegrationError(
    'PROVIDER_HTML_RESPONSE',
    `${where(request)}: status ${reply.status} with a web page (${page.cause}${title}${reference})`,
    {
      provider: request.provider,
      fault: reply.status === 429 ? 'rate_limited' : 'unavailable',
      providerStatus: reply.status,
      retryAfterSeconds: retryAfterSeconds(reply.headers, now),
    },
  )
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

function providerError(request: DoorRequest, reply: Reply, body: unknown, now: number): IntegrationError {
  const { status, headers } = reply
  const rules = request.errors
  const code = codeOf(rules, body)
  const fault =
    rules?.classify?.({ status, headers, body }) ??
    (code !== undefined && rules?.codes && Object.hasOwn(rules.codes, code) ? rules.codes[code] : undefined) ??
    faultOfStatus(status)
  const shown = code === undefined ? undefined : redactText(code, request.secrets)
  return new IntegrationError(
    CODE_OF[fault],
    `${where(request)}: status ${status}, ${fault}${shown ? ` (${shown})` : ''}`,
    {
      provider: request.provider,
      fault,
      providerStatus: status,
      providerCode: shown,
      retryAfterSeconds:
        rules?.retryAfterSeconds?.({ headers, body }) ??
        (fault === 'rate_limited' || status >= 500 ? retryAfterSeconds(headers, now) : undefined),
    },
  )
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
  return status >= 500 ? 'unavailable' : 'invalid'
}

function mayRetry({ code, fault, providerStatus }: IntegrationError): boolean {
  if (fault)
    return (
      fault === 'rate_limited' ||
      (fault === 'unavailable' &&
        (providerStatus === undefined || providerStatus >= 500 || code !== 'PROVIDER_HTML_RESPONSE'))
    )
  return code === 'PROVIDER_UNAVAILABLE' || code === 'PROVIDER_TIMEOUT' || code === 'PROVIDER_BAD_RESPONSE'
}

function isStream(body: DoorRequest['body']): boolean {
  return body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)
}

function asIntegrationError(error: unknown, request: DoorRequest, signal: AbortSignal, budgetMs: number): unknown {
  if (error instanceof IntegrationError) return error
  const { provider } = request
  if (signal.aborted && signal.reason === TIMEOUT)
    return new IntegrationError('PROVIDER_TIMEOUT', `${where(request)}: no complete answer within ${budgetMs} ms`, {
      provider,
      fault: 'unavailable',
      sent: 'maybe',
    })
  // The caller's own abort is its own error.
  if (request.signal?.aborted) return request.signal.reason
  const code = String((error as { code?: unknown })?.code ?? '')
  if (code === PRIVATE_ADDRESS) return refused(request, 'the name leads to a private address', error)
  const sent = NEVER_SENT.test(code) ? 'no' : 'maybe'
  return new IntegrationError(
    'PROVIDER_UNAVAILABLE',
    `${where(request)}: the connection failed (${redactText(code || 'unknown')})`,
    {
      provider,
      cause: error,
      fault: 'unavailable',
      sent,
    },
  )
}
