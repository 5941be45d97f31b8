import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

const SITES = 'https://api.atlassian.com/oauth/token/accessible-resources'

const errors: ErrorRules = {
  // The API has sentences and no codes; the gateway in front of it repeats the status as its code.
  code: ['error'],
  classify: ({ status, body }) => {
    const said = `${String(pick(body, 'message') ?? '')} ${String(pick(body, 'errorMessages.0') ?? '')}`
    // A scope that is missing is a 401 too, and a refresh would not help.
    if ((status === 401 || status === 403) && /\bscopes?\b/i.test(said)) return 'scope'
    // Page tokens live 7 days.
    return status === 400 && /next ?page ?token/i.test(said) ? 'cursor_expired' : undefined
  },
  // Mostly with Retry-After; this one is a time in ISO 8601.
  retryAfterSeconds: ({ headers }) => {
    const reset = Date.parse(headers['x-ratelimit-reset'] ?? '')
    if (headers['x-ratelimit-remaining'] !== '0' || Number.isNaN(reset)) return undefined
    return Math.min(86_400, Math.max(1, Math.ceil((reset - Date.now()) / 1000)))
  },
}

const tokenErrors: ErrorRules = {
  code: ['error'],
  // What is said of a client whose secret is wrong.
  codes: { access_denied: 'client' },
  // Also the code for a refresh token that ended: the sentence tells the two apart.
  classify: ({ body }) =>
    pick(body, 'error') === 'unauthorized_client' &&
    /refresh.?token|authorization.?code/i.test(String(pick(body, 'error_description') ?? ''))
      ? 'revoked'
      : undefined,
}

const get = getFrom('https://api.atlassian.com/ex/jira/{cloudId}/rest/api/3', { maxResults: '100' })
const offset = { style: 'offset', at: 'query', param: 'startAt', pageSize: 100, total: 'total' } as const

// No `scopes` per resource: an app may have the granular scopes instead, which have other names.
const resources: readonly Resource[] = [
  {
    name: 'projects',
    request: get('project/search', { startAt: '0', orderBy: '-lastIssueUpdatedDate' }),
    pagination: offset,
    items: 'values',
    id: 'id',
    filter: 'none',
  },
  {
    name: 'issues',
    request: get('search/jql', {
      jql: 'updated >= "{since.date_time_minutes}" ORDER BY updated ASC',
      // Without fields there are only ids.
      fields:
        'summary,status,issuetype,priority,project,reporter,assignee,creator,created,updated,resolutiondate,labels,description,timespent',
    }),
    // A page can be shorter than asked for; only a missing token is the end.
    pagination: { style: 'cursor', at: 'query', param: 'nextPageToken', next: 'nextPageToken' },
    items: 'issues',
    id: 'id',
    timestamp: { path: 'fields.updated', format: 'iso8601' },
    // Times in a query are in the time zone of the person. No `order`: a query that begins again goes back to the start of the window with
    // its overlap, as the time of the last change read would be one of another zone.
    filter: 'server',
    overlapSeconds: 86_400,
    limits:
      'The latest changes can be missing from the search for a moment. Custom fields and attachments are not read.',
  },
  {
    name: 'comments',
    parent: 'issues',
    request: get('issue/{parent.id}/comment', { startAt: '0', orderBy: '-created' }),
    pagination: offset,
    items: 'comments',
    id: 'id',
    timestamp: { path: 'updated', format: 'iso8601' },
    // Newest first by creation: an old comment can have been edited since.
    filter: 'client',
    skipParentOn: ['not_found'],
    limits: 'One call for each issue changed in the window. The text is an Atlassian document, no plain text.',
  },
  {
    name: 'worklogs',
    parent: 'issues',
    // Null: no time was logged. Absent where time tracking is hidden or switched off.
    parentFilter: ({ fields }) => (fields as { timespent?: unknown } | undefined)?.timespent !== null,
    request: get('issue/{parent.id}/worklog', { startAt: '0' }),
    pagination: offset,
    items: 'worklogs',
    id: 'id',
    timestamp: { path: 'updated', format: 'iso8601' },
    filter: 'client',
    skipParentOn: ['not_found'],
    limits: 'One call for each issue changed in the window on which time was logged.',
  },
]

/**
 * Jira Cloud: OAuth 2.0 authorization code ("3LO"); one grant reaches all sites of the person, of which one is chosen.
 *
 * Access tokens live 3600 seconds and work only at api.atlassian.com. Refresh tokens work once and end after 90 days without use, and
 * after 365 days in all; a used one may be sent again for about 10 minutes, says Atlassian's staff. There is no call to revoke a grant.
 *
 * @see {@link https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/ | Atlassian, OAuth 2.0 (3LO) apps} (read 2026-11-20)
 * @see {@link https://developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens | Atlassian, refresh tokens} (read 2026-11-20)
 * @see {@link https://community.developer.atlassian.com/t/refresh-token-expire-after-36000-seconds/60806/2 | Atlassian community, life of refresh tokens} (read 2026-11-20)
 * @see {@link https://developer.atlassian.com/cloud/jira/platform/rate-limiting | Jira, rate limiting} (read 2026-11-20)
 */
export const jira = defineProvider({
  id: 'jira',
  name: 'Jira',
  category: 'tasks',
  params: [
    {
      name: 'cloudId',
      label: 'Site',
      pattern: /^[A-Za-z0-9-]{1,64}$/,
      hint: 'Chosen after the approval, among the sites that the person allowed.',
      from: 'token',
    },
    {
      name: 'siteName',
      label: 'Name of the site',
      pattern: /^[^\0]{1,1000}$/,
      hint: 'Follows from the site.',
      example: 'Example site',
      from: 'token',
    },
    {
      name: 'siteUrl',
      label: 'Address of the site',
      // For links only; no request goes there.
      pattern: /^https:\/\/[^\s<>"']{1,500}$/,
      hint: 'Follows from the site.',
      example: 'https://example.atlassian.net',
      from: 'token',
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://auth.atlassian.com/authorize',
    tokenURL: 'https://auth.atlassian.com/oauth/token',
    clientAuth: 'json_body',
    // Not described for these apps; seems to be accepted.
    pkce: 'optIn',
    scopes: [
      { scope: 'offline_access', why: 'a refresh token' },
      { scope: 'read:jira-user', why: 'who connected' },
      { scope: 'read:jira-work', why: 'projects, issues, comments and worklogs' },
    ],
    authorizationParams: { audience: 'api.atlassian.com', prompt: 'consent' },
    refreshToken: 'rotating',
    accessTokenSeconds: 3600,
    // Told by staff as about 10 minutes: well inside.
    refreshReplaySeconds: 480,
    refreshIdleSeconds: 7_776_000,
    errors: tokenErrors,
  },
  choices: {
    request: { method: 'GET', url: SITES },
    items: '',
    // Confluence lists the same sites with scopes of its own.
    itemFilter: ({ scopes }) => Array.isArray(scopes) && scopes.some((scope) => /\bjira\b/.test(String(scope))),
    id: 'id',
    name: 'name',
    param: 'cloudId',
    params: { siteName: 'name', siteUrl: 'url' },
    noun: 'site',
  },
  identity: {
    request: { method: 'GET', url: 'https://api.atlassian.com/ex/jira/{cloudId}/rest/api/3/myself' },
    accountId: 'accountId',
    accountName: 'displayName',
    email: 'emailAddress',
    resolve: async ({ body, params }) => {
      const id = pickString(body, 'accountId')
      const person = pickString(body, 'displayName') ?? `Account ${id}`
      const email = pickString(body, 'emailAddress')
      return {
        id,
        name: params.siteName ? `${person}, ${params.siteName}` : person,
        email,
        // A person has the same id at every site: two sites are two connections.
        keyParts: params.cloudId ? [params.cloudId] : [],
      }
    },
  },
  api: {
    baseURL: 'https://api.atlassian.com/ex/jira/{cloudId}/rest/api/3',
    headers: { accept: 'application/json' },
    errors,
    // Points by the hour and bursts by the second, in numbers that are not told: answers say when it is enough.
    concurrency: 3,
  },
  resources,
  lab: {
    answers: [
      {
        method: 'GET',
        url: SITES,
        body: ({ id }) => [
          {
            id: `site-${id}`,
            name: 'Example site',
            url: 'https://example.atlassian.net',
            scopes: ['read:jira-user', 'read:jira-work'],
          },
          {
            id: `site-${id}`,
            name: 'Example site',
            url: 'https://example.atlassian.net',
            scopes: ['read:confluence-content.all'],
          },
        ],
      },
    ],
  },
  guide: {
    setup: [
      'Open https://developer.atlassian.com/console/myapps and create an OAuth 2.0 integration.',
      'Under Permissions add the Jira API and configure the classic scopes read:jira-work and read:jira-user.',
      'Under Authorization add OAuth 2.0 (3LO) with the redirect URI as callback URL.',
      'Under Settings copy the client ID into JIRA_CLIENT_ID and the secret into JIRA_CLIENT_SECRET.',
      'Under Distribution switch sharing on (it wants a vendor name and a privacy policy), so that others than the owner can connect.',
    ],
    sources: [
      'https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/ (read 2026-11-20)',
      'https://developer.atlassian.com/cloud/oauth/getting-started/implementing-oauth-3lo (read 2026-11-20)',
      'https://developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens (read 2026-11-20)',
      'https://developer.atlassian.com/cloud/jira/platform/rate-limiting (read 2026-11-20)',
      'https://community.developer.atlassian.com/t/refresh-token-expire-after-36000-seconds/60806/2 (read 2026-11-20)',
    ],
    limits: [
      'Jira Cloud only; Jira Data Center is another product with other addresses.',
      'One site per connection: whoever has several connects each of them.',
      'A person has to connect again after 365 days at the latest, and after a change of the Atlassian password.',
      'Email addresses of people are hidden unless their profile shows them.',
    ],
  },
  deviations: {
    'auth.connection_params.siteUrl':
      'Not asked for: the site is chosen on a page of ours after the approval. What is kept under this name is the address that Atlassian tells.',
    'auth.connection_params.cloudId': 'Learned with the choice of the site (the sheet names it under after_token).',
    'auth.connection_params.siteName': 'Learned with the choice of the site.',
    'backfill.issues.params.jql': 'The same query, with the date format in the words of this library.',
    'backfill.issues.params.fields': 'Also timespent, which tells the issues that have worklogs.',
    'backfill.worklogs.needs':
      'The list worklog/updated has only ids and times, and its rows come by POST, up to 1,000 ids at a time. Read by issue instead, which gives whole rows.',
    'backfill.worklogs.url': 'Read by issue, see backfill.worklogs.needs.',
    'backfill.worklogs.params.since': 'Not known there, see backfill.worklogs.needs: the time is compared here.',
    'backfill.worklogs.params.startAt': 'See backfill.worklogs.needs.',
    'backfill.worklogs.params.maxResults': 'See backfill.worklogs.needs.',
    'backfill.worklogs.pagination.style': 'See backfill.worklogs.needs.',
    'backfill.worklogs.items': 'See backfill.worklogs.needs.',
    'backfill.worklogs.id': 'See backfill.worklogs.needs.',
    'backfill.worklogs.updated_at': 'See backfill.worklogs.needs.',
    'backfill.worklogs.updated_at_format': 'See backfill.worklogs.needs.',
  },
})

/** Jira for Passport apps. */
export class JiraStrategy extends strategyClass(jira) {}
