import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { connectionPages, failedUnlessPart, graphqlAt } from './graphql.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const errorsIn = (body: unknown): unknown[] => {
  const list = pick(body, 'errors')
  return Array.isArray(list) ? list : []
}
const codeOf = (error: unknown) => pick(error, ['extensions.code', 'extensions.type'])

/** Which of the three budgets ran out, and when it is full again, in milliseconds since 1970. */
const BUDGETS = ['requests', 'complexity', 'endpoint-requests'].map((name) => `x-ratelimit-${name}`)

const errors: ErrorRules = {
  code: ['errors.0.extensions.code', 'errors.0.extensions.type', 'error'],
  codes: {
    AUTHENTICATION_ERROR: 'expired',
    'authentication error': 'expired',
    RATELIMITED: 'rate_limited',
    ratelimited: 'rate_limited',
    FORBIDDEN: 'permission',
    forbidden: 'permission',
    FEATURE_NOT_ACCESSIBLE: 'permission',
    'feature not accessible': 'permission',
    'usage limit exceeded': 'permission',
    GRAPHQL_VALIDATION_FAILED: 'invalid',
    'graphql error': 'invalid',
    'invalid input': 'invalid',
    INTERNAL_SERVER_ERROR: 'unavailable',
    'internal error': 'unavailable',
    'network error': 'unavailable',
    'lock timeout': 'unavailable',
  },
  // Errors come with status 200, 400 and 500 alike.
  failed: failedUnlessPart(
    (path, error) => path.length > 1 && /^(forbidden|feature.not.accessible)$/i.test(String(codeOf(error))),
  ),
  classify: ({ status, body }) => {
    const list = errorsIn(body)
    if (status === 429 || list.some((error) => /^ratelimited$/i.test(String(codeOf(error))))) return 'rate_limited'
    const [first] = list
    return /^forbidden$/i.test(String(codeOf(first))) && /\bscope\b/i.test(String(pick(first, 'message')))
      ? 'scope'
      : undefined
  },
  retryAfterSeconds: ({ headers, body }) => {
    if (!errorsIn(body).some((error) => /^ratelimited$/i.test(String(codeOf(error))))) return undefined
    const resets = BUDGETS.filter((name) => Number(headers[`${name}-remaining`] ?? 1) <= 0)
      .map((name) => Number(headers[`${name}-reset`]))
      .filter((reset) => reset > 0)
    const seconds = Math.ceil((Math.max(...resets) - Date.now()) / 1000)
    // A query can also cost more than what is left of a budget; it fills evenly within the hour.
    return resets.length > 0 ? Math.min(3600, Math.max(1, seconds)) : 60
  },
}

const graphql = graphqlAt('https://api.linear.app/graphql')

/** One list of the workspace, by its change, archived ones too. */
function list(name: string, field: string, fields: string, limits?: string): Resource {
  const operation = field.charAt(0).toUpperCase() + field.slice(1)
  return {
    name,
    request: graphql(
      `query ${operation}($since: DateTimeOrDuration!, $first: Int!, $after: String) { ${field}(first: $first, after: $after, orderBy: updatedAt, includeArchived: true, filter: { updatedAt: { gte: $since } }) { nodes { ${fields} } pageInfo { hasNextPage endCursor } } }`,
      // 50 issues with these fields cost about 1,100 of the 10,000 points that one query may cost.
      { since: '{since.iso8601}', first: 50 },
    ),
    pagination: connectionPages(field),
    items: `data.${field}.nodes`,
    id: 'id',
    timestamp: { path: 'updatedAt', format: 'iso8601' },
    // Newest first as it seems, which no page promises.
    filter: 'server',
    limits,
  }
}

const person = '{ id name email }'
const resources: readonly Resource[] = [
  list(
    'issues',
    'issues',
    `id identifier number title description url priority priorityLabel estimate dueDate createdAt updatedAt archivedAt startedAt completedAt canceledAt trashed state { id name type } team { id key name } assignee ${person} creator ${person} project { id name } parent { id identifier } labels(first: 10) { nodes { id name } }`,
    'Of the teams that the person can see. Up to 10 labels of an issue.',
  ),
  list(
    'comments',
    'comments',
    `id body url createdAt updatedAt editedAt archivedAt issue { id identifier } parent { id } user ${person} botActor { id name type }`,
  ),
  list(
    'projects',
    'projects',
    `id name description content url slugId priority progress health startDate targetDate createdAt updatedAt archivedAt completedAt canceledAt status { id name type } lead ${person} teams(first: 10) { nodes { id key name } }`,
    'Up to 10 teams of a project.',
  ),
  list(
    'project_updates',
    'projectUpdates',
    `id body url health createdAt updatedAt project { id name } user ${person}`,
  ),
]

/**
 * Linear: OAuth 2.0 authorization code with PKCE, for one workspace; the API is GraphQL.
 *
 * Access tokens live 24 hours and refresh tokens work once. Whether a refresh whose answer was lost may be sent again is not told. The
 * consent page is shown every time, so that a person can pick another workspace; ids of people differ between workspaces.
 *
 * @see {@link https://linear.app/developers/oauth-2-0-authentication | Linear, OAuth 2.0} (read 2026-11-20)
 * @see {@link https://linear.app/developers/rate-limiting | Linear, rate limiting} (read 2026-11-20)
 */
export const linear = defineProvider({
  id: 'linear',
  name: 'Linear',
  category: 'tasks',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://linear.app/oauth/authorize',
    tokenURL: 'https://api.linear.app/oauth/token',
    clientAuth: 'body',
    pkce: 'always',
    scopeSeparator: ',',
    scopes: [{ scope: 'read', why: 'who connected, issues, comments, projects and their updates' }],
    authorizationParams: { prompt: 'consent' },
    refreshToken: 'rotating',
    accessTokenSeconds: 86_399,
    // Of the refresh token: an access token ends by itself within a day.
    revocation: {
      method: 'POST',
      url: 'https://api.linear.app/oauth/revoke',
      form: { refresh_token: '{token}' },
      auth: 'none',
      token: 'refresh',
    },
  },
  identity: {
    request: graphql('query Me { viewer { id name email organization { id name urlKey } } }', {}),
    accountId: 'data.viewer.id',
    accountName: 'data.viewer.organization.name',
    email: 'data.viewer.email',
    params: { organization_id: 'data.viewer.organization.id', url_key: 'data.viewer.organization.urlKey' },
  },
  api: {
    baseURL: 'https://api.linear.app/graphql',
    errors,
    // The lower of the two figures that Linear's pages gave within a year; complexity has a budget of its own.
    rateLimit: { requests: 1200, perSeconds: 3600 },
  },
  resources,
  guide: {
    setup: [
      'In Linear open Settings, API, OAuth applications (best in a workspace kept for this purpose) and create an application.',
      'Enter the redirect URI as callback URL.',
      'Switch on Public, so that other workspaces can connect.',
      'Copy client ID and client secret into LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET.',
    ],
    sources: [
      'https://linear.app/developers/oauth-2-0-authentication (read 2026-11-20)',
      'https://linear.app/developers/rate-limiting (read 2026-11-20)',
      'https://linear.app/developers/pagination (read 2026-11-20)',
    ],
    limits: [
      'One workspace per connection, and in it what the person can see.',
      'Deleted issues that left the bin are not found; those in it are marked as trashed.',
      'Attachments and the history of changes are not read.',
    ],
  },
})

/** Linear for Passport apps. */
export class LinearStrategy extends strategyClass(linear) {}
