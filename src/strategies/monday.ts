import type { FaultKind } from '../errors.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { failedUnlessPart, graphqlAt } from './graphql.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

const GRAPHQL = 'https://api.monday.com/v2'

const codes: Readonly<Record<string, FaultKind>> = {
  UserUnauthorizedException: 'permission',
  USER_UNAUTHORIZED: 'permission',
  USER_ACCESS_DENIED: 'permission',
  missingRequiredPermissions: 'scope',
  ResourceNotFoundException: 'not_found',
  InvalidBoardIdException: 'not_found',
  CursorExpiredError: 'cursor_expired',
  CursorException: 'cursor_expired',
  COMPLEXITY_BUDGET_EXHAUSTED: 'rate_limited',
  ComplexityException: 'rate_limited',
  DAILY_LIMIT_EXCEEDED: 'rate_limited',
  RATE_LIMIT_EXCEEDED: 'rate_limited',
  FIELD_MINUTE_RATE_LIMIT_EXCEEDED: 'rate_limited',
  IP_RATE_LIMIT_EXCEEDED: 'rate_limited',
  maxConcurrencyExceeded: 'rate_limited',
  API_TEMPORARILY_BLOCKED: 'unavailable',
  INTERNAL_SERVER_ERROR: 'unavailable',
}
const CODE = ['errors.0.extensions.code', 'error_code', 'error']

/** About a field of one item, whose place in its list stands in the path: the rest of the page is whole. */
function isBelowItem(path: readonly unknown[]): boolean {
  const inBoard = path[0] === 'boards' && typeof path[1] === 'number' ? path.slice(2) : path
  const place = inBoard.findIndex((part) => typeof part === 'number')
  return place >= 0 && place < inBoard.length - 1
}

const failedAsGraphql = failedUnlessPart(isBelowItem)

const errors: ErrorRules = {
  code: CODE,
  codes,
  // Errors of the application come with status 200, beside what could be read.
  failed: (body) => pick(body, ['error_code', 'error_message']) !== undefined || failedAsGraphql(body),
  // The status that counts stands in the body. 423: the board is locked while something else changes it.
  classify: ({ status, body }) => {
    if (Object.hasOwn(codes, pickString(body, CODE) ?? '')) return undefined
    const said = Number(pick(body, ['errors.0.extensions.status_code', 'status_code']) ?? status)
    if (said === 401) return 'expired'
    if (said === 403) return 'permission'
    if (said === 404) return 'not_found'
    if (said === 429) return 'rate_limited'
    return said === 423 || said >= 500 ? 'unavailable' : undefined
  },
  retryAfterSeconds: ({ body }) => {
    const told =
      pick(body, 'errors.0.extensions.retry_in_seconds') ??
      /reset in (\d+) seconds?/i.exec(String(pick(body, ['errors.0.message', 'error_message']) ?? ''))?.[1]
    if (told !== undefined && Number.isFinite(Number(told))) return Math.max(1, Math.ceil(Number(told)))
    // The calls of a day are counted anew at midnight UTC.
    return pickString(body, CODE) === 'DAILY_LIMIT_EXCEEDED'
      ? 86_400 - (Math.floor(Date.now() / 1000) % 86_400)
      : undefined
  },
}

const tokenErrors: ErrorRules = {
  code: ['error'],
  codes: { invalid_token: 'revoked', too_many_requests: 'rate_limited' },
}

const graphql = graphqlAt(GRAPHQL)

const pages = (pageSize: number) => ({ style: 'page', at: 'json', param: 'variables.page', pageSize }) as const

/** A board that is gone meanwhile is missing, or null, where its lists would stand. */
const ofBoard = (path: string) => (body: unknown) => {
  const boards = pick(body, 'data.boards')
  if (Array.isArray(boards) && (boards[0] ?? null) === null) return []
  const list = pick(body, path)
  return Array.isArray(list) ? list : undefined
}

const itemFields =
  'id name state created_at updated_at creator_id url group { id title } column_values { id type text value }'

const resources: readonly Resource[] = [
  {
    name: 'boards',
    request: graphql(
      'query ($limit: Int!, $page: Int!) { boards(limit: $limit, page: $page, state: active, order_by: used_at) { id name state board_kind workspace_id updated_at url } }',
      { limit: 100, page: 1 },
    ),
    pagination: pages(100),
    items: 'data.boards',
    id: 'id',
    timestamp: { path: 'updated_at', format: 'iso8601' },
    // By use, not by change. The calls of a day are few: what did not change is not looked into.
    filter: 'client',
    scopes: ['boards:read'],
    limits: 'Active boards that monday.com names as changed in the window; the others are not looked into.',
  },
  {
    name: 'items',
    parent: 'boards',
    request: graphql(
      `query ($boardId: [ID!], $limit: Int!, $params: ItemsQuery) { boards(ids: $boardId) { id items_page(limit: $limit, query_params: $params) { cursor items { ${itemFields} } } } }`,
      {
        boardId: ['{parent.id}'],
        limit: 100,
        params: {
          rules: [
            {
              column_id: '__last_updated__',
              operator: 'between',
              compare_value: ['{since.iso8601}', '{now.iso8601}'],
            },
          ],
          order_by: [{ column_id: '__last_updated__', direction: 'asc' }],
        },
      },
    ),
    pagination: {
      style: 'cursor',
      at: 'json',
      param: 'variables.cursor',
      next: 'data.boards.0.items_page.cursor',
      // The cursor knows what was asked for, and is refused beside it. `next_items_page` would do the same without the board.
      continueJSON: {
        query: `query ($boardId: [ID!], $limit: Int!, $cursor: String!) { boards(ids: $boardId) { id items_page(limit: $limit, cursor: $cursor) { cursor items { ${itemFields} } } } }`,
        variables: { boardId: ['{parent.id}'], limit: 100 },
      },
    },
    items: 'data.boards.0.items_page.items',
    toItems: ofBoard('data.boards.0.items_page.items'),
    id: 'id',
    timestamp: { path: 'updated_at', format: 'iso8601' },
    filter: 'server',
    // A cursor holds for 60 minutes; after that the list goes on from the last change read.
    order: 'asc',
    skipParentOn: ['not_found'],
    scopes: ['boards:read'],
    limits: 'Active items; archived and deleted ones are not found.',
  },
  {
    name: 'updates',
    request: graphql(
      'query ($limit: Int!, $page: Int!) { updates(limit: $limit, page: $page, from_date: "{since.date}", to_date: "{now.next_date}") { id item_id text_body body created_at updated_at edited_at creator { id name } replies { id text_body created_at creator { id name } } } }',
      { limit: 100, page: 1 },
    ),
    pagination: pages(100),
    items: 'data.updates',
    id: 'id',
    timestamp: { path: 'updated_at', format: 'iso8601' },
    // In whole days. Whether the last day is included is not described: hence the day after.
    filter: 'server',
    scopes: ['updates:read'],
    limits:
      'Whether monday.com goes by the creation or the last change of an update is not described: later edits and replies of older ones may be missing.',
  },
  {
    name: 'activity_logs',
    parent: 'boards',
    request: graphql(
      'query ($boardId: [ID!], $from: ISO8601DateTime!, $to: ISO8601DateTime!, $limit: Int!, $page: Int!) { boards(ids: $boardId) { activity_logs(from: $from, to: $to, limit: $limit, page: $page) { id event entity data user_id created_at } } }',
      { boardId: ['{parent.id}'], from: '{since.iso8601}', to: '{now.iso8601}', limit: 500, page: 1 },
    ),
    pagination: pages(500),
    items: 'data.boards.0.activity_logs',
    toItems: ofBoard('data.boards.0.activity_logs'),
    id: 'id',
    timestamp: { path: 'created_at', format: 'unix_100ns' },
    filter: 'server',
    skipParentOn: ['not_found'],
    scopes: ['boards:read'],
    limits: 'How long monday.com keeps the log depends on the plan of the account.',
  },
]

/**
 * monday.com: OAuth 2.1 authorization code with PKCE, client and grant in a JSON body; the API is GraphQL.
 *
 * This is the flow that replaced the tokens without an end on 2026-10-01: access tokens are JWTs that live 3600 seconds, each refresh brings
 * a new refresh token. The answer does not say how long; a 401 refreshes too. Version 2026-10 of the API is pinned: from 2027-01 on the
 * activity logs are paged in another way.
 *
 * @see {@link https://developer.monday.com/apps/docs/migrating-to-the-new-oauth-flow | monday.com, the new OAuth flow} (read 2026-11-20)
 * @see {@link https://developer.monday.com/api-reference/docs/querying-board-items | monday.com, querying board items} (read 2026-11-20)
 * @see {@link https://developer.monday.com/api-reference/docs/rate-limits | monday.com, rate limits} (read 2026-11-20)
 */
export const monday = defineProvider({
  id: 'monday',
  name: 'monday.com',
  category: 'tasks',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://auth.monday.com/oauth2/authorize',
    tokenURL: 'https://auth.monday.com/oauth_ms/oauth/token',
    clientAuth: 'json_body',
    pkce: 'always',
    scopes: [
      { scope: 'me:read', why: 'who connected' },
      { scope: 'account:read', why: 'id and name of the account' },
      { scope: 'boards:read', why: 'boards, items with their columns, activity logs' },
      { scope: 'updates:read', why: 'updates (comments) and replies' },
      { scope: 'users:read', why: 'names of who wrote updates' },
      {
        scope: 'workspaces:read',
        why: 'names of workspaces',
        optional: 'The backfill stores only the ids of workspaces.',
      },
    ],
    // An app has to be installed in the account once: this starts it within the authorization.
    authorizationParams: { force_install_if_needed: 'true' },
    refreshToken: 'rotating',
    accessTokenSeconds: 3600,
    tokens: { default: { accessToken: 'access_token', refreshToken: 'refresh_token', scope: 'scope' } },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://auth.monday.com/oauth_ms/oauth/revoke',
      json: {
        token: '{token}',
        token_type_hint: 'refresh_token',
        client_id: '{client_id}',
        client_secret: '{client_secret}',
      },
      auth: 'none',
      token: 'refresh',
    },
  },
  identity: {
    request: graphql('query { me { id name email account { id name slug } } }'),
    accountId: 'data.me.account.id',
    accountName: ['data.me.account.name', 'data.me.account.slug'],
    email: 'data.me.email',
    // The token sees the boards that its person sees: a colleague is another connection.
    keyParts: ['data.me.id'],
  },
  api: {
    baseURL: GRAPHQL,
    headers: { 'api-version': '2026-10' },
    errors,
    // Counted in points, and per day by the plan of the account: the answers say when to wait.
    concurrency: 2,
  },
  resources,
  guide: {
    setup: [
      'In monday.com open the avatar menu, Developers, and create an app in the Developer Center.',
      'Under OAuth & Permissions select the scopes listed here and add the redirect URI.',
      'In a draft version switch the New OAuth Flow toggle on, set the version to Active for me and test it.',
      'Copy client ID and client secret from the general settings into MONDAY_CLIENT_ID and MONDAY_CLIENT_SECRET.',
      'Promote the version to live and share the app under Distribute: an administrator of each account has to install it once.',
    ],
    sources: [
      'https://developer.monday.com/apps/docs/migrating-to-the-new-oauth-flow (read 2026-11-20)',
      'https://developer.monday.com/apps/docs/oauth (read 2026-11-20)',
      'https://developer.monday.com/api-reference/docs/rate-limits (read 2026-11-20)',
      'https://support.monday.com/hc/en-us/articles/26471164460690-API-Rate-Limits (read 2026-11-20)',
      'https://developer.monday.com/api-reference/docs/errors (read 2026-11-20)',
      'https://developer.monday.com/api-reference/docs/querying-board-items (read 2026-11-20)',
      'https://developer.monday.com/api-reference/changelog/board-activity-logs-cursor-pagination-and-90-day-limit (read 2026-11-20)',
      'https://developer.monday.com/api-reference/changelog/new-arguments-to-filter-updates-by-date (read 2026-11-20)',
      'https://developer.monday.com/api-reference/changelog/new-pagination-limit-for-updates-queries (read 2026-11-20)',
    ],
    limits: [
      'monday.com allows so many calls per day and account: 200 on Free and trials, 1,000 on Basic and Standard, 10,000 on Pro, 25,000 on Enterprise. A run that uses them up goes on after midnight UTC.',
      'Only boards that the person who connected sees, and that changed in the window; archived and deleted items are not found.',
      'How far back activity logs reach depends on the plan.',
    ],
  },
  deviations: {
    'backfill.boards.pagination.request': 'The GraphQL variable in its place in the body: variables.page.',
    'backfill.updates.pagination.request': 'See backfill.boards.pagination.request.',
    'backfill.activity_logs.pagination.request': 'See backfill.boards.pagination.request.',
    'backfill.items.pagination.request': 'The GraphQL variable in its place in the body: variables.cursor.',
    'backfill.items.body.variables.boardId': 'The same id in our writing: the board is the parent.',
    'backfill.activity_logs.body.variables.boardId': 'See backfill.items.body.variables.boardId.',
    'backfill.updates.body.query': 'The day after is written {now.next_date}.',
  },
})

/** monday.com for Passport apps. */
export class MondayStrategy extends strategyClass(monday) {}
