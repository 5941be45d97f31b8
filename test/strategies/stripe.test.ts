import { describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import type { RequestTemplate } from '../../src/strategies/define-provider.js'
import { normalizeParams } from '../../src/strategies/flow.js'
import { stripe } from '../../src/strategies/stripe.js'
import { refusal } from './refusal.js'

const [apiKey, accountId] = stripe.params

describe("Stripe's keys", () => {
  it.each([
    'rk_live_1234567890',
    'rk_test_AbCdEf1234567890',
    'sk_test_51AbCdEfGhIjKl',
    ' sk_live_abcdefghij\n',
  ])('take %j', (key) => {
    expect(normalizeParams(stripe, { apiKey: key }).secrets).toEqual({ apiKey: key.trim() })
  })

  it.each([
    'pk_live_1234567890',
    'pk_test_1234567890',
    'rk_live_short',
    'rk_prod_1234567890',
    'whsec_1234567890',
    'rk_live_1234567890 rk_live_1234567890',
    'rk_live_1234567890\r\nstripe-account: acct_1',
    'x rk_live_1234567890',
    '',
  ])('refuse %j before anything leaves', (key) => {
    expect(() => normalizeParams(stripe, { apiKey: key })).toThrow(/apiKey/)
  })

  it('are a secret, and the connected account is optional', () => {
    expect(apiKey.secret).toBe(true)
    expect(accountId.optional).toBe(true)
    expect('acct_1AbC').toMatch(accountId.pattern)
    expect('acct_1/../../v1').not.toMatch(accountId.pattern)
  })
})

describe('the account behind a Stripe key', () => {
  const account = {
    id: 'acct_1',
    email: 'ada@example.com',
    business_profile: { name: 'Ada Ltd' },
    settings: { dashboard: { display_name: 'Ada Shop' } },
  }
  const refused = (fault: 'permission' | 'revoked' | 'unavailable') =>
    new IntegrationError('PROVIDER_FORBIDDEN', 'refused', { fault })
  /** Answers one call after the other. */
  const resolve = async (answers: unknown[], context: { params?: Record<string, string>; keyHint?: string } = {}) => {
    const calls: RequestTemplate[] = []
    const result = stripe.identity.resolve({
      body: undefined,
      token: undefined,
      params: {},
      ...context,
      call: async (request) => {
        calls.push(request)
        const answer = answers[calls.length - 1]
        if (answer instanceof Error) throw answer
        return answer
      },
    })
    return { result, calls }
  }

  it('is named by its display name', async () => {
    const { result } = await resolve([account])
    expect(await result).toEqual({ id: 'acct_1', name: 'Ada Shop', email: 'ada@example.com', keyParts: [] })
  })

  it.each([
    [{ ...account, settings: { dashboard: { display_name: null } } }, 'Ada Ltd'],
    [{ ...account, settings: undefined, business_profile: null }, 'ada@example.com'],
    [{ id: 'acct_1' }, 'acct_1'],
  ])('is named by the next best thing in %j', async (body, name) => {
    const { result } = await resolve([body])
    expect(await result).toMatchObject({ id: 'acct_1', name })
  })

  it('is proven by a list of charges where a restricted key may not ask, and named by the key', async () => {
    const { result, calls } = await resolve([refused('permission'), { object: 'list', data: [] }], {
      keyHint: 'rk_live_…x7Qz',
    })
    expect(await result).toEqual({ name: 'Stripe, key rk_live_…x7Qz', keyParts: [] })
    expect(calls[1]).toMatchObject({ method: 'GET', url: 'https://api.stripe.com/v1/charges', query: { limit: '1' } })
  })

  it('is the connected account where one was named', async () => {
    const { result } = await resolve([refused('permission'), {}], { params: { accountId: 'acct_2' } })
    expect(await result).toEqual({ id: 'acct_2', name: 'acct_2', keyParts: [] })
  })

  it.each([
    [[account], {}, { id: 'acct_1', name: 'Ada Shop (test data)' }],
    [[refused('permission'), {}], { accountId: 'acct_2' }, { id: 'acct_2', name: 'acct_2 (test data)' }],
  ])('is another connection with a test key, since its id is the same there: %j, %j', async (answers, params, known) => {
    const { result } = await resolve(answers, { params, keyHint: 'rk_test_…x7Qz' })
    expect(await result).toMatchObject({ ...known, keyParts: ['test'] })
  })

  it('stays unknown when the key may not read charges either', async () => {
    const { result } = await resolve([refused('permission'), refused('permission')])
    await expect(result).rejects.toMatchObject({ fault: 'permission' })
  })

  it.each(['revoked', 'unavailable'] as const)('is not guessed at when the first call ends %s', async (fault) => {
    const { result, calls } = await resolve([refused(fault), {}])
    await expect(result).rejects.toMatchObject({ fault })
    expect(calls).toHaveLength(1)
  })
})

describe("Stripe's refusals", () => {
  const error = (fields: object) => ({ error: { type: 'invalid_request_error', message: 'No.', ...fields } })
  it.each([
    [401, error({ message: 'Invalid API Key provided: rk_test_****' }), 'revoked'],
    [401, error({ code: 'api_key_expired' }), 'revoked'],
    [
      403,
      error({ message: "does not have the required permissions for this endpoint on account 'acct_1'" }),
      'permission',
    ],
    [403, error({ code: 'account_invalid' }), 'account_gone'],
    [404, error({ code: 'resource_missing' }), 'not_found'],
    [429, error({ code: 'rate_limit' }), 'rate_limited'],
    [400, error({ param: 'created' }), 'invalid'],
    [
      400,
      error({ code: 'resource_missing', param: 'starting_after', message: "No such customer: 'cus_1'" }),
      'cursor_expired',
    ],
    [500, error({ type: 'api_error' }), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(stripe.api.errors, { status, body })).toMatchObject({ fault })
  })
})
