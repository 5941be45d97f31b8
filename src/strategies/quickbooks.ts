import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

// Sandbox companies have a host of their own, and keys of their own.
const HOSTS: Readonly<Record<string, string>> = {
  production: 'quickbooks.api.intuit.com',
  sandbox: 'sandbox-quickbooks.api.intuit.com',
}
const COMPANY = 'https://{api_host}/v3/company/{realmId}'
const get = getFrom(COMPANY)

const errorCode = ['Fault.Error.0.code', 'fault.error.0.code'] as const

const errors: ErrorRules = {
  // Refusals of the gateway are written in lower case. Some 401s are XML whatever was asked for: their status says enough.
  code: [...errorCode, 'error'],
  codes: {
    '3200': 'expired',
    // A token that is not of this company: a refresh decides.
    '100': 'expired',
    // The app was disconnected, or the person lost the right to the company.
    '3100': 'permission',
    '120': 'permission',
    // The subscription of the company has ended, or it is not paid.
    '6190': 'permission',
    '610': 'not_found',
    '3001': 'rate_limited',
    '003001': 'rate_limited',
    '003200': 'expired',
  },
  // Limits are counted by the minute, and no header is documented.
  retryAfterSeconds: ({ body }) => (/^0*3001$/.test(pickString(body, errorCode) ?? '') ? 60 : undefined),
}

const PAGE = 1000

/** Changes of one entity, oldest first. After a full answer the query begins again at the newest change: nothing shifts when rows are edited meanwhile. */
function query(name: string, entity: string, more: Partial<Resource> = {}): Resource {
  return {
    name,
    request: get('query', {
      query: `SELECT * FROM ${entity} WHERE MetaData.LastUpdatedTime >= '{since.iso8601_no_zone}+00:00' ORDERBY MetaData.LastUpdatedTime ASC STARTPOSITION 1 MAXRESULTS ${PAGE}`,
      minorversion: '75',
    }),
    pagination: { style: 'none' },
    items: `QueryResponse.${entity}`,
    // Nothing found: an empty QueryResponse.
    emptyWhenMissing: true,
    id: 'Id',
    timestamp: { path: 'MetaData.LastUpdatedTime', format: 'iso8601' },
    filter: 'server',
    order: 'asc',
    restartAfter: { items: PAGE },
    ...more,
  }
}

/** The lists of all entities as one; an object does not say what it is, so that is put on it. */
function changedObjects(body: unknown): unknown[] | undefined {
  const answers = pick(body, 'CDCResponse')
  if (!Array.isArray(answers)) return undefined
  const lists = answers.flatMap((answer) => pick(answer, 'QueryResponse') ?? [])
  return lists.flatMap((list) =>
    Object.entries((list ?? {}) as Record<string, unknown>).flatMap(([entity, rows]) =>
      Array.isArray(rows) ? rows.map((row) => ({ ...row, entity })) : [],
    ),
  )
}

const resources: readonly Resource[] = [
  query('invoices', 'Invoice', { limits: 'Deleted invoices do not appear; voided ones do, with the amount 0.' }),
  query('payments', 'Payment', { limits: 'Payments of customers. Deleted ones do not appear.' }),
  query('purchases', 'Purchase', {
    limits: 'Expenses, cheques and card charges; bills are another thing. Deleted ones do not appear.',
  }),
  {
    name: 'changes',
    request: {
      ...get('cdc', { entities: 'Invoice,Payment,Purchase,Bill,Customer', changedSince: '{since.iso8601}' }),
      headers: { 'content-type': 'text/plain' },
    },
    pagination: { style: 'none' },
    items: 'CDCResponse.0.QueryResponse.0.Invoice',
    toItems: changedObjects,
    id: ['entity', 'Id'],
    timestamp: { path: 'MetaData.LastUpdatedTime', format: 'iso8601' },
    filter: 'server',
    // A day less than QuickBooks takes, because a backfill may run late.
    reach: { days: 29, reason: 'QuickBooks keeps its list of changes and deletions for 30 days.' },
    limits: `One answer of at most ${PAGE} objects over invoices, payments, purchases, bills and customers: where more changed in a month, the list is cut. Deletions stand in it with the status Deleted.`,
  },
]

const EITHER_HOST = 'The host is that of QUICKBOOKS_ENVIRONMENT; for production it is the one of the sheet.'
const KEYSET =
  'After a full answer the query begins again at the newest change instead of at a further position: rows that are edited meanwhile move to the end, and would shift others past the position. Time with an offset, as the sheet describes it.'

/**
 * QuickBooks Online: OAuth 2.0 authorization code; the company (`realmId`) arrives on the callback, not in the token answer.
 *
 * Access tokens live 3600 seconds. A refresh token changes about every 24 hours, the value before it ends then; unused it lives about
 * 100 days, and five years at most. Development keys reach sandbox companies only, production keys real ones only.
 *
 * @see {@link https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/oauth-2.0 | Intuit, OAuth 2.0} (read 2026-11-20)
 * @see {@link https://developer.intuit.com/app/developer/qbo/docs/learn/limits-and-throttles | Intuit, limits} (read 2026-11-20)
 * @see {@link https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/change-data-capture | Intuit, change data capture} (read 2026-11-20)
 */
export const quickbooks = defineProvider({
  id: 'quickbooks',
  name: 'QuickBooks Online',
  category: 'finance',
  params: [
    {
      name: 'realmId',
      label: 'Company',
      pattern: /^\d{10,19}$/,
      hint: 'The company id of QuickBooks, 10 to 19 digits. QuickBooks names it when the account is connected.',
      from: 'callback',
    },
    {
      name: 'environment',
      label: 'Environment',
      pattern: /^(production|sandbox)$/,
      hint: 'production or sandbox; each has client ID and client secret of its own.',
      from: 'config',
      env: 'QUICKBOOKS_ENVIRONMENT',
      default: 'production',
      choices: [
        { value: 'production', label: 'Production' },
        { value: 'sandbox', label: 'Sandbox' },
      ],
    },
  ],
  derive: ({ environment = 'production' }) => ({ api_host: HOSTS[environment] ?? HOSTS.production ?? '' }),
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://appcenter.intuit.com/connect/oauth2',
    tokenURL: 'https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer',
    clientAuth: 'basic',
    // No page names it, and Intuit's own SDK does not send it.
    pkce: 'never',
    scopes: [
      { scope: 'com.intuit.quickbooks.accounting', why: 'all accounting data; there is no scope for reading alone' },
      {
        scope: 'openid',
        why: 'who connected',
        optional: 'The connection is that of a company; the person is not kept.',
      },
      { scope: 'email', why: 'email of the person', optional: 'Goes with openid.' },
      { scope: 'profile', why: 'name of the person', optional: 'Goes with openid.' },
    ],
    refreshToken: 'rotating',
    accessTokenSeconds: 3600,
    refreshIdleSeconds: 8_640_000,
    tokens: {
      default: {
        accessToken: 'access_token',
        refreshToken: 'refresh_token',
        expiresIn: 'expires_in',
        refreshExpiresIn: 'x_refresh_token_expires_in',
      },
    },
    revocation: {
      method: 'POST',
      url: 'https://developer.api.intuit.com/v2/oauth2/tokens/revoke',
      headers: { accept: 'application/json' },
      json: { token: '{token}' },
      auth: 'client_basic',
      token: 'refresh',
    },
  },
  identity: {
    request: get('companyinfo/{realmId}'),
    accountName: ['CompanyInfo.CompanyName', 'CompanyInfo.LegalName'],
    email: 'CompanyInfo.Email.Address',
    // CompanyInfo.Id is not the company's id.
    resolve: async ({ body, params }) => {
      const name = pickString(body, ['CompanyInfo.CompanyName', 'CompanyInfo.LegalName'])
      const email = pickString(body, 'CompanyInfo.Email.Address')
      return {
        id: params.realmId,
        name: name ?? `Company ${params.realmId}`,
        email,
      }
    },
  },
  api: {
    baseURL: COMPANY,
    headers: { accept: 'application/json' },
    errors,
    // Both limits at once: 10 a second of an app, 500 a minute of a company.
    rateLimit: { requests: 8, perSeconds: 1 },
  },
  resources,
  lab: { items: { changes: () => ({ entity: 'Invoice' }) } },
  // Revoking a token disconnects the app from the company.
  grant: 'shared',
  guide: {
    setup: [
      'Create an account on https://developer.intuit.com; a sandbox company comes with it (My Hub, Sandbox).',
      'In the app dashboard create an app for QuickBooks Online and Payments with the Accounting scope.',
      'Under Settings, Redirect URIs add the redirect URI. Development and production have a list each; production wants https, development also takes http://localhost.',
      'Under Keys and credentials copy client ID and client secret into QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET; with those of the development section set QUICKBOOKS_ENVIRONMENT=sandbox.',
      'For real companies fill in the app assessment, then use the production keys and QUICKBOOKS_ENVIRONMENT=production. Keys of one environment are refused with 401 or 403 in the other.',
    ],
    sources: [
      'https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/oauth-2.0 (read 2026-11-20)',
      'https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/set-redirect-uri (read 2026-11-20)',
      'https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/faq (read 2026-11-20)',
      'https://developer.intuit.com/app/developer/qbo/docs/learn/limits-and-throttles (read 2026-11-20)',
      'https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/change-data-capture (read 2026-11-20)',
      'https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/minor-versions (read 2026-11-20)',
    ],
    limits: [
      'What was deleted shows only in the list of changes, which reaches back 30 days.',
      'The list of changes is one answer of at most 1,000 objects: where more changed in 30 days, it is cut.',
      'Apps of the Builder tier have 500,000 read calls a month; above that QuickBooks answers 429.',
      'There is no scope for reading alone: people are asked for access to all accounting data.',
    ],
  },
  deviations: {
    'auth.connection_params.environment': 'The variable QUICKBOOKS_ENVIRONMENT of the sheet, as a parameter.',
    'identity.account_id': 'The company id of the callback, by resolve.',
    'identity.url': EITHER_HOST,
    'api.base_url': EITHER_HOST,
    'backfill.invoices.url': EITHER_HOST,
    'backfill.invoices.params.query': KEYSET,
    'backfill.invoices.pagination.style': KEYSET,
    'backfill.payments.url': EITHER_HOST,
    'backfill.payments.params.query': KEYSET,
    'backfill.payments.pagination.style': KEYSET,
    'backfill.purchases.url': EITHER_HOST,
    'backfill.purchases.params.query': KEYSET,
    'backfill.purchases.pagination.style': KEYSET,
    'backfill.changes.url': EITHER_HOST,
    'backfill.changes.items': 'By toItems: the lists of all entities as one.',
    'backfill.changes.id': 'An Id is unique only among things of its kind: entity and Id.',
  },
})

/** QuickBooks Online for Passport apps. */
export class QuickBooksStrategy extends strategyClass(quickbooks) {}
