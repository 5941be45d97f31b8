import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const VERSION = { 'notion-version': '2026-03-11' } as const

const errors: ErrorRules = {
  code: ['code', 'error'],
  codes: {
    unauthorized: 'expired',
    restricted_resource: 'permission',
    object_not_found: 'not_found',
    validation_error: 'invalid',
    rate_limited: 'rate_limited',
    // Two writes at once on their side: a read that meets it can simply be asked again.
    conflict_error: 'unavailable',
    internal_server_error: 'unavailable',
    service_unavailable: 'unavailable',
    service_overload: 'unavailable',
    gateway_timeout: 'unavailable',
    database_connection_unavailable: 'unavailable',
    invalid_client: 'client',
    unauthorized_client: 'client',
  },
  // Cursors end after an undocumented time, with a general code (seen in outline/outline#12871).
  classify: ({ status, body }) =>
    status === 400 && /start_cursor/.test(String(pick(body, 'message'))) ? 'cursor_expired' : undefined,
}

/** What is not authorized at the token endpoint is the client, not a person. */
const tokenErrors: ErrorRules = {
  code: ['error', 'code'],
  codes: { ...errors.codes, unauthorized: 'client', restricted_resource: 'client' },
}

const pages = {
  style: 'cursor',
  at: 'json',
  param: 'start_cursor',
  next: 'next_cursor',
  more: 'has_more',
} as const
const edited = { path: 'last_edited_time', format: 'iso8601' } as const

const search = (object: 'page' | 'data_source') =>
  ({
    method: 'POST',
    url: 'https://api.notion.com/v1/search',
    json: {
      filter: { property: 'object', value: object },
      sort: { timestamp: 'last_edited_time', direction: 'descending' },
      page_size: 100,
    },
  }) as const

const resources: readonly Resource[] = [
  {
    name: 'pages',
    request: search('page'),
    pagination: pages,
    items: 'results',
    id: 'id',
    timestamp: edited,
    filter: 'client',
    order: 'desc',
    // The time of the last edit is cut to the minute.
    overlapSeconds: 60,
    limits:
      'Search is served from an index that lags and is not guaranteed to be complete; pages in the trash do not appear. The text of a page is not read.',
  },
  {
    // A row's edit need not move its data source: all of them are read.
    name: 'data_sources',
    request: search('data_source'),
    pagination: pages,
    items: 'results',
    id: 'id',
    timestamp: edited,
    filter: 'none',
    order: 'desc',
  },
  {
    name: 'data_source_entries',
    parent: 'data_sources',
    request: {
      method: 'POST',
      url: 'https://api.notion.com/v1/data_sources/{parent.id}/query',
      json: {
        filter: { timestamp: 'last_edited_time', last_edited_time: { on_or_after: '{since.iso8601}' } },
        sorts: [{ timestamp: 'last_edited_time', direction: 'ascending' }],
        page_size: 100,
      },
    },
    pagination: pages,
    items: 'results',
    id: 'id',
    timestamp: edited,
    filter: 'server',
    order: 'asc',
    overlapSeconds: 60,
    // At most 10,000 results of one query; the answer says when they are reached.
    restartAfter: { when: (body) => pick(body, 'request_status.incomplete_reason') === 'query_result_limit_reached' },
    skipParentOn: ['not_found'],
  },
  {
    name: 'comments',
    parent: 'pages',
    request: {
      method: 'GET',
      url: 'https://api.notion.com/v1/comments',
      query: { block_id: '{parent.id}', page_size: '100' },
    },
    pagination: { ...pages, at: 'query' },
    items: 'results',
    id: 'id',
    timestamp: { path: ['last_edited_time', 'created_time'], format: 'iso8601' },
    filter: 'client',
    overlapSeconds: 60,
    skipParentOn: ['not_found'],
    limits:
      'Needs the capability to read comments. Only open comments on the page itself, of pages edited in the window.',
  },
]

/**
 * Notion: OAuth 2.0 authorization code, client by HTTP Basic with a JSON body, no scopes and no PKCE.
 *
 * Refresh tokens are single-use. The answer has no `expires_in`: the token is refreshed after a 401, not by the clock. Old
 * connections have no refresh token; their access token has no end. What is visible are the pages that the person picked.
 *
 * @see {@link https://developers.notion.com/guides/get-started/authorization | Notion, authorization} (read 2026-11-20)
 * @see {@link https://developers.notion.com/reference/refresh-a-token | Notion, refresh a token} (read 2026-11-20)
 * @see {@link https://developers.notion.com/reference/status-codes | Notion, status codes} (read 2026-11-20)
 */
export const notion = defineProvider({
  id: 'notion',
  name: 'Notion',
  category: 'database',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://api.notion.com/v1/oauth/authorize',
    tokenURL: 'https://api.notion.com/v1/oauth/token',
    clientAuth: 'basic_json',
    pkce: 'never',
    scopes: [],
    authorizationParams: { owner: 'user' },
    tokenHeaders: VERSION,
    refreshToken: 'rotating',
    tokens: { default: { accessToken: 'access_token', refreshToken: 'refresh_token' } },
    params: { workspace_id: 'workspace_id', bot_id: 'bot_id' },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://api.notion.com/v1/oauth/revoke',
      headers: VERSION,
      json: { token: '{token}' },
      auth: 'client_basic',
      token: 'access',
    },
  },
  identity: {
    request: { method: 'GET', url: 'https://api.notion.com/v1/users/me' },
    // Older versions of the API name the workspace only in the token answer.
    accountId: ['bot.workspace_id', 'token:workspace_id'],
    accountName: ['bot.workspace_name', 'token:workspace_name', 'name'],
    email: ['bot.owner.user.person.email', 'token:owner.user.person.email'],
    // Each person shares pages of their own: a colleague's approval is another connection.
    keyParts: ['token:owner.user.id'],
  },
  api: {
    baseURL: 'https://api.notion.com/v1',
    headers: VERSION,
    errors,
    rateLimit: { requests: 3, perSeconds: 1 },
    concurrency: 3,
  },
  resources,
  // Clients registered before June 2026 can get the token again that another connection of the person lives by.
  grant: 'shared',
  guide: {
    setup: [
      'As a workspace owner open https://www.notion.so/developers/connections and create a connection of the type Public (OAuth).',
      'Fill in company name, website, privacy and terms links, and add the redirect URI.',
      'Under Capabilities allow reading content, reading comments, and user information with email addresses.',
      'Copy OAuth client ID and client secret into NOTION_CLIENT_ID and NOTION_CLIENT_SECRET.',
      'Connect a test workspace and pick the pages to share; no listing in the gallery is needed.',
    ],
    sources: [
      'https://developers.notion.com/guides/get-started/authorization (read 2026-11-20)',
      'https://developers.notion.com/reference/create-a-token (read 2026-11-20)',
      'https://developers.notion.com/reference/refresh-a-token (read 2026-11-20)',
      'https://developers.notion.com/reference/request-limits (read 2026-11-20)',
      'https://developers.notion.com/guides/data-apis/query-large-data-sources (read 2026-11-20)',
      'https://developers.notion.com/reference/post-search (read 2026-11-20)',
    ],
    limits: [
      'Only the pages that the person picked, and the pages below them.',
      'The text of pages and comments on single blocks are not read.',
      'Search lags behind edits by some moments and does not promise to be complete.',
    ],
  },
})

/** Notion for Passport apps. */
export class NotionStrategy extends strategyClass(notion) {}
