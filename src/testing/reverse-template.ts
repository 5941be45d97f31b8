import type { JsonTemplate, RequestTemplate } from '../strategies/define-provider.js'

/** A request as it arrived, with the address that the provider's client meant. */
export interface Incoming {
  method: string
  /** Original origin, such as `https://slack.com`. */
  origin: string
  /** As it stands on the wire: percent-encoded. */
  pathname: string
  query: URLSearchParams
  headers: Readonly<Record<string, string>>
  json: unknown
  form: URLSearchParams | undefined
  /** Bytes of the body as text. */
  text: string
}

/** Values of placeholders that a request was made with. */
export type Captures = Map<string, string>

export interface Match {
  captures: Captures
  /** Literal parts of the query or form that are not as the template has them. Tolerated, but the better match wins. */
  differences: number
  /** Literal parts that are. */
  agreements: number
}

interface Compiled {
  regex: RegExp
  names: string[]
}
const compiled = new Map<string, Compiled>()
const PARTS = { text: '.*?', path: '[^/]*', host: '[^/]*?' } as const
/** `{+name}` in a path keeps the slashes of its value. */
const PLACEHOLDER = /\{(\+?)([^{}]+)\}/g

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** The template as an anchored pattern. `part`: what a placeholder may stand for. */
function compile(template: string, part: string): Compiled {
  const key = `${part} ${template}`
  let found = compiled.get(key)
  if (!found) {
    const names: string[] = []
    let source = ''
    let end = 0
    for (const match of template.matchAll(PLACEHOLDER)) {
      const [, plus, name] = match as unknown as [string, string, string]
      source += `${literal(template.slice(end, match.index))}(${plus ? '.+?' : part})`
      names.push(name)
      end = match.index + match[0].length
    }
    found = { regex: new RegExp(`^${source}${literal(template.slice(end))}$`, 's'), names }
    compiled.set(key, found)
  }
  return found
}

/** Reads the values of a template's placeholders back from a text. `undefined`: the text was not made from it. */
export function reverse(
  template: string,
  text: string,
  captures: Captures,
  kind: keyof typeof PARTS = 'text',
): boolean {
  const whole = kind === 'host' && isPlaceholder(template)
  const { regex, names } = compile(template, whole ? 'https?://[^/]+' : PARTS[kind])
  const match = regex.exec(text)
  if (!match) return false
  for (const [i, name] of names.entries()) {
    const raw = match[i + 1] as string
    const value = kind === 'path' ? decode(raw) : raw
    const known = captures.get(name)
    if (value === undefined || (known !== undefined && known !== value)) return false
    captures.set(name, value)
  }
  return true
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Origin, path and query of a URL template. A URL that begins with a placeholder has that as its origin, or as its host. */
export function splitURL(template: string): { origin: string; path: string; query: [string, string][] } {
  const match = /^(https?:\/\/[^/?]+|\{[^{}]+\})([^?]*)(?:\?(.*))?$/.exec(template)
  if (!match) throw new TypeError(`createProviderLab: "${template}" is not a URL template.`)
  return { origin: match[1] as string, path: match[2] || '/', query: [...new URLSearchParams(match[3] ?? '')] }
}

/** Whether a request was made from this template. `ignore`: names of parameters that pagination changes. */
export function matchRequest(
  template: RequestTemplate,
  incoming: Incoming,
  ignore: ReadonlySet<string> = new Set(),
): Match | undefined {
  if (template.method !== incoming.method) return undefined
  const captures: Captures = new Map()
  const url = splitURL(template.url)
  if (!reverse(url.origin, incoming.origin, captures, 'host')) return undefined
  if (!reverse(url.path, incoming.pathname, captures, 'path')) return undefined
  const match: Match = { captures, differences: 0, agreements: 0 }
  const note = (agrees: boolean) => {
    if (agrees) match.agreements++
    else match.differences++
  }
  for (const [name, value] of [...url.query, ...Object.entries(template.query ?? {})]) {
    if (ignore.has(name)) continue
    const values = typeof value === 'string' ? [value] : value
    const given = incoming.query.getAll(name)
    for (const [i, one] of values.entries()) {
      const text = given[i]
      if (text === undefined) {
        if (!isPlaceholder(one)) note(false)
      } else note(reverse(one, text, captures))
    }
  }
  for (const [name, value] of Object.entries(template.form ?? {})) {
    const text = incoming.form?.get(name)
    if (text === null || text === undefined) {
      if (!isPlaceholder(value)) note(false)
    } else note(reverse(value, text, captures))
  }
  // Literal JSON tells requests to one address apart (a GraphQL query, a search filter): it has to be right.
  if (template.json !== undefined && !matchJson(template.json, incoming.json, '', captures, ignore)) return undefined
  for (const [name, value] of Object.entries(template.headers ?? {})) {
    const text = incoming.headers[name.toLowerCase()]
    if (text !== undefined) reverse(value, text, captures)
  }
  return match
}

function matchJson(
  template: JsonTemplate,
  actual: unknown,
  path: string,
  captures: Captures,
  ignore: ReadonlySet<string>,
): boolean {
  if (ignore.has(path)) return true
  if (typeof template === 'string') {
    if (actual === undefined) return isPlaceholder(template)
    return (typeof actual === 'string' || typeof actual === 'number') && reverse(template, String(actual), captures)
  }
  // A number says how much is asked for; that may differ.
  if (typeof template === 'number') return actual === undefined || typeof actual === 'number'
  if (typeof template !== 'object' || template === null) return template === actual
  if (typeof actual !== 'object' || actual === null) return false
  for (const [name, value] of Object.entries(template)) {
    const inner = (actual as Record<string, unknown>)[name]
    if (!matchJson(value as JsonTemplate, inner, path ? `${path}.${name}` : name, captures, ignore)) return false
  }
  return true
}

export function isPlaceholder(template: string): boolean {
  return /^\{[^{}]+\}$/.test(template)
}

/** Names of the placeholders in a template, or in all strings of a JSON template. */
export function placeholdersOf(template: unknown): string[] {
  if (typeof template === 'string') return [...template.matchAll(PLACEHOLDER)].map((match) => match[2] as string)
  if (typeof template !== 'object' || template === null) return []
  return Object.values(template).flatMap(placeholdersOf)
}

/** Fills what is known; `undefined` when something is not. */
export function fillKnown(template: string, values: Readonly<Record<string, string | undefined>>): string | undefined {
  let complete = true
  const text = template.replace(PLACEHOLDER, (_, _plus, name: string) => {
    const value = values[name]
    if (value === undefined) complete = false
    return value ?? ''
  })
  return complete ? text : undefined
}
