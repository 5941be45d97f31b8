import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type RequestTemplate, type Resource, STANDARD_TOKEN } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'
import { unlessRefused } from './unless-refused.js'

const HEADERS = { accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' } as const

const scopesIn = (header: string | undefined) => (header ?? '').split(/[\s,]+/).filter(Boolean)
const isLimited = (message: string) => /rate limit|abuse detection/i.test(message)

const errors: ErrorRules = {
  // The API has sentences and no codes.
  classify: ({ status, headers, body }) => {
    const message = String(pick(body, 'message') ?? '')
    if (status === 403 || status === 429) {
      if (status === 429 || isLimited(message) || headers['retry-after'] || headers['x-ratelimit-remaining'] === '0')
        return 'rate_limited'
      // The organization wants single sign-on for this token, approves apps one by one, or has a list of addresses.
      if (headers['x-github-sso'] || /SAML|OAuth App access restrictions|IP allow list/i.test(message)) return 'admin'
      if (/account (was|is|has been) suspended/i.test(message)) return 'account_gone'
      const accepted = scopesIn(headers['x-accepted-oauth-scopes'])
      const granted = scopesIn(headers['x-oauth-scopes'])
      return accepted.length > 0 && !accepted.some((scope) => granted.includes(scope)) ? 'scope' : undefined
    }
    // An empty repository has no list of commits; 451: taken down. Both are about the one repository.
    return status === 409 || status === 451 ? 'not_found' : undefined
  },
  // Where no answer says how long, and the hourly budget is not what ran out: at least a minute.
  retryAfterSeconds: ({ headers, body }) => {
    if (headers['x-ratelimit-remaining'] === '0') return undefined
    return isLimited(String(pick(body, 'message') ?? '')) ? 60 : undefined
  },
}

/** Errors of the token endpoint come with status 200. */
const tokenErrors: ErrorRules = {
  code: ['error'],
  failed: (body) => pick(body, 'error') !== undefined,
  codes: {
    bad_verification_code: 'revoked',
    bad_refresh_token: 'revoked',
    incorrect_client_credentials: 'client',
    redirect_uri_mismatch: 'client',
    application_suspended: 'client',
    unverified_user_email: 'permission',
  },
  // A revocation is a call of the API, which names its documentation. It does not know a token that ended, whose refresh token still counts.
  classify: ({ status, body }) =>
    (status === 404 || status === 422) && pick(body, 'documentation_url') !== undefined ? 'expired' : undefined,
}

const get = getFrom('https://api.github.com', { per_page: '100' })
const pages = { style: 'link_header' } as const
const updated = { path: 'updated_at', format: 'iso8601' } as const

// No `scopes` per resource: without `repo` the public repositories can be read.
const resources: readonly Resource[] = [
  {
    // Neither of a repository's times moves with its issues: all of them are read.
    name: 'repositories',
    request: get('user/repos', {
      affiliation: 'owner,collaborator,organization_member',
      sort: 'pushed',
      direction: 'desc',
    }),
    pagination: pages,
    items: '',
    id: 'id',
    timestamp: updated,
    filter: 'none',
    limits: 'Repositories of organizations that restrict third-party apps are missing until an owner approves the app.',
  },
  {
    name: 'issues',
    parent: 'repositories',
    parentFilter: ({ disabled, has_issues }) => disabled !== true && has_issues !== false,
    request: get('repos/{+parent.full_name}/issues', {
      state: 'all',
      since: '{since.iso8601}',
      sort: 'updated',
      // What changes meanwhile moves to the front and pushes others back, to be read twice. Oldest first, others could slip through.
      direction: 'desc',
    }),
    pagination: pages,
    items: '',
    // Every pull request is listed as an issue too; it is a record of `pull_requests` already.
    itemFilter: ({ pull_request }) => pull_request === undefined,
    id: 'id',
    timestamp: updated,
    filter: 'server',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits: 'At least one call for each repository. Comments are not read.',
  },
  {
    name: 'pull_requests',
    parent: 'repositories',
    parentFilter: ({ disabled }) => disabled !== true,
    request: get('repos/{+parent.full_name}/pulls', { state: 'all', sort: 'updated', direction: 'desc' }),
    pagination: pages,
    items: '',
    id: 'id',
    timestamp: updated,
    filter: 'client',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits: 'At least one call for each repository. Counts of changed lines and comments are not in the list.',
  },
  {
    name: 'commits',
    parent: 'repositories',
    parentFilter: ({ disabled }) => disabled !== true,
    request: get('repos/{+parent.full_name}/commits', { since: '{since.iso8601}' }),
    pagination: pages,
    items: '',
    // Forks have the same commits.
    id: ['parent:id', 'sha'],
    timestamp: { path: 'commit.committer.date', format: 'iso8601' },
    filter: 'server',
    skipParentOn: ['not_found'],
    limits: 'The default branch of each repository.',
  },
]

const EMAILS: RequestTemplate = { method: 'GET', url: 'https://api.github.com/user/emails' }

function primaryOf(emails: unknown): string | undefined {
  const primary = Array.isArray(emails) ? emails.find((one) => pick(one, 'primary') === true) : undefined
  return pickString(primary, 'email')
}

/**
 * GitHub as an OAuth app: authorization code with PKCE; acts as the person who connected.
 *
 * With token expiration (on for new apps, or asked for by the scope `offline_access`) access tokens live 8 hours and refresh tokens work
 * once; without it there is neither an end nor a refresh token. The answer tells which, so no life is assumed here. Every consent
 * makes a token of its own, ten at most for the same scopes; the oldest is then ended.
 *
 * @see {@link https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps | GitHub, authorizing OAuth apps} (read 2026-11-20)
 * @see {@link https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens | GitHub, refreshing user access tokens} (read 2026-11-20)
 */
export const github = defineProvider({
  id: 'github',
  name: 'GitHub',
  category: 'code',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://github.com/login/oauth/authorize',
    tokenURL: 'https://github.com/login/oauth/access_token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [
      { scope: 'read:user', why: 'who connected' },
      { scope: 'user:email', why: 'the email address where the profile does not show it' },
      {
        scope: 'repo',
        why: 'private repositories; it includes writing, as OAuth apps have no read-only form of it. Leave it out when public ones are enough',
      },
      { scope: 'read:org', why: 'membership in organizations', optional: 'Nothing that is read here needs it.' },
      {
        scope: 'offline_access',
        why: 'a token that expires, with a refresh token',
        optional: 'Only for apps whose setting for token expiration is off.',
      },
    ],
    refreshToken: 'rotating',
    tokens: { default: { ...STANDARD_TOKEN, refreshExpiresIn: 'refresh_token_expires_in' } },
    errors: tokenErrors,
    revocation: {
      method: 'DELETE',
      url: 'https://api.github.com/applications/{client_id}/token',
      headers: HEADERS,
      json: { access_token: '{token}' },
      auth: 'client_basic',
      token: 'access',
    },
  },
  identity: {
    request: { method: 'GET', url: 'https://api.github.com/user' },
    accountId: 'id',
    accountName: 'login',
    email: 'email',
    resolve: async ({ body, call }) => {
      const id = pickString(body, 'id')
      const name = pickString(body, 'login') ?? `Account ${id}`
      // The profile shows an address only where the person wants that.
      const email = pickString(body, 'email') ?? primaryOf(await unlessRefused(call(EMAILS)))
      return { id, name, email }
    },
  },
  api: {
    baseURL: 'https://api.github.com',
    headers: HEADERS,
    errors,
    rateLimit: { requests: 5000, perSeconds: 3600 },
  },
  resources,
  lab: {
    answers: [
      {
        method: 'GET',
        url: EMAILS.url,
        body: ({ email }) => [{ email, primary: true, verified: true, visibility: 'private' }],
      },
    ],
  },
  guide: {
    setup: [
      'On github.com open Settings, Developer settings, OAuth Apps (or the same in the settings of an organization) and create a new OAuth app.',
      'Enter name and home page, and the redirect URI as authorization callback URL; leave wildcards off.',
      'Leave token expiration on: tokens are refreshed.',
      'Copy the client ID into GITHUB_CLIENT_ID, generate a client secret and copy it into GITHUB_CLIENT_SECRET; it is shown only once.',
      'Where an organization restricts third-party access, an owner has to approve the app.',
    ],
    sources: [
      'https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps (read 2026-11-20)',
      'https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens (read 2026-11-20)',
      'https://github.blog/changelog/2025-07-14-pkce-support-for-oauth-and-github-app-authentication (read 2026-11-20)',
      'https://github.blog/changelog/2026-03-12-rest-api-version-2026-03-10-is-now-available (read 2026-11-20)',
    ],
    limits: [
      'Private repositories need the scope repo, which includes writing; without it only public ones are read.',
      'Repositories of organizations that have not approved the app are missing without a word.',
      'Comments, reviews, and commits outside the default branch are not read.',
      'The budget of 5,000 requests an hour belongs to the person, and other apps use it too.',
    ],
  },
  deviations: {
    'api.headers.user-agent':
      'Every request of this library carries its name as User-Agent, which is all that GitHub asks.',
    'backfill.issues.params.direction':
      'Newest first: pages can go by number, and read oldest first, what changes meanwhile would make others slip through.',
    'backfill.commits.id': 'Forks hold the same commits: repository and sha.',
  },
})

/** GitHub for Passport apps. */
export class GitHubStrategy extends strategyClass(github) {}
