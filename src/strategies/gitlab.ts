import type { ErrorRules } from '../provider-http/errors.js'
import { linkTo } from '../provider-http/headers.js'
import { defineProvider, type Pagination, type Resource } from './define-provider.js'
import type { LabPages } from './lab-hints.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

const errors: ErrorRules = {
  code: ['error'],
  codes: {
    // Said of a token that was refreshed elsewhere too ("Token was revoked"): the refresh tells the truth.
    invalid_token: 'expired',
    insufficient_scope: 'scope',
  },
  classify: ({ status, body }) => {
    const message = String(pick(body, ['message', 'error_description']) ?? '')
    return status === 403 && /account (has been|is) (blocked|deactivated)|pending approval/i.test(message)
      ? 'account_gone'
      : undefined
  },
}

const get = getFrom('{base_url}/api/v4', { per_page: '100' })
const pages = { style: 'link_header' } as const

/** gitlab.com shows 50,000 rows of one query. */
const LAST_PAGE = 500
/**
 * Pages by number, newest change first: what changes meanwhile moves to the front and pushes others back, to be read twice. Oldest first,
 * others would slip through. Behind the last page that is shown, the list begins again at the last change read.
 */
const newestFirst: Pagination = {
  style: 'custom',
  next: ({ headers, items }) => {
    const next = linkTo(headers.link, 'next')
    if (next === undefined || !URL.canParse(next, 'https://gitlab.com')) return undefined
    const query = Object.fromEntries(new URL(next, 'https://gitlab.com').searchParams)
    if (Number(query.page ?? 0) <= LAST_PAGE) return { state: query }
    const { page: _, ...first } = query
    const last = pickString(items.at(-1), 'updated_at')
    return last === undefined ? undefined : { state: { ...first, updated_before: last } }
  },
  apply: (request, state) => ({ ...request, query: { ...request.query, ...(state as Record<string, string>) } }),
}

/** Issues and merge requests of a project, by their change. */
function changes(name: 'issues' | 'merge_requests', limits: string): Resource {
  return {
    name,
    parent: 'projects',
    request: get(`projects/{parent.id}/${name}`, {
      state: 'all',
      scope: 'all',
      updated_after: '{since.iso8601}',
      order_by: 'updated_at',
      sort: 'desc',
    }),
    pagination: newestFirst,
    items: '',
    id: 'id',
    timestamp: { path: 'updated_at', format: 'iso8601' },
    filter: 'server',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits,
  }
}

const NEWEST_FIRST =
  'Newest first: pages go by number, and read oldest first, what changes meanwhile would make others slip through. What the Link header asks for is taken over, up to the last page that is shown.'

// No `scopes` per resource: an application with the scope `api` is granted that one alone, and it includes `read_api`.
const resources: readonly Resource[] = [
  {
    name: 'projects',
    request: get('projects', {
      membership: 'true',
      simple: 'true',
      last_activity_after: '{since.iso8601}',
      pagination: 'keyset',
      order_by: 'id',
      sort: 'asc',
    }),
    pagination: pages,
    items: '',
    id: 'id',
    timestamp: { path: 'last_activity_at', format: 'iso8601' },
    filter: 'server',
    // The time is moved on once an hour at most.
    overlapSeconds: 3600,
    rateLimit: { requests: 2000, perSeconds: 600 },
    limits:
      'Projects with activity in the window that the person is a member of. Those of groups with single sign-on are missing without a session there.',
  },
  changes('merge_requests', 'Comments, approvals and changed files are not read.'),
  changes('issues', 'Comments are not read.'),
  {
    name: 'commits',
    parent: 'projects',
    request: get('projects/{parent.id}/repository/commits', { since: '{since.iso8601}', all: 'true' }),
    pagination: pages,
    items: '',
    // Forks have the same commits.
    id: ['parent:id', 'id'],
    timestamp: { path: 'committed_date', format: 'iso8601' },
    filter: 'server',
    // An empty repository is not found.
    skipParentOn: ['not_found'],
  },
]

/** Further pages of the lab are told apart by the number of their first item. */
const labPages: LabPages = {
  offset: ({ query }) => Number(query.from ?? 0),
  next: (_body, nextOffset) =>
    nextOffset === undefined ? undefined : { link: `<https://gitlab.com/?from=${nextOffset}>; rel="next"` },
}

/**
 * GitLab: OAuth 2.0 authorization code with PKCE, at gitlab.com or at an instance of one's own.
 *
 * Every instance has its own applications, so the instance belongs to the client and is the operator's to set: a user who could name
 * one would have the client's secret sent there. Access tokens live 7200 seconds; a refresh ends both tokens at once, and has to repeat
 * the redirect URI. Each consent makes a pair of its own.
 *
 * @see {@link https://docs.gitlab.com/integration/oauth_provider/ | GitLab, OAuth provider} (read 2026-11-20)
 * @see {@link https://docs.gitlab.com/api/merge_requests/ | GitLab, merge requests} (read 2026-11-20)
 * @see {@link https://docs.gitlab.com/user/gitlab_com/rate_limits/ | GitLab.com, rate limits} (read 2026-11-20)
 */
export const gitlab = defineProvider({
  id: 'gitlab',
  name: 'GitLab',
  category: 'code',
  params: [
    {
      name: 'base_url',
      label: 'Address of the instance',
      pattern: /^https:\/\/[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{2,5})?(\/[A-Za-z0-9._-]+)*$/,
      hint: 'The address of the GitLab instance where the application is registered: https, with its path if it has one, without a slash at the end.',
      from: 'config',
      env: 'GITLAB_BASE_URL',
      default: 'https://gitlab.com',
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: '{base_url}/oauth/authorize',
    tokenURL: '{base_url}/oauth/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [
      { scope: 'read_user', why: 'who connected' },
      { scope: 'read_api', why: 'projects, merge requests, issues and commits' },
    ],
    refreshParams: { redirect_uri: '{redirect_uri}' },
    refreshToken: 'rotating',
    accessTokenSeconds: 7200,
    revocation: {
      method: 'POST',
      url: '{base_url}/oauth/revoke',
      form: { client_id: '{client_id}', client_secret: '{client_secret}', token: '{token}' },
      auth: 'none',
      // Ends both. An access token that is over would be confirmed and its refresh token left alive.
      token: 'refresh',
    },
  },
  identity: {
    request: { method: 'GET', url: '{base_url}/api/v4/user' },
    accountId: 'id',
    accountName: 'username',
    email: 'email',
  },
  api: {
    baseURL: '{base_url}/api/v4',
    errors,
    // That of gitlab.com; other instances say when it is enough.
    rateLimit: { requests: 2000, perSeconds: 60 },
  },
  resources,
  lab: { pages: { issues: labPages, merge_requests: labPages } },
  guide: {
    setup: [
      'On the instance open the avatar, Edit profile, Applications (or the settings of a group, or the Admin area for the whole instance).',
      'Add a new application: a name, the redirect URI, Confidential ticked, and the scopes read_user and read_api.',
      'Copy the application ID into GITLAB_CLIENT_ID and the secret into GITLAB_CLIENT_SECRET; the secret is shown only once.',
      'For an instance of your own set GITLAB_BASE_URL to its address; an application of gitlab.com does not work there.',
    ],
    sources: [
      'https://docs.gitlab.com/integration/oauth_provider/ (read 2026-11-20)',
      'https://docs.gitlab.com/api/projects/ (read 2026-11-20)',
      'https://docs.gitlab.com/api/merge_requests/ (read 2026-11-20)',
      'https://docs.gitlab.com/api/issues/ (read 2026-11-20)',
      'https://docs.gitlab.com/api/commits/ (read 2026-11-20)',
      'https://docs.gitlab.com/user/gitlab_com/rate_limits/ (read 2026-11-20)',
    ],
    limits: [
      'One instance, which users cannot change. A second one is a definition of your own: this one with another id, and base_url in its params.',
      'Only projects that the person is a member of, with activity in the window.',
      'Comments and changed files are not read.',
      'An instance at a private address is refused unless the option origins names where it is reached.',
    ],
  },
  deviations: {
    'env.GITLAB_BASE_URL':
      'Extra variable: the instance is set by the operator, as the client secret goes there (the sheet asks the user and warns of it).',
    'backfill.issues.params.sort': NEWEST_FIRST,
    'backfill.issues.pagination.style': NEWEST_FIRST,
    'backfill.merge_requests.params.sort': NEWEST_FIRST,
    'backfill.merge_requests.pagination.style': NEWEST_FIRST,
    'backfill.commits.id': 'Forks hold the same commits: project and sha.',
  },
})

/** GitLab for Passport apps. */
export class GitLabStrategy extends strategyClass(gitlab) {}
