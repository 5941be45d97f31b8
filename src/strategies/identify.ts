import { createHash } from 'node:crypto'
import { IntegrationError } from '../errors.js'
import type { ProviderHttp } from '../provider-http/client.js'
import { type ClientConfig, callProvider, scopeOf } from './call.js'
import type { Call, OneOrMore, Path, ProviderDefinition } from './define-provider.js'
import type { ConnectedAccount, Grant } from './grant.js'
import { fill, pick, pickString } from './template.js'

/** Keyed, one way; what stands for an account where the provider names none. */
export type Fingerprint = (value: string) => string

const unkeyed: Fingerprint = (value) =>
  createHash('sha256').update('atom-integrations account\0').update(value).digest('base64url')
const grants = new WeakMap<ConnectedAccount, Grant>()

/** The grant behind an account that a strategy gave: its tokens. Not on the account itself, so that logging one shows none. */
export function grantOf(account: ConnectedAccount): Grant {
  const grant = grants.get(account)
  if (!grant) throw new TypeError('grantOf: this account does not come from a strategy.')
  return grant
}

/**
 * Asks the provider whose grant this is.
 *
 * @param token - Body of the token answer; `undefined` for API keys.
 * @throws IntegrationError `PROVIDER_BAD_RESPONSE` when the answer names no account, and what the calls throw.
 */
export async function identify(
  http: ProviderHttp,
  definition: ProviderDefinition,
  client: ClientConfig,
  grant: Grant,
  token: unknown,
  fingerprint: Fingerprint = unkeyed,
): Promise<ConnectedAccount> {
  const { identity } = definition
  const credential = Object.values(grant.tokens)[0]
  if (!credential) throw new TypeError('identify: the grant has no token.')
  const call: Call = async (request) =>
    (await callProvider(http, definition, client, { request, endpoint: 'identity', params: grant.params, credential }))
      .body
  const context = (body: unknown) => ({
    body,
    token,
    params: grant.params,
    call,
    ...(definition.auth.kind === 'api_key' && { keyHint: keyHint(credential.accessToken) }),
  })

  // A request may go where they say: what a provider named is held to its pattern before one leaves.
  checkParams(definition, grant.params)
  if (definition.afterToken) {
    Object.assign(grant.params, await definition.afterToken(context(undefined)))
    checkParams(definition, grant.params)
  }
  const body = identity.request && (await call(identity.request))
  const read = (path: OneOrMore<Path> | undefined): string | undefined => {
    for (const one of path === undefined ? [] : typeof path === 'string' ? [path] : path) {
      const found = one.startsWith('token:') ? pickString(token, one.slice(6)) : pickString(body, one)
      if (found !== undefined) return found
    }
    return undefined
  }
  const resolved = await identity.resolve?.(context(body))
  for (const [name, path] of Object.entries(identity.params ?? {})) {
    const value = read(path)
    if (value !== undefined) grant.params[name] = value
  }
  Object.assign(grant.params, resolved?.params)
  checkParams(definition, grant.params)
  if (resolved?.scopes) grant.scopes = resolved.scopes

  const demanded = identity.accountId !== undefined && !identity.resolve
  const id = resolved?.id ?? read(identity.accountId)
  if (id === undefined && demanded)
    throw new IntegrationError('PROVIDER_BAD_RESPONSE', `${definition.name}: the identity answer names no account`, {
      provider: definition.name,
    })
  const accountId = id ?? `key-${fingerprint(credential.accessToken).slice(0, 22)}`
  const name = resolved?.name ?? read(identity.accountName) ?? accountId
  const email = resolved?.email ?? read(identity.email)
  const parts = [...(identity.keyParts ?? []).map((path) => read(path) ?? ''), ...(resolved?.keyParts ?? [])]
  const account: ConnectedAccount = {
    provider: definition.id,
    id: accountId.slice(0, 500),
    name: clean(name),
    ...(email !== undefined && { email: clean(email) }),
    key: accountKey(definition, client, grant, [accountId, ...parts]),
    scopes: grant.scopes,
    params: grant.params,
  }
  grants.set(account, grant)
  return account
}

/** Issuer + account (+ person). The issuer counts only where one definition has many (a self-managed host, a data centre, a shop). */
function accountKey(definition: ProviderDefinition, client: ClientConfig, grant: Grant, parts: string[]): string {
  const template = definition.api.baseURL
  const issuer =
    template.includes('{') && !definition.identity.uniqueAcrossHosts
      ? new URL(fill(template, scopeOf(definition, client, { params: grant.params }))).origin
      : ''
  const key = [issuer, ...parts].map((part) => encodeURIComponent(part)).join('|')
  // Some ids are long, and the key is an index.
  return key.length <= 200 ? key : createHash('sha256').update(key).digest('base64url')
}

/** What a provider names for later requests is held to the definition's pattern like what a user types. */
export function checkParams(definition: ProviderDefinition, params: Readonly<Record<string, string>>): void {
  for (const { name, pattern } of definition.params ?? []) {
    const value = params[name]
    if (value !== undefined && !pattern.test(value))
      throw new IntegrationError(
        'PROVIDER_BAD_RESPONSE',
        `${definition.name}: the value of "${name}" is outside its pattern`,
        { provider: definition.name },
      )
  }
}

/** Reads `params` paths of an answer. */
export function pickParams(body: unknown, paths: Readonly<Record<string, Path>> | undefined): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, path] of Object.entries(paths ?? {})) {
    const value = pick(body, path)
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      found[name] = String(value)
  }
  return found
}

/** What a provider calls something, fit for a page and a log line. */
export function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a page or a log line
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ').slice(0, 200)
}

/** Begin and end of a key: enough to recognise it, too little to use it. */
function keyHint(key: string): string {
  const prefix = /^(?:[A-Za-z]{1,8}[-_.]){1,3}/.exec(key)?.[0] ?? ''
  return `${prefix}…${key.slice(-4)}`
}
