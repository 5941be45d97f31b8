import { EventEmitter } from 'node:events'
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import type { Strategy } from 'passport'
import { IntegrationError } from '../errors.js'
import { classifyResponse } from '../provider-http/classify.js'

export interface GuardOptions {
  /** The provider's name for people, such as `Discord`. */
  provider: string
  /** From sending a request to the last byte of its answer. Default 10,000. */
  timeoutMs?: number
  /** Default 10 MiB. */
  maxBodyBytes?: number
}

/**
 * Puts the guard of this library around a Passport strategy that the host already has, and returns the same strategy.
 *
 * Web pages, timeouts, cut and oversized answers at the token and profile endpoints become an `IntegrationError` at Passport's
 * `error` (`PROVIDER_HTML_RESPONSE`, `PROVIDER_TIMEOUT`, `PROVIDER_TOO_LARGE`, `PROVIDER_UNAVAILABLE`, `PROVIDER_BAD_RESPONSE`), so that
 * `integrationErrorHandler()` shows what users understand. A token answer without a token is an error, an exception inside the
 * strategy is one too instead of the end of the process. JSON refusals (`invalid_grant`, …) reach the strategy as before.
 *
 * It looks at what the strategy has (`_oauth2`, `_oauth`, `userProfile`), not at its class: several published ones bring their own
 * copy of passport-oauth2 or passport-oauth1.
 *
 * @throws TypeError when the strategy has neither `_oauth2` nor `_oauth`.
 */
export function guardStrategy<T extends Strategy>(strategy: T, options: GuardOptions): T {
  const guarded = strategy as unknown as OAuthStrategy
  if (!guarded._oauth2 && !guarded._oauth)
    throw new TypeError(
      'guardStrategy: this strategy has neither `_oauth2` nor `_oauth`: it is not built on passport-oauth2 or passport-oauth1.',
    )
  const limits = { timeoutMs: 10_000, maxBodyBytes: 10 * 1024 * 1024, ...options }
  const { authenticate, userProfile } = guarded

  // Passport calls authenticate on Object.create(strategy), with `error` of this request on it: everything below is per request too.
  guarded.authenticate = function (this: OAuthStrategy, ...args) {
    const error = this.error
    const fail = (reason: unknown) => error.call(this, innermost(reason))
    this.error = fail
    this._oauth2 = this._oauth2 && guardOAuth2(this._oauth2, limits, fail)
    this._oauth = this._oauth && guardOAuth1(this._oauth, limits, fail)
    try {
      return authenticate.apply(this, args)
    } catch (thrown) {
      return fail(thrown)
    }
  }

  if (userProfile) {
    guarded.userProfile = function (this: OAuthStrategy, ...args) {
      const done = args.pop() as (error?: unknown, profile?: unknown) => void
      let outcome: 'pending' | 'failed' | 'profile' = 'pending'
      const finish = (error?: unknown, profile?: unknown) => {
        // An error after the profile is of what came next (verify, the host's handler): it must not vanish.
        if (outcome === 'profile' && error) return this.error?.(error)
        if (outcome !== 'pending') return
        outcome = error ? 'failed' : 'profile'
        return error ? done(innermost(error)) : done(null, profile)
      }
      const self = Object.create(this) as OAuthStrategy
      self._oauth2 = this._oauth2 && guardOAuth2(this._oauth2, limits, finish)
      self._oauth = this._oauth && guardOAuth1(this._oauth, limits, finish)
      try {
        const pending = userProfile.call(self, ...args, finish) as unknown
        // Some strategies are async functions: Passport awaits nothing, so a rejection would end the process.
        if (pending instanceof Promise) pending.catch(finish)
      } catch (thrown) {
        finish(thrown)
      }
    }
  }
  return strategy
}

/** The parts of passport-oauth1 and passport-oauth2 that are looked at; private by name, stable for ten years. */
interface OAuthStrategy {
  _oauth2?: OAuth2Client | undefined
  _oauth?: OAuth1Client | undefined
  authenticate(...args: unknown[]): unknown
  userProfile?(...args: unknown[]): unknown
  error(error: unknown): void
}
type Callback = (error: unknown, ...results: unknown[]) => void
interface OAuth2Client {
  _agent?: RequestOptions['agent']
  _executeRequest(
    library: { request(options: RequestOptions): ClientRequest },
    options: RequestOptions,
    body: string | Buffer | null,
    callback: Callback,
  ): void
  getOAuthAccessToken(...args: unknown[]): void
}
interface OAuth1Client {
  _createClient(...args: unknown[]): ClientRequest
  getOAuthAccessToken(...args: unknown[]): void
  getOAuthRequestToken(...args: unknown[]): void
}
type Limits = Required<GuardOptions>
type Sink = (error: unknown) => void

/** A profile is read inside an authenticate: what is guarded there is guarded anew from the original, with a sink of its own. */
const originals = new WeakMap<object, object>()

function guardOAuth2(given: OAuth2Client, limits: Limits, sink: Sink): OAuth2Client {
  const client = (originals.get(given) ?? given) as OAuth2Client
  const guarded = Object.create(client) as OAuth2Client
  originals.set(guarded, client)
  guarded._executeRequest = (library, options, body, callback) => {
    if (client._agent) options.agent = client._agent
    const request = library.request(options)
    exchange(request, limits).then(
      ({ response, text }) => {
        const status = response.statusCode ?? 0
        const refused = (status < 200 || status > 299) && status !== 301 && status !== 302
        deliver(sink, refused ? [{ statusCode: status, data: text }] : [null, text, response], callback, limits)
      },
      (error) => deliver(sink, [error], callback, limits),
    )
    if (body && (options.method === 'POST' || options.method === 'PUT')) request.write(body)
    request.end()
  }
  guarded.getOAuthAccessToken = demandToken(client.getOAuthAccessToken, limits, sink)
  return guarded
}

function guardOAuth1(given: OAuth1Client, limits: Limits, sink: Sink): OAuth1Client {
  const client = (originals.get(given) ?? given) as OAuth1Client
  const guarded = Object.create(client) as OAuth1Client
  originals.set(guarded, client)
  // What the oauth package makes of a request: it writes, ends, and listens for `response` and `error`.
  guarded._createClient = (...args) => {
    const request = client._createClient.apply(guarded, args)
    const outcome = new EventEmitter()
    const stand = Object.assign(outcome, {
      write: (chunk: string | Buffer) => request.write(chunk),
      end: () => {
        exchange(request, limits).then(
          ({ response, text }) => {
            const body = Object.assign(new EventEmitter(), {
              statusCode: response.statusCode,
              headers: response.headers,
              setEncoding: () => {},
            })
            attempt(sink, undefined, limits, () => {
              outcome.emit('response', body)
              body.emit('data', text)
              body.emit('end')
            })
          },
          (error) => attempt(sink, error, limits, () => outcome.emit('error', error)),
        )
        request.end()
      },
    })
    return stand as unknown as ClientRequest
  }
  guarded.getOAuthAccessToken = demandToken(client.getOAuthAccessToken, limits, sink)
  guarded.getOAuthRequestToken = demandToken(client.getOAuthRequestToken, limits, sink)
  return guarded
}

/** An answer without a token is an error here; unguarded it calls `verify` with `undefined`. */
function demandToken(original: (...args: unknown[]) => void, limits: Limits, sink: Sink) {
  return function (this: unknown, ...args: unknown[]) {
    const callback = args.pop() as Callback
    original.call(this, ...args, (error: unknown, token: unknown, ...rest: unknown[]) => {
      const missing = !error && (typeof token !== 'string' || token === '')
      const problem = missing ? bad(limits, 'the token answer carries no token') : error
      deliver(sink, problem ? [problem] : [null, token, ...rest], callback, limits)
    })
  }
}

function deliver(sink: Sink, [error, ...results]: [unknown, ...unknown[]], callback: Callback, limits: Limits): void {
  attempt(sink, error, limits, () => callback(error, ...results))
}

/** Runs the strategy's own code; what it throws goes to `sink`, the cause behind it first. */
function attempt(sink: Sink, error: unknown, limits: Limits, run: () => void): void {
  try {
    run()
  } catch (thrown) {
    if (error instanceof IntegrationError || thrown instanceof IntegrationError)
      sink(error instanceof IntegrationError ? error : thrown)
    else sink(bad(limits, 'the strategy failed on the answer', error ?? thrown))
  }
}

/** Reads a whole answer within the limits. Rejects with IntegrationError, also for a web page of any status. */
function exchange(
  request: ClientRequest,
  { provider, timeoutMs, maxBodyBytes }: Limits,
): Promise<{ response: IncomingMessage; text: string }> {
  return new Promise((resolve, reject) => {
    const stop = (error: IntegrationError) => {
      clearTimeout(timer)
      reject(error)
      request.destroy()
    }
    const timer = setTimeout(
      () =>
        stop(
          new IntegrationError('PROVIDER_TIMEOUT', `${provider}: no complete answer within ${timeoutMs} ms`, {
            provider,
          }),
        ),
      timeoutMs,
    )
    request.on('error', (cause) =>
      stop(new IntegrationError('PROVIDER_UNAVAILABLE', `${provider}: the connection failed`, { provider, cause })),
    )
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > maxBodyBytes)
          stop(
            new IntegrationError('PROVIDER_TOO_LARGE', `${provider}: the answer is larger than ${maxBodyBytes} bytes`, {
              provider,
            }),
          )
        else chunks.push(chunk)
      })
      response.on('error', (cause) =>
        stop(new IntegrationError('PROVIDER_BAD_RESPONSE', `${provider}: the answer was cut off`, { provider, cause })),
      )
      response.on('end', () => {
        clearTimeout(timer)
        const body = Buffer.concat(chunks)
        const status = response.statusCode ?? 0
        const found = classifyResponse({ status, headers: response.headers, body })
        if (found.kind !== 'html_error') return resolve({ response, text: body.toString('utf8') })
        const detail = `${provider}: status ${status} with a web page (${found.page.cause}${found.page.title ? `, "${found.page.title}"` : ''})`
        reject(new IntegrationError('PROVIDER_HTML_RESPONSE', detail, { provider, providerStatus: status }))
      })
    })
  })
}

function bad({ provider }: Limits, detail: string, cause?: unknown): IntegrationError {
  return new IntegrationError('PROVIDER_BAD_RESPONSE', `${provider}: ${detail}`, { provider, cause })
}

/** Strategies wrap what they get (`InternalOAuthError.oauthError`); ours inside is the one that says what happened. */
function innermost(error: unknown): unknown {
  for (let inner = error, depth = 0; inner && depth < 5; depth++) {
    if (inner instanceof IntegrationError) return inner
    inner = (inner as { oauthError?: unknown; cause?: unknown }).oauthError ?? (inner as { cause?: unknown }).cause
  }
  return error
}
