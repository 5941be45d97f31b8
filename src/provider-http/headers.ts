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
