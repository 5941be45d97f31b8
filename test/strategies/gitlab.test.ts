import { describe, expect, it } from 'vitest'
import { normalizeParams } from '../../src/strategies/flow.js'
import { gitlab } from '../../src/strategies/gitlab.js'
import { allowedOrigins } from '../../src/strategies/template.js'
import { refusal } from './refusal.js'

describe("GitLab's refusals", () => {
  it.each([
    [401, { error: 'invalid_token', error_description: 'Token is expired.' }, 'expired'],
    [401, { error: 'invalid_token', error_description: 'Token was revoked.' }, 'expired'],
    [401, { message: '401 Unauthorized' }, 'expired'],
    [403, { error: 'insufficient_scope', scope: 'api read_api' }, 'scope'],
    [403, { message: '403 Forbidden' }, 'permission'],
    [403, { message: '403 Forbidden - Your account has been blocked.' }, 'account_gone'],
    [404, { message: '404 Project Not Found' }, 'not_found'],
    [400, { message: { per_page: ['is invalid'] } }, 'invalid'],
    [503, { message: 'Service Unavailable' }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(gitlab.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of a limit are a line of text, and the header says how long', async () => {
    const answer = { status: 429, headers: { 'retry-after': '37' }, body: 'Retry later\n' }
    expect(await refusal(gitlab.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 37 })
  })
})

describe('the GitLab instance', () => {
  const { pattern } = gitlab.params[0]

  it.each([
    'https://gitlab.com',
    'https://git.example.com:8443',
    'https://example.com/gitlab',
    'https://GitLab.Example.com',
  ])('may be %s', (address) => expect(address).toMatch(pattern))

  it.each([
    'http://gitlab.com',
    'https://gitlab.com/',
    'https://user@example.com',
    'https://example.com?x=1',
    'https://example.com#x',
    'https://example.com\n',
    'https://{env.X}',
  ])('may not be %j', (address) => expect(address).not.toMatch(pattern))

  it('is not for the user to name: the client secret goes there', () => {
    const { params } = normalizeParams(gitlab, { base_url: 'https://evil.example' })
    expect(params).toEqual({})
  })

  it('is the only place that requests leave for', () => {
    const params = { base_url: 'https://example.com:8443/gitlab' }
    expect(allowedOrigins(gitlab, { params })).toEqual(['https://example.com:8443'])
  })
})
