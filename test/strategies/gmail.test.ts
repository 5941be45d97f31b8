import { describe, expect, it } from 'vitest'
import { gmail } from '../../src/strategies/gmail.js'
import { refusal } from './refusal.js'

const error = (code: number, reason: string, more: object = {}) => ({
  error: { code, message: 'No.', status: 'X', errors: [{ domain: 'global', reason, message: 'No.' }], ...more },
})

describe("Google's refusals", () => {
  it.each([
    [401, error(401, 'authError'), 'expired'],
    [403, error(403, 'rateLimitExceeded'), 'rate_limited'],
    [403, error(403, 'userRateLimitExceeded'), 'rate_limited'],
    [429, error(429, 'rateLimitExceeded'), 'rate_limited'],
    [403, error(403, 'insufficientPermissions'), 'scope'],
    [403, error(403, 'accessNotConfigured'), 'client'],
    [403, error(403, 'domainPolicy'), 'admin'],
    [400, error(400, 'failedPrecondition'), 'permission'],
    [404, error(404, 'notFound'), 'not_found'],
    [400, error(400, 'invalidArgument'), 'invalid'],
    [503, error(503, 'backendError'), 'unavailable'],
    [403, error(403, 'forbidden', { details: [{ '@type': 'x' }, { reason: 'SERVICE_DISABLED' }] }), 'client'],
    [403, error(403, 'forbidden', { details: [{ reason: 'ACCESS_TOKEN_SCOPE_INSUFFICIENT' }] }), 'scope'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(gmail.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('wait until the time that the message names', async () => {
    const time = new Date(Date.now() + 90_000).toISOString()
    const body = error(403, 'userRateLimitExceeded', { message: `User-rate limit exceeded.  Retry after ${time}` })
    const answer = await refusal(gmail.api.errors, { status: 403, body })
    expect(answer?.retryAfterSeconds).toBeGreaterThan(80)
    expect(answer?.retryAfterSeconds).toBeLessThanOrEqual(90)
  })

  it.each([
    [400, { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' }, 'invalid_grant'],
    [401, { error: 'invalid_client', error_description: 'The OAuth client was not found.' }, 'invalid_client'],
    [400, { error: 'redirect_uri_mismatch' }, 'redirect_uri_mismatch'],
  ])('at the token endpoint with status %i and %j keep their code', async (status, body, providerCode) => {
    expect(await refusal(gmail.auth.errors, { status, body })).toMatchObject({ providerCode })
  })
})

describe("Google's revocation", () => {
  it('is done when there is nothing left to revoke', async () => {
    const body = { error: 'invalid_token', error_description: 'Token expired or revoked' }
    expect(await refusal(gmail.auth.errors, { status: 400, body })).toMatchObject({ fault: 'revoked' })
  })
})

describe("Gmail's resources", () => {
  it('capture the history id before the first page of messages', () => {
    const names = gmail.resources.map(({ name }) => name)
    expect(names.indexOf('profile')).toBeLessThan(names.indexOf('messages'))
    expect(names.indexOf('history')).toBeGreaterThan(names.indexOf('message_details'))
  })

  it('skip a message that was deleted since it was listed', () => {
    expect(gmail.resources.find(({ name }) => name === 'message_details')?.skipParentOn).toContain('not_found')
  })
})
