import { describe, expect, it } from 'vitest'
import { quickbooks } from '../../src/strategies/quickbooks.js'
import { refusal } from './refusal.js'

const fault = (code: string, message: string, type = 'ValidationFault') => ({
  Fault: { Error: [{ Message: message, Detail: message, code }], type },
  time: '2026-11-20T03:04:05.000-08:00',
})
const gateway = (code: string, message: string) => ({
  warnings: null,
  fault: { error: [{ message, detail: message, code, element: null }], type: 'AUTHENTICATION' },
  time: 1795000000000,
})

describe('the refusals of QuickBooks Online', () => {
  it.each([
    [401, gateway('3200', 'message=AuthenticationFailed; errorCode=003200; statusCode=401'), 'expired'],
    [401, fault('100', 'General Authentication Error', 'AUTHENTICATION'), 'expired'],
    [
      401,
      '<?xml version="1.0"?><IntuitResponse><Fault type="AuthenticationFault"></Fault></IntuitResponse>',
      'expired',
    ],
    [403, gateway('3100', 'message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403'), 'permission'],
    [401, fault('120', 'Authorization Failure', 'AuthorizationFault'), 'permission'],
    [400, fault('6190', 'Invalid company status: Subscription period has ended'), 'permission'],
    [400, fault('610', 'Object Not Found'), 'not_found'],
    [400, fault('4000', 'Error parsing query', 'QueryValidationError'), 'invalid'],
    [503, fault('10000', 'An application error has occurred', 'SystemFault'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, expected) => {
    expect(await refusal(quickbooks.api.errors, { status, body })).toMatchObject({ fault: expected })
  })

  it('of too many requests wait a minute, unless a header says how long', async () => {
    const body = fault('003001', 'message=ThrottleExceeded; errorCode=003001; statusCode=429', 'THROTTLED')
    const answer = { status: 429, body }
    expect(await refusal(quickbooks.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 60 })
    expect(await refusal(quickbooks.api.errors, { ...answer, headers: { 'retry-after': '5' } })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 5,
    })
  })
})

describe('a company of QuickBooks Online', () => {
  const resolve = (body: unknown) =>
    quickbooks.identity.resolve({
      body,
      token: {},
      params: { realmId: '9130347597912345' },
      call: () => Promise.reject(new Error('no call')),
    })

  it('has the id of the callback, whatever id stands in its details', async () => {
    const body = { CompanyInfo: { Id: '1', CompanyName: 'Bakery' } }
    expect(await resolve(body)).toEqual({ id: '9130347597912345', name: 'Bakery' })
    expect(await resolve({})).toEqual({ id: '9130347597912345', name: 'Company 9130347597912345' })
  })

  it.each([
    [{ environment: 'sandbox' }, 'sandbox-quickbooks.api.intuit.com'],
    [{ environment: 'production' }, 'quickbooks.api.intuit.com'],
    [{}, 'quickbooks.api.intuit.com'],
  ])('is read, with %j, from %s', (params, host) => {
    expect(quickbooks.derive(params)).toEqual({ api_host: host })
  })
})

describe('the history of QuickBooks Online', () => {
  it('is asked for again from the newest change after a full answer, oldest change first', () => {
    const queries = quickbooks.resources.filter(({ name }) => name !== 'changes')
    expect(queries).toHaveLength(3)
    for (const resource of queries) {
      expect(resource).toMatchObject({ order: 'asc', filter: 'server', restartAfter: { items: 1000 } })
      expect(resource.request.query?.query).toContain('MAXRESULTS 1000')
    }
  })

  it('has the changes of all entities in one list, each with its kind', () => {
    const changes = quickbooks.resources.find(({ name }) => name === 'changes')
    const body = {
      CDCResponse: [
        {
          QueryResponse: [
            { Invoice: [{ Id: '1' }, { Id: '2', status: 'Deleted' }], startPosition: 1, maxResults: 2, totalCount: 2 },
            { Customer: [{ Id: '1' }], startPosition: 1, maxResults: 1 },
            {},
          ],
        },
      ],
      time: '2026-11-20T03:04:05.000-08:00',
    }
    expect(changes?.toItems?.(body)).toEqual([
      { entity: 'Invoice', Id: '1' },
      { entity: 'Invoice', Id: '2', status: 'Deleted' },
      { entity: 'Customer', Id: '1' },
    ])
    expect(changes?.toItems?.({ time: 'now' })).toBeUndefined()
  })
})
