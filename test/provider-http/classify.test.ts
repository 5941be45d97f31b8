import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
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
    expect(found.kind).toBe(incident.must_classify_as)
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
    ['a doctype in odd case', '<!DoCtYpE   HTML SYSTEM "about:legacy-compat">', 'text/plain'],
  ]
  it.each(html)('%s is a page', (_what, body, type) => expect(classify(body, type).kind).toBe('html_error'))

  const other: [string, string | Uint8Array, string?][] = [
    ['nothing', ''],
    ['blanks', ' \r\n\t'],
    ['JSON cut inside a quoted page', '{"body":"<!doctype html><html><body>Hello', 'application/json'],
    ['an Atom feed', '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"></feed>', 'application/xml'],
    ['a SOAP fault', '<soap:Envelope><soap:Body/></soap:Envelope>', 'text/xml'],
    ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg"/>', 'image/svg+xml'],
    ['a guarded JSON', ')]}\',\n{"a":1}', 'application/json'],
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

  it('does not wait for the end of an endless answer', async () => {
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(`<html>${'x'.repeat(65536)}`)),
    })
    expect((await checkHtmlResponse(new Response(endless))).isHtml).toBe(true)
  })
})

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

  // Repeated markers are what makes a careless pattern quadratic: 16 times the bytes may cost no more than about 16 times the steps,
  // and 4 MiB of a quadratic pattern would not end within the test's time.
  it.each([
    '<',
    '<!--',
    '<title',
    '<title ',
    '&#',
    '{"',
    '[',
    '<html ',
    'ray id: ',
    ' ',
    '<a ',
    'sign',
    'reference ',
    '-->',
  ])('of 4 MiB of %j ends', (piece) => {
    expect(classify(piece.repeat((4 * 1024 * 1024) / piece.length)).kind).toBeTypeOf('string')
  })
})
