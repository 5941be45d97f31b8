/** Headers as fetch, node:http and undici give them. */
export type HeaderSource = Headers | Readonly<Record<string, string | readonly string[] | undefined>>

/** The value of a header, or `''`. `name` in lower case. Takes whatever headers look like, whoever made them. */
export function header(headers: HeaderSource, name: string): string {
  // By what it can do, not by its class: undici and node-fetch bring a `Headers` of their own.
  if (typeof headers?.get === 'function') return String(headers.get(name) ?? '')
  const record = (headers ?? {}) as Record<string, unknown>
  let value = record[name]
  if (value === undefined)
    for (const key in record) if (key.length === name.length && key.toLowerCase() === name) value = record[key]
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.filter((part) => typeof part === 'string').join(', ')
  return typeof value === 'number' ? String(value) : ''
}

/** The target of a relation in a `Link` header (RFC 8288). Commas and semicolons may stand inside `<…>` and quotes. */
export function linkTo(header: string | undefined, relation: string): string | undefined {
  if (header === undefined) return undefined
  for (const [, target, parameters = ''] of header.matchAll(
    /<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)/g,
  )) {
    const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))/i.exec(parameters)
    const relations = (rel?.[1] ?? rel?.[2] ?? '').toLowerCase().split(/\s+/)
    if (relations.includes(relation)) return target
  }
  return undefined
}
