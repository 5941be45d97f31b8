import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { IntegrationError } from '../../src/errors.js'
import {
  type IdentityContext,
  type OneOrMore,
  type ProviderDefinition,
  type RequestTemplate,
  type Resource,
  tokenPaths,
} from '../../src/strategies/define-provider.js'

/** A fact sheet as it lies in `../shared/facts` beside the checkout: only what is compared. */
export interface Sheet {
  id: string
  auth: {
    kind: string
    authorization_url: string | null
    token_url: string | null
    refresh_url: string | null
    revocation: { method: string; url: string } | null
    client_auth: string
    authorization_params: Record<string, string>
    token_params: Record<string, string>
    pkce: string
    scope_param: string | null
    scope_separator: string | null
    scopes: { scope: string }[]
    refresh_token: string
    token_response: Record<string, unknown>
    connection_params: { name: string; pattern: string }[]
    callback_verification?: unknown
    oauth1?: { request_token_url: string; access_token_url: string; signature_method: string }
    link_token?: { create: SheetRequest; exchange: SheetRequest & { response: Record<string, string> } }
  }
  identity: SheetRequest & {
    account_id: string | null
    account_name: string | null
    email: string | null
    fallback?: SheetRequest
  }
  api: { base_url: string; auth_header: string; headers: Record<string, string> }
  backfill: (SheetRequest & {
    resource: string
    needs: string | null
    params: Record<string, string>
    pagination: { style: string; request: string | null; response: string | null }
    items: string | null
    id: string | null
    updated_at: string | null
    updated_at_format: string
  })[]
  env: string[]
}
interface SheetRequest {
  method: string
  url: string
  body?: unknown
}

export interface Difference {
  /** Dotted key of the sheet. */
  key: string
  sheet: unknown
  definition: unknown
}

/** The folder of the sheets relative to this checkout, where it exists. */
export function factsFolder(): URL | undefined {
  const folder = new URL('../../../shared/facts/', import.meta.url)
  return existsSync(folder) ? folder : undefined
}

export function readSheets(folder: URL): Map<string, Sheet> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  const sheets = names.map((name): Sheet => JSON.parse(readFileSync(new URL(name, folder), 'utf8')))
  return new Map(sheets.map((sheet) => [sheet.id, sheet]))
}

/** Differences that the definition does not explain, and explanations of what does not differ (any more). */
export async function checkFacts(definition: ProviderDefinition, sheet: Sheet) {
  const differences = await compareWithSheet(definition, sheet)
  const explained = Object.keys(definition.deviations ?? {})
  const found = new Set(differences.map(({ key }) => key))
  return {
    unexplained: differences.filter(({ key }) => !explained.includes(key)),
    stale: explained.filter((key) => !found.has(key)),
  }
}

export async function compareWithSheet(definition: ProviderDefinition, sheet: Sheet): Promise<Difference[]> {
  const differences: Difference[] = []
  const same: Same = (key, expected, actual) => {
    if (JSON.stringify(expected ?? null) !== JSON.stringify(actual ?? null)) {
      differences.push({ key, sheet: expected ?? null, definition: actual ?? null })
    }
  }
  compareAuth(definition, sheet, same)
  compareParams(definition, sheet, same)
  await compareIdentity(definition, sheet, same)
  compareApi(definition, sheet, same)
  compareBackfill(definition, sheet, same)
  return differences
}
type Same = (key: string, expected: unknown, actual: unknown) => void

function compareAuth({ auth }: ProviderDefinition, sheet: Sheet, same: Same): void {
  const facts = sheet.auth
  same('auth.kind', facts.kind, auth.kind)
  const names = (scopes: readonly { scope: string }[]) => new Set(scopes.map(({ scope }) => scope))
  compareSets('auth.scopes', names(facts.scopes), names(auth.scopes), same)
  same('auth.revocation', facts.revocation !== null, auth.revocation !== undefined)
  if (facts.revocation && auth.revocation) {
    const token = (text: string) => text.replace('{access_token}', '{token}')
    compareRequest('auth.revocation', token, facts.revocation, auth.revocation, same)
  }
  if (auth.kind === 'oauth1') {
    same('auth.oauth1.request_token_url', facts.oauth1?.request_token_url, auth.requestTokenURL)
    same('auth.oauth1.access_token_url', facts.oauth1?.access_token_url, auth.accessTokenURL)
    same('auth.oauth1.signature_method', facts.oauth1?.signature_method, auth.signatureMethod)
  }
  if (auth.kind === 'link_token' && facts.link_token) {
    compareRequest('auth.link_token.create', same_, facts.link_token.create, auth.create, same)
    compareRequest('auth.link_token.exchange', same_, facts.link_token.exchange, auth.exchange, same)
    same('auth.token_response.access_token', facts.token_response.access_token, auth.exchange.accessToken)
  }
  if (auth.kind === 'api_key' || auth.kind === 'link_token') return

  same('auth.authorization_url', facts.authorization_url, auth.authorizationURL)
  if (facts.scopes.length > 0) {
    same('auth.scope_param', facts.scope_param ?? 'scope', auth.scopeParam ?? 'scope')
    same('auth.scope_separator', facts.scope_separator ?? ' ', auth.scopeSeparator ?? ' ')
  }
  // Some sheets repeat the scopes among the parameters.
  const { [facts.scope_param ?? 'scope']: repeated, ...params } = facts.authorization_params
  const joined = facts.scopes.map(({ scope }) => scope).join(facts.scope_separator ?? ' ')
  const expected = repeated === undefined || repeated === joined ? params : facts.authorization_params
  compareMaps('auth.authorization_params', expected, auth.authorizationParams ?? {}, same)
  if (auth.kind === 'oauth1') return

  same('auth.token_url', facts.token_url, auth.tokenURL)
  same('auth.refresh_url', facts.refresh_url ?? facts.token_url, auth.refreshURL ?? auth.tokenURL)
  same('auth.client_auth', facts.client_auth, auth.clientAuth)
  compareMaps('auth.token_params', facts.token_params, auth.tokenParams ?? {}, same)
  same('auth.refresh_token', facts.refresh_token, auth.refreshToken)
  const allowed: Record<string, readonly string[]> = {
    required: ['always'],
    supported: ['always', 'optIn'],
    unsupported: ['never'],
    unknown: ['always', 'optIn', 'never'],
  }
  if (!allowed[facts.pkce]?.includes(auth.pkce)) same('auth.pkce', facts.pkce, auth.pkce)
  const [paths] = Object.values(tokenPaths(auth))
  same('auth.token_response.access_token', facts.token_response.access_token, first(paths?.accessToken))
  same('auth.token_response.refresh_token', facts.token_response.refresh_token, first(paths?.refreshToken))
  same('auth.token_response.expires_in', facts.token_response.expires_in, first(paths?.expiresIn))
  same('auth.token_response.scope', facts.token_response.scope, first(paths?.scope))
}

function compareParams(definition: ProviderDefinition, sheet: Sheet, same: Same): void {
  const typed = (definition.params ?? []).map(({ name, pattern }) => [name, pattern.source] as const)
  const patterns = sheet.auth.connection_params.map(({ name, pattern }) => [name, new RegExp(pattern).source] as const)
  compareMaps('auth.connection_params', Object.fromEntries(patterns), Object.fromEntries(typed), same)
  same('auth.callback_verification', Boolean(sheet.auth.callback_verification), Boolean(definition.verifyCallback))

  const prefix = definition.client?.env ?? definition.id.toUpperCase().replaceAll('-', '_')
  const credentials =
    definition.credentialsEnv === null
      ? []
      : Object.values(
          definition.credentialsEnv ?? { clientId: `${prefix}_CLIENT_ID`, clientSecret: `${prefix}_CLIENT_SECRET` },
        )
  const further = [
    ...(definition.env ?? []).map(({ name }) => name),
    ...(definition.params ?? []).map(({ env }) => env),
  ]
  const known = [...credentials, ...further].filter((name) => name !== undefined)
  const told = sheet.env.filter((name) => !name.endsWith('_REDIRECT_URI'))
  compareSets('env', new Set(told), new Set(known), same)
}

/** Paths are compared as they are; a `resolve` is tried on an answer that holds marks where the sheet says that things stand. */
async function compareIdentity(definition: ProviderDefinition, sheet: Sheet, same: Same): Promise<void> {
  const { identity } = definition
  const facts = sheet.identity
  const compare = (asked: RequestTemplate) =>
    compareRequest('identity', same_, facts, mergeAuth(definition, asked), same)
  if (identity.request) compare(identity.request)
  if (!identity.resolve) {
    same('identity.account_id', facts.account_id, first(identity.accountId))
    same('identity.account_name', facts.account_name, first(identity.accountName))
    same('identity.email', facts.email, first(identity.email))
    return
  }
  const body = {}
  for (const field of ['account_id', 'account_name', 'email'] as const) {
    if (facts[field]) put(body, facts[field].split('.'), `<${field}>`)
  }
  const calls: RequestTemplate[] = []
  const call: IdentityContext['call'] = async (request) => {
    calls.push(request)
    return body
  }
  const answer = await identity.resolve({ body: identity.request && body, token: {}, params: {}, call })
  if (!identity.request && calls[0]) compare(calls[0])
  const holds = (text: string | undefined, mark: string, told: string | null) => (text?.includes(mark) ? told : text)
  same('identity.account_id', facts.account_id, holds(answer.id, '<account_id>', facts.account_id))
  same('identity.account_name', facts.account_name, holds(answer.name, '<account_name>', facts.account_name))
  same('identity.email', facts.email, holds(answer.email, '<email>', facts.email))

  if (!facts.fallback) return
  const tried: RequestTemplate[] = []
  const refuseFirst: IdentityContext['call'] = async (request) => {
    tried.push(request)
    if (tried.length > 1) return {}
    throw new IntegrationError('PROVIDER_FORBIDDEN', 'Refused by the facts check.', { fault: 'permission' })
  }
  await identity.resolve({ body: undefined, token: {}, params: {}, call: refuseFirst })
  same('identity.fallback', requestLine(facts.fallback), tried[1] && requestLine(tried[1]))
}

function compareApi({ api }: ProviderDefinition, sheet: Sheet, same: Same): void {
  same('api.base_url', sheet.api.base_url, api.baseURL)
  // "Authorization: Bearer {api_key} (or …)", "A: {x} and B: {y} (…)"
  const told = (sheet.api.auth_header.split(/ \(|;/)[0] ?? '').split(' and ').map((header) => {
    const [name = '', value = ''] = header.split(/: (.*)/)
    return [name.toLowerCase(), value.replace(/\{(api_key|admin_key)\}/, '{access_token}')]
  })
  const auth = api.auth ?? { headers: { authorization: 'Bearer {access_token}' } }
  same('api.auth_header', Object.fromEntries(told), lowerCase(auth.headers ?? {}))
  const fixed = (headers: Readonly<Record<string, string>>) => {
    // Both follow from the body and from what is expected.
    const { 'content-type': _type, accept: _accept, ...others } = lowerCase(headers)
    return others
  }
  compareMaps('api.headers', fixed(sheet.api.headers), fixed(api.headers ?? {}), same)
}

function compareBackfill(definition: ProviderDefinition, sheet: Sheet, same: Same): void {
  const resources = new Map(definition.resources.map((resource) => [resource.name, resource]))
  const told = new Map(sheet.backfill.map((entry) => [entry.resource, entry]))
  compareSets('backfill', new Set(told.keys()), new Set(resources.keys()), same)
  for (const [name, facts] of told) {
    const resource = resources.get(name)
    if (!resource) continue
    const key = `backfill.${name}`
    const translate = (text: string) => {
      let path = 'parent'
      let result = text
      for (let above = facts.needs; above; above = told.get(above)?.needs ?? null) {
        result = result.replaceAll(`{${above}.`, `{${path}.`)
        path += '.parent'
      }
      return result
    }
    same(`${key}.needs`, facts.needs, resource.parent)
    const asked = mergeAuth(definition, resource.request)
    compareRequest(key, translate, { ...facts, body: withoutCursor(facts.body) }, asked, same)
    compareQuery(key, facts, asked, translate, same)
    comparePagination(key, facts.pagination, resource, same)
    same(`${key}.items`, facts.items === '$' ? '' : (facts.items ?? ''), resource.items)
    same(`${key}.id`, facts.id, [resource.id].flat().join(' + '))
    same(`${key}.updated_at`, facts.updated_at, first(resource.timestamp?.path))
    const format = facts.updated_at_format === 'unix_s' ? 'unix' : facts.updated_at_format
    if (format !== 'other' && facts.updated_at) same(`${key}.updated_at_format`, format, resource.timestamp?.format)
  }
}

function comparePagination(
  key: string,
  facts: Sheet['backfill'][number]['pagination'],
  resource: Resource,
  same: Same,
) {
  const { pagination } = resource
  const path = /^[\w.@$-]+$/.test(facts.response ?? '') ? facts.response : undefined
  const allowed: Record<string, readonly string[]> = {
    // "id of the last element" is a cursor that the sheet describes in words.
    cursor: path === undefined ? ['last_item', 'custom'] : ['cursor'],
    graphql_cursor: ['cursor'],
    sync_token: ['cursor', 'next_url'],
  }
  const styles = allowed[facts.style] ?? [facts.style]
  if (!styles.includes(pagination.style)) return same(`${key}.pagination.style`, facts.style, pagination.style)
  const param = /^[\w.[\]$-]+/.exec(facts.request ?? '')?.[0]
  if ('param' in pagination) same(`${key}.pagination.request`, param, pagination.param)
  if (pagination.style === 'cursor' && path) same(`${key}.pagination.response`, path, first(pagination.next))
}

function compareQuery(
  key: string,
  facts: Sheet['backfill'][number],
  request: RequestTemplate,
  translate: (text: string) => string,
  same: Same,
) {
  const told = Object.entries(facts.params).filter(([, value]) => !/^\{cursor\b/.test(value))
  const query = Object.fromEntries(Object.entries(request.query ?? {}).map(([name, value]) => [name, [value].flat()]))
  const asked = Object.fromEntries(Object.entries(query).map(([name, values]) => [name, values.join(',')]))
  compareMaps(`${key}.params`, Object.fromEntries(told.map(([name, value]) => [name, translate(value)])), asked, same)
}

/** Method, URL and JSON body. The query is compared name by name for resources, as part of the URL otherwise. */
function compareRequest(
  key: string,
  translate: (text: string) => string,
  facts: SheetRequest,
  request: RequestTemplate,
  same: Same,
) {
  const inUrl = !('params' in facts)
  same(`${key}.method`, facts.method, request.method)
  same(`${key}.url`, requestLine({ ...facts, url: translate(facts.url) }, true), requestLine(request, inUrl))
  if (facts.body) compareBody(`${key}.body`, facts.body, request.json, same)
}

/** Objects key by key, anything else as a whole; a placeholder that the sheet describes in words fits any placeholder. */
function compareBody(key: string, facts: unknown, json: unknown, same: Same): void {
  if (isObject(facts) && isObject(json)) {
    for (const name of new Set([...Object.keys(facts), ...Object.keys(json)])) {
      compareBody(`${key}.${name}`, facts[name], json[name], same)
    }
  } else if (!(isWordyPlaceholder(facts) && isPlaceholder(json)) && !(isOptional(facts) && json === undefined)) {
    same(key, facts, json)
  }
}

/** What `api.auth` adds to a request on its way. */
function mergeAuth({ api }: ProviderDefinition, request: RequestTemplate): RequestTemplate {
  if (!api.auth?.json || request.method === 'GET' || !isObject(request.json)) return request
  return { ...request, json: { ...api.auth.json, ...request.json } }
}

function withoutCursor(body: unknown): unknown {
  if (Array.isArray(body) || !isObject(body)) return body
  const kept = Object.entries(body).filter(([, value]) => !/^\{cursor\b/.test(String(value)))
  return Object.fromEntries(kept.map(([name, value]) => [name, withoutCursor(value)]))
}

function requestLine({ method, url, query }: SheetRequest & Pick<RequestTemplate, 'query'>, withQuery = true): string {
  // `{+name}` keeps the slashes of a value; the sheets do not tell the two apart.
  const [base = '', search = ''] = url.replaceAll('{+', '{').split('?')
  const asked = Object.entries(query ?? {}).flatMap(([name, value]) => [value].flat().map((one) => `${name}=${one}`))
  const all = [...search.split('&').filter(Boolean), ...asked].sort()
  return `${method} ${base}${withQuery && all.length > 0 ? `?${all.join('&')}` : ''}`
}

function compareMaps(key: string, facts: Record<string, unknown>, actual: Record<string, unknown>, same: Same): void {
  compareBody(key, facts, actual, same)
}

function compareSets(key: string, facts: ReadonlySet<string>, actual: ReadonlySet<string>, same: Same): void {
  for (const name of new Set([...facts, ...actual])) {
    same(`${key}.${name}`, facts.has(name) ? 'there' : 'not there', actual.has(name) ? 'there' : 'not there')
  }
}

const same_ = (text: string) => text
const first = <T>(value: OneOrMore<T> | undefined): T | undefined => [value].flat()[0] as T | undefined
const lowerCase = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isPlaceholder = (value: unknown) => typeof value === 'string' && /^\{[^{}]+\}$/.test(value)
const isWordyPlaceholder = (value: unknown) => isPlaceholder(value) && String(value).includes(' ')
const isOptional = (value: unknown) => isPlaceholder(value) && String(value).startsWith('{optional')

function put(target: Record<string, unknown>, [name = '', ...rest]: string[], value: string): void {
  if (rest.length > 0) {
    target[name] ??= {}
    put(target[name] as Record<string, unknown>, rest, value)
  } else target[name] = value
}
