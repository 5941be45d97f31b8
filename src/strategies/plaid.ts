import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type RequestTemplate, type Resource } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const API = 'https://{environment}.plaid.com'
const VERSION = { 'plaid-version': '2020-09-14' } as const
const CLIENT = { 'plaid-client-id': '{client_id}', 'plaid-secret': '{client_secret}' } as const

const errors: ErrorRules = {
  // `item.error`: a bank that is asked about tells that its sign-in has ended, with status 200.
  code: ['error_code', 'item.error.error_code', 'transactions_update_status'],
  codes: {
    // The person has to go through Plaid Link again.
    ITEM_LOGIN_REQUIRED: 'revoked',
    ITEM_LOCKED: 'revoked',
    INVALID_CREDENTIALS: 'revoked',
    INSUFFICIENT_CREDENTIALS: 'revoked',
    MFA_NOT_SUPPORTED: 'revoked',
    USER_SETUP_REQUIRED: 'revoked',
    USER_PERMISSION_REVOKED: 'revoked',
    INVALID_ACCESS_TOKEN: 'revoked',
    ITEM_NOT_FOUND: 'revoked',
    INVALID_PUBLIC_TOKEN: 'revoked',
    EXPIRED_PUBLIC_TOKEN: 'revoked',
    INVALID_LINK_TOKEN: 'revoked',
    ACCESS_NOT_GRANTED: 'scope',
    NO_ACCOUNTS: 'permission',
    PRODUCTS_NOT_SUPPORTED: 'permission',
    ADDITIONAL_CONSENT_REQUIRED: 'scope',
    INVALID_API_KEYS: 'client',
    UNAUTHORIZED_ENVIRONMENT: 'client',
    INVALID_PRODUCT: 'client',
    PRODUCTS_NOT_ENABLED: 'client',
    PRODUCT_NOT_READY: 'not_ready',
    // Of /transactions/sync, with status 200: the last 30 days come first, the rest of the history a little later.
    NOT_READY: 'not_ready',
    INITIAL_UPDATE_COMPLETE: 'not_ready',
    TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION: 'cursor_expired',
    INVALID_CURSOR: 'cursor_expired',
    INSTITUTION_DOWN: 'unavailable',
    INSTITUTION_NOT_RESPONDING: 'unavailable',
    INSTITUTION_NOT_AVAILABLE: 'unavailable',
    INTERNAL_SERVER_ERROR: 'unavailable',
    PLANNED_MAINTENANCE: 'unavailable',
  },
  failed: (body) => {
    const status = pick(body, 'transactions_update_status')
    return (
      status === 'NOT_READY' ||
      status === 'INITIAL_UPDATE_COMPLETE' ||
      pick(body, 'item.error.error_code') !== undefined
    )
  },
  // The codes decide, not the status, which is mostly 400.
  classify: ({ status, body }) => {
    const type = pick(body, 'error_type')
    if (type === 'RATE_LIMIT_EXCEEDED' || status === 429) return 'rate_limited'
    const code = String(pick(body, 'error_code'))
    const known = Object.hasOwn(errors.codes ?? {}, code)
    if (!known && (type === 'API_ERROR' || type === 'INSTITUTION_ERROR')) return 'unavailable'
    return undefined
  },
  // Limits count by the minute, and no answer says how long to wait.
  retryAfterSeconds: ({ body }) => (pick(body, 'error_type') === 'RATE_LIMIT_EXCEEDED' ? 60 : undefined),
}

const post = (path: string, json: RequestTemplate['json'] = {}): RequestTemplate => ({
  method: 'POST',
  url: `${API}${path}`,
  json,
})
/** Calls before there is an access token, or without one. */
const asClient = (path: string, json: RequestTemplate['json']): RequestTemplate => ({
  ...post(path, json),
  headers: { ...VERSION, ...CLIENT },
  auth: 'none',
})

/** Banks post a transaction days after the day that it bears, and that day alone is told: the time of a window is no sharp edge. */
const LATE_SECONDS = 14 * 86_400

const resources: readonly Resource[] = [
  {
    name: 'accounts',
    request: post('/accounts/get'),
    pagination: { style: 'none' },
    items: 'accounts',
    id: 'account_id',
    filter: 'none',
    limits: 'Balances as Plaid last saw them; a fresh balance would be billed.',
  },
  {
    name: 'transactions',
    request: post('/transactions/sync', { count: 500 }),
    pagination: { style: 'cursor', at: 'json', param: 'cursor', next: 'next_cursor', more: 'has_more' },
    items: 'added',
    alsoItems: ['modified'],
    deletes: { items: 'removed', id: 'transaction_id' },
    id: 'transaction_id',
    timestamp: { path: 'date', format: 'date' },
    filter: 'client',
    overlapSeconds: LATE_SECONDS,
    // An update between two pages makes the whole set void: nothing counts before the last page was read.
    commit: 'set',
    rateLimit: { requests: 50, perSeconds: 60 },
    reach: { days: 730, reason: 'Plaid fetches at most 730 days when a bank is connected.' },
  },
  {
    // The older way with a date window. Read after the synchronisation, when the first fetch is done.
    name: 'transactions_by_date',
    request: post('/transactions/get', {
      start_date: '{since.date}',
      end_date: '{now.date}',
      options: { count: 500, offset: 0 },
    }),
    pagination: { style: 'offset', at: 'json', param: 'options.offset', pageSize: 500, total: 'total_transactions' },
    items: 'transactions',
    id: 'transaction_id',
    timestamp: { path: 'date', format: 'date' },
    filter: 'server',
    order: 'desc',
    overlapSeconds: LATE_SECONDS,
    rateLimit: { requests: 30, perSeconds: 60 },
    reach: { days: 730, reason: 'Plaid fetches at most 730 days when a bank is connected.' },
  },
]

/**
 * Plaid: a link token instead of a redirect, by Hosted Link, so that no foreign script runs on our pages.
 *
 * Link tokens live 4 hours, public tokens 30 minutes and once, access tokens until they are removed; there is no refresh. How far
 * the history reaches is fixed when the bank is connected (`days_requested`) and cannot be raised later, so the most is asked for.
 *
 * @see {@link https://plaid.com/docs/link/hosted-link/ | Plaid, Hosted Link} (read 2026-11-21)
 * @see {@link https://plaid.com/docs/transactions/sync-migration/ | Plaid, transactions sync} (read 2026-11-20)
 * @see {@link https://plaid.com/docs/errors/transactions | Plaid, errors} (read 2026-11-20)
 */
export const plaid = defineProvider({
  id: 'plaid',
  name: 'Plaid',
  category: 'finance',
  credentialsEnv: { clientId: 'PLAID_CLIENT_ID', clientSecret: 'PLAID_SECRET' },
  params: [
    {
      name: 'environment',
      label: 'Environment',
      pattern: /^(sandbox|production)$/,
      hint: 'sandbox or production; each has a secret of its own.',
      from: 'config',
      env: 'PLAID_ENVIRONMENT',
      default: 'sandbox',
      choices: [
        { value: 'sandbox', label: 'Sandbox' },
        { value: 'production', label: 'Production' },
      ],
    },
  ],
  auth: {
    kind: 'link_token',
    create: {
      ...asClient('/link/token/create', {
        client_name: '{app_name}',
        language: 'en',
        country_codes: ['US'],
        user: { client_user_id: '{user_id}' },
        products: ['transactions'],
        transactions: { days_requested: 730 },
        hosted_link: { completion_redirect_uri: '{redirect_uri}' },
      }),
      linkToken: 'link_token',
      hostedLinkUrl: 'hosted_link_url',
      expiration: 'expiration',
    },
    // Update mode: with the token of the bank and without products.
    repair: asClient('/link/token/create', {
      client_name: '{app_name}',
      language: 'en',
      country_codes: ['US'],
      user: { client_user_id: '{user_id}' },
      access_token: '{access_token}',
      hosted_link: { completion_redirect_uri: '{redirect_uri}' },
    }),
    confirm: {
      ...asClient('/link/token/get', { link_token: '{link_token}' }),
      publicTokens: (body) => {
        const sessions = pick(body, 'link_sessions')
        const found = (Array.isArray(sessions) ? sessions : []).flatMap((session: unknown) => {
          const results = pick(session, 'results.item_add_results')
          // `on_success` is the older field, for a session with one bank.
          return [...(Array.isArray(results) ? results : []), pick(session, 'on_success')]
        })
        const tokens = found.map((result) => pick(result, 'public_token'))
        return [...new Set(tokens.filter((token) => typeof token === 'string'))]
      },
    },
    exchange: {
      ...asClient('/item/public_token/exchange', { public_token: '{public_token}' }),
      accessToken: 'access_token',
      params: { item_id: 'item_id' },
    },
    scopes: [
      { scope: 'transactions', why: 'bank and card transactions; accounts and their last known balances come with it' },
    ],
    errors,
    // Ends the Item, and its billing.
    revocation: asClient('/item/remove', { access_token: '{token}' }),
  },
  identity: {
    request: post('/item/get'),
    accountId: 'item.item_id',
    accountName: ['item.institution_name', 'item.institution_id'],
  },
  api: {
    baseURL: API,
    auth: { headers: CLIENT, json: { access_token: '{access_token}' } },
    headers: VERSION,
    errors,
    rateLimit: { requests: 50, perSeconds: 60 },
  },
  resources,
  lab: {
    confirmBody: (tokens) => ({
      link_sessions: [{ results: { item_add_results: tokens.map((token) => ({ public_token: token })) } }],
    }),
  },
  guide: {
    setup: [
      'Create a team on https://dashboard.plaid.com; the Sandbox works at once.',
      'Under Developers, Keys copy the client ID into PLAID_CLIENT_ID and the secret of the Sandbox into PLAID_SECRET, and set PLAID_ENVIRONMENT=sandbox.',
      'Set up the default Link flow in the dashboard: name, countries, and what the data is used for.',
      'In the Sandbox sign in to a bank as user_good with the password pass_good.',
      'For real banks request access to Production, answer the questionnaires, then use the Production secret with PLAID_ENVIRONMENT=production.',
    ],
    sources: [
      'https://plaid.com/docs/link/hosted-link/ (read 2026-11-21)',
      'https://plaid.com/docs/link/index.html.md (read 2026-11-20)',
      'https://plaid.com/docs/transactions/sync-migration/index.html.md (read 2026-11-20)',
      'https://plaid.com/docs/errors/transactions (read 2026-11-20)',
    ],
    limits: [
      'Banks in the United States; each bank is a connection of its own, and linking it twice makes two.',
      'A bank whose sign-in has ended is repaired in place, on a page of Plaid. Where the person withdrew the permission at the bank, it has to be linked anew, as another connection.',
      'Right after connecting, Plaid may still fetch the history; the backfill waits for it.',
      'The history reaches back at most 730 days, or what the bank offers.',
    ],
  },
  deviations: {
    'auth.link_token.create.body.transactions.days_requested':
      'The most that Plaid takes, instead of 180: the depth is fixed when a bank is connected, and windows can be longer.',
    'auth.link_token.create.body.hosted_link':
      'Hosted Link is used (the sheet names it under link_token.hosted), and brings the browser back to the callback.',
  },
})

/** Plaid for Passport apps. */
export class PlaidStrategy extends strategyClass(plaid) {}
