import { describe, expect, it } from 'vitest'
import { intercom } from '../../src/strategies/intercom.js'
import { fillURL } from '../../src/strategies/template.js'
import { refusal } from './refusal.js'

const error = (code: string, message = 'No.') => ({
  type: 'error.list',
  request_id: 'b2d4e8f0',
  errors: [{ code, message }],
})

describe("Intercom's refusals", () => {
  it.each([
    [401, error('unauthorized', 'Access Token Invalid'), 'revoked'],
    [401, error('token_revoked'), 'revoked'],
    [401, error('token_not_found'), 'revoked'],
    [401, error('token_blocked'), 'account_gone'],
    [401, error('token_unauthorized', 'Not authorized to access resource'), 'permission'],
    [
      403,
      error('forbidden', 'You do not have the required scope (read_conversations) to access this resource'),
      'scope',
    ],
    [403, error('forbidden'), 'permission'],
    [403, error('api_plan_restricted', 'Active subscription needed.'), 'permission'],
    [404, error('not_found', 'Conversation not found'), 'not_found'],
    [400, error('parameter_invalid'), 'invalid'],
    [503, '<html><body>503 Service Temporarily Unavailable</body></html>', 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(intercom.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of too many requests last until the time in X-RateLimit-Reset', async () => {
    const headers = { 'x-ratelimit-limit': '1666', 'x-ratelimit-reset': String(Math.floor(Date.now() / 1000) + 9) }
    const found = await refusal(intercom.api.errors, { status: 429, headers, body: error('rate_limit_exceeded') })
    expect(found?.fault).toBe('rate_limited')
    expect(found?.retryAfterSeconds).toBeGreaterThan(5)
    expect(found?.retryAfterSeconds).toBeLessThan(11)
  })

  it.each([
    [401, error('unauthorized', 'Unauthorized Code'), 'revoked'],
    [404, error('not_found', 'Client not found'), 'client'],
    [500, error('server_error', 'The code of the server broke'), 'unavailable'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(intercom.auth.errors, { status, body })).toMatchObject({ fault })
  })
})

describe('the Intercom workspace', () => {
  const resolve = (body: unknown) =>
    intercom.identity.resolve({
      body,
      token: {},
      params: { region: 'us' },
      call: () => Promise.reject(new Error('no call')),
    })

  it('says itself which region it is in', async () => {
    const body = { email: 'ada@acme.example', app: { id_code: 'ab12cd34', name: 'Acme', region: 'EU' } }
    expect(await resolve(body)).toEqual({
      id: 'ab12cd34',
      name: 'Acme',
      email: 'ada@acme.example',
      params: { region: 'eu' },
    })
  })

  it('stays in the region that was chosen when it names none we know', async () => {
    expect(await resolve({ app: { id_code: 'ab12cd34', name: 'Acme', region: 'MOON' } })).toEqual({
      id: 'ab12cd34',
      name: 'Acme',
    })
  })

  it.each([
    ['us', 'https://api.intercom.io/auth/eagle/token'],
    ['eu', 'https://api.eu.intercom.io/auth/eagle/token'],
    ['au', 'https://api.au.intercom.io/auth/eagle/token'],
  ])('of the region %s is asked at %s', (region, url) => {
    expect(fillURL(intercom.auth.tokenURL, { params: intercom.derive({ region }) })).toBe(url)
    expect(intercom.api.origins).toContain(new URL(url).origin)
  })
})

describe("Intercom's searches", () => {
  it('begin more than a day early, because whole days are compared and the first one is left out', () => {
    const searches = intercom.resources.filter(({ name }) => name !== 'conversation_parts')
    for (const search of searches) expect(search).toMatchObject({ filter: 'client', overlapSeconds: 90_000 })
  })
})
