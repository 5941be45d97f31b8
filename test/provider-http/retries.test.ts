import { describe, expect, it } from 'vitest'
import type { DoorRequest, RequestInfo } from '../../src/provider-http/client.js'
import { backoffMs, remainingRequests, resetSeconds, retryAfterSeconds } from '../../src/provider-http/retry.js'
import { ask, failure, type Handler, json, nobody, openDoor, startProvider } from './provider.js'

/** Answers one handler after the other, the last one again and again. */
async function inTurn(...handlers: Handler[]) {
  let turn = 0
  return startProvider((seen, response) => handlers[Math.min(turn++, handlers.length - 1)]?.(seen, response))
}
const good: Handler = (_seen, response) => json(response, { ok: true })
const down: Handler = (_seen, response) => json(response, {}, 503)
const page: Handler = (_seen, response) => response.writeHead(502).end('<html><title>502 Bad Gateway</title></html>')
const byDefault = (more: Partial<DoorRequest> = {}): DoorRequest => {
  const { retries: _none, ...request } = ask('/', more)
  return request
}

describe('a request is tried again', () => {
  it.each([
    ['an outage', down],
    ['a page of a gateway', page],
    ['a page about maintenance with 200', (_s, r) => r.end('<html><title>Scheduled maintenance</title></html>')],
    ['an answer that is cut', (_s, r) => r.writeHead(200, { 'content-length': '9' }).write('{', () => r.destroy())],
    ['broken JSON', (_s, r) => r.end('{"a":')],
    ['an empty answer', (_s, r) => r.end()],
    ['a limit', (_s, r) => json(r, {}, 429)],
  ] as [string, Handler][])('after %s, where it is a read', async (_what, first) => {
    for (const endpoint of ['api', 'identity'] as const) {
      const provider = await inTurn(first, good)
      expect((await openDoor(provider.url).request(byDefault({ endpoint }))).body).toEqual({ ok: true })
      expect(provider.seen).toHaveLength(2)
    }
  })

  it('after a timeout, where nobody waits for it in front of a browser', async () => {
    const slow: Handler = () => {}
    const api = await inTurn(slow, good)
    expect((await openDoor(api.url, { timeoutMs: 500 }).request(byDefault())).status).toBe(200)
    const identity = await inTurn(slow, good)
    const error = await failure(openDoor(identity.url, { timeoutMs: 500 }).request(byDefault({ endpoint: 'identity' })))
    expect(error.code).toBe('PROVIDER_TIMEOUT')
  })

  it('after no connection, as often as said', async () => {
    const door = openDoor(await nobody())
    await failure(door.request(ask('/', { retries: 4 })))
    expect(door.waits).toHaveLength(4)
  })

  it('twice by default, with waits that grow and differ', async () => {
    const provider = await inTurn(down)
    const door = openDoor(provider.url)
    await failure(door.request(byDefault()))
    expect(provider.seen).toHaveLength(3)
    expect(door.waits[0]).toBeGreaterThanOrEqual(125)
    expect(door.waits[0]).toBeLessThanOrEqual(250)
    expect(door.waits[1]).toBeGreaterThanOrEqual(250)
    expect(door.waits[1]).toBeLessThanOrEqual(500)
  })

  it('where the caller says that its POST is a read, with the same body', async () => {
    const provider = await inTurn(down, good)
    await openDoor(provider.url).request(ask('/', { method: 'POST', body: '{"q":1}', retries: 1 }))
    expect(provider.seen.map(({ body }) => body)).toEqual(['{"q":1}', '{"q":1}'])
  })
})

describe('a request is not tried again', () => {
  it.each(['token', 'refresh', 'request_token', 'revoke', 'link'] as const)('at %s', async (endpoint) => {
    for (const method of ['GET', 'POST']) {
      const provider = await inTurn(down, good)
      await failure(openDoor(provider.url).request(byDefault({ endpoint, method })))
      expect(provider.seen).toHaveLength(1)
    }
  })

  it.each(['POST', 'PUT', 'PATCH', 'DELETE'])('as a %s', async (method) => {
    const provider = await inTurn(down, good)
    await failure(openDoor(provider.url).request(byDefault({ method })))
    expect(provider.seen).toHaveLength(1)
  })

  it.each([
    ['a refusal', (_s, r) => json(r, {}, 400)],
    ['an ended token', (_s, r) => json(r, {}, 401)],
    ['a missing permission', (_s, r) => json(r, {}, 403)],
    ['what is not there', (_s, r) => json(r, {}, 404)],
    ['a page that asks to sign in', (_s, r) => r.end('<html><title>Sign in</title></html>')],
    ['an answer that is too large', (_s, r) => r.writeHead(200, { 'content-length': '99999999' }).flushHeaders()],
  ] as [string, Handler][])('after %s', async (_what, handler) => {
    const provider = await inTurn(handler, good)
    await failure(openDoor(provider.url).request(byDefault()))
    expect(provider.seen).toHaveLength(1)
  })

  it('with a body that streams', async () => {
    const { Readable } = await import('node:stream')
    const provider = await inTurn(down, good)
    const body = Readable.from(['a', 'b'])
    await failure(openDoor(provider.url).request(ask('/', { method: 'POST', body, retries: 2 })))
    expect(provider.seen.map((seen) => seen.body)).toEqual(['ab'])
  })
})

describe('Retry-After', () => {
  const limited =
    (value: string): Handler =>
    (_seen, response) =>
      json(response, {}, 429, { 'retry-after': value })

  it('is waited for, a little longer than told', async () => {
    const provider = await inTurn(limited('3'), good)
    const door = openDoor(provider.url)
    await door.request(byDefault())
    expect(door.waits[0]).toBeGreaterThanOrEqual(3000)
    expect(door.waits[0]).toBeLessThan(3500)
  })

  it('is read as a date by the clock given', async () => {
    const now = Date.parse('2026-11-20T10:00:00Z')
    const provider = await inTurn(limited('Fri, 20 Nov 2026 10:00:20 GMT'), good)
    const door = openDoor(provider.url, { now: () => now })
    await door.request(byDefault())
    expect(door.waits[0]).toBeGreaterThanOrEqual(20_000)
    expect(door.waits[0]).toBeLessThan(21_000)
  })

  it('beyond 30 seconds is told instead of slept through', async () => {
    const provider = await inTurn(limited('31'), good)
    const door = openDoor(provider.url)
    const error = await failure(door.request(byDefault()))
    expect(error).toMatchObject({ code: 'PROVIDER_RATE_LIMITED', retryAfterSeconds: 31 })
    expect(door.waits).toEqual([])
  })

  it('beyond 2 seconds is told at once where somebody waits for the identity', async () => {
    const provider = await inTurn(limited('3'), good)
    const error = await failure(openDoor(provider.url).request(byDefault({ endpoint: 'identity' })))
    expect(error.retryAfterSeconds).toBe(3)
  })

  const now = Date.parse('2026-11-20T10:00:00Z')
  it.each<[Record<string, string | string[]>, number | undefined]>([
    [{ 'retry-after': '0' }, 0],
    [{ 'Retry-After': '2.2' }, 3],
    [{ 'retry-after': ['7', '9'] }, 7],
    [{ 'retry-after': 'Fri, 20 Nov 2026 10:00:30 GMT' }, 30],
    [{ 'retry-after': 'Friday, 20-Nov-26 10:00:30 GMT' }, 30],
    [{ 'retry-after': '2026-11-20T10:01:00Z' }, 60],
    [{ 'retry-after': 'Fri, 20 Nov 2020 10:00:30 GMT' }, 0],
    [{ 'retry-after': '99999999999' }, 86_400],
    [{ 'retry-after': '-5' }, undefined],
    [{ 'retry-after': '5 minutes' }, undefined],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
    [{ 'x-ratelimit-reset': '12' }, 12],
    [{ 'ratelimit-reset': String(now / 1000 + 8) }, 8],
    [{ 'x-ratelimit-reset': String(now + 9000) }, 9],
    [{ 'x-ratelimit-reset': '9999999999' }, undefined],
    [{ 'retry-after': '4', 'x-ratelimit-reset': '12' }, 4],
  ])('%j is %s seconds', (headers, seconds) => expect(retryAfterSeconds(headers, now)).toBe(seconds))

  it('is read from headers of fetch, too', () => {
    expect(retryAfterSeconds(new Headers({ 'Retry-After': '6' }), now)).toBe(6)
    expect(remainingRequests(new Headers({ 'X-RateLimit-Remaining': '0' }))).toBe(0)
    expect(remainingRequests({ 'ratelimit-remaining': 'many' })).toBeUndefined()
    expect(resetSeconds({}, now)).toBeUndefined()
  })
})

it('waits longer from try to try, and at most 8 seconds', () => {
  const longest = [1, 2, 3, 4, 5, 6, 7, 20].map((attempt) => backoffMs(attempt, () => 1))
  expect(longest).toEqual([250, 500, 1000, 2000, 4000, 8000, 8000, 8000])
  expect(backoffMs(3, () => 0)).toBe(500)
})

it('reports once per request, however often it was tried', async () => {
  const infos: RequestInfo[] = []
  const provider = await inTurn(down, page, good)
  let clock = 0
  const door = openDoor(provider.url, { onRequest: (info) => infos.push(info), now: () => clock++ })
  await door.request(byDefault())
  await failure(door.request(ask('/', { errors: { failed: () => true } })))
  expect(infos).toMatchObject([{ status: 200 }, { status: 200, code: 'PROVIDER_REFUSED' }])
  expect(infos[0]?.milliseconds).toBeGreaterThan(0)
})
