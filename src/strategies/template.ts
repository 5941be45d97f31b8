import { IntegrationError } from '../errors.js'
import { urlsOf } from './check-definition.js'
import type { JsonTemplate, OneOrMore, Path, ProviderDefinition, RequestTemplate, Template } from './define-provider.js'

/** What placeholders are filled from. */
export interface Scope {
  params: Readonly<Record<string, string>>
  env?: Readonly<Record<string, string>>
  clientId?: string
  clientSecret?: string
  accessToken?: string
  since?: Date
  now?: Date
  /** The parent record; its own parent under `parent`. */
  parent?: unknown
  /** Further values by placeholder name: `redirect_uri`, `link_token`, … */
  extra?: Readonly<Record<string, string>>
}

export interface BuiltRequest {
  method: string
  url: string
  /** Names in lower case. */
  headers: Record<string, string>
  body?: string
}

const DAY_MS = 86_400_000
/** A placeholder; `{+name}` in a path keeps the slashes of its value. */
const PLACEHOLDER = /\{(\+?)([A-Za-z_][\w.]*)\}/g
/** What would make a path mean something else: nothing at all, or a step to another place. A lone surrogate cannot be encoded. */
const NO_SEGMENT = /^$|(?:^|[/\\])\.{1,2}(?:$|[/\\])|\p{Surrogate}/u
const ONLY_PLACEHOLDER = /^\{\+?([A-Za-z_][\w.]*)\}$/

/** The value at a dotted path, own properties only; of several paths the first that is there. `null` counts as missing. */
export function pick(value: unknown, path: OneOrMore<Path>): unknown {
  if (typeof path === 'string') return pickOne(value, path) ?? undefined
  for (const one of path) {
    const found = pickOne(value, one)
    if (found !== undefined && found !== null) return found
  }
  return undefined
}

function pickOne(value: unknown, path: Path): unknown {
  if (path === '') return value
  if (!path.includes('.')) return ownValue(value, path)
  // A key may have a dot in it.
  if (isObject(value) && Object.hasOwn(value, path)) return value[path]
  return path.split('.').reduce(ownValue, value)
}

function ownValue(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object'
}

/** Like `pick`, for ids and names: a string that is not empty, or a number as text. */
export function pickString(value: unknown, path: OneOrMore<Path>): string | undefined {
  for (const one of typeof path === 'string' ? [path] : path) {
    const found = pick(value, one)
    if (typeof found === 'string' && found !== '') return found
    if (typeof found === 'number' || typeof found === 'bigint') return String(found)
  }
  return undefined
}

/** Fills a template as it stands, without encoding. What is not known becomes empty. */
export function fill(template: Template, scope: Scope): string {
  if (!template.includes('{')) return template
  return template.replace(PLACEHOLDER, (_whole, _plus, name: string) => lookUp(name, scope) ?? '')
}

/**
 * Fills a URL: raw up to the path, because patterns were checked there; percent-encoded from the path on.
 *
 * @throws IntegrationError `PROVIDER_NOT_FOUND` for a value that is missing in the path, or would lead out of it (`..`): an id such as
 * this would turn the request into another one.
 */
export function fillURL(template: Template, scope: Scope): string {
  if (!template.includes('{')) return template
  const pathStart = pathIndex(template)
  const pathEnd = template.includes('?') ? template.indexOf('?') : template.length
  return template.replace(PLACEHOLDER, (_whole, plus: string, name: string, index: number) => {
    const value = lookUp(name, scope) ?? ''
    if (index < pathStart) return value
    if (index < pathEnd && NO_SEGMENT.test(value))
      throw new IntegrationError(
        'PROVIDER_NOT_FOUND',
        `the value of {${name}} does not fit into the path of an address`,
        {
          fault: 'not_found',
        },
      )
    const encoded = encodeURIComponent(value)
    return plus ? encoded.replaceAll('%2F', '/') : encoded
  })
}

function pathIndex(template: string): number {
  if (template.startsWith('{')) return template.indexOf('}')
  const slash = template.indexOf('/', template.indexOf('://') + 3)
  return slash === -1 ? template.length : slash
}

/** Fills a whole request. Values that are one unknown placeholder are left out with their name. */
export function buildRequest(template: RequestTemplate, scope: Scope): BuiltRequest {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(template.headers ?? {})) {
    const filled = fillOptional(value, scope)
    if (filled !== undefined) headers[name.toLowerCase()] = filled
  }
  const request: BuiltRequest = {
    method: template.method,
    url: withQuery(fillURL(template.url, scope), template.query, scope),
    headers,
  }
  if (template.json !== undefined) {
    headers['content-type'] ??= 'application/json'
    request.body = JSON.stringify(fillJson(template.json, scope))
  } else if (template.form) {
    headers['content-type'] ??= 'application/x-www-form-urlencoded'
    request.body = new URLSearchParams(fillRecord(template.form, scope)).toString()
  }
  return request
}

/** Fills every value; what is one unknown placeholder is left out. */
export function fillRecord(templates: Readonly<Record<string, Template>>, scope: Scope): Record<string, string> {
  const filled: Record<string, string> = {}
  for (const [name, template] of Object.entries(templates)) {
    const value = fillOptional(template, scope)
    if (value !== undefined) filled[name] = value
  }
  return filled
}

/** Adds parameters to a URL that may have some already. */
export function withQuery(
  url: string,
  query: Readonly<Record<string, OneOrMore<Template>>> | undefined,
  scope: Scope,
): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const one of typeof value === 'string' ? [value] : value) {
      const filled = fillOptional(one, scope)
      if (filled !== undefined) search.append(name, filled)
    }
  }
  const text = search.toString()
  return text === '' ? url : `${url}${url.includes('?') ? '&' : '?'}${text}`
}

function fillOptional(template: Template, scope: Scope): string | undefined {
  const only = ONLY_PLACEHOLDER.exec(template)
  return only ? lookUp(only[1] as string, scope) : fill(template, scope)
}

function fillJson(template: JsonTemplate, scope: Scope): unknown {
  if (typeof template === 'string') return fillOptional(template, scope)
  if (template === null || typeof template !== 'object') return template
  if (Array.isArray(template)) return template.map((item) => fillJson(item as JsonTemplate, scope))
  return Object.fromEntries(
    Object.entries(template)
      .map(([key, value]) => [key, fillJson(value as JsonTemplate, scope)] as const)
      .filter(([, value]) => value !== undefined),
  )
}

function lookUp(name: string, scope: Scope): string | undefined {
  const dot = name.indexOf('.')
  if (dot !== -1) {
    const rest = name.slice(dot + 1)
    const first = name.slice(0, dot)
    if (first === 'since') return scope.since && formatDate(scope.since, rest)
    if (first === 'now') return scope.now && formatDate(scope.now, rest)
    if (first === 'env') return own(scope.env, rest)
    if (first === 'parent') return pickString(scope.parent, rest)
    return undefined
  }
  if (name === 'client_id') return scope.clientId
  if (name === 'client_secret') return scope.clientSecret
  if (name === 'access_token') return scope.accessToken
  return own(scope.extra, name) ?? own(scope.params, name)
}

function own(values: Readonly<Record<string, string>> | undefined, name: string): string | undefined {
  return values && Object.hasOwn(values, name) ? values[name] : undefined
}

/** A moment in the form that a provider asks for. Always UTC. */
export function formatDate(date: Date, format: string): string {
  const iso = date.toISOString()
  switch (format) {
    case 'unix':
      return String(Math.floor(date.getTime() / 1000))
    case 'unix_ms':
      return String(date.getTime())
    case 'unix_day':
      return String((Math.floor(date.getTime() / DAY_MS) * DAY_MS) / 1000)
    case 'iso8601':
      return iso.replace(/\.\d{3}Z$/, 'Z')
    case 'iso8601_no_zone':
      return iso.slice(0, 19)
    case 'date':
      return iso.slice(0, 10)
    case 'next_date':
      return new Date(date.getTime() + DAY_MS).toISOString().slice(0, 10)
    case 'date_time_minutes':
      return iso.slice(0, 16).replace('T', ' ')
    default:
      throw new TypeError(`a template asks for the unknown date format "${format}"`)
  }
}

/** URL templates of a definition, cut to their origin, each once. */
const originTemplates = new WeakMap<ProviderDefinition, readonly string[]>()

/**
 * Where requests of a connection may go: the origins of all URLs in the definition and of `api.origins`, filled. Those with a
 * placeholder that is not known yet are left out.
 */
export function allowedOrigins(definition: ProviderDefinition, scope: Scope): string[] {
  let templates = originTemplates.get(definition)
  if (!templates) {
    templates = [
      ...new Set(
        [...urlsOf(definition).map(([, url]) => url), ...(definition.api.origins ?? [])].map((url) =>
          url.slice(0, originEnd(url)),
        ),
      ),
    ]
    originTemplates.set(definition, templates)
  }
  const origins: string[] = []
  for (const template of templates) {
    if (!template.includes('{')) origins.push(template)
    else if (isKnown(template, scope)) {
      const filled = fill(template, scope)
      const url = URL.canParse(filled) ? new URL(filled) : undefined
      if (url?.protocol === 'https:') origins.push(url.origin)
    }
  }
  return origins
}

function isKnown(template: string, scope: Scope): boolean {
  for (const [, , name] of template.matchAll(PLACEHOLDER)) if (!lookUp(name as string, scope)) return false
  return true
}

function originEnd(template: string): number {
  return template.startsWith('{') ? template.indexOf('}') + 1 : pathIndex(template)
}
