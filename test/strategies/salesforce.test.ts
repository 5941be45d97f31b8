import { describe, expect, it } from 'vitest'
import { normalizeHost, salesforce } from '../../src/strategies/salesforce.js'
import { nextState } from '../../src/sync/pagination.js'
import { accountKey } from './account-key.js'
import { refusal } from './refusal.js'

const error = (errorCode: string, message = 'No.') => [{ message, errorCode }]

describe("Salesforce's refusals", () => {
  it.each([
    [401, error('INVALID_SESSION_ID', 'Session expired or invalid'), 'expired'],
    [401, error('INVALID_SESSION_ID', 'This session is not valid for use with the REST API'), 'scope'],
    [403, 'Bad_OAuth_Token', 'expired'],
    [403, error('API_DISABLED_FOR_ORG', 'API is not enabled for this Organization or Partner'), 'permission'],
    [403, error('INSUFFICIENT_ACCESS'), 'permission'],
    [400, error('INVALID_TYPE', "sObject type 'Case' is not supported."), 'permission'],
    [400, error('INVALID_FIELD', "No such column 'Amount' on entity 'Opportunity'."), 'permission'],
    [400, error('MALFORMED_QUERY'), 'invalid'],
    [400, error('INVALID_QUERY_LOCATOR', 'invalid query locator'), 'cursor_expired'],
    [404, error('NOT_FOUND'), 'not_found'],
    [503, error('SERVER_UNAVAILABLE'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(salesforce.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('at the limit of the day wait an hour, at that of slow requests as long as any other', async () => {
    const day = error('REQUEST_LIMIT_EXCEEDED', 'TotalRequests Limit exceeded.')
    const slow = error('REQUEST_LIMIT_EXCEEDED', 'ConcurrentRequests (Concurrent API Requests) Limit exceeded.')
    expect(await refusal(salesforce.api.errors, { status: 403, body: day })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 3600,
    })
    const found = await refusal(salesforce.api.errors, { status: 403, body: slow })
    expect(found).toMatchObject({ fault: 'rate_limited' })
    expect(found?.retryAfterSeconds).toBeUndefined()
  })

  it.each([
    [{ error: 'invalid_client_id', error_description: 'client identifier invalid' }, 'client'],
    [{ error: 'invalid_app_access', error_description: 'user is not admin approved to access this app' }, 'admin'],
    [{ error: 'invalid_grant', error_description: 'ip restricted' }, 'admin'],
    [{ error: 'invalid_grant', error_description: 'inactive organization' }, 'account_gone'],
    [{ error: 'invalid_request', error_description: 'token request is already being processed' }, 'unavailable'],
  ])('at the token endpoint with %j mean %s', async (body, fault) => {
    expect(await refusal(salesforce.auth.errors, { status: 400, body })).toMatchObject({ fault })
  })

  it('at the token endpoint leave a token that was revoked to what OAuth says', async () => {
    const body = { error: 'invalid_grant', error_description: 'expired access/refresh token' }
    expect(await refusal(salesforce.auth.errors, { status: 400, body })).toMatchObject({
      providerCode: 'invalid_grant',
    })
  })
})

describe('the Salesforce login host', () => {
  const [{ pattern }] = salesforce.params

  it.each([
    ['login.salesforce.com', 'login.salesforce.com'],
    [' https://Acme.my.salesforce.com/lightning/page/home ', 'acme.my.salesforce.com'],
    ['acme--dev.sandbox.my.salesforce.com', 'acme--dev.sandbox.my.salesforce.com'],
  ])('is found in "%s"', (input, host) => {
    expect(normalizeHost(input)).toBe(host)
    expect(host).toMatch(pattern)
  })

  it.each([
    'https://acme.lightning.force.com/',
    'https://evil.example/login.salesforce.com',
    'login.salesforce.com.evil.example',
    'login.salesforce.com@evil.example',
    'login.salesforce.com:8443',
    'evil.salesforce.com',
  ])('is not "%s"', (input) => {
    expect(normalizeHost(input)).not.toMatch(pattern)
  })
})

describe('the address of a Salesforce organisation', () => {
  const [, { pattern }] = salesforce.params

  it.each([
    'https://acme.my.salesforce.com',
    'https://acme--dev.sandbox.my.salesforce.com',
    'https://na1.salesforce.com',
  ])('can be %s', (url) => {
    expect(url).toMatch(pattern)
  })

  it.each([
    'http://acme.my.salesforce.com',
    'https://acme.my.salesforce.com.evil.example',
    'https://evil.example/.salesforce.com',
    'https://evilsalesforce.com',
    'https://acme.my.salesforce.com/x',
    'https://user@acme.my.salesforce.com',
  ])('cannot be %s', (url) => {
    expect(url).not.toMatch(pattern)
  })
})

describe("Salesforce's queries", () => {
  it('go on at the path that the answer names, at the address of the organisation', () => {
    const answer = {
      body: { totalSize: 3000, done: false, nextRecordsUrl: '/services/data/v66.0/query/01gx-2000', records: [] },
      headers: {},
      items: [],
      state: undefined,
      window: { from: new Date(0), to: new Date() },
      url: 'https://acme.my.salesforce.com/services/data/v66.0/query?q=SELECT',
    }
    expect(nextState(salesforce.resources[0]?.pagination ?? { style: 'none' }, answer)).toBe(
      'https://acme.my.salesforce.com/services/data/v66.0/query/01gx-2000',
    )
  })
})

describe('a Salesforce organisation', () => {
  it('that moved to another instance is still the same account', async () => {
    const keyAt = (instance: string) => {
      const body = { organization_id: '00D1', user_id: '0051', preferred_username: 'ada' }
      return accountKey(salesforce, instance, body, { instance_url: instance })
    }
    expect(await keyAt('https://old.my.salesforce.com')).toBe(await keyAt('https://new.my.salesforce.com'))
  })
})
