import { type HeaderSource, header } from './headers.js'

/** What a web page is, as far as it can be told, and whether asking again can help. Nothing else of the page travels on. */
export interface PageInfo {
  /** At most 120 characters, entities decoded. For logs, never for users. */
  title?: string
  cause: 'gateway' | 'challenge' | 'login' | 'maintenance' | 'firewall' | 'not_found' | 'unknown'
  /** The gateway's own id of this answer (cf-ray, request id), for a support ticket. */
  reference?: string
  retryable: boolean
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

/** @param head - The beginning of the page, bounded by the caller. */
export function describePage(head: string, status: number, headers: HeaderSource): PageInfo {
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
  const said = title && SIGNS.find(([, pattern]) => pattern.test(title))
  if (said) return said[0]
  // A page about a failure often keeps the site's head with its link to sign in.
  const sign = SIGNS.find(([cause, pattern]) => !(cause === 'login' && status >= 500) && pattern.test(head))
  if (sign) return sign[0]
  if (status === 404 || status === 410) return 'not_found'
  return status >= 500 ? 'gateway' : 'unknown'
}

const MAX_TITLE = 120

function titleOf(head: string): string | undefined {
  const open = /<title[^>]{0,200}>/i.exec(head)
  if (!open) return undefined
  const rest = head.slice(open.index + open[0].length, open.index + open[0].length + 1000)
  const end = rest.search(/<\/?[a-z]/i)
  const text = decodeEntities(end === -1 ? rest : rest.slice(0, end))
    // What must not reach a log line: control, format, surrogate and private characters, separators, brackets.
    .replace(/[\p{C}\p{Z}<>]+/gu, ' ')
    .trim()
    .slice(0, MAX_TITLE)
    .replace(/\p{Cs}$/u, '')
  return text || undefined
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

function decodeEntities(text: string): string {
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
  'x-slack-req-id',
  'x-hubspot-correlation-id',
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
