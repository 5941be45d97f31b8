import type { FaultKind } from '../errors.js'
import type { ErrorRules } from '../provider-http/errors.js'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import type { Answer } from './pages.js'
import { writeAt } from './paths.js'

/** Thrown inside the lab; answered in the provider's own error shape. */
export class Refusal extends Error {
  constructor(
    readonly fault: FaultKind,
    detail: string,
    /** RFC 6749 error of the token endpoint. */
    readonly oauthError?: string,
  ) {
    super(detail)
  }
}

const STATUS: Partial<Record<FaultKind, number>> = {
  expired: 401,
  revoked: 401,
  client: 401,
  scope: 403,
  permission: 403,
  admin: 403,
  account_gone: 403,
  rate_limited: 429,
  unavailable: 503,
  not_found: 404,
}

/** Plain words for those who read a body without knowing the provider's codes. */
const TEXT: Partial<Record<FaultKind, string>> = {
  expired: 'invalid token',
  revoked: 'invalid token',
  client: 'invalid key',
  scope: 'unauthorized permission requested',
  permission: 'unauthorized permission requested',
  not_found: 'model not found',
  rate_limited: 'too many requests',
  unavailable: 'service unavailable',
}

/** A refusal by the API. The definition's own code for it where there is one, at the place where its code stands. */
export function refusal(definition: ProviderDefinition, error: Refusal): Answer {
  const { auth, api } = definition
  // Where nothing can be refreshed, a token that ended and one that was revoked are told alike.
  const endsAlike = auth.kind !== 'oauth2' || auth.refreshToken === 'none'
  return shape(api.errors, error, TEXT[error.fault] ?? 'bad request', endsAlike)
}

/** A refusal by the token endpoint: RFC 6749, or the definition's shape where errors come with status 200. */
export function tokenRefusal(definition: ProviderDefinition, error: Refusal): Answer {
  const rules = definition.auth.errors
  const oauthError = error.oauthError ?? (error.fault === 'client' ? 'invalid_client' : 'invalid_request')
  if (rules?.failed || definition.auth.kind !== 'oauth2') return shape(rules, error, error.message)
  return {
    status: oauthError === 'invalid_client' ? 401 : 400,
    body: { error: oauthError, error_description: error.message },
  }
}

function shape(rules: ErrorRules | undefined, error: Refusal, message: string, endsAlike = true): Answer {
  const code = codeFor(rules, error, endsAlike)
  const status = STATUS[error.fault] ?? 400
  const path = rules?.code?.[0] ?? 'error'
  const body: Record<string, unknown> = {}
  writeAt(body, path, code ?? error.fault)
  writeAt(body, path.includes('.') ? path.replace(/[^.]+$/, 'message') : 'message', message)
  for (const mark of [{}, { ok: false }, { success: false }]) {
    const marked = { ...mark, ...body }
    // Such a provider says it in a body of status 200.
    if (code !== undefined && error.fault !== 'rate_limited' && rules?.failed?.(marked))
      return { status: 200, body: marked }
  }
  return { status, body }
}

/** Codes of the definition that mean the same. A refused refresh is told by another code than a refused authorization code. */
function codeFor(rules: ErrorRules | undefined, { fault, message }: Refusal, endsAlike: boolean): string | undefined {
  const codes = Object.entries(rules?.codes ?? {})
  const meaning = (kind: FaultKind) => codes.filter(([, found]) => found === kind).map(([code]) => code)
  const own = meaning(fault)
  const fitting = own.length === 0 && fault === 'expired' && endsAlike ? meaning('revoked') : own
  const subject = ['refresh', 'redirect', 'secret', 'code', 'token'].find((word) => message.includes(word))
  return fitting.find((code) => subject !== undefined && code.toLowerCase().includes(subject)) ?? fitting[0]
}
