import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'
import { unlessRefused } from './unless-refused.js'

const errors: ErrorRules = {
  code: ['error.code', 'error.type'],
  codes: {
    api_key_expired: 'revoked',
    platform_api_key_expired: 'revoked',
    // The account behind Stripe-Account is unknown to this key, or has withdrawn its access.
    account_invalid: 'account_gone',
    secret_key_required: 'permission',
    testmode_charges_only: 'permission',
    rate_limit: 'rate_limited',
    lock_timeout: 'unavailable',
    resource_missing: 'not_found',
    api_error: 'unavailable',
    idempotency_error: 'invalid',
    card_error: 'invalid',
  },
  // A key cannot be refreshed: whatever 401 says, only its owner can help. 403 names a missing permission of a restricted key.
  classify: ({ status, body }) => {
    if (status === 401) return 'revoked'
    // The object that the next page was to begin after was deleted meanwhile.
    if (status < 500 && pick(body, 'error.param') === 'starting_after') return 'cursor_expired'
    if (status === 403) return pick(body, 'error.code') === 'account_invalid' ? 'account_gone' : 'permission'
    return status === 429 ? 'rate_limited' : undefined
  },
}

const get = getFrom('https://api.stripe.com/v1')

function list(name: string, limits?: string): Resource {
  return {
    name,
    request: get(name, { 'created[gte]': '{since.unix}', limit: '100' }),
    pagination: { style: 'last_item', at: 'query', param: 'starting_after', field: 'id', more: 'has_more' },
    items: 'data',
    id: 'id',
    timestamp: { path: 'created', format: 'unix' },
    // The filter is on creation: later changes of older objects are not seen.
    filter: 'server',
    order: 'desc',
    limits,
  }
}

/**
 * Stripe: a restricted (`rk_`) or secret (`sk_`) API key that the user pastes. Publishable keys (`pk_`) are refused at once.
 *
 * Keys do not end by themselves. The version of the API is pinned, or each account's own default would decide the shape of objects.
 * A restricted key may not ask which account it belongs to (403): then a list of charges proves that it works, and the connection
 * is named by the key's first and last characters. An account has the same id in test mode, so a test key makes a connection of its own.
 *
 * @see {@link https://docs.stripe.com/rate-limits | Stripe, rate limits} (read 2026-11-20)
 */
export const stripe = defineProvider({
  id: 'stripe',
  name: 'Stripe',
  category: 'finance',
  credentialsEnv: null,
  params: [
    {
      name: 'apiKey',
      label: 'Restricted API key',
      pattern: /^(sk|rk)_(test|live)_[A-Za-z0-9]{10,}$/,
      hint: 'In the Stripe dashboard under Developers, API keys: a restricted key that begins with rk_, or a secret key that begins with sk_. A publishable key (pk_) cannot read anything.',
      example: 'rk_live_…',
      secret: true,
    },
    {
      name: 'accountId',
      label: 'Connected account',
      pattern: /^acct_[A-Za-z0-9]+$/,
      hint: 'Only for platforms that read one of their connected accounts: its id, which begins with acct_.',
      example: 'acct_1AbCdEfGhIjKlMnO',
      optional: true,
    },
  ],
  auth: {
    kind: 'api_key',
    key: 'apiKey',
    scopes: [
      { scope: 'restricted key: Charges read', why: 'charges; also what verifies the key' },
      { scope: 'restricted key: Invoices read', why: 'invoices' },
      { scope: 'restricted key: Customers read', why: 'customers' },
      { scope: 'restricted key: Balance transaction sources / Balance read', why: 'balance transactions' },
      {
        scope: 'restricted key: Events read',
        why: 'changes of the last 30 days',
        optional: 'The backfill does not read events; give it when your app does.',
      },
    ],
    errors,
  },
  identity: {
    resolve: async ({ call, params, keyHint = '' }) => {
      // An account has one id, and in its test mode other data: the mode is part of what was connected.
      const isTest = /^[a-z]+_test_/.test(keyHint)
      const keyParts = isTest ? ['test'] : []
      const named = (name: string) => (isTest ? `${name} (test data)` : name)
      const account = await unlessRefused(call(get('account')), ['permission'])
      if (account !== undefined) {
        const name = pickString(account, ['settings.dashboard.display_name', 'business_profile.name', 'email', 'id'])
        return {
          id: pickString(account, 'id'),
          name: named(name ?? 'Stripe account'),
          email: pickString(account, 'email'),
          keyParts,
        }
      }
      await call(get('charges', { limit: '1' }))
      const label = keyHint ? `Stripe, key ${keyHint}` : 'Stripe, restricted key'
      const { accountId: id } = params
      return id === undefined ? { name: label, keyParts } : { id, name: named(id), keyParts }
    },
  },
  api: {
    baseURL: 'https://api.stripe.com/v1',
    headers: { 'stripe-version': '2026-07-29.dahlia', 'stripe-account': '{accountId}' },
    errors,
    // The lowest documented limit, that of a sandbox and of a single endpoint.
    rateLimit: { requests: 25, perSeconds: 1 },
  },
  resources: [
    list('charges'),
    list('invoices', 'The first ten lines of an invoice.'),
    list('customers', 'Customers created in the window; deleted ones do not appear.'),
    list('balance_transactions'),
  ],
  lab: {
    answers: [
      {
        method: 'GET',
        url: 'https://api.stripe.com/v1/account',
        body: ({ id, name, email }) => ({ id: `acct_${id}`, email, settings: { dashboard: { display_name: name } } }),
      },
    ],
  },
  guide: {
    setup: [
      'Nothing has to be registered: each user brings a key.',
      'The user opens Developers, API keys in the Stripe dashboard, in test mode or a sandbox first, and creates a restricted key.',
      'The key gets Read for Charges, Invoices, Customers and Balance, and None for the rest. Live keys are shown only once.',
      'Where the key has an IP allow-list, the address of your server has to be in it.',
    ],
    sources: [
      'https://docs.stripe.com/rate-limits (read 2026-11-20)',
      'https://docs.stripe.com/connect/oauth-standard-accounts.md (read 2026-11-20)',
    ],
    limits: [
      'Objects created in the window; later changes of older ones are not found.',
      'A key for test data sees no live data, and the other way round.',
      'A restricted key cannot name its account: the connection is named by the first and last characters of the key, and another key makes another connection.',
    ],
  },
  deviations: {
    'api.headers.stripe-account': 'Extra header of the optional parameter accountId; it is left out without one.',
  },
})

/** Stripe for Passport apps. */
export class StripeStrategy extends strategyClass(stripe) {}
