import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, type Dispatcher } from 'undici'
import { type ErrorCode, IntegrationError } from '../errors.js'
import { isRedirect, judgeAnswer, Refusal, where } from './answers.js'
import type { ErrorRules } from './errors.js'
import { type ExchangeLimits, exchange, type Reply, Stopped, Watch } from './exchange.js'
import { judgeFailure, refused } from './failures.js'
import {
  createOriginMapper,
  isAllowedOrigin,
  isPrivateAddress,
  literalAddress,
  type OriginMap,
  publicLookup,
} from './origins.js'
import { createRateLimiter, type Limit, type RateLimiter, type Sleep } from './rate-limit.js'
import { redactText, redactURL } from './redact.js'
import { createRedisRateLimiter } from './redis-rate-limit.js'
import { backoffMs, MAX_WAIT_MS, remainingRequests, resetSeconds } from './retry.js'
import { streamed } from './streamed.js'

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
  /**
   * Keeps the rate limits in a Redis that several workers share; ioredis is loaded when it is first used. Without it, each process
   * keeps them by itself.
   */
  redisURL?: string
  /** Told when that Redis cannot be asked; each process then keeps the limits by itself. */
  onRedisError?: (error: unknown) => void
  /** Instead of the built-in ones. */
  rateLimiter?: RateLimiter
  /** Called once per request, retries included, with what happened. Never with a secret. */
  onRequest?: (info: RequestInfo) => void
  now?: () => number
  sleep?: Sleep
}

/** For telemetry. */
export interface RequestInfo {
  provider: string
  endpoint: Endpoint
  method: string
  /** Without query. */
  readonly url: string
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

const MAX_REDIRECTS = 3
/** An answer that brings a token has a few thousand bytes where it is honest. */
const BRINGS_TOKEN: ReadonlySet<Endpoint> = new Set(['request_token', 'token', 'refresh', 'link'])
const MAX_TOKEN_BYTES = 1024 * 1024
/** What may follow a redirect to another origin of the connection, such as a file store: never a credential, whatever it is called. */
const HARMLESS = ['user-agent', 'accept', 'accept-language', 'range', 'if-none-match', 'if-modified-since']
/** Somebody waits for the identity in front of a browser. */
const MAX_IDENTITY_WAIT_MS = 2_000

/**
 * Opens the door. Connections are kept and shared by all requests; `close()` ends them.
 *
 * @throws TypeError naming option and cure when a target of `origins` is no origin, or plain http to another machine.
 */
export function createProviderHttp(options: ProviderHttpOptions = {}): ProviderHttp {
  const {
    timeoutMs = 10_000,
    connectTimeoutMs = 5_000,
    maxBodyBytes = 10 * 1024 * 1024,
    idleTimeoutMs = 30_000,
    userAgent = 'atom-integrations',
    onRedisError: onError,
    now = Date.now,
    sleep = (milliseconds, signal) => delay(milliseconds, undefined, signal && { signal }),
  } = options
  const mapper = createOriginMapper(options.origins)
  const limiter =
    options.rateLimiter ??
    (options.redisURL === undefined
      ? createRateLimiter({ now, sleep })
      : createRedisRateLimiter({ url: options.redisURL, now, sleep, ...(onError && { onError }) }))
  const shared = {
    connections: 64,
    // Shorter than the five seconds after which many servers end a silent connection: a refresh must not meet that moment.
    keepAliveTimeout: 4_000,
    keepAliveMaxTimeout: 300_000,
    // Time is kept here, for the whole exchange.
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  const outside = new Agent({ ...shared, connect: { timeout: connectTimeoutMs, lookup: publicLookup } })
  /** For origins that the operator mapped: they may be on this machine. */
  const mapped = new Agent({ ...shared, connect: { timeout: connectTimeoutMs } })

  /** One exchange, redirects followed where allowed. Rejects with what went wrong, still to be judged. */
  async function send(
    request: DoorRequest,
    watch: Watch,
    limits: ExchangeLimits,
  ): Promise<{ reply: Reply; url: string }> {
    const { method, endpoint } = request
    const follows = (endpoint === 'api' || endpoint === 'identity') && (method === 'GET' || method === 'HEAD')
    let { url, body } = request
    let headers = headersOf(request, userAgent)
    for (let redirects = 0; ; redirects++) {
      const target = checkURL(request, url, redirects)
      const other = mapper.find(target.origin, 'server')
      if (other === undefined) refuseLiteral(request, target, redirects)
      else headers['x-forwarded-host'] = target.host
      const reply = await exchange(
        other === undefined ? outside : mapped,
        {
          origin: other ?? target.origin,
          path: target.pathname + target.search,
          method: method as Dispatcher.HttpMethod,
          headers,
          body: body ?? null,
        },
        limits,
        watch,
      )
      if (!follows || redirects === MAX_REDIRECTS || !isRedirect(reply)) return { reply, url }
      const location = reply.headers.location as string
      if (!URL.canParse(location, url)) return { reply, url }
      const next = new URL(location, url)
      if (next.origin !== target.origin) headers = pick(headers, HARMLESS)
      url = next.href
      body = undefined
    }
  }

  /** One try, under the total timeout. Rejects only with the caller's own reason to abort. */
  async function attempt<T>(
    request: DoorRequest,
    finish: (reply: Reply, url: string, limit: number) => T | Refusal,
    stream?: { idleTimeoutMs: number },
  ): Promise<T | Refusal> {
    const { signal } = request
    if (signal?.aborted) throw signal.reason
    const limits = {
      timeoutMs: request.timeoutMs ?? timeoutMs,
      maxBodyBytes: BRINGS_TOKEN.has(request.endpoint) ? Math.min(MAX_TOKEN_BYTES, maxBodyBytes) : maxBodyBytes,
      idleTimeoutMs: stream?.idleTimeoutMs ?? 0,
    }
    const watch = new Watch()
    const timeout = setTimeout(() => watch.stop(new Stopped('timeout')), limits.timeoutMs)
    const abort = () => watch.stop(new Stopped('aborted'))
    const unlisten = () => signal?.removeEventListener('abort', abort)
    const fail = (error: unknown) =>
      signal?.aborted ? new Refusal(signal.reason, false) : judgeFailure(error, request, watch, limits)
    signal?.addEventListener('abort', abort, { once: true })
    let streams = false
    try {
      const { reply, url } = await send(request, watch, {
        maxBodyBytes: limits.maxBodyBytes,
        ...(stream && {
          idleTimeoutMs: limits.idleTimeoutMs,
          toError: (error: Error) => fail(error).error,
          onEnd: unlisten,
        }),
      })
      streams = reply.stream !== undefined
      return finish(reply, url, limits.maxBodyBytes)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      return fail(error)
    } finally {
      clearTimeout(timeout)
      if (!streams) unlisten()
    }
  }

  /** Tries until it goes well, or trying again cannot help; keeps to the rate limit and reports. */
  async function guarded<T extends { status: number }>(
    request: DoorRequest,
    run: () => Promise<T | Refusal>,
    headersOf: (result: T) => Headers | Record<string, string>,
  ): Promise<T> {
    const { limit, signal, endpoint } = request
    const retries = request.retries ?? defaultRetries(request)
    const maxWaitMs = endpoint === 'identity' ? MAX_IDENTITY_WAIT_MS : MAX_WAIT_MS
    const started = options.onRequest ? now() : 0
    for (let tries = 0; ; tries++) {
      const turn = limit && (await limiter.acquire(limit, { maxWaitMs, signal }))
      if (turn?.waitMs !== undefined) throw usedUp(request, turn.waitMs)
      let result: T | Refusal
      try {
        result = await run()
      } finally {
        turn?.release()
      }
      if (!(result instanceof Refusal)) {
        if (limit) observe(limit, headersOf(result))
        if (options.onRequest) report(request, started, { status: result.status })
        return result
      }
      const { error, retryable } = result
      const told = (error.retryAfterSeconds ?? 0) * 1000
      const waitMs = told > 0 ? told : backoffMs(tries + 1)
      if (limit && (told > 0 || error.fault === 'rate_limited')) limiter.observe(limit, { waitMs })
      if (tries >= retries || !retryable || waitMs > maxWaitMs || isStream(request.body)) {
        if (options.onRequest) report(request, started, { code: error.code, status: error.providerStatus })
        throw error
      }
      // A little later than told, not all at once.
      await sleep(told > 0 ? told + Math.random() * 250 : waitMs, signal).catch((failure) => {
        throw signal?.aborted ? signal.reason : failure
      })
    }
  }

  /** Where an answer says that nothing is left, its reset is waited for before the provider has to refuse. */
  function observe(limit: Limit, headers: Headers | Record<string, string>): void {
    const remaining = remainingRequests(headers)
    if (remaining === undefined) return
    const seconds = remaining === 0 ? resetSeconds(headers, now()) : undefined
    limiter.observe(limit, { remaining, ...(seconds && { waitMs: seconds * 1000 }) })
  }

  function report(
    request: DoorRequest,
    started: number,
    outcome: { status?: number | undefined; code?: ErrorCode },
  ): void {
    const { provider, endpoint, method, url, secrets } = request
    const milliseconds = now() - started
    const info: RequestInfo = {
      provider,
      endpoint,
      method,
      // Few look at it.
      get url() {
        return redactURL(url, secrets)
      },
      milliseconds,
    }
    if (outcome.status !== undefined) info.status = outcome.status
    if (outcome.code !== undefined) info.code = outcome.code
    options.onRequest?.(info)
  }

  return {
    request: (request) =>
      guarded(
        request,
        () => attempt(request, (reply, url, limit) => judgeAnswer(request, reply, url, limit, now())),
        (answer) => answer.headers,
      ),
    stream: (request) =>
      guarded(
        request,
        () =>
          attempt<Response>(
            request,
            (reply, url, limit) => {
              if (reply.stream || (reply.status >= 200 && reply.status <= 299)) return streamed(reply, url)
              return judgeAnswer(request, reply, url, limit, now()) as Refusal
            },
            { idleTimeoutMs },
          ),
        (response) => response.headers,
      ),
    browserURL(url) {
      const { origin } = new URL(url)
      const other = mapper.find(origin, 'browser')
      return other === undefined ? url : other + url.slice(origin.length)
    },
    async close() {
      await Promise.all([outside.destroy(), mapped.destroy(), limiter.close()])
    },
  }
}

function defaultRetries({ method, endpoint }: DoorRequest): number {
  return (method === 'GET' || method === 'HEAD') && (endpoint === 'api' || endpoint === 'identity') ? 2 : 0
}

function headersOf({ headers, expect = 'json' }: DoorRequest, userAgent: string): Record<string, string> {
  const all: Record<string, string> = {
    'user-agent': userAgent,
    accept: expect === 'json' ? 'application/json' : '*/*',
  }
  for (const name in headers) all[name.toLowerCase()] = headers[name] as string
  return all
}

function pick(headers: Record<string, string>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => names.includes(name)))
}

function checkURL(request: DoorRequest, url: string, redirects: number): URL {
  const target = URL.canParse(url) ? new URL(url) : undefined
  if (target && isAllowedOrigin(target, request.origins)) return target
  const named = target ? redactText(target.origin, request.secrets) : 'what is no URL'
  // After a redirect, the provider has seen the request.
  throw refused(request, `${named} is no origin of this connection`, redirects === 0 ? 'no' : undefined)
}

function refuseLiteral(request: DoorRequest, target: URL, redirects: number): void {
  const address = literalAddress(target.hostname)
  if (address !== undefined && isPrivateAddress(address))
    throw refused(request, 'the host is a private address', redirects === 0 ? 'no' : undefined)
}

function usedUp(request: DoorRequest, waitMs: number): IntegrationError {
  return new IntegrationError('PROVIDER_RATE_LIMITED', `${where(request)}: our share of the rate limit is used up`, {
    provider: request.provider,
    fault: 'rate_limited',
    retryAfterSeconds: Math.ceil(waitMs / 1000),
    sent: 'no',
  })
}

function isStream(body: DoorRequest['body']): boolean {
  return body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)
}
