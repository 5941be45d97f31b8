import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type RequestTemplate, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

/** Data centres: the server of the accounts, and the API beside it. Those of the UK and the UAE were not seen in full. */
const API_OF: Readonly<Record<string, string>> = {
  'https://accounts.zoho.com': 'https://www.zohoapis.com',
  'https://accounts.zoho.eu': 'https://www.zohoapis.eu',
  'https://accounts.zoho.in': 'https://www.zohoapis.in',
  'https://accounts.zoho.com.au': 'https://www.zohoapis.com.au',
  'https://accounts.zoho.jp': 'https://www.zohoapis.jp',
  'https://accounts.zoho.sa': 'https://www.zohoapis.sa',
  'https://accounts.zoho.uk': 'https://www.zohoapis.uk',
  'https://accounts.zoho.ae': 'https://www.zohoapis.ae',
  'https://accounts.zoho.com.cn': 'https://www.zohoapis.com.cn',
  'https://accounts.zohocloud.ca': 'https://www.zohoapis.ca',
}
const HOME = 'https://accounts.zoho.com'

const errors: ErrorRules = {
  code: ['code'],
  codes: {
    '14': 'expired',
    // Answered with 401: a scope or a right is missing, which no refresh cures.
    '57': 'permission',
    '6041': 'account_gone',
    '1002': 'not_found',
    '1000': 'unavailable',
    '44': 'rate_limited',
    '45': 'rate_limited',
    '1070': 'rate_limited',
  },
  failed: (body) => {
    const code = pick(body, 'code')
    return typeof code === 'number' && code !== 0
  },
  // By the minute, by the day (nobody says whose: asked again every hour), and too many at once.
  retryAfterSeconds: ({ body }) => ({ '44': 60, '45': 3600, '1070': 5 })[pickString(body, 'code') ?? ''],
}

/** Refusals come with status 200 too. */
const tokenErrors: ErrorRules = {
  code: ['error'],
  codes: {
    invalid_code: 'revoked',
    invalid_client_secret: 'client',
    invalid_redirect_uri: 'client',
    // More than ten access tokens in ten minutes.
    access_denied: 'rate_limited',
    'Access Denied': 'rate_limited',
    general_error: 'unavailable',
  },
  failed: (body) => typeof pick(body, 'error') === 'string',
  retryAfterSeconds: ({ body }) => (/^access.denied$/i.test(String(pick(body, 'error'))) ? 600 : undefined),
}

const ORGANIZATIONS = {
  method: 'GET',
  url: '{apiDomain}/books/v3/organizations',
} as const satisfies RequestTemplate
const get = getFrom('{apiDomain}/books/v3', { organization_id: '{organizationId}', page: '1', per_page: '200' })
const pages = {
  style: 'page',
  at: 'query',
  param: 'page',
  pageSize: 200,
  more: 'page_context.has_more_page',
} as const
const modified = { path: 'last_modified_time', format: 'iso8601' } as const
// By creation: a row that is edited meanwhile keeps its place. Sorting by change is not offered.
const changedSince = {
  last_modified_time: '{since.iso8601_no_zone}+0000',
  sort_column: 'created_time',
  sort_order: 'A',
}
const dated = { date_start: '{since.date}', date_end: '{now.date}' }
/** Dates are those of the organization's zone, and people enter them some days late. */
const LATE_SECONDS = 604_800
const byDate =
  'By the date that is written on it: an entry that is made or edited more than a week after its date may be missed by later runs.'

const resources: readonly Resource[] = [
  {
    name: 'invoices',
    request: get('invoices', changedSince),
    pagination: pages,
    items: 'invoices',
    id: 'invoice_id',
    timestamp: modified,
    filter: 'server',
    limits: 'Summaries without lines. What was deleted does not appear.',
  },
  {
    name: 'bills',
    request: get('bills', changedSince),
    pagination: pages,
    items: 'bills',
    id: 'bill_id',
    timestamp: modified,
    filter: 'server',
    limits: 'Summaries without lines. What was deleted does not appear.',
  },
  {
    name: 'customer_payments',
    request: get('customerpayments', dated),
    pagination: pages,
    items: 'customerpayments',
    // The description spells the list in another way than the answers that were seen.
    toItems: (body) => {
      const list = pick(body, ['customerpayments', 'customer_payments'])
      return Array.isArray(list) ? list : undefined
    },
    id: 'payment_id',
    timestamp: { path: ['last_modified_time', 'date'], format: 'iso8601' },
    filter: 'server',
    overlapSeconds: LATE_SECONDS,
    limits: byDate,
  },
  {
    name: 'expenses',
    request: get('expenses', { ...dated, sort_column: 'created_time' }),
    pagination: pages,
    items: 'expenses',
    id: 'expense_id',
    timestamp: modified,
    filter: 'server',
    overlapSeconds: LATE_SECONDS,
    limits: byDate,
  },
]

/**
 * Zoho Books: OAuth 2.0 authorization code over several data centres; one grant reaches all organizations of its person.
 *
 * Everybody is sent to accounts.zoho.com. The callback names the server of the person's own data centre (`accounts-server`), and the
 * code, every refresh and the revocation go there, with the client secret: only servers on the list are taken. Access tokens live 3600
 * seconds, at most ten in ten minutes; refresh tokens have no end, and the 21st of a person deletes the oldest.
 *
 * @see {@link https://zoho.com/accounts/protocol/oauth/web-apps/authorization.html | Zoho, authorization} (read 2026-11-20)
 * @see {@link https://zoho.com/accounts/protocol/oauth/multi-dc.html | Zoho, data centres} (read 2026-11-20)
 * @see {@link https://www.zoho.com/books/api/v3/introduction/ | Zoho Books, API} (read 2026-11-20)
 */
export const zohoBooks = defineProvider({
  id: 'zoho-books',
  name: 'Zoho Books',
  category: 'finance',
  params: [
    {
      name: 'accounts-server',
      label: 'Accounts server',
      pattern: /^https:\/\/accounts\.(zoho\.(com|eu|in|com\.au|jp|sa|uk|ae|com\.cn)|zohocloud\.ca)$/,
      hint: 'The server of the data centre, such as https://accounts.zoho.eu. Zoho names it when the account is connected.',
      from: 'callback',
      // An app without other data centres has the home one.
      optional: true,
    },
    {
      name: 'apiDomain',
      label: 'API domain',
      pattern: /^https:\/\/www\.zohoapis\.(com|eu|in|com\.au|jp|sa|uk|ae|com\.cn|ca)$/,
      hint: 'The address of the API in the data centre, such as https://www.zohoapis.eu. Zoho names it when the account is connected.',
      from: 'token',
      optional: true,
    },
    {
      name: 'organizationId',
      label: 'Organization',
      pattern: /^\d{1,30}$/,
      hint: 'The id of an organization in Zoho Books. Zoho names it when the account is connected.',
      from: 'token',
    },
  ],
  derive: ({ 'accounts-server': server = HOME, apiDomain }) => ({
    accountsServer: server,
    apiDomain: apiDomain ?? API_OF[server] ?? '',
  }),
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://accounts.zoho.com/oauth/v2/auth',
    tokenURL: '{accountsServer}/oauth/v2/token',
    clientAuth: 'body',
    // The pages for web apps do not name it; others report that it does no harm.
    pkce: 'optIn',
    scopeSeparator: ',',
    scopes: [
      { scope: 'ZohoBooks.settings.READ', why: 'list of organizations' },
      { scope: 'ZohoBooks.invoices.READ', why: 'invoices' },
      { scope: 'ZohoBooks.bills.READ', why: 'bills' },
      { scope: 'ZohoBooks.expenses.READ', why: 'expenses' },
      { scope: 'ZohoBooks.customerpayments.READ', why: 'payments of customers' },
    ],
    // A repeated consent brings a refresh token only with both.
    authorizationParams: { access_type: 'offline', prompt: 'consent' },
    refreshToken: 'static',
    accessTokenSeconds: 3600,
    params: { apiDomain: 'api_domain' },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: '{accountsServer}/oauth/v2/token/revoke',
      form: { token: '{token}' },
      auth: 'none',
      token: 'refresh',
    },
  },
  choices: {
    request: ORGANIZATIONS,
    items: 'organizations',
    id: 'organization_id',
    name: 'name',
    param: 'organizationId',
    noun: 'organization',
  },
  identity: {
    // Who the person is, no scope of Zoho Books tells.
    resolve: async ({ params, call }) => {
      const list = pick(await call(ORGANIZATIONS), 'organizations')
      const listed: unknown[] = Array.isArray(list) ? list : [pick(list, '0')]
      const one = listed.find((item) => pickString(item, 'organization_id') === params.organizationId) ?? listed[0]
      const id = params.organizationId ?? pickString(one, 'organization_id')
      const email = pickString(one, 'email')
      return {
        id,
        name: pickString(one, 'name') ?? `Organization ${id}`,
        email,
      }
    },
  },
  api: {
    baseURL: '{apiDomain}/books/v3',
    auth: { headers: { authorization: 'Zoho-oauthtoken {access_token}' } },
    headers: { accept: 'application/json' },
    errors,
    rateLimit: { requests: 100, perSeconds: 60 },
    // Few calls at once are answered; how many, the plan says.
    concurrency: 2,
  },
  resources,
  lab: {
    params: { 'accounts-server': 'https://accounts.zoho.eu', apiDomain: 'https://www.zohoapis.eu' },
    answers: [
      {
        method: 'GET',
        url: ORGANIZATIONS.url,
        body: ({ id, name, email }) => ({
          code: 0,
          message: 'success',
          organizations: [{ organization_id: id, name, email, is_default_org: true }],
        }),
      },
    ],
  },
  guide: {
    setup: [
      'Open https://api-console.zoho.com with a Zoho account and add a client of the type Server-based Applications.',
      'Enter home page and authorized redirect URI; http and https are both taken.',
      'Copy client ID and client secret into ZOHO_BOOKS_CLIENT_ID and ZOHO_BOOKS_CLIENT_SECRET.',
      'In the settings of the client switch Multi-DC on for every region that users may live in, with the same secret for all: without it, users of other regions are refused with invalid_client.',
      'To test, have an organization in Zoho Books in that region; a free trial is enough.',
    ],
    sources: [
      'https://zoho.com/accounts/protocol/oauth/web-apps/authorization.html (read 2026-11-20)',
      'https://zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html (read 2026-11-20)',
      'https://zoho.com/accounts/protocol/oauth/multi-dc.html (read 2026-11-20)',
      'https://www.zoho.com/accounts/protocol/oauth/multi-dc/client-authorization.html (read 2026-11-20)',
      'https://www.zoho.com/books/api/v3/introduction/ (read 2026-11-20)',
      'https://zoho.com/books/api/v3/errors/ (read 2026-11-20)',
    ],
    limits: [
      'Payments and expenses go by the date that is written on them: later edits of old ones are not found.',
      'Invoices and bills are read as summaries, without lines. What was deleted is not found.',
      'An organization answers 100 calls a minute, and from 1,000 (free plan) to 10,000 a day; once they are used up, the backfill waits.',
      'A person can have 20 refresh tokens: connecting once more ends the oldest without notice.',
    ],
  },
  deviations: {
    'auth.connection_params.accountsServer': 'Named as it stands on the callback; derive makes accountsServer of it.',
    'auth.connection_params.accounts-server': 'The accountsServer of the sheet, with its pattern.',
    'auth.connection_params.apiDomain': 'Metadata of the token answer in the sheet, held to the known hosts.',
    'auth.connection_params.organizationId': 'Learned from the choice of the organization (after_token of the sheet).',
    'backfill.invoices.params.last_modified_time': 'The same form: UTC without a zone, and +0000 behind it.',
    'backfill.bills.params.last_modified_time': 'The same form: UTC without a zone, and +0000 behind it.',
    'backfill.customer_payments.updated_at': 'last_modified_time where it is there, as the notes of the sheet want it.',
  },
})

/** Zoho Books for Passport apps. */
export class ZohoBooksStrategy extends strategyClass(zohoBooks) {}
