import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RequestTemplate } from '../../src/strategies/define-provider.js'
import { buildRequest, fillURL, formatDate, pick, pickString, type Scope } from '../../src/strategies/template.js'

const scope = (more: Partial<Scope> = {}): Scope => ({ params: {}, ...more })
const parent = (value: unknown): Scope => scope({ parent: { id: value } })
const get = (more: Partial<RequestTemplate> = {}): RequestTemplate => ({
  method: 'GET',
  url: 'https://api.acme.example/things',
  ...more,
})

describe('a value in the path of a URL', () => {
  it.each([
    ['a b', 'a%20b'],
    ['a/b', 'a%2Fb'],
    ['a?b=c', 'a%3Fb%3Dc'],
    ['a#b', 'a%23b'],
    ['a%2Fb', 'a%252Fb'],
    ['a\\b', 'a%5Cb'],
    ['grün', 'gr%C3%BCn'],
    ['a.b', 'a.b'],
    ['...', '...'],
    ['{client_secret}', '%7Bclient_secret%7D'],
  ])('%j stands percent-encoded as %s', (value, encoded) => {
    const given = { ...parent(value), clientSecret: 'never' }
    expect(fillURL('https://api.acme.example/things/{parent.id}/parts', given)).toBe(
      `https://api.acme.example/things/${encoded}/parts`,
    )
  })

  it('keeps its slashes with a plus, and only those', () => {
    expect(fillURL('https://api.acme.example/{+parent.id}/parts', parent('spaces/a b?c#d'))).toBe(
      'https://api.acme.example/spaces/a%20b%3Fc%23d/parts',
    )
  })

  it.each([
    ['{parent.id}', '..'],
    ['{parent.id}', '.'],
    ['{parent.id}', '../admin'],
    ['{parent.id}', '..\\admin'],
    ['{+parent.id}', '..'],
    ['{+parent.id}', 'spaces/..'],
    ['{+parent.id}', '../admin'],
    ['{+parent.id}', 'spaces/../../admin'],
    ['{+parent.id}', './admin'],
    // An id that is missing would turn one thing into the list of all.
    ['{parent.id}', ''],
    ['{parent.id}', null],
    ['{parent.other}', 'x'],
    // Cannot be encoded.
    ['{parent.id}', '\ud800'],
  ])('at %s is refused where it would make it another path: %j', (placeholder, value) => {
    const fill = () => fillURL(`https://api.acme.example/things/${placeholder}/parts`, parent(value))
    expect(fill).toThrow(expect.objectContaining({ name: 'IntegrationError', fault: 'not_found' }))
  })

  it('is refused without being shown', () => {
    expect(() => fillURL('https://api.acme.example/{token}', scope({ extra: { token: '../secret' } }))).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    )
  })

  it('may be anything in a query that the URL itself has', () => {
    const template = 'https://api.acme.example/things?of={parent.id}&more={parent.none}'
    expect(fillURL(template, parent('../a&b'))).toBe('https://api.acme.example/things?of=..%2Fa%26b&more=')
  })

  it('never changes which path is asked for, whatever it is', () => {
    const around = fc.constantFrom(['things/', '/parts'], ['things/', ''], ['', '/parts'], ['a', 'b/c'])
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('.', '/', '\\', '%', '2', 'e', 'F', '?', '#', 'a', ';', '@', ':') }),
    )
    fc.assert(
      fc.property(around, value, fc.boolean(), ([before = '', after = ''], id, plus) => {
        let url: URL
        try {
          url = new URL(
            fillURL(`https://api.acme.example/v1/${before}{${plus ? '+' : ''}parent.id}${after}`, parent(id)),
          )
        } catch (error) {
          expect(error).toMatchObject({ name: 'IntegrationError' })
          return
        }
        expect([url.origin, url.search, url.hash]).toEqual(['https://api.acme.example', '', ''])
        expect(url.pathname.startsWith(`/v1/${before}`) && url.pathname.endsWith(after)).toBe(true)
        const inside = url.pathname.slice(`/v1/${before}`.length, url.pathname.length - after.length)
        expect(decodeURIComponent(inside)).toBe(id)
        if (!plus) expect(inside).not.toContain('/')
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a value before the path', () => {
  it('stands as it is: as a part of the host, or as the whole origin', () => {
    const given = scope({
      params: { shop: 'my-shop.acme.example', base: 'https://git.acme.example:8443', tail: 'a/b' },
    })
    expect(fillURL('https://{shop}/admin/{tail}', given)).toBe('https://my-shop.acme.example/admin/a%2Fb')
    expect(fillURL('{base}/api/{tail}', given)).toBe('https://git.acme.example:8443/api/a%2Fb')
    expect(fillURL('https://{shop}', given)).toBe('https://my-shop.acme.example')
    expect(fillURL('{base}', given)).toBe('https://git.acme.example:8443')
  })

  it('may be empty', () => {
    expect(fillURL('https://api.{region}acme.example/me', scope({ params: { region: '' } }))).toBe(
      'https://api.acme.example/me',
    )
  })
})

describe('a request', () => {
  it('leaves out what is one unknown placeholder, with its name', () => {
    const built = buildRequest(
      get({
        method: 'POST',
        headers: { 'Acme-Account': '{account}', 'Acme-Version': '3', 'X-Of': 'of {account}' },
        query: { a: '{account}', b: '1', c: ['{account}', '2', '3'], d: 'x{account}' },
        json: { a: '{account}', b: { c: '{account}', d: null, e: 0, f: false, g: ['{known}', 1] }, h: 'x{account}' },
      }),
      scope({ params: { known: 'yes' } }),
    )
    expect(built).toMatchObject({ method: 'POST', url: 'https://api.acme.example/things?b=1&c=2&c=3&d=x' })
    expect(built.headers).toEqual({ 'acme-version': '3', 'x-of': 'of ', 'content-type': 'application/json' })
    expect(JSON.parse(built.body ?? '')).toEqual({ b: { d: null, e: 0, f: false, g: ['yes', 1] }, h: 'x' })
  })

  it('keeps a known value that is empty', () => {
    const built = buildRequest(get({ query: { after: '{after}' } }), scope({ extra: { after: '' } }))
    expect(built.url).toBe('https://api.acme.example/things?after=')
  })

  it('encodes forms and queries, and leaves JSON to JSON', () => {
    const given = scope({ extra: { value: 'a&b="c" +d' } })
    const form = buildRequest(
      get({ method: 'POST', query: { q: '{value}' }, form: { f: '{value}', g: '{none}' } }),
      given,
    )
    expect(new URL(form.url).searchParams.get('q')).toBe('a&b="c" +d')
    expect([...new URLSearchParams(form.body)]).toEqual([['f', 'a&b="c" +d']])
    expect(form.headers).toEqual({ 'content-type': 'application/x-www-form-urlencoded' })
    const json = buildRequest(get({ method: 'POST', json: { text: 'x {value}' } }), given)
    expect(JSON.parse(json.body ?? '')).toEqual({ text: 'x a&b="c" +d' })
  })

  it('keeps the content type that a template asks for', () => {
    const json = { headers: { 'Content-Type': 'application/vnd.acme+json' }, json: {} }
    expect(buildRequest(get(json), scope()).headers).toEqual({ 'content-type': 'application/vnd.acme+json' })
  })

  it('adds its query to one that the URL has', () => {
    const built = buildRequest(get({ url: 'https://api.acme.example/things?a=1', query: { b: '2' } }), scope())
    expect(built.url).toBe('https://api.acme.example/things?a=1&b=2')
  })

  it('fills each value once: braces in a value are no placeholders', () => {
    fc.assert(
      fc.property(fc.constantFrom('{client_secret}', '{env.KEY}', '{access_token}', '$&', '$1', '{+a}'), (value) => {
        const given: Scope = { ...parent(value), clientSecret: 'never', accessToken: 'never', env: { KEY: 'never' } }
        const built = buildRequest(
          get({
            method: 'POST',
            query: { q: 'x{parent.id}' },
            json: { a: '{parent.id}' },
            headers: { x: '{parent.id}' },
          }),
          given,
        )
        expect(new URL(built.url).searchParams.get('q')).toBe(`x${value}`)
        expect(built.body).toBe(JSON.stringify({ a: value }))
        expect(built.headers.x).toBe(value)
      }),
    )
  })

  it('carries any value of a query and a JSON body unharmed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (value) => {
        const built = buildRequest(get({ query: { q: '{parent.id}' }, json: { a: ['{parent.id}'] } }), parent(value))
        const url = new URL(built.url)
        expect([url.pathname, url.hash, [...url.searchParams]]).toEqual(['/things', '', [['q', value]]])
        expect(JSON.parse(built.body ?? '')).toEqual({ a: [value] })
      }),
    )
  })
})

describe('a placeholder', () => {
  const value = (name: string, given: Scope) =>
    new URL(buildRequest(get({ query: { q: `{${name}}` } }), given).url).search
  const full = scope({
    params: { shop: 'params', both: 'params' },
    extra: { both: 'extra', redirect_uri: 'extra' },
    env: { KEY: 'env' },
    clientId: 'id',
    clientSecret: 'secret',
    accessToken: 'token',
    since: new Date('2026-08-20T12:00:00Z'),
    now: new Date('2026-11-20T12:00:00Z'),
    parent: { id: 7, parent: { id: 'grand' }, tags: ['x'], gone: null },
  })

  it.each([
    ['shop', 'params'],
    ['both', 'extra'],
    ['env.KEY', 'env'],
    ['client_id', 'id'],
    ['client_secret', 'secret'],
    ['access_token', 'token'],
    ['since.date', '2026-08-20'],
    ['now.date', '2026-11-20'],
    ['parent.id', '7'],
    ['parent.parent.id', 'grand'],
    ['parent.tags.0', 'x'],
  ])('{%s} is found', (name, expected) => {
    expect(value(name, full)).toBe(`?q=${expected}`)
  })

  it.each([
    'none',
    'env.NONE',
    'parent.none',
    'parent.gone',
    'parent.tags',
    'other.id',
    'constructor',
    '__proto__',
    'toString',
    'env.constructor',
    'env.__proto__',
    'env.toString',
    'parent.constructor.name',
    'parent.__proto__.constructor.name',
    'parent.id.constructor.name',
  ])('{%s} is not', (name) => {
    expect(value(name, full)).toBe('')
  })

  it('for a date is unknown without one', () => {
    expect(value('since.date', scope())).toBe('')
  })
})

describe('pick', () => {
  it('follows a dotted path through objects and lists', () => {
    const value = { data: [{ id: 1 }, { id: 0 }], no: null, off: false }
    expect(pick(value, 'data.1.id')).toBe(0)
    expect(pick(value, '')).toBe(value)
    expect(pick(value, 'off')).toBe(false)
    for (const path of ['data.2.id', 'no', 'no.id', 'data.0.id.x', 'x', '.', 'data.'])
      expect(pick(value, path)).toBeUndefined()
  })

  it('takes the first of several paths that is there', () => {
    expect(pick({ a: null, b: { c: 'yes' }, d: 'later' }, ['a', 'b.x', 'b.c', 'd'])).toBe('yes')
    expect(pick({}, [])).toBeUndefined()
  })

  it('finds an outermost key that has dots itself before the path', () => {
    const value = { '@odata.nextLink': 'next', '@odata': { nextLink: 'other' }, deep: { 'a.b': 'no' } }
    expect(pick(value, '@odata.nextLink')).toBe('next')
    expect(pick(value, 'deep.a.b')).toBeUndefined()
    expect(pick({ '@odata': { nextLink: 'other' } }, '@odata.nextLink')).toBe('other')
  })

  it.each([
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty.name',
    '__proto__.polluted',
    'a.constructor.name',
  ])('sees own properties only, so %s is missing', (path) => {
    expect(pick({ a: {} }, path)).toBeUndefined()
    expect(pick([], path)).toBeUndefined()
  })

  it('sees an own property of such a name, as JSON can bring it', () => {
    expect(pick(JSON.parse('{"__proto__":{"id":7}}'), '__proto__.id')).toBe(7)
  })

  it('takes anything for a value and a path without throwing', () => {
    const path = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom('a', '0', '__proto__', 'constructor', '', 'length')).map((keys) => keys.join('.')),
    )
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true }), path, (value, one) => {
        const found = pick(value, one)
        expect(found).not.toBe(null)
        expect(found).not.toBe(Object.prototype)
        expect(typeof found === 'function').toBe(false)
      }),
    )
  })

  it('finds what is there, wherever it is', () => {
    const key = fc.string({ minLength: 1 }).filter((text) => !text.includes('.') && text !== '__proto__')
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 5 }), fc.jsonValue(), (keys, leaf) => {
        const value = keys.reduceRight<unknown>((inner, one) => ({ [one]: inner }), leaf)
        expect(pick(value, keys.join('.'))).toEqual(leaf ?? undefined)
      }),
    )
  })
})

describe('pickString', () => {
  it('reads texts that are not empty, and numbers', () => {
    const value = { empty: '', number: 0, big: 9007199254740993n, text: 'a', yes: true, list: ['a'], object: {} }
    expect(pickString(value, ['empty', 'yes', 'list', 'object', 'none', 'text'])).toBe('a')
    expect(pickString(value, 'number')).toBe('0')
    expect(pickString(value, 'big')).toBe('9007199254740993')
    expect(pickString(value, ['empty', 'yes', 'list', 'object'])).toBeUndefined()
  })
})

describe('a date', () => {
  it.each([
    ['unix', '1772323199'],
    ['unix_ms', '1772323199987'],
    ['unix_day', '1772236800'],
    ['iso8601', '2026-02-28T23:59:59Z'],
    ['iso8601_no_zone', '2026-02-28T23:59:59'],
    ['date', '2026-02-28'],
    ['next_date', '2026-03-01'],
    ['date_time_minutes', '2026-02-28 23:59'],
  ])('as %s is %s', (format, text) => {
    expect(formatDate(new Date('2026-02-28T23:59:59.987Z'), format)).toBe(text)
  })

  it('in an unknown format is a TypeError that names it', () => {
    expect(() => formatDate(new Date(0), 'rfc2822')).toThrow(
      new TypeError('a template asks for the unknown date format "rfc2822"'),
    )
  })

  it('is never later than the moment itself, but for the day after, which always is', () => {
    const moments = fc.date({
      min: new Date('1970-01-01T00:00:00Z'),
      max: new Date('2200-01-01T00:00:00Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(moments, (date) => {
        const read = (format: string, zone = '') => Date.parse(formatDate(date, format) + zone)
        const behind = [
          [Number(formatDate(date, 'unix')) * 1000, 1_000],
          [Number(formatDate(date, 'unix_ms')), 1],
          [Number(formatDate(date, 'unix_day')) * 1000, 86_400_000],
          [read('iso8601'), 1_000],
          [read('iso8601_no_zone', 'Z'), 1_000],
          [read('date_time_minutes', 'Z'), 60_000],
          [read('date'), 86_400_000],
        ] as const
        for (const [time, step] of behind) {
          expect(date.getTime() - time).toBeGreaterThanOrEqual(0)
          expect(date.getTime() - time).toBeLessThan(step)
        }
        expect(read('next_date') - read('date')).toBe(86_400_000)
      }),
    )
  })
})
