import type { Request } from 'express'
import { IntegrationError, type IntegrationErrorOptions } from '../errors.js'
import type { ProviderHttp } from '../provider-http/client.js'
import type { ClientConfig } from './call.js'
import type { OpenChoice } from './choices.js'
import type { ConnectionParam, ProviderDefinition } from './define-provider.js'
import type { ConnectedAccount, Credential } from './grant.js'
import type { Fingerprint } from './identify.js'
import type { StateData } from './state-store.js'

/** What every step of a flow works with. */
export interface FlowContext {
  http: ProviderHttp
  definition: ProviderDefinition
  client: ClientConfig
  fingerprint?: Fingerprint
}

export interface Started {
  /** Where the browser goes. */
  url: string
  data: StateData
  /** For pages that open the provider's own dialog (Plaid). */
  linkToken?: string
}

/** One kind of connecting: how it begins, and what its callback brings. */
export interface Flow {
  start(
    context: FlowContext,
    input: {
      state: string
      params: Record<string, string>
      secrets: Record<string, string>
      userId: string
      /** The credential of the connection that is to be repaired. */
      repair?: Credential
    },
  ): Promise<Started>
  complete(
    context: FlowContext,
    input: { data: StateData; query: Readonly<Record<string, string>> },
  ): Promise<ConnectedAccount | OpenChoice>
}

const MAX_LENGTH = 4096

/** Callback parameters as single, bounded strings. @throws IntegrationError `REQUEST_INVALID` for doubled or nested ones. */
export function flatInput(input: unknown): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries((input ?? {}) as Record<string, unknown>)) {
    if (value === undefined || value === null) continue
    if (typeof value !== 'string' || value.length > MAX_LENGTH || name.length > 100)
      throw new IntegrationError('REQUEST_INVALID', 'a callback parameter is doubled, nested or too long', {
        fields: { [name.slice(0, 100)]: 'Must be one short text.' },
      })
    flat[name] = value
  }
  return flat
}

/** Whether these are a provider's answer rather than a start. */
export function isCallback(query: Readonly<Record<string, string>>): boolean {
  return 'code' in query || 'error' in query || 'state' in query || 'oauth_token' in query
}

/**
 * What a user gave for the connection, normalised and checked against the patterns, secrets apart.
 *
 * @throws IntegrationError `REQUEST_INVALID` with a sentence per field.
 */
export function normalizeParams(
  definition: ProviderDefinition,
  input: Readonly<Record<string, unknown>>,
): { params: Record<string, string>; secrets: Record<string, string> } {
  const params: Record<string, string> = {}
  const secrets: Record<string, string> = {}
  const fields: Record<string, string> = {}
  for (const param of definition.params ?? []) {
    if ((param.from ?? 'form') !== 'form') continue
    const value = normalized(param, Object.hasOwn(input, param.name) ? input[param.name] : undefined)
    if (value === undefined && !param.optional) fields[param.name] = `${param.label} is missing. ${param.hint}`
    if (value === undefined) continue
    const known = param.choices === undefined || param.choices.some((choice) => choice.value === value)
    if (!param.pattern.test(value) || !known) fields[param.name] = param.hint
    else if (isSecret(definition, param)) secrets[param.name] = value
    else params[param.name] = value
  }
  if (Object.keys(fields).length > 0)
    throw new IntegrationError(
      'REQUEST_INVALID',
      `${definition.name}: ${Object.keys(fields).join(', ')} missing or outside the pattern`,
      {
        provider: definition.name,
        fields,
      },
    )
  return { params, secrets }
}

/** Sealed, never kept as a parameter, and never shown again. */
export function isSecret({ auth }: ProviderDefinition, param: ConnectionParam): boolean {
  return param.secret === true || (auth.kind === 'api_key' && auth.key === param.name)
}

function normalized(param: ConnectionParam, raw: unknown): string | undefined {
  if (typeof raw !== 'string') return raw === undefined || raw === null ? param.default : ''
  const trimmed = raw.trim().slice(0, 2000)
  if (trimmed === '') return param.default
  return param.normalize ? param.normalize(trimmed) : trimmed
}

/** Callback parameters that belong to the connection (QuickBooks' `realmId`). */
export function callbackParams(
  definition: ProviderDefinition,
  query: Readonly<Record<string, string>>,
): Record<string, string> {
  const found: Record<string, string> = {}
  for (const { name, pattern, from, optional } of definition.params ?? []) {
    if (from !== 'callback') continue
    const value = query[name]
    if (value === undefined && optional) continue
    if (value === undefined || !pattern.test(value)) throw invalid(definition, name)
    found[name] = value
  }
  return found
}

/** The callback's address where the protocol itself carries no state. */
export function withState(redirectURI: string, state: string): string {
  return `${redirectURI}${redirectURI.includes('?') ? '&' : '?'}${new URLSearchParams({ state })}`
}

export function invalid(definition: ProviderDefinition, field: string): IntegrationError {
  return new IntegrationError(
    'REQUEST_INVALID',
    `${definition.name}: the callback parameter "${field}" is missing or outside its pattern`,
    {
      provider: definition.name,
      fields: { [field]: 'Missing or not as expected.' },
    },
  )
}

export function failure(
  definition: ProviderDefinition,
  code: ConstructorParameters<typeof IntegrationError>[0],
  detail: string,
  options: IntegrationErrorOptions = {},
): IntegrationError {
  return new IntegrationError(code, `${definition.name}: ${detail}`, { provider: definition.name, ...options })
}

/** A refusal of what the user brought (a code, a verifier, a public token) is an answer: start again. */
export async function codeRejected<T>(definition: ProviderDefinition, exchange: Promise<T>): Promise<T> {
  try {
    return await exchange
  } catch (error) {
    const fault = error instanceof IntegrationError ? error.fault : undefined
    if (error instanceof IntegrationError && (fault === 'revoked' || fault === 'expired' || fault === 'invalid'))
      throw failure(definition, 'AUTH_CODE_REJECTED', error.message, {
        cause: error,
        providerStatus: error.providerStatus,
        providerCode: error.providerCode,
      })
    throw error
  }
}

/** The scopes that are asked for when the host names none: what a new app can use. */
export function defaultScopes(definition: ProviderDefinition): string[] {
  return definition.auth.scopes.filter((scope) => !scope.needsApproval && !scope.optional).map((scope) => scope.scope)
}

/** Express types `query` and `body` loosely; strategies read whichever the provider used. */
export function inputOf(req: Request): Record<string, unknown> {
  return req.method === 'POST' ? ((req.body ?? {}) as Record<string, unknown>) : (req.query as Record<string, unknown>)
}
