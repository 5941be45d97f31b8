import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const codes: ErrorRules['codes'] = {
  // Tokens do not end by themselves: the person removed the app, and only they can add it again.
  APIKeyInvalid: 'revoked',
  APIKeyMissing: 'revoked',
  WrongDatacenter: 'wrong_region',
  // The account is disabled until somebody signs in and does what is asked for.
  UserActionRequired: 'account_gone',
  UserDisabled: 'account_gone',
  ComplianceRelated: 'account_gone',
  Forbidden: 'permission',
  ResourceNotFound: 'not_found',
  TooManyRequests: 'rate_limited',
  BadRequest: 'invalid',
  InvalidResource: 'invalid',
  InternalServerError: 'unavailable',
  // The token service's own names, which the metadata call may use.
  invalid_token: 'revoked',
}

const errors: ErrorRules = {
  code: ['title', 'error'],
  codes,
  // How the metadata call refuses a dead token is not described: an error with status 200 is one too.
  failed: (body) => typeof pick(body, 'error') === 'string',
  classify: ({ status, body }) => {
    // Blocked by the network in front (Akamai), with a text or a page: nothing was said about the token.
    if (status === 403 && typeof body !== 'object') return 'unavailable'
    // The documentation writes the titles in one word, the answers mostly in several.
    const title = String(pick(body, 'title') ?? '').replaceAll(' ', '')
    return codes[title] ?? (status === 401 ? 'revoked' : undefined)
  },
}

const get = getFrom('https://{dc}.api.mailchimp.com/3.0', { count: '500' })
const pages = { style: 'offset', at: 'query', param: 'offset', pageSize: 500, total: 'total_items' } as const

const resources: readonly Resource[] = [
  {
    // Old audiences have new members: all of them are read.
    name: 'lists',
    title: 'Audiences',
    request: get('lists', { sort_field: 'date_created', sort_dir: 'ASC', exclude_fields: 'lists._links' }),
    pagination: pages,
    items: 'lists',
    id: 'id',
    timestamp: { path: 'date_created', format: 'iso8601' },
    filter: 'none',
    order: 'asc',
  },
  {
    name: 'members',
    parent: 'lists',
    request: get('lists/{parent.id}/members', {
      since_last_changed: '{since.iso8601}',
      sort_field: 'last_changed',
      // A member who changes meanwhile moves to the front and pushes others back, to be read twice. Oldest first, others would be missed.
      sort_dir: 'DESC',
      exclude_fields: 'members._links',
    }),
    pagination: pages,
    items: 'members',
    // The hash of the address, and so the same in every audience.
    id: ['parent:id', 'id'],
    timestamp: { path: 'last_changed', format: 'iso8601' },
    filter: 'server',
    order: 'desc',
    // Pages go by position, and the server's comparison is not described.
    overlapSeconds: 60,
    skipParentOn: ['not_found'],
    limits: 'Members who were deleted for good do not appear.',
  },
  {
    name: 'campaigns',
    request: get('campaigns', {
      since_create_time: '{since.iso8601}',
      sort_field: 'create_time',
      sort_dir: 'ASC',
      exclude_fields: 'campaigns._links',
    }),
    pagination: pages,
    items: 'campaigns',
    id: 'id',
    // Empty until it was sent.
    timestamp: { path: ['send_time', 'create_time'], format: 'iso8601' },
    filter: 'server',
    limits:
      'Campaigns created in the window; there is no time of the last change, so later edits of older drafts are not found. The content is not read.',
  },
  {
    name: 'sent_campaigns',
    request: get('campaigns', {
      since_send_time: '{since.iso8601}',
      sort_field: 'send_time',
      sort_dir: 'ASC',
      exclude_fields: 'campaigns._links',
    }),
    pagination: pages,
    items: 'campaigns',
    id: 'id',
    timestamp: { path: 'send_time', format: 'iso8601' },
    filter: 'server',
    order: 'asc',
    limits: 'Campaigns sent in the window, also those that were created before it; the others stand in both resources.',
  },
  {
    name: 'reports',
    request: get('reports', { since_send_time: '{since.iso8601}', exclude_fields: 'reports._links' }),
    pagination: pages,
    items: 'reports',
    id: 'id',
    timestamp: { path: 'send_time', format: 'iso8601' },
    filter: 'server',
    order: 'desc',
    limits: 'Totals at the time of reading, which go on growing. Who opened and clicked is not read.',
  },
]

/**
 * Mailchimp: OAuth 2.0 authorization code without scopes; the account's data centre is asked for after the exchange.
 *
 * A token may do what the role of the person who approved allows, and lives until that person removes the app. The token answer says
 * `expires_in` 0, which means never. There is no call to revoke a token.
 *
 * @see {@link https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/ | Mailchimp, access user data with OAuth 2} (read 2026-11-20)
 * @see {@link https://mailchimp.com/developer/marketing/docs/fundamentals/ | Mailchimp, fundamentals} (read 2026-11-20)
 * @see {@link https://mailchimp.com/developer/marketing/docs/errors/ | Mailchimp, errors} (read 2026-11-20)
 */
export const mailchimp = defineProvider({
  id: 'mailchimp',
  name: 'Mailchimp',
  category: 'marketing',
  params: [
    {
      name: 'dc',
      label: 'Data centre',
      pattern: /^[a-z]{2,4}[0-9]{1,3}$/,
      hint: 'Mailchimp names it when the account is connected.',
      example: 'us6',
      from: 'token',
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://login.mailchimp.com/oauth2/authorize',
    tokenURL: 'https://login.mailchimp.com/oauth2/token',
    clientAuth: 'body',
    // Not mentioned anywhere.
    pkce: 'never',
    scopes: [],
    refreshToken: 'none',
    tokens: { default: { accessToken: 'access_token' } },
  },
  identity: {
    // This call wants another word before the token than the API.
    request: {
      method: 'GET',
      url: 'https://login.mailchimp.com/oauth2/metadata',
      headers: { authorization: 'OAuth {access_token}' },
      auth: 'none',
    },
    accountId: 'user_id',
    accountName: 'accountname',
    email: 'login.login_email',
    // The token has the role of its person: a colleague's approval is another connection.
    keyParts: ['login.login_id'],
    params: { dc: 'dc' },
    // One sign-in for all data centres gives the ids: an account that moves keeps its own.
    uniqueAcrossHosts: true,
  },
  api: {
    baseURL: 'https://{dc}.api.mailchimp.com/3.0',
    errors,
    // 10 at the same time for one account, whichever apps ask.
    concurrency: 4,
  },
  resources,
  guide: {
    setup: [
      'Sign in at https://mailchimp.com and open Profile, Extras, Registered apps (https://admin.mailchimp.com/account/oauth2/).',
      'Register an app with name, company, website and redirect URI: https, or for development http://127.0.0.1 with a port; the word localhost is not accepted.',
      'Copy client ID and client secret into MAILCHIMP_CLIENT_ID and MAILCHIMP_CLIENT_SECRET at once: the secret is shown only once.',
      'No review is needed to connect other accounts.',
    ],
    sources: [
      'https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/ (read 2026-11-20)',
      'https://mailchimp.com/developer/marketing/docs/fundamentals/ (read 2026-11-20)',
      'https://mailchimp.com/developer/marketing/docs/errors/ (read 2026-11-20)',
      'https://mailchimp.com/developer/marketing/api/list-members/list-members-info/ (read 2026-11-20)',
      'https://github.com/requests/requests-oauthlib/pull/169 (read 2026-11-20)',
    ],
    limits: [
      'At Mailchimp the person removes the app under Connected sites.',
      'Later edits of campaigns that were created and sent before the window are not found.',
      'An account that Mailchimp moves to another data centre has to be connected again.',
    ],
  },
  deviations: {
    'backfill.members.id':
      'The hash of the address is the same in every audience: id of the audience and hash, as the sheet says in its notes.',
    'backfill.members.params.sort_dir':
      'Newest first: pages go by position, and read oldest first, a member who changes meanwhile would make others slip through.',
    'backfill.sent_campaigns': 'Extra resource: the second pass by send time that the sheet asks for in its notes.',
  },
})

/** Mailchimp for Passport apps. */
export class MailchimpStrategy extends strategyClass(mailchimp) {}
