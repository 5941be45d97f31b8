import { readFileSync } from 'node:fs'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkHtmlResponse, classifyResponse } from '../../src/provider-http/classify.js'

interface Incident {
  id: string
  status: number
  headers: Record<string, string>
  body_sketch: string
  body_encoding: 'utf8' | 'base64'
  must_classify_as: string
  lenient?: string[]
}
const file = JSON.parse(readFileSync(new URL('../fixtures/html-incidents.json', import.meta.url), 'utf8')) as
  | Incident[]
  | { incidents: Incident[] }
const incidents = Array.isArray(file) ? file : file.incidents
const classify = (body: string | Uint8Array, type = 'text/html', status = 200) =>
  classifyResponse({ status, headers: { 'content-type': type }, body })

describe('the incidents', () => {
  it.each(incidents.map((incident) => [incident.id, incident] as const))('%s', (_id, incident) => {
    const body = Buffer.from(incident.body_sketch, incident.body_encoding)
    const found = classifyResponse({ status: incident.status, headers: incident.headers, body })
    // Ours is the first class also where a second one would be acceptable.
    expect(found.kind).toBe(incident.must_classify_as)
    expect([incident.must_classify_as, ...(incident.lenient ?? [])]).toContain(found.kind)
    if (incident.body_encoding === 'utf8')
      expect(
        classifyResponse({ status: incident.status, headers: incident.headers, body: incident.body_sketch }).kind,
      ).toBe(found.kind)
  })
})

describe('what is not among the incidents', () => {
  const html: [string, string | Uint8Array, string?][] = [
    ['a page in UTF-16 with a byte order mark', Buffer.from('\ufeff<html><body>x', 'utf16le')],
    ['a page in UTF-16, big end first', Buffer.from('\ufeff<html><body>x</body>', 'utf16le').swap16()],
    ['a gzipped page without its header', gzipSync('<!doctype html><title>Down</title>')],
    ['a gzipped page that was cut', gzipSync(`<!doctype html><title>Down</title>${'x'.repeat(5000)}`).subarray(0, -12)],
    ['a page behind three comments', '<!-- a --><!-- b -->\n<!-- c --><html>'],
    ['a page as JSON', '<!DOCTYPE html><p>x', 'application/json'],
    ['a text in front of a page', 'Notice: undefined index\n<!DOCTYPE html><html>', 'application/json'],
    ['a bare heading', '<h1>Forbidden</h1>', 'text/plain'],
    ['a paragraph called html', 'Something failed.<br>Please wait', 'text/html'],
    ['a page that ends in its first tag', '<html'],
    ['a page behind twenty comments', `${'<!-- c -->\n'.repeat(20)}<html>`],
    ['a page behind a zero-width space', '\u200b<html>', 'application/json'],
    ['a page in two layers of gzip', gzipSync(gzipSync('<html><title>Down</title></html>'))],
    ['a page in brotli', brotliCompressSync('<html><title>Down</title></html>'), 'br'],
    ['an element nobody knows, called html', '<app-root></app-root>', 'text/html'],
    [
      'a conditional comment',
      '<!--[if lt IE 7]> <html class="ie"> <![endif]-->\n<!--[if gt IE 8]><!--> <html> <!--<![endif]-->',
    ],
    ['a doctype in odd case', '<!DoCtYpE   HTML SYSTEM "about:legacy-compat">', 'text/plain'],
  ]
  it.each(html)('%s is a page', (_what, body, type) => {
    const headers = type === 'br' ? { 'Content-Encoding': 'br' } : { 'content-type': type }
    expect(classifyResponse({ status: 200, headers, body }).kind).toBe('html_error')
  })

  const other: [string, string | Uint8Array, string?][] = [
    ['nothing', ''],
    ['blanks', ' \r\n\t'],
    ['JSON cut inside a quoted page', '{"body":"<!doctype html><html><body>Hello', 'application/json'],
    ['an Atom feed', '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"></feed>', 'application/xml'],
    ['a SOAP fault', '<soap:Envelope><soap:Body/></soap:Envelope>', 'text/xml'],
    ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg"/>', 'image/svg+xml'],
    ['a guarded JSON', ')]}\',\n{"a":1}', 'application/json'],
    ['a guarded JSON that quotes HTML', ')]}\',\n{"a":"<p>"}', 'text/html'],
    ['a loop in front of JSON', 'for(;;);{"a":"<p>"}', 'text/html'],
    ['JSONP', '/**/callback({"a":"<br>"})', 'text/html'],
    ['an element nobody knows', '<Error><Code>AccessDenied</Code></Error>', 'application/xml'],
    ['XML called html', '<?xml version="1.0"?><r/>', 'text/html'],
    ['a broken gzip', Buffer.from([0x1f, 0x8b, 8, 1, 2, 3]), 'application/gzip'],
    ['a form', 'access_token=a&scope=b', 'text/html'],
    ['binary', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 3]), 'image/png'],
    ['two JSON texts', '{"a":1}\n{"a":2}', 'application/json'],
  ]
  it.each(other)('%s is neither', (_what, body, type) => expect(classify(body, type).kind).toBe('other'))

  it('unpacks no bomb beyond its bound', () => {
    expect(classify(gzipSync(Buffer.alloc(40 * 1024 * 1024, 0x20))).kind).toBe('other')
  })
})

describe('what is said about a page', () => {
  it('names the cause, the title and the reference, and whether a retry can help', () => {
    const page = (body: string, status: number, headers: Record<string, string> = {}) =>
      classifyResponse({ status, headers, body }).page
    expect(page('<html><head><title>502 Bad Gateway</title></head></html>', 502, { 'CF-Ray': '8a1b-FRA' })).toEqual({
      title: '502 Bad Gateway',
      cause: 'gateway',
      reference: '8a1b-FRA',
      retryable: true,
    })
    expect(page('<title>Just a moment...</title>', 403)).toMatchObject({ cause: 'challenge', retryable: false })
    expect(page('<title>Sign in &middot; GitLab</title>', 200)).toMatchObject({
      cause: 'login',
      title: 'Sign in · GitLab',
      retryable: false,
    })
    expect(page('<h1>Access Denied</h1> Reference&#32;&#35;18.2f3', 403)).toMatchObject({
      cause: 'firewall',
      retryable: false,
    })
    expect(page('<h1>We are down for maintenance</h1>', 200)).toMatchObject({ cause: 'maintenance', retryable: true })
    expect(page('<title>URL No Longer Exists</title>', 404)).toMatchObject({ cause: 'not_found', retryable: false })
    expect(page('<html><body>?</body></html>', 200)).toEqual({ cause: 'unknown', retryable: false })
  })

  it('does not take a link to sign in for the cause of an outage', () => {
    const body = '<html><body><a href="/login">Sign in</a><h1>Sorry</h1></body></html>'
    expect(classifyResponse({ status: 503, headers: {}, body }).page?.cause).toBe('gateway')
    expect(classifyResponse({ status: 200, headers: {}, body }).page?.cause).toBe('login')
  })

  it('reads headers of any make', () => {
    const page = (headers: object) =>
      classifyResponse({ status: 403, headers: headers as Headers, body: '<html>' }).page
    expect(page(new Headers({ 'CF-Ray': 'a1' }))?.reference).toBe('a1')
    expect(page({ 'X-Request-Id': ['a1'] })?.reference).toBe('a1')
    expect(page({ 'X-Request-Id': 17 })?.reference).toBe('17')
    for (const headers of [null, undefined, {}, { 'cf-ray': null }, { 'cf-ray': {} }, { 'cf-ray': '<b>' }])
      expect(page(headers as object)?.reference).toBeUndefined()
  })

  it('finds the reference in the page where no header has it', () => {
    const page = (body: string) => classifyResponse({ status: 403, headers: {}, body }).page?.reference
    expect(page('<html>Ray ID: <strong>8a1b2c</strong>')).toBe('8a1b2c')
    expect(page('<H1>Access Denied</H1>Reference&#32;#18.2f3a.1')).toBeUndefined()
    expect(page('<H1>Access Denied</H1>Reference #18.2f3a.1')).toBe('18.2f3a.1')
    expect(page('<html>Your support ID is: 1234567890')).toBe('1234567890')
  })

  it('keeps no half of a character in a title', () => {
    const { title } = classify(`<title>${'a'.repeat(119)}\u{1f600}</title>`).page ?? {}
    expect(title).toBe('a'.repeat(119))
    expect(classify('<title>x&#xd800;y&#0;z</title>').page?.title).toBe('x y z')
  })

  it('keeps a title short and without control characters', () => {
    const { title } = classify(`<title>a\u0000\u001b[31m\u202e${'b'.repeat(500)}</title>`).page ?? {}
    expect(title).toMatch(/^a \[31m b+$/)
    expect(title).toHaveLength(120)
  })
})

describe('checkHtmlResponse', () => {
  it('reads a clone, so that the response can still be read', async () => {
    const response = new Response('<html><title>Maintenance</title></html>', { status: 503 })
    expect(await checkHtmlResponse(response)).toEqual({ isHtml: true, message: expect.stringContaining('maintenance') })
    expect(await response.text()).toContain('Maintenance')
  })

  it('finds nothing wrong with JSON, parsed or not', async () => {
    expect(await checkHtmlResponse(Response.json({ a: '<html>' }))).toEqual({ isHtml: false })
    expect(await checkHtmlResponse({ status: 200, headers: {}, body: { a: 1 } })).toEqual({ isHtml: false })
  })

  it('finds nothing wrong with what is no text', async () => {
    const circle: Record<string, unknown> = {}
    circle.self = circle
    for (const body of [circle, undefined, null, 1n, 7])
      expect(await checkHtmlResponse({ status: 200, headers: {}, body })).toEqual({ isHtml: false })
  })

  it('judges what came of an answer that is cut off', async () => {
    let turn = 0
    const cut = new ReadableStream({
      pull(controller) {
        if (turn++ === 0) controller.enqueue(new TextEncoder().encode('<html><title>Sign in</title>'))
        else controller.error(new Error('cut'))
      },
    })
    const found = await checkHtmlResponse(new Response(cut))
    expect(found).toEqual({ isHtml: true, message: expect.stringContaining('sign in again') })
  })

  it('takes the response of another implementation', async () => {
    const { Response: Other } = await import('undici')
    const response = new Other('<html><h1>Access Denied</h1></html>', { status: 403, headers: { 'cf-ray': 'a1' } })
    expect(await checkHtmlResponse(response as unknown as Response)).toMatchObject({ isHtml: true })
    expect(
      classifyResponse({ status: 403, headers: response.headers as unknown as Headers, body: '<html>' }).page,
    ).toMatchObject({ reference: 'a1' })
  })

  it('does not wait for the end of an endless answer', async () => {
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(`<html>${'x'.repeat(65536)}`)),
    })
    expect((await checkHtmlResponse(new Response(endless))).isHtml).toBe(true)
  })
})

/** What a careless pattern, or a careless loop, would stumble over. */
const REPEATED = [
  '<',
  '<!--',
  '<!-- -->',
  '<title',
  '<title ',
  '<!doctype',
  '<!doctype ',
  '&#',
  '{"',
  '[',
  '<html ',
  'ray id: ',
  'ray id:<b>',
  ' ',
  '<a ',
  'sign',
  'reference ',
  '-->',
  'a.',
  '<?',
]

describe('every input', () => {
  const pieces = fc.constantFrom(
    '<',
    '>',
    '<!--',
    '-->',
    '<html',
    '<title>',
    '</title>',
    '&#',
    '&amp;',
    '{',
    '"',
    '[',
    '<?xml ',
    '<!doctype ',
    ' ',
    'ray id: ',
    'a',
    '\u0000',
    '\ufeff',
  )

  it('is classified without an exception', () => {
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 200 }), fc.integer({ min: 100, max: 599 }), (parts, status) => {
        expect(['json', 'html_error', 'other']).toContain(
          classifyResponse({ status, headers: {}, body: parts.join('') }).kind,
        )
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.dictionary(fc.string(), fc.string()), (body, headers) => {
        expect(['json', 'html_error', 'other']).toContain(classifyResponse({ status: 200, headers, body }).kind)
      }),
    )
  })

  it('is JSON exactly when it parses', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const found = classify(` ${text}`)
        expect(found.kind).toBe('json')
        expect(found.value).toEqual(JSON.parse(text))
      }),
    )
  })

  // What is searched for is bounded, so that all but finding the first character and JSON.parse is constant.
  it('is searched in its beginning only, by a constant number of patterns', () => {
    const work = (body: string, headers: Record<string, string> = {}) =>
      countPatterns(() => classifyResponse({ status: 503, headers, body }))
    for (const piece of REPEATED) {
      const short = work(piece.repeat(128 * 1024))
      const long = work(piece.repeat(512 * 1024), { 'content-type': 'text/html' })
      for (const { runs, longest } of [short, long]) {
        expect(longest, piece).toBeLessThanOrEqual(64 * 1024)
        expect(runs, piece).toBeLessThan(60)
      }
    }
  })

  // Repeated markers are what makes a careless pattern quadratic: 4 MiB of one would not end within the test's time.
  it.each(REPEATED)('of 4 MiB of %j ends', (piece) => {
    expect(classify(piece.repeat((4 * 1024 * 1024) / piece.length)).kind).toBeTypeOf('string')
  })
})

/** Runs `work` and tells how often a pattern was matched, and against how long a text at most. */
function countPatterns(work: () => void): { runs: number; longest: number } {
  const { exec } = RegExp.prototype
  let runs = 0
  let longest = 0
  RegExp.prototype.exec = function (text) {
    runs++
    longest = Math.max(longest, text.length)
    return exec.call(this, text)
  }
  try {
    work()
  } finally {
    RegExp.prototype.exec = exec
  }
  return { runs, longest }
}
