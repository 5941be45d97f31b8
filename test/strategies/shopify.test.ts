import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { IntegrationError } from '../../src/errors.js'
import { normalizeShop, shopify, verifyShopifyQuery } from '../../src/strategies/shopify.js'
import { refusal } from './refusal.js'

const pattern = shopify.params[0].pattern

describe('the shop that a user types', () => {
  it.each([
    ['my-shop.myshopify.com', 'my-shop.myshopify.com'],
    ['https://My-Shop.myshopify.com/admin', 'my-shop.myshopify.com'],
    ['  http://my-shop.myshopify.com/  ', 'my-shop.myshopify.com'],
    ['my-shop.myshopify.com/admin/products?page=2', 'my-shop.myshopify.com'],
    ['my-shop.myshopify.com/admin/../../evil', 'my-shop.myshopify.com'],
    ['https://admin.shopify.com/store/my-shop/orders', 'my-shop.myshopify.com'],
    ['My-Shop', 'my-shop.myshopify.com'],
    ['0815', '0815.myshopify.com'],
  ])('%s becomes %s', (input, shop) => {
    expect(normalizeShop(input)).toBe(shop)
    expect(normalizeShop(input)).toMatch(pattern)
  })

  it.each([
    'evil.com',
    'my-shop.myshopify.com.evil.com',
    'evilmyshopify.com',
    'my-shop.evil.myshopify.com',
    'evil.com/my-shop.myshopify.com',
    'https://evil.com#.myshopify.com',
    'https://evil.com?.myshopify.com',
    'https://my-shop.myshopify.com@evil.com',
    'https://evil.com@my-shop.myshopify.com',
    'https://evil.com\\.myshopify.com',
    'evil.com%2f.myshopify.com',
    'my-shop.myshopify.com:8443',
    'https://my-shop.myshopify.com:443/admin',
    'my-shop.myshopify.com/evil',
    'my-shop.myshopify.com/oauth?next=evil',
    'admin.shopify.com',
    'https://admin.shopify.com/store/evil.com',
    'shop.myshopify.com\nhost: evil.com',
    'my-shop.myshopify.com.',
    '-shop.myshopify.com',
    '.myshopify.com',
    '127.0.0.1',
    'http://127.0.0.1/admin',
    '[::1]',
    'http://169.254.169.254/latest/meta-data',
    'slack.com',
    'ftp://my-shop.myshopify.com',
    'javascript:alert(1)',
    '{shop}.myshopify.com',
    'müller.myshopify.com',
    '',
  ])('%j is refused', (input) => {
    expect(normalizeShop(input)).not.toMatch(pattern)
  })
})

describe('the signature of a callback', () => {
  const secret = 'hush'
  // The example that Shopify published for years, with its result.
  const query = {
    code: '0907a61c0c8d55e99db179b68161bc00',
    hmac: '700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf',
    shop: 'some-shop.myshopify.com',
    state: '0.6784241404160823',
    timestamp: '1337178173',
  }
  const now = new Date(1_337_178_173_000)
  const check = (over: Record<string, unknown>, at = now, shop: string | undefined = query.shop) => {
    try {
      verifyShopifyQuery({ ...query, ...over }, secret, shop, at)
      return 'genuine'
    } catch (error) {
      return (error as IntegrationError).code
    }
  }
  const sign = (message: string) => createHmac('sha256', secret).update(message).digest('hex')

  it('is accepted on the example that Shopify published', () => {
    expect(check({})).toBe('genuine')
  })

  it('is accepted in whatever order the parameters come, and without the legacy signature', () => {
    const turned = Object.fromEntries(Object.entries(query).reverse())
    expect(() => verifyShopifyQuery({ ...turned, signature: 'old' }, secret, query.shop, now)).not.toThrow()
  })

  it('covers values with blanks, plus signs and slashes, encoded as Shopify does', () => {
    const host = 'YWRt aW4+c2hv/cA=='
    const message = `code=a&host=YWRt%20aW4%2Bc2hv%2FcA%3D%3D&shop=some-shop.myshopify.com&timestamp=1337178173`
    const signed = { code: 'a', host, shop: query.shop, timestamp: query.timestamp, hmac: sign(message) }
    expect(() => verifyShopifyQuery(signed, secret, query.shop, now)).not.toThrow()
  })

  it.each([
    ['wrong', { hmac: `${query.hmac.slice(0, -1)}0` }],
    ['missing', { hmac: undefined }],
    ['empty', { hmac: '' }],
    ['in capitals', { hmac: query.hmac.toUpperCase() }],
    ['too short', { hmac: query.hmac.slice(0, 32) }],
    ['doubled', { hmac: [query.hmac, query.hmac] }],
  ])('is refused when it is %s', (_case, over) => {
    expect(check(over)).toBe('AUTH_SIGNATURE_INVALID')
  })

  it.each([
    ['a changed parameter', { code: 'stolen' }],
    ['a parameter added', { extra: '1' }],
    ['a doubled parameter', { shop: [query.shop, 'evil.myshopify.com'] }],
    ['a nested parameter', { code: { $ne: '' } }],
  ])('is refused with %s', (_case, over) => {
    expect(check(over)).toBe('AUTH_SIGNATURE_INVALID')
  })

  it.each([
    [90, 'genuine'],
    [-90, 'genuine'],
    [91, 'AUTH_SIGNATURE_INVALID'],
    [-91, 'AUTH_SIGNATURE_INVALID'],
  ])('made %i seconds before now is %s', (age, outcome) => {
    expect(check({}, new Date(now.getTime() + age * 1000))).toBe(outcome)
  })

  it('is refused with a timestamp that is missing or no number, however well it is signed', () => {
    const message = 'code=a&shop=some-shop.myshopify.com'
    expect(check({ state: undefined, timestamp: undefined, code: 'a', hmac: sign(message) })).toBe(
      'AUTH_SIGNATURE_INVALID',
    )
    const signed = { code: 'a', shop: query.shop, timestamp: 'NaN', hmac: sign(`${message}&timestamp=NaN`) }
    expect(() => verifyShopifyQuery(signed, secret, query.shop, now)).toThrow('timestamp')
  })

  it('is refused for another shop than the one that was asked for', () => {
    expect(check({}, now, 'other-shop.myshopify.com')).toBe('AUTH_SIGNATURE_INVALID')
  })

  it('is refused under another secret', () => {
    expect(() => verifyShopifyQuery(query, 'other', query.shop, now)).toThrow('HMAC')
  })

  it('is part of the definition, with the shop of the transaction', () => {
    const params = { shop: 'other-shop.myshopify.com' }
    expect(() => shopify.verifyCallback({ query, clientSecret: secret, params, now })).toThrow('another shop')
  })
})

describe("Shopify's refusals", () => {
  const throttled = {
    errors: [{ message: 'Throttled', extensions: { code: 'THROTTLED' } }],
    extensions: {
      cost: {
        requestedQueryCost: 650,
        throttleStatus: { maximumAvailable: 2000, currentlyAvailable: 125, restoreRate: 100 },
      },
    },
  }
  const denied = (path: (string | number)[]) => ({
    message: 'Access denied for customer field.',
    path,
    extensions: { code: 'ACCESS_DENIED' },
  })

  it('asks to wait until the bucket holds what a throttled query costs', async () => {
    expect(await refusal(shopify.api.errors, { body: throttled })).toMatchObject({
      code: 'PROVIDER_RATE_LIMITED',
      fault: 'rate_limited',
      retryAfterSeconds: 6,
    })
  })

  it('takes a refused list as a missing permission', async () => {
    const body = { data: { customers: null }, errors: [denied(['customers'])] }
    expect(await refusal(shopify.api.errors, { body })).toMatchObject({ fault: 'permission' })
  })

  it('keeps the page of orders whose customer the app may not see', async () => {
    const body = {
      data: { orders: { nodes: [{ id: '1', customer: null }] } },
      errors: [denied(['orders', 'nodes', 0, 'customer'])],
    }
    expect(await refusal(shopify.api.errors, { body })).toBeUndefined()
  })

  it.each([
    [200, { data: null, errors: [{ message: 'x', extensions: { code: 'INTERNAL_SERVER_ERROR' } }] }, 'unavailable'],
    [200, { errors: [{ message: 'x', extensions: { code: 'MAX_COST_EXCEEDED' } }] }, 'invalid'],
    [401, { errors: '[API] Invalid API key or access token (unrecognized login or wrong password)' }, 'expired'],
    [402, { errors: 'Unavailable Shop' }, 'account_gone'],
    [403, { errors: '[API] This action requires merchant approval for read_orders scope.' }, 'permission'],
    [404, { errors: 'Not Found' }, 'not_found'],
    [423, { errors: 'Shop locked' }, 'unavailable'],
    [500, { errors: 'Internal Server Error' }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(shopify.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [
      400,
      { error: 'invalid_request', error_description: 'The authorization code was not found or was already used' },
      'revoked',
    ],
    [401, { error: 'invalid_grant' }, 'revoked'],
    [400, { error: 'invalid_client' }, 'client'],
    [400, { error: 'application_cannot_be_found' }, 'client'],
    [503, { error: 'unavailable' }, 'unavailable'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(shopify.auth.errors, { status, body })).toMatchObject({ fault })
  })
})
