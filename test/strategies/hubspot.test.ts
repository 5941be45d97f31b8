import { describe, expect, it } from 'vitest'
import { hubspot } from '../../src/strategies/hubspot.js'
import { refusal } from './refusal.js'

const error = (fields: object) => ({ status: 'error', message: 'No.', correlationId: 'abc', ...fields })

describe("HubSpot's refusals", () => {
  it.each([
    [401, error({ category: 'EXPIRED_AUTHENTICATION' }), 'expired'],
    [401, error({ category: 'INVALID_AUTHENTICATION' }), 'expired'],
    [403, error({ category: 'MISSING_SCOPES' }), 'scope'],
    [403, error({ category: 'BANNED' }), 'account_gone'],
    [404, error({ category: 'OBJECT_NOT_FOUND' }), 'not_found'],
    [400, error({ category: 'VALIDATION_ERROR' }), 'invalid'],
    [500, error({}), 'unavailable'],
    [423, error({ message: 'Locked.' }), 'unavailable'],
    [
      400,
      { status: 'BAD_REFRESH_TOKEN', message: 'missing or invalid refresh token', category: 'BAD_REQUEST' },
      'revoked',
    ],
    [400, { status: 'BAD_AUTH_CODE', message: 'missing or unknown auth code' }, 'revoked'],
    [400, { status: 'BAD_CLIENT_ID', message: 'missing or unknown client id' }, 'client'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(hubspot.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [400, { status: 'BAD_REFRESH_TOKEN', message: 'No.', category: 'VALIDATION_ERROR' }, 'revoked'],
    [400, { status: 'BAD_CLIENT_SECRET', message: 'No.' }, 'client'],
    [400, error({ message: 'missing or invalid refresh token', category: 'VALIDATION_ERROR' }), 'revoked'],
    [400, error({ message: 'missing or unknown auth code', category: 'VALIDATION_ERROR' }), 'revoked'],
    [400, error({ message: 'missing or unknown client id', category: 'VALIDATION_ERROR' }), 'invalid'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(hubspot.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it("keep OAuth's own code at the token endpoint, whatever category stands beside it", async () => {
    const body = error({ error: 'invalid_grant', category: 'VALIDATION_ERROR' })
    expect(await refusal(hubspot.auth.errors, { status: 400, body })).toMatchObject({ providerCode: 'invalid_grant' })
  })

  it.each([
    ['SECONDLY', {}, 1],
    ['TEN_SECONDLY_ROLLING', {}, 10],
    ['TEN_SECONDLY_ROLLING', { 'retry-after': '3' }, 3],
  ])('of the policy %s with %j wait %i seconds', async (policyName, headers, seconds) => {
    const body = error({ errorType: 'RATE_LIMIT', policyName, category: 'RATE_LIMITS' })
    expect(await refusal(hubspot.api.errors, { status: 429, headers, body })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: seconds,
    })
  })
})

describe('a HubSpot account that moves to another data centre', () => {
  it('is waited for as long as the answer says', async () => {
    const answer = {
      status: 477,
      headers: { 'retry-after': '7200' },
      body: error({ message: 'Migration in progress' }),
    }
    expect(await refusal(hubspot.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 7200 })
  })
})

describe('the HubSpot account', () => {
  const resolve = (body: unknown, token: unknown = {}) =>
    hubspot.identity.resolve({ body, token, params: {}, call: () => Promise.reject(new Error('no call')) })

  it('is told apart by its number: the domain is that of a region', async () => {
    expect(await resolve({ portalId: 42, uiDomain: 'app.hubspot.com' })).toEqual({
      id: '42',
      name: 'app.hubspot.com, account 42',
    })
  })

  it('is known from the token answer where the details leave it out', async () => {
    expect(await resolve({}, { hub_id: 43 })).toEqual({ id: '43', name: 'Account 43' })
  })
})

describe("HubSpot's searches", () => {
  it('start again at 10,000 results, oldest change first', () => {
    for (const resource of hubspot.resources) {
      expect(resource).toMatchObject({ order: 'asc', filter: 'server', restartAfter: { items: 10_000 } })
    }
  })
})
