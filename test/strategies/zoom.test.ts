import { describe, expect, it } from 'vitest'
import { codeRejected } from '../../src/strategies/flow.js'
import { buildRequest } from '../../src/strategies/template.js'
import { uuidInPath, zoom } from '../../src/strategies/zoom.js'
import { refusal } from './refusal.js'

describe("Zoom's refusals", () => {
  it.each([
    [401, { code: 124, message: 'Invalid access token.' }, 'expired'],
    [401, { code: 124, message: 'Access token is expired.' }, 'expired'],
    [400, { code: 4711, message: 'Invalid access token, does not contain scopes:[user:read:user].' }, 'scope'],
    [401, { code: 4700, message: 'Invalid access token, does not contain scopes.' }, 'scope'],
    [400, { code: 200, message: 'Only available for Paid account: abc.' }, 'permission'],
    [400, { code: 1010, message: 'User does not belong to this account: abc.' }, 'permission'],
    [404, { code: 1001, message: 'User does not exist: abc.' }, 'not_found'],
    [404, { code: 3001, message: 'Meeting does not exist: 123.' }, 'not_found'],
    [400, { code: 12702, message: 'Can not access a meeting a year ago.' }, 'not_found'],
    [404, { code: 3301, message: 'This recording does not exist.' }, 'not_found'],
    [
      400,
      { code: 300, message: 'Validation Failed.', errors: [{ field: 'page_size', message: 'Invalid field.' }] },
      'invalid',
    ],
    [400, { code: 300, message: 'The next page token is invalid or expired.' }, 'cursor_expired'],
    [500, { code: 500, message: 'Internal error.' }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(zoom.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of too many requests in a second wait for one', async () => {
    const body = { code: 429, message: 'You have reached the maximum per-second rate limit for this API.' }
    const answer = { status: 429, headers: { 'x-ratelimit-type': 'QPS' }, body }
    expect(await refusal(zoom.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 1 })
  })

  it('of too many requests in a day wait until the time that Retry-After names', async () => {
    const until = new Date(Date.now() + 7_200_000).toISOString()
    const headers = { 'x-ratelimit-type': 'Daily-limit', 'retry-after': until }
    const body = { code: 429, message: 'You have reached the maximum daily rate limit for this API.' }
    const error = await refusal(zoom.api.errors, { status: 429, headers, body })
    expect(error).toMatchObject({ fault: 'rate_limited' })
    expect(error?.retryAfterSeconds).toBeGreaterThan(7_100)
    expect(error?.retryAfterSeconds).toBeLessThanOrEqual(7_200)
  })

  it.each([
    [400, { reason: 'Invalid Token!', error: 'invalid_request' }, 'expired'],
    // Seen in raycast/extensions#10896.
    [400, { reason: 'Invalid Token!', error: 'invalid_grant' }, 'expired'],
    [400, { reason: 'Invalid authorization code abc', error: 'invalid_request' }, 'revoked'],
    [401, { reason: 'The token has been revoked (4741)', error: 'invalid_request' }, 'revoked'],
    [400, { code: 4741, message: 'The token has been revoked.' }, 'revoked'],
    [400, { code: 4735, message: 'The owner of the token does not exist.' }, 'account_gone'],
    [400, { reason: 'Redirect URI mismatch.', error: 'invalid_request' }, 'client'],
    [400, { code: 4709, message: 'Redirect URI mismatch.' }, 'client'],
    [400, { code: 4717, message: 'The app has been disabled.' }, 'client'],
    [400, { reason: 'Missing grant type.', error: 'invalid_request' }, 'invalid'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(zoom.auth.errors, { status, body })).toMatchObject({ fault })
  })
})

describe("Zoom's authorization code", () => {
  it('that was used before is rejected as one, though Zoom speaks of a token', async () => {
    const body = { reason: 'Invalid Token!', error: 'invalid_request' }
    const said = refusal(zoom.auth.errors, { status: 400, body }).then((error) => Promise.reject(error))
    await expect(codeRejected(zoom, said)).rejects.toMatchObject({ code: 'AUTH_CODE_REJECTED' })
  })
})

describe("Zoom's host", () => {
  it.each([
    [{}, 'https://api.zoom.us'],
    [{ api_url: 'https://api.zoom.us' }, 'https://api.zoom.us'],
    [{ api_url: 'https://api-eu.zoom.us/' }, 'https://api-eu.zoom.us'],
    [{ api_url: 'http://api.zoom.us' }, 'https://api.zoom.us'],
    [{ api_url: 'https://zoom.us.example.com' }, 'https://api.zoom.us'],
    [{ api_url: 'https://example.com/.zoom.us' }, 'https://api.zoom.us'],
    [{ api_url: 'https://api.zoom.us:8443' }, 'https://api.zoom.us'],
  ])('of %j is %s', (params, origin) => {
    expect(zoom.derive(params)).toEqual({ api_origin: origin })
  })
})

describe("Zoom's meetings", () => {
  const resource = (name: string) => zoom.resources.find((one) => one.name === name)

  it.each([
    ['aDYlohsHRtCd4ii1uC2+hA==', 'aDYlohsHRtCd4ii1uC2%2BhA%3D%3D'],
    ['ab/cd==', 'ab%2Fcd%3D%3D'],
    ['/abcd==', '%252Fabcd%253D%253D'],
    ['ab//cd==', 'ab%252F%252Fcd%253D%253D'],
  ])('%s are asked for their participants at %s', (uuid, path) => {
    const meeting = resource('past_meetings')?.unfold?.({ uuid })
    expect(meeting).toEqual({ uuid, uuid_in_path: uuidInPath(uuid) })
    const template = resource('meeting_participants')?.request
    if (!template) throw new Error('no request')
    expect(buildRequest(template, { params: { api_origin: 'https://api.zoom.us' }, parent: meeting }).url).toBe(
      `https://api.zoom.us/v2/past_meetings/${path}/participants?page_size=300`,
    )
  })
})
