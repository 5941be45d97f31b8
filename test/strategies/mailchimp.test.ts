import { describe, expect, it } from 'vitest'
import { mailchimp } from '../../src/strategies/mailchimp.js'
import { readToken } from '../../src/strategies/token-endpoint.js'
import { accountKey } from './account-key.js'
import { refusal } from './refusal.js'

const problem = (status: number, title: string) => ({
  type: 'https://mailchimp.com/developer/marketing/docs/errors/',
  title,
  status,
  detail: 'No.',
  instance: '995c5cb0-3280-4a6e-808b-3b096d0bb219',
})

describe("Mailchimp's refusals", () => {
  it.each([
    [401, problem(401, 'API Key Invalid'), 'revoked'],
    [401, problem(401, 'APIKeyMissing'), 'revoked'],
    [403, problem(403, 'WrongDatacenter'), 'wrong_region'],
    [403, problem(403, 'Wrong Datacenter'), 'wrong_region'],
    [403, problem(403, 'User Action Required'), 'account_gone'],
    [403, problem(403, 'Forbidden'), 'permission'],
    [404, problem(404, 'Resource Not Found'), 'not_found'],
    [400, problem(400, 'Invalid Resource'), 'invalid'],
    [429, problem(429, 'Too Many Requests'), 'rate_limited'],
    [500, problem(500, 'InternalServerError'), 'unavailable'],
    [401, { error: 'invalid_token' }, 'revoked'],
    [200, { error: 'invalid_token' }, 'revoked'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(mailchimp.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('by the network in front of the API say nothing about the token', async () => {
    const text = await refusal(mailchimp.api.errors, { status: 403, body: 'Access Denied. Reference #18.2d351ab8' })
    expect(text).toMatchObject({ fault: 'unavailable' })
    const html = '<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY>Reference #18.2d351ab8</BODY></HTML>'
    const page = await refusal(mailchimp.api.errors, { status: 403, body: html })
    expect(page?.code).toBe('PROVIDER_HTML_RESPONSE')
    expect(page?.fault).not.toBe('revoked')
  })
})

describe('the Mailchimp token', () => {
  it('has no end although the answer says that it lives for 0 seconds', () => {
    const body = { access_token: 'made-up-token', expires_in: 0, scope: null }
    expect(readToken(body, mailchimp.auth.tokens.default, mailchimp.auth, 1000)).toEqual({
      accessToken: 'made-up-token',
      issuedAt: 1000,
    })
  })
})

describe('the members of a Mailchimp audience', () => {
  it('are read newest first, so that a change meanwhile lets nobody slip through', () => {
    const members = mailchimp.resources.find(({ name }) => name === 'members')
    expect(members).toMatchObject({ order: 'desc', request: { query: { sort_dir: 'DESC' } }, id: ['parent:id', 'id'] })
  })
})

describe('a Mailchimp account', () => {
  it('that moved to another data centre is still the same account', async () => {
    const keyAt = (dc: string) => {
      const body = { dc, user_id: 1234, accountname: 'Bakery', login: { login_id: 77 } }
      return accountKey(mailchimp, 'https://login.mailchimp.com', body)
    }
    expect(await keyAt('us6')).toBe(await keyAt('us21'))
  })
})
