import { brotliCompressSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { DoorRequest } from '../../src/provider-http/client.js'
import { ask, failure, json, openDoor, startProvider } from './provider.js'

interface Sent {
  status?: number
  headers?: Record<string, string>
  body?: string | Buffer
}
async function answered(sent: Sent, more: Partial<DoorRequest> = {}) {
  const provider = await startProvider((_seen, response) =>
    response.writeHead(sent.status ?? 200, sent.headers).end(sent.body ?? ''),
  )
  return openDoor(provider.url).request(ask('/', more))
}
const asJson = { 'content-type': 'application/json' }

describe('a good answer', () => {
  it('is parsed whatever its header says, and kept as it came', async () => {
    const body = '{"id":12345678901234567890}'
    const answer = await answered({ headers: { 'content-type': 'text/html', 'X-Some': 'a' }, body })
    expect(answer).toMatchObject({ status: 200, text: body, url: 'https://api.acme.example/' })
    expect(answer.headers['x-some']).toBe('a')
    expect(answer.body).toEqual(JSON.parse(body))
  })

  it('may be a form where one is expected, as OAuth 1.0a has it', async () => {
    const form = await answered({ body: 'oauth_token=a&oauth_token_secret=b%20c' }, { expect: 'form' })
    expect(form.body).toEqual({ oauth_token: 'a', oauth_token_secret: 'b c' })
    const other = await answered({ headers: asJson, body: '{"oauth_token":"a"}' }, { expect: 'form' })
    expect(other.body).toEqual({ oauth_token: 'a' })
  })

  it('may be any text where one is expected', async () => {
    expect((await answered({ body: 'ok' }, { expect: 'text' })).body).toBe('ok')
    expect((await answered({ body: '{"a":1}' }, { expect: 'text' })).body).toBe('{"a":1}')
  })

  it.each([
    ['a DELETE', { method: 'DELETE' }, 200],
    ['a HEAD', { method: 'HEAD' }, 200],
    ['a revocation', { method: 'POST', endpoint: 'revoke' }, 200],
    ['a status that says so', { method: 'POST' }, 204],
  ] as const)('may be empty after %s', async (_what, more, status) => {
    expect(await answered({ status }, more)).toMatchObject({ status, body: undefined, text: '' })
  })

  it('is unpacked where it comes compressed unasked', async () => {
    const body = '{"a":"ä"}'
    expect((await answered({ headers: asJson, body: gzipSync(body) })).body).toEqual({ a: 'ä' })
    const brotli = { ...asJson, 'content-encoding': 'br' }
    expect(await answered({ headers: brotli, body: brotliCompressSync(body) })).toMatchObject({ text: body })
  })
})

describe('an answer that is no success', () => {
  const page = '<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head><body>secret-body</body></html>'

  it.each([
    200, 201, 401, 403, 404, 429, 500, 502, 503,
  ])('is a web page with status %i, of any type', async (status) => {
    for (const type of ['text/html', 'application/json', 'text/plain', '']) {
      const headers: Record<string, string> = type ? { 'content-type': type, 'cf-ray': '8a1b-FRA' } : {}
      const error = await failure(answered({ status, headers, body: page }))
      expect(error).toMatchObject({ code: 'PROVIDER_HTML_RESPONSE', providerStatus: status, provider: 'Acme' })
      expect(error.fault).toBe(status === 429 ? 'rate_limited' : 'unavailable')
      expect(error.sent).toBeUndefined()
      expect(error.message).toContain('maintenance, "Scheduled maintenance"')
      if (type) expect(error.message).toContain('reference 8a1b-FRA')
      expect(error.message).not.toContain('secret-body')
    }
  })

  it('is a web page where a text or a form was expected, too', async () => {
    for (const expected of ['text', 'form'] as const)
      expect(await failure(answered({ body: page }, { expect: expected }))).toMatchObject({
        code: 'PROVIDER_HTML_RESPONSE',
      })
  })

  it('has no fault of its own for a page that no waiting helps against', async () => {
    const error = await failure(answered({ status: 404, body: '<html><title>Not Found</title></html>' }))
    expect(error).toMatchObject({ code: 'PROVIDER_HTML_RESPONSE', fault: undefined })
  })

  it.each([
    ['is empty', '', {}],
    ['is blank', ' \n', {}],
    ['is cut JSON', '{"items":[{"id":', {}],
    ['is text', 'OK', {}],
    ['is XML', '<?xml version="1.0"?><token>x</token>', {}],
    ['is no form where one is due', 'hello', { expect: 'form' }],
    ['is empty where a text is due', '', { expect: 'text' }],
  ] as const)('%s', async (_what, body, more) => {
    const error = await failure(answered({ headers: asJson, body }, more))
    expect(error).toMatchObject({ code: 'PROVIDER_BAD_RESPONSE', providerStatus: 200, sent: undefined })
  })

  it.each([
    [400, 'PROVIDER_REFUSED', 'invalid'],
    [401, 'PROVIDER_UNAUTHORIZED', 'expired'],
    [402, 'PROVIDER_FORBIDDEN', 'permission'],
    [403, 'PROVIDER_FORBIDDEN', 'permission'],
    [404, 'PROVIDER_NOT_FOUND', 'not_found'],
    [408, 'PROVIDER_UNAVAILABLE', 'unavailable'],
    [410, 'PROVIDER_NOT_FOUND', 'not_found'],
    [422, 'PROVIDER_REFUSED', 'invalid'],
    [429, 'PROVIDER_RATE_LIMITED', 'rate_limited'],
    [500, 'PROVIDER_UNAVAILABLE', 'unavailable'],
    [503, 'PROVIDER_UNAVAILABLE', 'unavailable'],
  ] as const)('means by status %i alone: %s', async (status, code, fault) => {
    expect(await failure(answered({ status, headers: asJson, body: '{}' }))).toMatchObject({
      code,
      fault,
      providerStatus: status,
    })
  })

  it.each([
    ['expired', 'PROVIDER_UNAUTHORIZED'],
    ['revoked', 'PROVIDER_UNAUTHORIZED'],
    ['scope', 'PROVIDER_FORBIDDEN'],
    ['permission', 'PROVIDER_FORBIDDEN'],
    ['admin', 'PROVIDER_FORBIDDEN'],
    ['account_gone', 'PROVIDER_FORBIDDEN'],
    ['rate_limited', 'PROVIDER_RATE_LIMITED'],
    ['unavailable', 'PROVIDER_UNAVAILABLE'],
    ['not_ready', 'PROVIDER_UNAVAILABLE'],
    ['not_found', 'PROVIDER_NOT_FOUND'],
    ['client', 'PROVIDER_CLIENT_REFUSED'],
    ['invalid', 'PROVIDER_REFUSED'],
    ['wrong_region', 'PROVIDER_REFUSED'],
    ['cursor_expired', 'PROVIDER_REFUSED'],
  ] as const)('means %s by the code of the provider, in a 200 and in a 400', async (fault, code) => {
    const errors = {
      code: ['error.code', 'error'],
      codes: { theirs: fault },
      failed: (body: unknown) => (body as { ok?: boolean }).ok === false,
    }
    for (const status of [200, 400]) {
      const body = JSON.stringify({ ok: false, error: { code: 'theirs' } })
      expect(await failure(answered({ status, headers: asJson, body }, { errors }))).toMatchObject({
        code,
        fault,
        providerCode: 'theirs',
        providerStatus: status,
      })
    }
  })

  it('asks the definition first, and takes its delay where there is no Retry-After', async () => {
    const errors = {
      code: ['error'],
      codes: { throttled: 'invalid' as const },
      classify: ({ headers }: { headers: Readonly<Record<string, string>> }) =>
        headers['x-kind'] === 'slow' ? ('rate_limited' as const) : undefined,
      retryAfterSeconds: ({ body }: { body: unknown }) => (body as { wait: number }).wait,
    }
    const body = '{"error":"throttled","wait":7}'
    expect(await failure(answered({ status: 400, headers: { 'x-kind': 'slow' }, body }, { errors }))).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 7,
      providerCode: 'throttled',
    })
    const headers = { 'x-kind': 'slow', 'retry-after': '3' }
    expect(await failure(answered({ status: 400, headers, body }, { errors }))).toMatchObject({ retryAfterSeconds: 3 })
    expect(await failure(answered({ status: 400, body }, { errors }))).toMatchObject({ fault: 'invalid' })
  })

  it('does not take names of Object for codes', async () => {
    const errors = { code: ['error', '__proto__.x'], codes: {} }
    const error = await failure(answered({ status: 400, body: '{"error":"constructor"}' }, { errors }))
    expect(error).toMatchObject({ fault: 'invalid', providerCode: 'constructor' })
  })

  it('is a bad answer where a rule of the definition throws on its shape', async () => {
    const errors = { failed: (body: unknown) => (body as { a: { b: boolean } }).a.b }
    const error = await failure(answered({ headers: asJson, body: '{}' }, { errors }))
    expect(error).toMatchObject({ code: 'PROVIDER_BAD_RESPONSE', cause: expect.any(TypeError) })
  })

  it('says when to come back, in seconds and as a date', async () => {
    const at = (headers: Record<string, string>, status = 429) =>
      failure(answered({ status, headers: { ...asJson, ...headers }, body: '{}' }))
    expect((await at({ 'retry-after': '17' })).retryAfterSeconds).toBe(17)
    const date = new Date(Date.now() + 90_000).toUTCString()
    const seconds = (await at({ 'retry-after': date }, 503)).retryAfterSeconds
    expect(seconds).toBeGreaterThan(80)
    expect(seconds).toBeLessThanOrEqual(90)
    expect((await at({ 'retry-after': '5' }, 400)).retryAfterSeconds).toBeUndefined()
  })
})

it('sends what it was given, and its own name', async () => {
  const provider = await startProvider((_seen, response) => json(response, {}))
  const door = openDoor(provider.url, { userAgent: 'acme-app' })
  await door.request(
    ask('/a%20b?x=1&y=%2F', {
      method: 'POST',
      headers: { 'Content-Type': 'text/plain', Accept: 'a/b' },
      body: 'hello',
    }),
  )
  expect(provider.seen[0]).toMatchObject({ method: 'POST', path: '/a%20b?x=1&y=%2F', body: 'hello' })
  expect(provider.seen[0]?.headers).toMatchObject({
    'user-agent': 'acme-app',
    'content-type': 'text/plain',
    accept: 'a/b',
    'x-forwarded-host': 'api.acme.example',
  })
})

it('keeps a connection for the next request', async () => {
  const ports = new Set<number | undefined>()
  const provider = await startProvider((_seen, response) => {
    ports.add(response.socket?.remotePort)
    json(response, {})
  })
  const door = openDoor(provider.url)
  for (let turn = 0; turn < 5; turn++) await door.request(ask())
  expect(ports.size).toBe(1)
})
