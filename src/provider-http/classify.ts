import { type HeaderSource, header } from './headers.js'
import { describePage, type PageInfo } from './page.js'
import { decodeText, TOO_LARGE, unpack } from './unpack.js'

export type { HeaderSource } from './headers.js'
export type { PageInfo } from './page.js'

export type Classified =
  | { kind: 'json'; value: unknown; page?: undefined }
  | { kind: 'html_error'; value?: undefined; page: PageInfo }
  | { kind: 'other'; value?: undefined; page?: undefined }

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
export function classifyResponse({ status, headers, body }: Answer): Classified {
  return classifyText(textOf(body, headers), status, headers)
}

/** The same for a body that is unpacked and decoded already. */
export function classifyText(text: string, status: number, headers: HeaderSource): Classified {
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
  return isPage(head, headers) ? { kind: 'html_error', page: describePage(head, status, headers) } : OTHER
}

/**
 * The same for code that has a fetch `Response` (a clone is read, at most 1 MiB of it) or the parts of an answer.
 *
 * `message` is a sentence that may be shown to users. A body that somebody parsed already is no page.
 */
export async function checkHtmlResponse(
  response: Response | { status: number; headers: HeaderSource; body: unknown },
): Promise<{ isHtml: boolean; message?: string }> {
  const { status, headers } = response
  const body = isResponse(response) ? await beginning(response) : response.body
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return { isHtml: false }
  const found = classifyResponse({ status, headers, body })
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

/** By what it can do: undici and node-fetch bring a `Response` of their own. */
function isResponse(value: Response | object): value is Response {
  return typeof (value as Partial<Response>).clone === 'function' && 'bodyUsed' in value
}

async function beginning(response: Response): Promise<Uint8Array> {
  const limit = 1024 * 1024
  const chunks: Uint8Array[] = []
  let size = 0
  const reader = response.bodyUsed ? undefined : response.clone().body?.getReader()
  try {
    while (reader && size < limit) {
      const { done, value } = await reader.read()
      if (done) break
      chunks.push(value)
      size += value.length
    }
  } catch {
    // Cut off: what came before tells what it is, and the caller meets the same error on its own branch.
  }
  // Not awaited: cancelling one branch of a clone waits for the other, which is the caller's.
  void reader?.cancel().catch(() => {})
  return Buffer.concat(chunks)
}

function textOf(body: string | Uint8Array, headers: HeaderSource): string {
  if (typeof body === 'string') return body
  if (!(body instanceof Uint8Array)) return ''
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const plain = unpack(bytes, headers, MAX_UNPACKED)
  return decodeText(plain === TOO_LARGE ? bytes.subarray(0, SEARCHED) : plain)
}

function firstVisible(text: string): number {
  let index = 0
  for (; index < text.length; index++) {
    const code = text.charCodeAt(index)
    // Blanks and controls; no-break space, byte order mark, zero-width space.
    if (code > 0x20 && code !== 0xa0 && code !== 0xfeff && code !== 0x200b) break
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

// Every pattern here and in page.ts is anchored or has bounded repetitions, and sees SEARCHED characters at most.
const DOCUMENT = /^(?:<!doctype\s+html|<(?:html|head|body|title)(?:[\s/>]|$))/i
const FRAGMENT =
  /^<\/?(?:a|article|b|big|blockquote|br|button|center|code|div|em|font|footer|form|frameset|h[1-6]|header|hr|i|iframe|img|input|li|link|main|meta|nav|noscript|ol|p|pre|script|section|small|span|strong|style|table|tbody|td|tr|tt|u|ul)[\s/>]/i
const ANY_ELEMENT = /^<\/?[a-z][\w:-]{0,60}[\s/>]/i
const INNER_DOCUMENT = /(?:^|[^\\"'])(?:<!doctype\s+html|<html[\s>])/i
const INNER_FRAGMENT = /<(?:h[1-6]|p|br|body|title|div|center|pre)[\s/>]/i
/** JSON behind a guard against script inclusion, and JSONP: data, though not what `JSON.parse` reads. */
const GUARDED = /^(?:\)\]\}'|while\s?\(1\)|for\s?\(;;\)|\{\}\s?&&|(?:\/\*\*\/)?\s?[\w$.]{1,100}\([[{"])/

function isPage(head: string, headers: HeaderSource): boolean {
  const first = head.charAt(0)
  if (first === '<') {
    const lead = skipPreamble(head)
    if (DOCUMENT.test(lead) || FRAGMENT.test(lead)) return true
    // An XML declaration says what it is; of a nameless element only the header can.
    return !head.startsWith('<?') && ANY_ELEMENT.test(lead) && saysHtml(headers)
  }
  // A broken JSON text may quote a page; that makes it no page.
  if (first === '{' || first === '[' || GUARDED.test(head)) return false
  return INNER_DOCUMENT.test(head) || (saysHtml(headers) && INNER_FRAGMENT.test(head))
}

function saysHtml(headers: HeaderSource): boolean {
  return /html/i.test(header(headers, 'content-type'))
}

/** Passes over comments and declarations in front of the first element. */
function skipPreamble(head: string): string {
  let index = 0
  for (;;) {
    if (head.startsWith('<!--', index)) index = after(head, '-->', index + 2)
    else if (head.startsWith('<?', index)) index = after(head, '>', index)
    else return head.slice(index)
    while (index < head.length && head.charCodeAt(index) <= 0x20) index++
  }
}

function after(text: string, mark: string, from: number): number {
  const index = text.indexOf(mark, from)
  return index === -1 ? text.length : index + mark.length
}
