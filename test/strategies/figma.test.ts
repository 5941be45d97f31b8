import { describe, expect, it } from 'vitest'
import { figma, normalizeTeam } from '../../src/strategies/figma.js'
import { refusal } from './refusal.js'

const err = (status: number, text: string) => ({ status, err: text })
const message = (status: number, text: string) => ({ error: true, status, message: text, i18n: null })

describe("Figma's refusals", () => {
  it.each([
    [403, err(403, 'Invalid token'), 'expired'],
    [403, err(403, 'Token expired'), 'expired'],
    [
      403,
      message(403, 'Invalid scope(s): file_comments:read. This endpoint requires the file_versions:read scope'),
      'scope',
    ],
    [403, err(403, 'File not exportable'), 'permission'],
    [403, message(403, 'No access'), 'permission'],
    [404, err(404, 'Not found'), 'not_found'],
    [400, err(400, 'File type not supported by this endpoint'), 'invalid'],
    [500, err(500, 'Internal server error'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(figma.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [400, message(400, 'Invalid refresh token'), 'revoked'],
    [403, err(403, 'Invalid token'), 'revoked'],
    [400, message(400, 'Invalid code'), 'revoked'],
    [401, message(401, 'Invalid client credentials'), 'client'],
    [400, message(400, 'Invalid redirect uri'), 'client'],
    [400, message(400, 'Invalid scopes for app'), 'client'],
    [500, message(500, 'Token service is down'), 'unavailable'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(figma.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it('of too many requests say how long to wait, up to a day at a time', async () => {
    const answer = { status: 429, headers: { 'retry-after': '345600' }, body: err(429, 'Rate limit exceeded') }
    expect(await refusal(figma.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 86_400 })
  })
})

describe('the team of a Figma connection', () => {
  it.each([
    ['1234567890', '1234567890'],
    ['https://www.figma.com/files/team/1234567890/Design', '1234567890'],
    ['https://www.figma.com/files/987/team/1234567890?fuid=1', '1234567890'],
    ['https://www.figma.com/files/team/1234567890', '1234567890'],
  ])('is read from %s', (input, team) => {
    expect(normalizeTeam(input)).toBe(team)
  })

  it('is refused where there is no number', () => {
    const pattern = figma.params[0].pattern
    for (const input of ['Design', 'https://www.figma.com/files/recent', '12/../34', ''])
      expect(pattern.test(normalizeTeam(input)), input).toBe(false)
  })
})

describe("Figma's versions", () => {
  const pagination = figma.resources.find(({ name }) => name === 'versions')?.pagination
  if (pagination?.style !== 'custom') throw new Error('not custom')
  const window = { from: new Date(0), to: new Date(1) }
  const next = (links: object, items: unknown[] = [{}], state?: unknown) =>
    pagination.next({ body: { versions: items, pagination: links }, headers: {}, items, state, window })
  const link = (query: string) => `https://api.figma.com/v1/files/abc/versions?page_size=50&${query}`

  it('go on to older ones, whichever link leads there', () => {
    expect(next({ prev_page: link('before=7'), next_page: link('after=9') })).toEqual({ state: '7' })
    expect(next({ prev_page: link('after=9'), next_page: link('before=7') })).toEqual({ state: '7' })
  })

  it('end without such a link, on an empty page, or where the link stays', () => {
    expect(next({ next_page: link('after=9') })).toBeUndefined()
    expect(next({ prev_page: 'not a link' })).toBeUndefined()
    expect(next({ prev_page: link('before=7') }, [])).toBeUndefined()
    expect(next({ prev_page: link('before=7') }, [{}], '7')).toBeUndefined()
  })

  it('are asked for by the id that they stand before', () => {
    const request = {
      method: 'GET',
      url: 'https://api.figma.com/v1/files/abc/versions',
      query: { page_size: '50' },
    } as const
    expect(pagination.apply(request, '7')).toEqual({ ...request, query: { page_size: '50', before: '7' } })
  })
})
