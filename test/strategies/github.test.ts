import { describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import { github } from '../../src/strategies/github.js'
import { refusal } from './refusal.js'

const error = (message: string) => ({ message, documentation_url: 'https://docs.github.com/rest' })

describe("GitHub's refusals", () => {
  it.each([
    [401, {}, error('Bad credentials'), 'expired'],
    [403, { 'x-ratelimit-remaining': '0' }, error('API rate limit exceeded for user ID 1.'), 'rate_limited'],
    [403, {}, error('You have exceeded a secondary rate limit.'), 'rate_limited'],
    [
      403,
      { 'x-github-sso': 'required; url=https://github.com/orgs/acme/sso' },
      error('Resource protected by organization SAML enforcement.'),
      'admin',
    ],
    [
      403,
      {},
      error(
        'Although you appear to have the correct authorization credentials, the `acme` organization has enabled OAuth App access restrictions.',
      ),
      'admin',
    ],
    [403, {}, error('Sorry. Your account was suspended.'), 'account_gone'],
    [
      403,
      { 'x-accepted-oauth-scopes': 'repo', 'x-oauth-scopes': 'read:user, user:email' },
      error('Must have the right scope.'),
      'scope',
    ],
    [
      403,
      { 'x-accepted-oauth-scopes': 'repo', 'x-oauth-scopes': 'repo' },
      error('Must have push access'),
      'permission',
    ],
    [404, {}, error('Not Found'), 'not_found'],
    [410, {}, error('Issues are disabled for this repo'), 'not_found'],
    [409, {}, error('Git Repository is empty.'), 'not_found'],
    [422, {}, error('Validation Failed'), 'invalid'],
    [502, {}, error('Server Error'), 'unavailable'],
  ])('with status %i, %j and %j mean %s', async (status, headers, body, fault) => {
    expect(await refusal(github.api.errors, { status, headers, body })).toMatchObject({ fault })
  })

  it.each([
    ['bad_verification_code', 'revoked'],
    ['bad_refresh_token', 'revoked'],
    ['incorrect_client_credentials', 'client'],
    ['redirect_uri_mismatch', 'client'],
    ['unverified_user_email', 'permission'],
  ])('at the token endpoint come with status 200: %s means %s', async (code, fault) => {
    const body = { error: code, error_description: 'No.', error_uri: 'https://docs.github.com' }
    expect(await refusal(github.auth.errors, { status: 200, body })).toMatchObject({ fault })
  })

  it.each([
    [{ 'retry-after': '30' }, 'You have exceeded a secondary rate limit.', 30],
    [{ 'x-ratelimit-remaining': '4000', 'x-ratelimit-reset': '9' }, 'You have exceeded a secondary rate limit.', 60],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1200' }, 'API rate limit exceeded', 1200],
  ])('of a limit with %j and "%s" wait %i seconds', async (headers, message, seconds) => {
    expect(await refusal(github.api.errors, { status: 403, headers, body: error(message) })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: seconds,
    })
  })
})

describe('the GitHub account', () => {
  const resolve = (body: unknown, emails: () => unknown) =>
    github.identity.resolve({ body, token: {}, params: {}, call: async () => emails() })

  it('has the address of its profile, else the primary one of the list', async () => {
    const list = () => [
      { email: 'old@example.com', primary: false },
      { email: 'ada@example.com', primary: true },
    ]
    expect(await resolve({ id: 1, login: 'ada', email: 'public@example.com' }, list)).toEqual({
      id: '1',
      name: 'ada',
      email: 'public@example.com',
    })
    expect(await resolve({ id: 1, login: 'ada', email: null }, list)).toMatchObject({ email: 'ada@example.com' })
  })

  it('does without an address where the list is refused', async () => {
    const refuse = (fault: 'not_found' | 'unavailable') => () => {
      throw new IntegrationError('PROVIDER_NOT_FOUND', 'refused', { fault })
    }
    const body = { id: 1, login: 'ada', email: null }
    expect(await resolve(body, refuse('not_found'))).toEqual({ id: '1', name: 'ada' })
    await expect(resolve(body, refuse('unavailable'))).rejects.toMatchObject({ fault: 'unavailable' })
  })
})

describe("GitHub's issues", () => {
  it('leave out the pull requests that the list repeats', () => {
    const issues = github.resources.find(({ name }) => name === 'issues')
    expect(issues?.itemFilter?.({ id: 1 })).toBe(true)
    expect(issues?.itemFilter?.({ id: 2, pull_request: {} })).toBe(false)
  })
})

describe('the end of a GitHub connection', () => {
  it('takes another access token where the one there is has ended: its refresh token still counts', async () => {
    for (const status of [404, 422]) {
      const gone = await refusal(github.auth.errors, { status, body: error('Not Found') })
      expect(gone).toMatchObject({ fault: 'expired' })
    }
    // What the token endpoint says of a client that it does not know.
    expect(await refusal(github.auth.errors, { status: 404, body: { error: 'Not Found' } })).toMatchObject({
      fault: 'not_found',
    })
  })
})

describe('the issues of a GitHub repository', () => {
  it('are read newest first, so that a change meanwhile lets nothing slip through', () => {
    const issues = github.resources.find(({ name }) => name === 'issues')
    expect(issues).toMatchObject({ order: 'desc', request: { query: { sort: 'updated', direction: 'desc' } } })
  })
})
