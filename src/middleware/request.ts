import type { Request, Response } from 'express'
import { IntegrationError } from '../errors.js'

const MAX_BODY_BYTES = 64 * 1024
const MAX_VALUE = 4096

/** Query parameters as single, bounded strings; `?a[$ne]=1` and doubled ones are refused whatever parser the app uses. */
export function queryOf(req: Request): Record<string, string> {
  const url = req.originalUrl ?? req.url
  const start = url.indexOf('?')
  const query: Record<string, string> = {}
  if (start === -1) return query
  if (url.length - start > 16 * 1024) throw badField('query', 'The address is too long.')
  for (const [name, value] of new URLSearchParams(url.slice(start + 1))) {
    if (/[[\]$]/.test(name) || name.length > 100 || value.length > MAX_VALUE || Object.hasOwn(query, name))
      throw badField(name.slice(0, 100), 'Must be one short text.')
    query[name] = value
  }
  return query
}

/**
 * The fields of a JSON or form body: parsed here, or taken as a body parser of the app left them. At most 64 KiB.
 *
 * `params.shop` of a form and `{ params: { shop } }` of JSON both end in `params`.
 */
export async function bodyOf(
  req: Request,
): Promise<{ fields: Record<string, string>; params: Record<string, string>; isForm: boolean }> {
  const type = String(req.headers['content-type'] ?? '')
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(type)
  if (!isForm && !/^application\/json\b/i.test(type)) {
    if (
      req.headers['content-length'] === '0' ||
      (req.headers['content-length'] === undefined && req.headers['transfer-encoding'] === undefined)
    )
      return { fields: {}, params: {}, isForm: false }
    throw badField('body', 'Must be JSON or a form.')
  }
  const given: unknown = isParsed(req) ? req.body : parse(await read(req), isForm)
  if (given === null || typeof given !== 'object' || Array.isArray(given)) throw badField('body', 'Must be an object.')
  const fields: Record<string, string> = {}
  const params: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (name === 'params' && value !== null && typeof value === 'object' && !Array.isArray(value)) {
      for (const [param, text] of Object.entries(value)) params[param] = single(param, text)
    } else if (name.startsWith('params.')) params[name.slice(7)] = single(name, value)
    else if (value !== undefined && value !== null)
      fields[name] = typeof value === 'number' ? String(value) : single(name, value)
  }
  return { fields, params, isForm }
}

/** Parsers of Express 4 leave `{}` behind for what they did not read: a form where only `express.json()` is mounted. */
function isParsed({ body, readableDidRead }: Request): boolean {
  if (body === undefined || body === null) return false
  return readableDidRead !== false || typeof body !== 'object' || Object.keys(body).length > 0
}

function single(name: string, value: unknown): string {
  if (typeof value !== 'string' || value.length > MAX_VALUE)
    throw badField(name.slice(0, 100), 'Must be one short text.')
  return value
}

function parse(text: string, isForm: boolean): unknown {
  if (!isForm) {
    try {
      return text === '' ? {} : JSON.parse(text)
    } catch {
      throw badField('body', 'Must be JSON.')
    }
  }
  const fields: Record<string, string> = {}
  for (const [name, value] of new URLSearchParams(text)) {
    if (Object.hasOwn(fields, name)) throw badField(name.slice(0, 100), 'Must be there once.')
    fields[name] = value
  }
  return fields
}

async function read(req: Request): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw badField('body', 'Is too large.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

export function badField(name: string, sentence: string): IntegrationError {
  return new IntegrationError('REQUEST_INVALID', `${name}: ${sentence}`, { fields: { [name]: sentence } })
}

/** Whether the client prefers a page. Without a wish it gets JSON. */
export function prefersHtml(req: Request): boolean {
  const accept = String(req.headers.accept ?? '')
  return quality(accept, 'text', 'html') > quality(accept, 'application', 'json')
}

/** Whether the client asks for JSON by name. */
export function asksForJson(req: Request): boolean {
  const accept = String(req.headers.accept ?? '')
  return /\bjson\b/i.test(accept) && !prefersHtml(req)
}

/** RFC 9110 §12.5.1: the most specific range decides; a range of all types counts for JSON only, as scripts send it. */
function quality(accept: string, type: string, subtype: string): number {
  let best = 0
  let specific = -1
  for (const range of accept.split(',')) {
    const [name = '', ...parameters] = range
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/)
    const rank =
      name === `${type}/${subtype}` ? 2 : name === `${type}/*` ? 1 : name === '*/*' && subtype === 'json' ? 0 : -1
    if (rank < specific || rank === -1) continue
    const q = parameters.find((parameter) => parameter.startsWith('q='))
    const value = q === undefined ? 1 : Number(q.slice(2))
    specific = rank
    // A range that fits anything is a weaker wish than a named one.
    best = (Number.isFinite(value) ? value : 0) - (rank === 0 ? 0.001 : 0)
  }
  return best
}

/** A cookie of the request. */
export function cookieOf(req: Request, name: string): string | undefined {
  for (const part of String(req.headers.cookie ?? '').split(';')) {
    const equals = part.indexOf('=')
    if (equals !== -1 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim()
  }
  return undefined
}

/**
 * A path of this app to return to, or an error. Only a path: what a browser could read as another origin is refused, encoded or not.
 */
export function checkReturnTo(value: string | undefined, origin: string): string | null {
  if (value === undefined || value === '') return null
  const refuse = () => badField('returnTo', 'Must be a path of this app, such as /settings.')
  let text = value
  // Encoded once or twice, it must be harmless too.
  for (let turn = 0; turn < 3; turn++) {
    if (!/^\/(?![/\\])/.test(text) || /[\\\p{Cc}]/u.test(text) || text.length > 2000) throw refuse()
    if (!URL.canParse(text, origin) || new URL(text, origin).origin !== origin) throw refuse()
    try {
      const decoded = decodeURIComponent(text)
      if (decoded === text) break
      text = decoded
    } catch {
      if (turn === 0) throw refuse()
      // A percent sign that was escaped: nothing is left to decode.
      break
    }
  }
  return value
}

/** A redirect without a body to read: what follows is the browser's business. */
export function redirect(res: Response, status: 302 | 303, location: string): void {
  res.statusCode = status
  // Headers are ASCII; what is escaped already stays as it is, and half a character becomes U+FFFD.
  res.setHeader(
    'location',
    location.replace(/[^\x21-\x7e]+/g, (text) => encodeURIComponent(Buffer.from(text).toString())),
  )
  res.setHeader('content-length', '0')
  res.end()
}
