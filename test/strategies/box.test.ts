import { describe, expect, it } from 'vitest'
import { box } from '../../src/strategies/box.js'
import { refusal } from './refusal.js'

const error = (status: number, code: string, message = 'No.') => ({
  type: 'error',
  status,
  code,
  message,
  context_info: null,
  help_url: 'https://developer.box.com/guides/api-calls/permissions-and-errors/common-errors/',
  request_id: 'abcdef123456',
})

describe("Box's refusals", () => {
  it.each([
    [401, error(401, 'unauthorized'), 'expired'],
    [401, '', 'expired'],
    [403, error(403, 'insufficient_scope'), 'scope'],
    [403, error(403, 'access_denied_insufficient_permissions'), 'permission'],
    [403, error(403, 'forbidden_by_policy'), 'admin'],
    [404, error(404, 'not_found'), 'not_found'],
    [404, error(404, 'trashed'), 'not_found'],
    [400, error(400, 'bad_request', 'Invalid value for marker'), 'cursor_expired'],
    [400, error(400, 'bad_request', 'Invalid value for fields'), 'invalid'],
    [500, error(500, 'internal_server_error'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(box.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('can stand in a header alone', async () => {
    const challenge = 'Bearer realm="Service", error="insufficient_scope", error_description="Higher privileges."'
    const answer = { status: 403, headers: { 'www-authenticate': challenge }, body: '' }
    expect(await refusal(box.api.errors, answer)).toMatchObject({ fault: 'scope' })
  })

  it('of too many requests say how long to wait', async () => {
    const answer = { status: 429, headers: { 'retry-after': '12' }, body: error(429, 'rate_limit_exceeded') }
    expect(await refusal(box.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 12 })
  })
})

describe("Box's events", () => {
  const pagination = box.resources.find(({ name }) => name === 'events')?.pagination
  if (pagination?.style !== 'custom') throw new Error('not custom')
  const window = { from: new Date(0), to: new Date(1) }
  const next = (next_stream_position: unknown, count: number, state?: unknown) => {
    const items = Array.from({ length: count }, () => ({}))
    return pagination.next({ body: { next_stream_position, entries: items }, headers: {}, items, state, window })
  }

  it('go on after a short page', () => {
    expect(next('1152922976252290886', 1)).toEqual({ state: '1152922976252290886' })
    expect(next(1348790499819, 1, '7')).toEqual({ state: '1348790499819' })
  })

  it('go on from before a position that is too long for a number: coming again is better than being left out', () => {
    const { state } = next(JSON.parse('1152922976252290886'), 1) ?? {}
    expect(BigInt(String(state))).toBeLessThanOrEqual(1152922976252290886n)
    expect(BigInt(String(state))).toBeGreaterThan(1152922976252290000n)
    expect(next(JSON.parse('1152922976252290886'), 1, state)).toBeUndefined()
  })

  it('of an enterprise reach back a year', () => {
    expect(box.resources.find(({ name }) => name === 'enterprise_events')?.reach?.days).toBe(365)
  })

  it('end with an empty page, or when the position stays', () => {
    expect(next('9', 0, '7')).toBeUndefined()
    expect(next(7, 2, '7')).toBeUndefined()
    expect(next(undefined, 2, '7')).toBeUndefined()
  })

  it('are asked for from the position', () => {
    const request = { method: 'GET', url: 'https://api.box.com/2.0/events', query: { stream_position: '0' } } as const
    expect(pagination.apply(request, '7')).toEqual({ ...request, query: { stream_position: '7' } })
  })
})

describe("Box's folders", () => {
  it('are walked through apart from what else lies in them', () => {
    const [folders, files] = ['folders', 'files'].map((name) => box.resources.find((one) => one.name === name))
    expect(['folder', 'file', 'web_link'].filter((type) => folders?.itemFilter?.({ type }))).toEqual(['folder'])
    expect(['folder', 'file', 'web_link'].filter((type) => files?.itemFilter?.({ type }))).toEqual(['file', 'web_link'])
  })
})
