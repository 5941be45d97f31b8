import { jwtClaims } from '../jwt.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type RequestTemplate, type Resource } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

const errors: ErrorRules = {
  // Written in upper or in lower case, depending on the gateway.
  code: ['Detail', 'detail', 'error'],
  classify: ({ status, headers, body }) => {
    const detail = pickString(body, ['Detail', 'detail']) ?? ''
    if (/insufficient_scope/.test(headers['www-authenticate'] ?? '')) return 'scope'
    if (status === 401) return /^AuthorizationUnsuccessful/.test(detail) ? 'scope' : 'expired'
    // The token counts, and not for this organisation: it was disconnected inside Xero.
    return status === 403 && /^AuthenticationUnsuccessful/.test(detail) ? 'account_gone' : undefined
  },
}

const CONNECTIONS = { method: 'GET', url: 'https://api.xero.com/connections' } as const satisfies RequestTemplate
// UUIDs. The ids of the provider lab are shorter.
const uuid = /^[0-9a-fA-F][0-9a-fA-F-]{7,35}$/

/**
 * Changes since the start of the window, newest first: pages go by number, and what is edited meanwhile moves to the front and pushes others
 * back, to be read twice. Oldest first, others would slip through.
 */
function list(
  name: string,
  path: string,
  id: string,
  more: { query?: Record<string, string>; limits: string },
): Resource {
  return {
    name,
    request: {
      method: 'GET',
      url: `https://api.xero.com/api.xro/2.0/${path}`,
      headers: { 'if-modified-since': '{since.iso8601_no_zone}' },
      query: { page: '1', pageSize: '100', order: 'UpdatedDateUTC DESC', ...more.query },
    },
    pagination: { style: 'page', at: 'query', param: 'page', pageSize: 100, last: 'pagination.pageCount' },
    items: path,
    id,
    timestamp: { path: 'UpdatedDateUTC', format: 'json_date' },
    filter: 'server',
    order: 'desc',
    limits: more.limits,
  }
}

// No `scopes` per resource: apps from before 2 March 2026 have broad scopes of other names.
const resources: readonly Resource[] = [
  list('invoices', 'Invoices', 'InvoiceID', {
    query: { includeArchived: 'true' },
    limits: 'Sales invoices (ACCREC) and bills (ACCPAY). Those with the status VOIDED or DELETED are gone in Xero.',
  }),
  list('bank_transactions', 'BankTransactions', 'BankTransactionID', {
    limits: 'Money spent and received; payments of invoices are apart. Those with the status DELETED are gone in Xero.',
  }),
  list('payments', 'Payments', 'PaymentID', { limits: 'Payments of invoices, bills and credit notes.' }),
  list('contacts', 'Contacts', 'ContactID', {
    query: { includeArchived: 'true' },
    limits: 'Archived contacts too, with the status ARCHIVED.',
  }),
]

const NEWEST_FIRST =
  'Newest first: pages go by number, and read oldest first, what is edited meanwhile would make others slip through.'

const DELETES_ONE =
  'The sheet names both: the revocation endpoint ends all organisations of the person, DELETE the one that is disconnected.'

/** As the provider lab lists it. */
const connection = (id: string, tenantId: string, tenantType: string, tenantName: string) => ({
  id,
  authEventId: `4${id}`,
  tenantId,
  tenantType,
  tenantName,
  createdDateUtc: '2026-03-02T09:00:00.0000000',
  updatedDateUtc: '2026-03-02T09:00:00.0000000',
})

/**
 * Xero: OAuth 2.0 authorization code; one token reaches every organisation that its person connected, so the user chooses one.
 *
 * Access tokens live 1800 seconds. A refresh token works once and lives 60 days unused; the one before may be sent again for 30
 * minutes, so a lost answer can be asked for again. Revoking a token would end all organisations of the person at once: a disconnect
 * deletes the one connection instead.
 *
 * @see {@link https://developer.xero.com/faq/oauth2 | Xero, OAuth 2.0} (read 2026-11-20)
 * @see {@link https://developer.xero.com/documentation/guides/oauth2/scopes | Xero, scopes} (read 2026-11-20)
 * @see {@link https://developer.xero.com/faq/limits | Xero, limits} (read 2026-11-20)
 */
export const xero = defineProvider({
  id: 'xero',
  name: 'Xero',
  category: 'finance',
  params: [
    {
      name: 'tenantId',
      label: 'Organisation',
      pattern: uuid,
      hint: 'The id of an organisation in Xero. Xero names it when the account is connected.',
      from: 'token',
    },
    {
      name: 'connectionId',
      label: 'Connection',
      pattern: uuid,
      hint: 'The id that Xero gave the connection of the organisation. Xero names it when the account is connected.',
      from: 'token',
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://login.xero.com/identity/connect/authorize',
    tokenURL: 'https://identity.xero.com/connect/token',
    clientAuth: 'basic',
    // Described for apps without a secret; beside one it is only reported to work.
    pkce: 'optIn',
    scopes: [
      { scope: 'offline_access', why: 'a refresh token' },
      { scope: 'openid', why: 'who connected' },
      { scope: 'profile', why: 'name of the person' },
      { scope: 'email', why: 'email of the person' },
      { scope: 'accounting.invoices.read', why: 'invoices, bills and credit notes' },
      { scope: 'accounting.banktransactions.read', why: 'bank transactions' },
      { scope: 'accounting.payments.read', why: 'payments' },
      { scope: 'accounting.contacts.read', why: 'contacts' },
      { scope: 'accounting.settings.read', why: 'details of the organisation' },
    ],
    refreshToken: 'rotating',
    accessTokenSeconds: 1800,
    refreshReplaySeconds: 1800,
    refreshIdleSeconds: 5_184_000,
    revocation: { method: 'DELETE', url: 'https://api.xero.com/connections/{connectionId}' },
  },
  // All that the person ever connected: who connects again may have ticked nothing new, so the claim authentication_event_id of
  // the token cannot be asked for.
  choices: {
    request: CONNECTIONS,
    items: '',
    itemFilter: ({ tenantType }) => tenantType === 'ORGANISATION',
    id: 'tenantId',
    name: 'tenantName',
    param: 'tenantId',
    params: { connectionId: 'id' },
    noun: 'organisation',
  },
  identity: {
    resolve: async ({ token, params, call }) => {
      const body = await call(CONNECTIONS)
      const listed: unknown[] = Array.isArray(body) ? body : [pick(body, '0')]
      const one = listed.find((item) => pick(item, 'tenantId') === params.tenantId) ?? listed[0]
      const id = params.tenantId ?? pickString(one, 'tenantId')
      const claims = jwtClaims(pickString(token, 'id_token'))
      const person =
        pickString(claims, 'xero_userid') ?? pickString(jwtClaims(pickString(token, 'access_token')), 'xero_userid')
      const email = pickString(claims, 'email')
      return {
        id,
        name: pickString(one, 'tenantName') ?? `Organisation ${id}`,
        email,
        // A connection belongs to the person who made it: a colleague's to the same organisation is another one.
        ...(person !== undefined && { keyParts: [person] }),
      }
    },
  },
  api: {
    baseURL: 'https://api.xero.com/api.xro/2.0',
    // Without accept the answers are XML.
    headers: { 'xero-tenant-id': '{tenantId}', accept: 'application/json' },
    errors,
    rateLimit: { requests: 60, perSeconds: 60 },
    concurrency: 4,
  },
  resources,
  lab: {
    answers: [
      {
        method: 'GET',
        url: CONNECTIONS.url,
        body: ({ id, name }) => [
          connection(`1${id}`, id, 'ORGANISATION', name),
          connection(`2${id}`, `3${id}`, 'PRACTICE', 'A practice'),
        ],
      },
    ],
  },
  grant: 'shared',
  guide: {
    setup: [
      'Sign up for a Xero developer account and open My Apps (https://developer.xero.com/app/manage).',
      'Create a new app of the integration type Web app.',
      'Enter the company URL and the redirect URI: https, or http://localhost for development.',
      'Under Configuration copy the client ID into XERO_CLIENT_ID, generate a secret and copy it into XERO_CLIENT_SECRET; it is shown only once.',
      'Test with the demo company that every Xero login has. The tier of an app bounds how many organisations can be connected: 5 on the free one.',
      'For an app from before 2 March 2026 set XERO_SCOPES with accounting.transactions.read instead of the scopes for invoices, bank transactions and payments, or migrate it before September 2027.',
    ],
    sources: [
      'https://developer.xero.com/faq/oauth2 (read 2026-11-20)',
      'https://developer.xero.com/faq/limits (read 2026-11-20)',
      'https://developer.xero.com/documentation/guides/oauth2/scopes (read 2026-11-20)',
      'https://developer.xero.com/documentation/api/http-response-codes (read 2026-11-20)',
    ],
    limits: [
      'One organisation per connection: whoever has several connects each of them.',
      'An organisation answers 60 calls a minute and 5,000 a day; once the day is used up, the backfill waits for the next one.',
      'Apps on the free tier can have 5 organisations connected.',
      'The general ledger (Journals) needs the Advanced tier and is not read.',
    ],
  },
  deviations: {
    'auth.connection_params.tenantId': 'Learned from the choice of the organisation (after_token of the sheet).',
    'auth.connection_params.connectionId': 'Learned with the organisation: what a disconnect deletes.',
    'auth.revocation.method': DELETES_ONE,
    'auth.revocation.url': DELETES_ONE,
    'backfill.invoices.params.order': NEWEST_FIRST,
    'backfill.bank_transactions.params.order': NEWEST_FIRST,
    'backfill.payments.params.order': NEWEST_FIRST,
    'backfill.contacts.params.order': NEWEST_FIRST,
  },
})

/** Xero for Passport apps. */
export class XeroStrategy extends strategyClass(xero) {}
