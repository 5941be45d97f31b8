import { describe, expect, it } from 'vitest'
import { callbackParams } from '../../src/strategies/flow.js'
import { fillURL } from '../../src/strategies/template.js'
import { zohoBooks } from '../../src/strategies/zoho-books.js'
import { refusal } from './refusal.js'

const error = (code: number, message = 'No.') => ({ code, message })

describe("Zoho Books' refusals", () => {
  it.each([
    [401, error(14, 'Invalid value passed for authtoken.'), 'expired'],
    [401, error(57, 'You are not authorized to perform this operation'), 'permission'],
    [400, error(6041, 'This user is not associated with the CompanyID'), 'account_gone'],
    [404, error(1002, 'Invoice does not exist.'), 'not_found'],
    [400, error(4, 'Invalid value passed for per_page'), 'invalid'],
    [500, error(1000, 'Internal error'), 'unavailable'],
    [200, error(57, 'You are not authorized to perform this operation'), 'permission'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(zohoBooks.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [44, {}, 60],
    [45, {}, 3600],
    [1070, {}, 5],
    [44, { 'retry-after': '9' }, 9],
  ])('of the limit %i with %j wait %i seconds', async (code, headers, retryAfterSeconds) => {
    expect(await refusal(zohoBooks.api.errors, { status: 429, headers, body: error(code) })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds,
    })
  })

  it('are none where the code is 0', async () => {
    expect(await refusal(zohoBooks.api.errors, { body: { code: 0, message: 'success' } })).toBeUndefined()
  })

  it.each([
    [200, { error: 'invalid_code' }, 'revoked'],
    [200, { error: 'invalid_client_secret' }, 'client'],
    [200, { error: 'invalid_redirect_uri' }, 'client'],
    [400, { error: 'general_error' }, 'unavailable'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(zohoBooks.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([['access_denied'], ['Access Denied']])('of too many tokens (%s) wait ten minutes', async (code) => {
    const body = { error: code, error_description: 'You have made too many requests continuously.', status: 'failure' }
    expect(await refusal(zohoBooks.auth.errors, { status: 400, body })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 600,
    })
  })
})

describe("the server that Zoho's callback names", () => {
  const tokenURL = (params: Record<string, string>) =>
    fillURL(zohoBooks.auth.tokenURL, { params: zohoBooks.derive(params) })

  it.each([
    ['https://accounts.zoho.com', 'https://www.zohoapis.com'],
    ['https://accounts.zoho.eu', 'https://www.zohoapis.eu'],
    ['https://accounts.zoho.com.au', 'https://www.zohoapis.com.au'],
    ['https://accounts.zohocloud.ca', 'https://www.zohoapis.ca'],
  ])('%s gets the code, and %s is its API', (server, apiDomain) => {
    const params = callbackParams(zohoBooks, { code: 'c', location: 'xx', 'accounts-server': server })
    expect(tokenURL(params)).toBe(`${server}/oauth/v2/token`)
    expect(zohoBooks.derive(params)).toEqual({ accountsServer: server, apiDomain })
  })

  it.each([
    ['https://accounts.zoho.com.evil.example'],
    ['https://accounts.zoho.com@evil.example'],
    ['https://evil.example/accounts.zoho.com'],
    ['https://accounts.zoho.com:8443'],
    ['https://accounts.zoho.com/'],
    ['http://accounts.zoho.com'],
    ['https://accountsxzoho.com'],
    ['https://accounts.zoho.com\n'],
    [''],
  ])('%j never gets the client secret', (server) => {
    expect(() => callbackParams(zohoBooks, { code: 'c', 'accounts-server': server })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }),
    )
  })

  it('is the home one where the callback names none', () => {
    expect(tokenURL(callbackParams(zohoBooks, { code: 'c' }))).toBe('https://accounts.zoho.com/oauth/v2/token')
  })

  it('has the API that the token answer names, when it is one of the known', () => {
    const params = { 'accounts-server': 'https://accounts.zoho.eu', apiDomain: 'https://www.zohoapis.in' }
    expect(zohoBooks.derive(params)).toMatchObject({ apiDomain: 'https://www.zohoapis.in' })
    const { pattern } = zohoBooks.params[1]
    expect(pattern.test('https://www.zohoapis.eu')).toBe(true)
    expect(pattern.test('https://www.zohoapis.eu.evil.example')).toBe(false)
  })
})

describe('an organization of Zoho Books', () => {
  const organizations = [
    { organization_id: '10234695', name: 'Zylker', email: 'ada@zylker.example' },
    { organization_id: '10407630', name: 'Winston' },
  ]
  const resolve = (params: Record<string, string>) =>
    zohoBooks.identity.resolve({ body: undefined, token: {}, params, call: async () => ({ code: 0, organizations }) })

  it('is the one that was chosen', async () => {
    expect(await resolve({ organizationId: '10407630' })).toEqual({ id: '10407630', name: 'Winston' })
    expect(await resolve({ organizationId: '10234695' })).toEqual({
      id: '10234695',
      name: 'Zylker',
      email: 'ada@zylker.example',
    })
  })

  it('has its payments under either name of their list', () => {
    const payments = zohoBooks.resources.find(({ name }) => name === 'customer_payments')
    expect(payments?.toItems?.({ customerpayments: [{ payment_id: '1' }] })).toEqual([{ payment_id: '1' }])
    expect(payments?.toItems?.({ customer_payments: [{ payment_id: '2' }] })).toEqual([{ payment_id: '2' }])
    expect(payments?.toItems?.({ code: 0 })).toBeUndefined()
  })
})
