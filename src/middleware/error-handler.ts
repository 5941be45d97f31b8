import type { ErrorRequestHandler, Request, Response } from 'express'
import { ERROR_CODES, type ErrorCode, IntegrationError, textOf } from '../errors.js'
import { errorPage } from './pages/error-page.js'
import { newNonce, sendPage } from './pages/layout.js'
import { prefersHtml } from './request.js'

/** What a user may read of an error, whoever threw it. */
export interface ErrorMessage {
  title: string
  message: string
  action: string
  code: ErrorCode
  reference: string
}

/**
 * Makes an `IntegrationError` of whatever was thrown. Errors of passport-oauth2 and its relatives keep their meaning; anything else is
 * `INTERNAL_ERROR`. The original is its `cause`.
 */
export function toIntegrationError(error: unknown): IntegrationError {
  const known = innermost(error)
  if (known) return known
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown }
  return new IntegrationError(
    codeOf(String(name ?? ''), String(code ?? '')),
    `${String(name ?? 'error')} ${typeof code === 'string' ? code.slice(0, 60) : ''}`.trim(),
    { cause: error },
  )
}

function codeOf(name: string, code: string): ErrorCode {
  if (name === 'AuthorizationError')
    return code === 'access_denied'
      ? 'AUTH_DENIED'
      : code === 'server_error' || code === 'temporarily_unavailable'
        ? 'PROVIDER_UNAVAILABLE'
        : 'PROVIDER_REFUSED'
  if (name === 'TokenError')
    return code === 'invalid_grant'
      ? 'AUTH_CODE_REJECTED'
      : /client|redirect/.test(code)
        ? 'PROVIDER_CLIENT_REFUSED'
        : 'PROVIDER_REFUSED'
  if (name === 'InternalOAuthError') return 'PROVIDER_BAD_RESPONSE'
  return /^(ECONN|ENOTFOUND|EAI_|ETIMEDOUT|EHOST|UND_ERR_)/.test(code) ? 'PROVIDER_UNAVAILABLE' : 'INTERNAL_ERROR'
}

/**
 * The sentences for a user about any error: of this library, of passport-oauth2 (`AuthorizationError`, `TokenError`,
 * `InternalOAuthError`), or any other. Never what a provider wrote.
 */
export function formatOAuthErrorMessage(error: unknown): ErrorMessage {
  const known = toIntegrationError(error)
  return { ...textOf(known.code, known.provider), code: known.code, reference: known.reference }
}

export interface ErrorHandlerOptions {
  /** Called with every error that is answered here. */
  log?: (error: IntegrationError) => void
  /** Link of the page's button. Default `/`. */
  backUrl?: string
}

/**
 * Express error handler for hosts with OAuth routes of their own: a page or a problem (RFC 9457) for errors of this library and of the
 * passport-oauth packages; all others pass on untouched.
 */
export function integrationErrorHandler(options: ErrorHandlerOptions = {}): ErrorRequestHandler {
  return function integrationErrorHandler(error, req, res, next) {
    const known = isOurs(error) ? toIntegrationError(error) : undefined
    if (!known || res.headersSent) return next(error)
    options.log?.(known)
    sendError(req, res, known, { html: prefersHtml(req), backUrl: options.backUrl ?? '/' })
  }
}

const PASSPORT_ERRORS = new Set(['AuthorizationError', 'TokenError', 'InternalOAuthError'])

/** The network failures of the host's own database are none of ours, so only what is named counts. */
function isOurs(error: unknown): boolean {
  return innermost(error) !== undefined || PASSPORT_ERRORS.has(String((error as { name?: unknown } | undefined)?.name))
}

/** Strategies and libraries wrap what they get (`InternalOAuthError.oauthError`, `cause`). */
function innermost(error: unknown): IntegrationError | undefined {
  for (let inner = error, depth = 0; inner && depth < 5; depth++) {
    if (inner instanceof IntegrationError) return inner
    inner = (inner as { oauthError?: unknown }).oauthError ?? (inner as { cause?: unknown }).cause
  }
  return undefined
}

/** Answers with an error: a page for people, a problem for programs. */
export function sendError(
  _req: Request,
  res: Response,
  error: IntegrationError,
  page: {
    html: boolean
    backUrl: string
    loginUrl?: string | undefined
    popup?: { origin: string; provider: string } | undefined
    names?: readonly string[]
  },
): void {
  if (error.retryAfterSeconds !== undefined) res.set('retry-after', String(error.retryAfterSeconds))
  else if (error.status === 503) res.set('retry-after', '30')
  if (page.html) {
    const nonce = newNonce()
    sendPage(res, error.status, nonce, errorPage({ error, nonce, ...page }))
    return
  }
  res.status(error.status).set('cache-control', 'no-store').type('application/problem+json').send(JSON.stringify(error))
}

/** Whether an error is a fault to be logged as such, rather than an answer to what a user did. */
export function isFault({ code }: IntegrationError): boolean {
  return ERROR_CODES[code].whose !== 'you'
}
