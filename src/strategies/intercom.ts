import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type JsonTemplate, type Resource } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

const VERSION = { 'intercom-version': '2.16', accept: 'application/json' } as const

const messageOf = (body: unknown) => String(pick(body, 'errors.0.message') ?? '')

const errors: ErrorRules = {
  code: ['errors.0.code'],
  codes: {
    // Tokens do not end by themselves and nothing renews them: only installing again helps.
    unauthorized: 'revoked',
    missing_authorization: 'revoked',
    token_expired: 'revoked',
    token_revoked: 'revoked',
    token_not_found: 'revoked',
    // The app itself was blocked by Intercom.
    token_blocked: 'account_gone',
    // Sent with 401, but about the one thing that was asked for.
    token_unauthorized: 'permission',
    forbidden: 'permission',
    action_forbidden: 'permission',
    api_plan_restricted: 'permission',
    rate_limit_exceeded: 'rate_limited',
    too_many_requests: 'rate_limited',
    retry_after: 'rate_limited',
    not_found: 'not_found',
    conversation_not_found: 'not_found',
    parameter_invalid: 'invalid',
    intercom_version_invalid: 'invalid',
    server_error: 'unavailable',
    service_unavailable: 'unavailable',
    request_timeout: 'unavailable',
  },
  // A permission that the app page does not tick has the same code as everything else that is forbidden.
  classify: ({ status, body }) => (status === 403 && /required scope/i.test(messageOf(body)) ? 'scope' : undefined),
}

/** The codes are those of the API; what was refused stands in the message ("Unauthorized Code"). */
const tokenErrors: ErrorRules = {
  code: ['errors.0.code', 'error'],
  codes: { rate_limit_exceeded: 'rate_limited', server_error: 'unavailable', service_unavailable: 'unavailable' },
  classify: ({ status, body }) => {
    if (status < 400 || status >= 500 || status === 429) return undefined
    if (/\bcode\b/i.test(messageOf(body))) return 'revoked'
    return /\bclient\b/i.test(messageOf(body)) ? 'client' : undefined
  },
}

/**
 * A search by change time. Intercom compares whole days of the workspace's time zone, and `>` begins with the next one: documented for
 * contacts, taken to be so for the others. So the search begins earlier, and what is older than that is dropped here.
 */
function search(name: string, perPage: number, items: string, more: Partial<Resource>, sort?: JsonTemplate): Resource {
  return {
    name,
    request: {
      method: 'POST',
      url: `https://api.{region_prefix}intercom.io/${name}/search`,
      json: {
        query: { operator: 'AND', value: [{ field: 'updated_at', operator: '>', value: '{since.unix}' }] },
        pagination: { per_page: perPage },
        ...(sort !== undefined && { sort }),
      },
    },
    pagination: { style: 'cursor', at: 'json', param: 'pagination.starting_after', next: 'pages.next.starting_after' },
    items,
    id: 'id',
    timestamp: { path: 'updated_at', format: 'unix' },
    filter: 'client',
    // A day, and the hour by which one is longer in autumn.
    overlapSeconds: 90_000,
    ...more,
  }
}

const resources: readonly Resource[] = [
  search('conversations', 150, 'conversations', {}),
  {
    name: 'conversation_parts',
    parent: 'conversations',
    request: {
      method: 'GET',
      url: 'https://api.{region_prefix}intercom.io/conversations/{parent.id}',
      query: { display_as: 'plaintext' },
    },
    pagination: { style: 'none' },
    items: 'conversation_parts.conversation_parts',
    id: 'id',
    timestamp: { path: ['updated_at', 'created_at'], format: 'unix' },
    filter: 'client',
    skipParentOn: ['not_found'],
    limits:
      'One call for each conversation, and at most its 500 newest parts. The first message of a conversation stands in the conversation itself, under source.',
  },
  search(
    'contacts',
    150,
    'data',
    {
      order: 'asc',
      limits: 'New contacts show up after some minutes; contacts that were merged into others do not appear.',
    },
    { field: 'updated_at', order: 'ascending' },
  ),
  search('tickets', 100, 'tickets', { limits: 'Plans without tickets do not allow it; the resource is then skipped.' }),
]

/**
 * Intercom: OAuth 2.0 authorization code in one of three regions, without scopes, PKCE or an end of the token.
 *
 * What a token may read is ticked in the Developer Hub and applies to every workspace. Revoking uninstalls the app from the workspace,
 * so it ends every connection of it. The regional hosts of the authorization come from what other connectors do; Intercom's own guide
 * names the US ones.
 *
 * @see {@link https://developers.intercom.com/docs/build-an-integration/learn-more/authentication/setting-up-oauth | Intercom, setting up OAuth} (read 2026-11-20)
 * @see {@link https://developers.intercom.com/docs/build-an-integration/learn-more/authentication/installing-uninstalling-apps | Intercom, installing and uninstalling apps} (read 2026-11-20)
 * @see {@link https://developers.intercom.com/docs/references/2.17/rest-api/errors/rate-limiting | Intercom, rate limiting} (read 2026-11-20)
 */
export const intercom = defineProvider({
  id: 'intercom',
  name: 'Intercom',
  category: 'support',
  params: [
    {
      name: 'region',
      label: 'Region',
      pattern: /^(us|eu|au)$/,
      hint: 'Where the workspace is hosted. The address of the inbox says it: app.intercom.com, app.eu.intercom.com or app.au.intercom.com.',
      default: 'us',
      choices: [
        { value: 'us', label: 'United States (app.intercom.com)' },
        { value: 'eu', label: 'Europe (app.eu.intercom.com)' },
        { value: 'au', label: 'Australia (app.au.intercom.com)' },
      ],
      normalize: (input) => input.toLowerCase(),
    },
  ],
  derive: ({ region = 'us' }) => ({ region_prefix: region === 'us' ? '' : `${region}.` }),
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://app.{region_prefix}intercom.com/oauth',
    tokenURL: 'https://api.{region_prefix}intercom.io/auth/eagle/token',
    clientAuth: 'body',
    pkce: 'never',
    scopes: [],
    refreshToken: 'none',
    // Older answers had `token` only; today both hold the same.
    tokens: { default: { accessToken: ['access_token', 'token'] } },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://api.{region_prefix}intercom.io/auth/uninstall',
      headers: { authorization: 'Bearer {token}', accept: 'application/json' },
      json: {},
      auth: 'none',
      token: 'access',
    },
  },
  identity: {
    request: { method: 'GET', url: 'https://api.{region_prefix}intercom.io/me' },
    accountId: 'app.id_code',
    accountName: 'app.name',
    email: 'email',
    resolve: async ({ body }) => {
      const id = pickString(body, 'app.id_code')
      const name = pickString(body, 'app.name') ?? pickString(body, 'email') ?? 'Intercom workspace'
      const email = pickString(body, 'email')
      // The US host finds workspaces of other regions too; from here on, requests stay in the workspace's own.
      const region = pickString(body, 'app.region')?.toLowerCase()
      return {
        name,
        id,
        email,
        ...(region !== undefined && /^(us|eu|au)$/.test(region) && { params: { region } }),
      }
    },
  },
  api: {
    baseURL: 'https://api.{region_prefix}intercom.io',
    headers: VERSION,
    // Without a prefix, in the US, the templates do not say where they lead to.
    origins: ['https://api.intercom.io', 'https://api.eu.intercom.io', 'https://api.au.intercom.io'],
    errors,
    // All connections of an app share 10,000 a minute, dealt out by 10 seconds; what is left, the answers say.
    rateLimit: { requests: 500, perSeconds: 10 },
  },
  resources,
  grant: 'shared',
  guide: {
    setup: [
      'Sign up for a developer workspace at https://app.intercom.com/a/developer-signup.',
      'Open Settings, Integrations, Developer Hub and create a new app.',
      'Under Authentication tick OAuth, add the https redirect URI, and tick the permissions to read conversations, users and companies, tickets, and admins.',
      'Under Basic information copy client ID and client secret into INTERCOM_CLIENT_ID and INTERCOM_CLIENT_SECRET.',
      'Submit the app for review: before that only its own workspace can install it. Permissions that change later need a new review, and every workspace has to connect again.',
    ],
    sources: [
      'https://developers.intercom.com/docs/build-an-integration/learn-more/authentication/setting-up-oauth (read 2026-11-20)',
      'https://developers.intercom.com/docs/build-an-integration/learn-more/authentication/installing-uninstalling-apps (read 2026-11-20)',
      'https://developers.intercom.com/docs/build-an-integration/learn-more/rest-apis (read 2026-11-20)',
      'https://developers.intercom.com/docs/references/2.17/rest-api/errors/rate-limiting (read 2026-11-20)',
      'https://developers.intercom.com/docs/references/2.17/rest-api/errors/error-codes (read 2026-11-21)',
    ],
    limits: [
      'At most the 500 newest parts of a conversation.',
      'Contacts that were merged into others, and deleted records, are not found.',
      'Removing the last connection of a workspace uninstalls the app there.',
    ],
  },
  deviations: {
    'auth.scopes.(Developer Hub) Read conversations':
      'Permissions are ticked at the app and never sent: there is no scope parameter. They stand in the setup of the guide.',
    'auth.scopes.(Developer Hub) Read and list users and companies': 'As for conversations.',
    'auth.scopes.(Developer Hub) Read tickets': 'As for conversations.',
    'auth.scopes.(Developer Hub) Read admins': 'As for conversations.',
  },
})

/** Intercom for Passport apps. */
export class IntercomStrategy extends strategyClass(intercom) {}
