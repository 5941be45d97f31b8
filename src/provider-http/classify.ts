import { brotliDecompressSync, constants, gunzipSync } from 'node:zlib'

/** What a web page is, as far as it can be told, and whether asking again can help. Nothing else of the page travels on. */
export interface PageInfo {
  /** At most 120 characters, entities decoded. For logs, never for users. */
  title?: string
  cause: 'gateway' | 'challenge' | 'login' | 'maintenance' | 'firewall' | 'not_found' | 'unknown'
  /** The gateway's own id of this answer (cf-ray, request id), for a support ticket. */
  reference?: string
  retryable: boolean
}

export type Classified =
  | { kind: 'json'; value: unknown; page?: undefined }
  | { kind: 'html_error'; value?: undefined; page: PageInfo }
  | { kind: 'other'; value?: undefined; page?: undefined }

export type HeaderSource = Headers | Readonly<Record<string, string | readonly string[] | undefined>>

export interface Answer {
  status: number
  headers: HeaderSource
  body: string | Uint8Array
}

/** How much of a text is searched for markers. A page shows what it is at its beginning. */
const SEARCHED = 64 * 1024
const MAX_UNPACKED = 32 * 1024 * 1024
const OTHER: Classified = { kind: 'other' }

/**
 * Tells JSON, a web page and anything else apart. Never throws; the work is linear in the bytes.
 *
 * The bytes decide first: byte order mark and blanks are passed over, gzip is recognised without its header, what parses as JSON is
 * JSON whatever its header says, what is built of HTML is a page whatever its header says. The header only counts for fragments.
 */
export function classifyResponse(answer: Answer): Classified {
  const text = textOf(answer)
  const start = firstVisible(text)
  if (start === text.length) return OTHER
  if (mayBeJson(text.charCodeAt(start))) {
    try {
      return { kind: 'json', value: JSON.parse(start === 0 ? text : text.slice(start)) }
    } catch {
      // Broken or cut JSON, JSON with something behind it, or a text that begins like it.
    }
  }
  const head = text.slice(start, start + SEARCHED)
  return isPage(head, answer.headers) ? { kind: 'html_error', page: describe(head, answer) } : OTHER
}

/**
 * The same for code that has a fetch `Response` (a clone is read, at most 1 MiB of it) or the parts of an answer.
 *
 * `message` is a sentence that may be shown to users.
 */
export async function checkHtmlResponse(
  response: Response | { status: number; headers: HeaderSource; body: unknown },
): Promise<{ isHtml: boolean; message?: string }> {
  const found = classifyResponse(
    response instanceof Response
      ? { status: response.status, headers: response.headers, body: await beginning(response) }
      : { status: response.status, headers: response.headers, body: asBody(response.body) },
  )
  return found.kind === 'html_error' ? { isHtml: true, message: MESSAGES[found.page.cause] } : { isHtml: false }
}

const AGAIN = 'Try again in a few minutes.'
const MESSAGES: Record<PageInfo['cause'], string> = {
  gateway: `The other service is having a disturbance at the moment. ${AGAIN}`,
  maintenance: `The other service is under maintenance. ${AGAIN}`,
  challenge: `The other service wants to check who is asking, which only a person can answer. ${AGAIN}`,
  firewall: 'The other service refused the request before it arrived. If this stays, tell the people who run this app.',
  login: 'The other service asks to sign in again. Connect it once more.',
  not_found: 'The other service does not know this address. If this stays, tell the people who run this app.',
  unknown: `The other service sent a web page where data was expected. ${AGAIN}`,
}

function asBody(body: unknown): string | Uint8Array {
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  return body === undefined || body === null ? '' : JSON.stringify(body)
}

async function beginning(response: Response): Promise<Uint8Array> {
  const limit = 1024 * 1024
  const chunks: Uint8Array[] = []
  let size = 0
  const reader = response.bodyUsed ? undefined : response.clone().body?.getReader()
  while (reader) {
    const { done, value } = await reader.read()
    if (done) break
    chunks.push(value)
    size += value.length
    // Not awaited: cancelling one branch of a clone waits for the other, which is the caller's.
    if (size >= limit) void reader.cancel().catch(() => {})
    if (size >= limit) break
  }
  return Buffer.concat(chunks)
}

export function header(headers: HeaderSource, name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? ''
  const value = headers[name] ?? headers[Object.keys(headers).find((key) => key.toLowerCase() === name) ?? name]
  return typeof value === 'string' ? value : (value?.join(', ') ?? '')
}

function textOf({ headers, body }: Answer): string {
  if (typeof body === 'string') return body
  const bytes = unpack(Buffer.from(body.buffer, body.byteOffset, body.byteLength), headers)
  // UTF-16 shows by its byte order mark, or by a zero beside the first ASCII character.
  if (bytes.length > 1 && ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] !== 0 && bytes[1] === 0)))
    return bytes.toString('utf16le')
  if (bytes.length > 1 && ((bytes[0] === 0xfe && bytes[1] === 0xff) || (bytes[0] === 0 && bytes[1] !== 0)))
    return Buffer.from(bytes.subarray(0, bytes.length & ~1))
      .swap16()
      .toString('utf16le')
  return bytes.toString('utf8')
}

function unpack(bytes: Buffer, headers: HeaderSource): Buffer {
  // A gateway that cuts an answer leaves a broken end: what can be read of it is enough to tell what it is.
  const tolerant = { maxOutputLength: MAX_UNPACKED, finishFlush: constants.Z_SYNC_FLUSH }
  try {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gunzipSync(bytes, tolerant)
    if (header(headers, 'content-encoding') === 'br')
      return brotliDecompressSync(bytes, {
        maxOutputLength: MAX_UNPACKED,
        finishFlush: constants.BROTLI_OPERATION_FLUSH,
      })
  } catch {
    // Not what it seemed, or a bomb: the bytes as they are.
  }
  return bytes
}

function firstVisible(text: string): number {
  let index = 0
  for (; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x20 && code !== 0xfeff && code !== 0xa0) break
  }
  return index
}

function mayBeJson(code: number): boolean {
  // { [ " - digits, t f n
  return (
    code === 0x7b ||
    code === 0x5b ||
    code === 0x22 ||
    code === 0x2d ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x74 ||
    code === 0x66 ||
    code === 0x6e
  )
}

const DOCUMENT = /^(?:<!doctype\s+html|<html[\s>]|<head[\s>]|<body[\s>]|<title[\s>])/i
const FRAGMENT =
  /^<\/?(?:a|article|b|big|blockquote|br|button|center|code|div|em|font|footer|form|frameset|h[1-6]|header|hr|i|iframe|img|input|li|link|main|meta|nav|noscript|ol|p|pre|script|section|small|span|strong|style|table|tbody|td|tr|tt|u|ul)[\s/>]/i
const INNER_DOCUMENT = /(?:^|[^\\"'])(?:<!doctype\s+html|<html[\s>])/i

function isPage(head: string, headers: HeaderSource): boolean {
  const first = head.charAt(0)
  if (first === '<') {
    const lead = skipPreamble(head)
    return DOCUMENT.test(lead) || FRAGMENT.test(lead)
  }
  // A broken JSON text may quote a page; that makes it no page.
  if (first === '{' || first === '[') return false
  return (
    INNER_DOCUMENT.test(head) ||
    (/html/i.test(header(headers, 'content-type')) && /<(?:h[1-6]|p|br|body|title|div|center|pre)[\s/>]/i.test(head))
  )
}

/** Passes over comments, the XML declaration and foreign doctypes in front of the first element. */
function skipPreamble(head: string): string {
  let rest = head
  for (let turn = 0; turn < 16; turn++) {
    const end = rest.startsWith('<!--') ? after(rest, '-->') : rest.startsWith('<?') ? after(rest, '>') : -1
    if (end === -1) return rest
    rest = rest.slice(end).trimStart()
  }
  return rest
}

function after(text: string, mark: string): number {
  const index = text.indexOf(mark)
  return index === -1 ? text.length : index + mark.length
}

const SIGNS: readonly [PageInfo['cause'], RegExp][] = [
  [
    'challenge',
    /just a moment|checking your browser|cf-chl|challenge-platform|captcha|verify you are (?:a )?human|automated queries|unusual traffic|enable javascript and cookies/i,
  ],
  ['maintenance', /maintenance|under construction|scheduled downtime|be back (?:soon|shortly)|temporarily offline/i],
  [
    'firewall',
    /access denied|request blocked|unauthorized request|has been blocked|restrict(?:ed|s)? access|web application firewall|incapsula|akamai|forbidden/i,
  ],
  ['login', /\b(?:log|sign)[ -]?(?:in|on)\b|type=["']?password|saml|you are being <a/i],
  [
    'gateway',
    /bad gateway|gateway time-?out|service (?:temporarily )?unavailable|upstream|unicorn|server error|not available right now|internal error/i,
  ],
  ['not_found', /not found|no longer exists|does(?: not|n['’]t) exist|page (?:is )?missing/i],
]

function describe(head: string, { status, headers }: Answer): PageInfo {
  const title = titleOf(head)
  const cause = causeOf(head, title, status)
  const reference = referenceOf(head, headers)
  const retryable =
    status === 408 ||
    status === 425 ||
    status === 429 ||
    status >= 500 ||
    cause === 'maintenance' ||
    cause === 'gateway'
  return { ...(title && { title }), cause, ...(reference && { reference }), retryable }
}

function causeOf(head: string, title: string | undefined, status: number): PageInfo['cause'] {
  // The title is chosen to say what the page is; the rest of a page may speak of many things.
  for (const text of [title, head]) {
    const sign = text && SIGNS.find(([, pattern]) => pattern.test(text))
    if (sign) return sign[0]
  }
  if (status === 404 || status === 410) return 'not_found'
  return status >= 500 ? 'gateway' : 'unknown'
}

function titleOf(head: string): string | undefined {
  const open = /<title[^>]{0,200}>/i.exec(head)
  if (!open) return undefined
  const rest = head.slice(open.index + open[0].length, open.index + open[0].length + 1000)
  const end = rest.search(/<\/?[a-z]/i)
  const text = decode(end === -1 ? rest : rest.slice(0, end))
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a log line
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069<>]+|\s+/g, ' ')
    .trim()
  return text ? text.slice(0, 120) : undefined
}

const ENTITIES: Record<string, string> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  middot: '·',
  copy: '©',
  ndash: '–',
  mdash: '—',
  hellip: '…',
}

function decode(text: string): string {
  return text.replace(/&(#x[0-9a-f]{1,6}|#\d{1,7}|[a-z]{2,8});/gi, (whole, name: string) => {
    if (name.charAt(0) !== '#') return ENTITIES[name.toLowerCase()] ?? whole
    const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1))
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : ' '
  })
}

const REFERENCE_HEADERS = [
  'cf-ray',
  'x-request-id',
  'x-amzn-requestid',
  'x-amz-cf-id',
  'request-id',
  'x-correlation-id',
  'x-github-request-id',
  'x-ms-request-id',
  'x-vercel-id',
]

function referenceOf(head: string, headers: HeaderSource): string | undefined {
  for (const name of REFERENCE_HEADERS) {
    const value = header(headers, name)
    if (/^[\w.:=-]{1,100}$/.test(value)) return value
  }
  return /(?:ray id:?|reference(?: id)?:? ?(?:#|&#35;)|incident id:|support id is:|request id:)(?:\s|<[^>]{0,80}>|&nbsp;){0,4}([\w.-]{4,80})/i.exec(
    head,
  )?.[1]
}
