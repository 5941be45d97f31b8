import { describe, expect, it } from 'vitest'
import { xero } from '../../src/strategies/xero.js'
import { refusal } from './refusal.js'

const problem = (Status: number, Title: string, Detail: string) => ({
  Type: null,
  Title,
  Status,
  Detail,
  Instance: 'e3ec736b-3932-4630-a701-89098e09d5c9',
  Extensions: {},
})

describe("Xero's refusals", () => {
  it.each([
    [401, problem(401, 'Unauthorized', 'TokenExpired: token expired at 11/20/2026 03:04:05'), 'expired'],
    [401, problem(401, 'Unauthorized', 'AuthenticationUnsuccessful'), 'expired'],
    [401, { title: 'Unauthorized', status: 401, detail: 'AuthenticationUnsuccessful', instance: 'e3ec' }, 'expired'],
    [401, problem(401, 'Unauthorized', 'AuthorizationUnsuccessful'), 'scope'],
    [403, problem(403, 'Forbidden', 'AuthenticationUnsuccessful'), 'account_gone'],
    [403, { title: 'Forbidden', status: 403, detail: 'AuthenticationUnsuccessful', instance: 'e3ec' }, 'account_gone'],
    [403, problem(403, 'Forbidden', 'You do not have access to this endpoint'), 'permission'],
    [404, problem(404, 'NotFound', 'The resource you have specified cannot be found'), 'not_found'],
    [
      400,
      {
        ErrorNumber: 10,
        Type: 'ValidationException',
        Message: 'A validation exception occurred',
        Elements: [{ ValidationErrors: [{ Message: 'Page must be a number' }] }],
      },
      'invalid',
    ],
    [503, 'The Xero API is offline for maintenance', 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(xero.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('say in a header when a scope is missing', async () => {
    const headers = { 'www-authenticate': 'Bearer error=insufficient_scope' }
    const answer = { status: 401, headers, body: problem(401, 'Unauthorized', 'AuthenticationUnsuccessful') }
    expect(await refusal(xero.api.errors, answer)).toMatchObject({ fault: 'scope' })
  })

  it('of the daily limit wait as many hours as the answer says', async () => {
    const headers = { 'retry-after': '50400', 'x-rate-limit-problem': 'day' }
    expect(await refusal(xero.api.errors, { status: 429, headers, body: '' })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 50_400,
    })
  })
})

describe('a Xero organisation', () => {
  const listed = [
    { id: 'c-1', tenantId: 't-1', tenantType: 'ORGANISATION', tenantName: 'Bakery' },
    { id: 'c-2', tenantId: 't-2', tenantType: 'ORGANISATION', tenantName: 'Garage' },
  ]
  const jwt = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.made-up`
  const resolve = (params: Record<string, string>, token: unknown) =>
    xero.identity.resolve({ body: undefined, token, params, call: async () => listed })

  it('is the one that was chosen, with the person who connected it', async () => {
    const token = { id_token: jwt({ xero_userid: 'u-1', email: 'ada@bakery.example' }), access_token: jwt({}) }
    expect(await resolve({ tenantId: 't-2' }, token)).toEqual({
      id: 't-2',
      name: 'Garage',
      email: 'ada@bakery.example',
      keyParts: ['u-1'],
    })
  })

  it('finds the person in the access token where no id token came', async () => {
    const token = { access_token: jwt({ xero_userid: 'u-2' }) }
    expect(await resolve({ tenantId: 't-1' }, token)).toEqual({ id: 't-1', name: 'Bakery', keyParts: ['u-2'] })
  })

  it('is taken without a person from a token that cannot be read', async () => {
    expect(await resolve({ tenantId: 't-1' }, { access_token: 'opaque' })).toEqual({ id: 't-1', name: 'Bakery' })
  })

  it('is offered, a practice is not', () => {
    expect(xero.choices.itemFilter({ tenantType: 'ORGANISATION' })).toBe(true)
    expect(xero.choices.itemFilter({ tenantType: 'PRACTICE' })).toBe(false)
  })

  it('is disconnected alone: revoking the token would end all organisations of the person', () => {
    expect(xero.auth.revocation).toEqual({
      method: 'DELETE',
      url: 'https://api.xero.com/connections/{connectionId}',
    })
  })
})

describe("Xero's lists", () => {
  it.each(
    xero.resources.map((resource) => [resource.name, resource] as const),
  )('%s: are read newest first, so that a change meanwhile lets nothing slip through', (_, resource) => {
    expect(resource).toMatchObject({ order: 'desc', request: { query: { order: 'UpdatedDateUTC DESC' } } })
  })
})
