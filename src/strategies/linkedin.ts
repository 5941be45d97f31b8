import { createHash } from 'node:crypto'
import type { ErrorRules } from '../provider-http/errors.js'
import {
  defineProvider,
  type Pagination,
  type RequestTemplate,
  type Resource,
  STANDARD_TOKEN,
} from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'
import { unlessRefused } from './unless-refused.js'

/** The newest version that was confirmed. One lives at least twelve months. */
const VERSION = '202607'
/** The calls of the data portability product have a version of their own. */
const DMA = { 'linkedin-version': '202312' } as const

const DAY_SECONDS = 86_400

const errors: ErrorRules = {
  code: ['code', 'serviceErrorCode'],
  codes: {
    EXPIRED_ACCESS_TOKEN: 'expired',
    INVALID_ACCESS_TOKEN: 'expired',
    EMPTY_ACCESS_TOKEN: 'expired',
    '65600': 'expired',
    '65602': 'expired',
    // The person took the consent back, or gave another one, which ends the refresh token too.
    REVOKED_ACCESS_TOKEN: 'revoked',
    '65601': 'revoked',
  },
  classify: ({ status, body }) => {
    if (status === 403 && /not enough permissions to access/i.test(String(pick(body, 'message')))) return 'scope'
    // A version of the API that has ended: the operator has to name a newer one.
    if (status === 426) return 'client'
    // The edge does not like who is asking.
    return status === 999 ? 'unavailable' : undefined
  },
  // Limits count by the day and begin anew at midnight UTC; no header tells.
  retryAfterSeconds: ({ body }) =>
    pick(body, 'status') === 429 ? DAY_SECONDS - (Math.floor(Date.now() / 1000) % DAY_SECONDS) : undefined,
}

const tokenErrors: ErrorRules = {
  code: ['error'],
  codes: {
    invalid_client_id: 'client',
    invalid_redirect_uri: 'client',
    unauthorized_scope_error: 'client',
    invalid_scope_error: 'client',
  },
  // A code or refresh token that does not count is a general invalid_request.
  classify: ({ body }) => {
    const text = String(pick(body, 'error_description') ?? '')
    return pick(body, 'error') === 'invalid_request' &&
      /\b(code|token)\b/i.test(text) &&
      /expired|revoked|invalid|not found/i.test(text)
      ? 'revoked'
      : undefined
  },
}

const get = getFrom('https://api.linkedin.com/rest')

/**
 * Rest.li's pages: a link to the next one where there is more. A page can be shorter than what was asked for; one that is full goes on
 * even without a link.
 */
const pages = (count: number): Pagination => ({
  style: 'custom',
  next: ({ body, state }) => {
    const start = Number(state ?? 0)
    const elements = pick(body, 'elements')
    const length = Array.isArray(elements) ? elements.length : 0
    if (length === 0) return undefined
    const links = pick(body, 'paging.links')
    const link = Array.isArray(links) ? links.find((one: unknown) => pick(one, 'rel') === 'next') : undefined
    const href = pickString(link, 'href')
    if (href !== undefined && URL.canParse(href, 'https://api.linkedin.com')) {
      const next = Number(new URL(href, 'https://api.linkedin.com').searchParams.get('start'))
      if (Number.isInteger(next) && next > start) return { state: next }
    }
    return length >= count ? { state: start + length } : undefined
  },
  apply: (request, state) => ({ ...request, query: { ...request.query, start: String(state) } }),
})

/** `2026-11-20 12:00:00 UTC`, `2026-11-20 12:00:00`, `20 Nov 2026`: all of them UTC. */
function readDate(text: unknown): string | undefined {
  if (typeof text !== 'string' || text === '') return undefined
  const time = Date.parse(`${text.replace(/\s*UTC$/, '')} UTC`)
  return Number.isNaN(time) ? undefined : new Date(time).toISOString()
}

/**
 * The rows of a snapshot have human column names and no ids: a row is told by what stands in it. Its time is that of the column that
 * has a date; where there is none (the profile) it is kept as it is now.
 */
function rowsOf(element: Record<string, unknown>): unknown {
  const { snapshotData: rows } = element
  // What is no page of rows stays as it came.
  if (typeof rows !== 'object' || rows === null) return element
  const domain = pickString(element, 'snapshotDomain') ?? ''
  return (Array.isArray(rows) ? rows : [rows]).map((row: unknown) => {
    const column = Object.entries((row ?? {}) as object).find(([name]) => /^(date|connected on|sent at)$/i.test(name))
    const at = readDate(column?.[1])
    const hash = createHash('sha256').update(JSON.stringify(row)).digest('base64url').slice(0, 22)
    return { id: `${domain}:${hash}`, snapshotDomain: domain, ...(at !== undefined && { at }), row }
  })
}

const approval = 'Part of the Community Management API, which LinkedIn grants to an app after a review.'
/** LinkedIn refuses without the scope, and the receipt says so. */
const needsPages = 'Needs the Community Management API, and a person who administers the page.'

const resources: readonly Resource[] = [
  {
    name: 'organizations',
    title: 'Administered pages',
    request: get('organizationAcls', {
      q: 'roleAssignee',
      role: 'ADMINISTRATOR',
      state: 'APPROVED',
      start: '0',
      count: '100',
    }),
    pagination: pages(100),
    items: 'elements',
    id: 'organization',
    filter: 'none',
    limits: needsPages,
  },
  {
    name: 'organization_posts',
    title: 'Posts of pages',
    parent: 'organizations',
    request: {
      ...get('posts', {
        q: 'author',
        author: '{parent.organization}',
        sortBy: 'LAST_MODIFIED',
        start: '0',
        count: '100',
      }),
      headers: { 'x-restli-method': 'FINDER' },
    },
    pagination: pages(100),
    items: 'elements',
    id: 'id',
    timestamp: { path: 'lastModifiedAt', format: 'unix_ms' },
    filter: 'client',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits: `${needsPages} Comments and reactions are not read.`,
  },
  {
    name: 'organization_share_statistics',
    title: 'Daily statistics of pages',
    parent: 'organizations',
    request: {
      ...get('organizationalEntityShareStatistics', {
        q: 'organizationalEntity',
        organizationalEntity: '{parent.organization}',
      }),
      // In the address itself: the parentheses, colons and commas of the structure must not be encoded.
      url: 'https://api.linkedin.com/rest/organizationalEntityShareStatistics?timeIntervals=(timeRange:(start:{since.unix_ms},end:{now.unix_ms}),timeGranularityType:DAY)',
    },
    pagination: { style: 'none' },
    items: 'elements',
    id: ['parent:organization', 'timeRange.start'],
    timestamp: { path: 'timeRange.start', format: 'unix_ms' },
    filter: 'server',
    // The first day is counted from its midnight.
    overlapSeconds: DAY_SECONDS,
    skipParentOn: ['not_found'],
    // With the day above it is the year that can be asked for.
    reach: { days: 364, reason: 'LinkedIn keeps daily statistics for twelve months.' },
    limits: `${needsPages} Organic numbers only.`,
  },
  {
    // Its own parent only to go through the domains; what follows the last page is answered with 404.
    name: 'member_snapshot',
    title: 'Data of the member (EEA and Switzerland)',
    parent: 'member_snapshot',
    roots: [
      { id: 'MEMBER_SHARE_INFO' },
      { id: 'ALL_COMMENTS' },
      { id: 'ALL_LIKES' },
      { id: 'INBOX' },
      { id: 'CONNECTIONS' },
      { id: 'PROFILE' },
    ],
    parentFilter: () => false,
    request: {
      ...get('memberSnapshotData', { q: 'criteria', domain: '{parent.id}', start: '0', count: '10' }),
      headers: DMA,
    },
    pagination: pages(10),
    items: 'elements',
    unfold: rowsOf,
    id: 'id',
    timestamp: { path: 'at', format: 'iso8601' },
    filter: 'client',
    skipParentOn: ['not_found'],
    limits:
      'Needs the Member Data Portability API, and a member in the EEA or Switzerland. Rows have no ids: one that changed counts as a new one.',
  },
]

const USERINFO: RequestTemplate = { method: 'GET', url: 'https://api.linkedin.com/v2/userinfo' }
const ME: RequestTemplate = { method: 'GET', url: 'https://api.linkedin.com/v2/me' }
const CONSENT: RequestTemplate = { ...get('memberAuthorizations', { q: 'memberAndApplication' }), headers: DMA }

/**
 * LinkedIn: OAuth 2.0 authorization code with the client in the body; PKCE is a flow of its own for native apps.
 *
 * Scopes come with approved products of the app, and one that the app does not have stops the authorization. A plain sign-in app reads the
 * profile only. Access tokens live 60 days; a refresh token comes to approved partners only and ends 365 days after the first consent.
 *
 * @see {@link https://learn.microsoft.com/en-us/linkedin/shared/authentication/authorization-code-flow | LinkedIn, authorization code flow} (read 2026-11-20)
 * @see {@link https://learn.microsoft.com/en-us/linkedin/shared/authentication/programmatic-refresh-tokens | LinkedIn, refresh tokens} (read 2026-11-20)
 * @see {@link https://learn.microsoft.com/en-us/linkedin/marketing/versioning | LinkedIn, versioning} (read 2026-11-20)
 */
export const linkedin = defineProvider({
  id: 'linkedin',
  name: 'LinkedIn',
  category: 'social',
  params: [
    {
      name: 'apiVersion',
      label: 'API version',
      pattern: /^20[0-9]{4}$/,
      hint: 'Year and month of a version of the LinkedIn API that has not ended, such as 202607.',
      example: VERSION,
      from: 'config',
      env: 'LINKEDIN_API_VERSION',
      default: VERSION,
    },
  ],
  derive: ({ apiVersion = VERSION }) => ({ api_version: apiVersion }),
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://www.linkedin.com/oauth/v2/authorization',
    tokenURL: 'https://www.linkedin.com/oauth/v2/accessToken',
    clientAuth: 'body',
    pkce: 'never',
    scopes: [
      { scope: 'openid', why: 'who connected' },
      { scope: 'profile', why: 'name of the person' },
      { scope: 'email', why: 'email address of the person' },
      {
        scope: 'r_organization_social',
        why: 'posts of the pages that the person administers',
        needsApproval: approval,
      },
      {
        scope: 'rw_organization_admin',
        why: 'list of administered pages and their statistics',
        needsApproval: approval,
      },
      {
        scope: 'r_basicprofile',
        why: 'who connected, in an app that has the Community Management API and no sign-in product',
        needsApproval: approval,
      },
      {
        scope: 'r_dma_portability_3rd_party',
        why: "the person's own posts, comments, messages and connections, in the EEA and Switzerland",
        needsApproval:
          'Part of the Member Data Portability API (3rd Party), which LinkedIn grants to an app of its own; never together with the scopes of another product.',
      },
    ],
    refreshToken: 'static',
    accessTokenSeconds: 5_184_000,
    tokens: {
      default: {
        ...STANDARD_TOKEN,
        // Counted from the first consent; a refresh does not prolong it.
        refreshExpiresIn: 'refresh_token_expires_in',
      },
    },
    errors: tokenErrors,
  },
  identity: {
    // An app has the calls of its products only: a refused one is passed over. Whether one with the Community Management API can have the sign-in product too is told in two ways.
    resolve: async ({ call }) => {
      const user = await unlessRefused(call(USERINFO))
      const email = pickString(user, 'email')
      const me = pickString(user, 'sub') === undefined ? await unlessRefused(call(ME)) : undefined
      let id = pickString(user, 'sub') ?? pickString(me, 'id')
      if (id === undefined) {
        const consent = await unlessRefused(call(CONSENT))
        id = pickString(consent, 'elements.0.memberComplianceAuthorizationKey.member')?.split(':').at(-1)
      }
      const localized = [pickString(me, 'localizedFirstName'), pickString(me, 'localizedLastName')]
      const name = pickString(user, 'name') ?? localized.filter((part) => part !== undefined).join(' ')
      return {
        id,
        name: name || (id === undefined ? 'LinkedIn member' : `Member ${id}`),
        email,
      }
    },
  },
  api: {
    baseURL: 'https://api.linkedin.com/rest',
    headers: { 'linkedin-version': '{api_version}', 'x-restli-protocol-version': '2.0.0' },
    errors,
    // Limits stand in the analytics of the app only, by the day and endpoint.
    concurrency: 2,
  },
  resources,
  lab: {
    answers: [
      {
        method: 'GET',
        url: USERINFO.url,
        body: ({ id, name, email }) => ({ sub: id, name, email, email_verified: true }),
      },
    ],
    items: {
      organizations: ({ index }) => ({
        organization: `urn:li:organization:${1000 + index}`,
        role: 'ADMINISTRATOR',
        state: 'APPROVED',
      }),
    },
    pages: Object.fromEntries(
      ['organizations', 'organization_posts', 'member_snapshot'].map((name) => [
        name,
        {
          offset: ({ query }) => Number(query.start ?? 0),
          next: (body, offset) => {
            const links =
              offset === undefined ? [] : [{ type: 'application/json', rel: 'next', href: `/?start=${offset}` }]
            body.paging = { start: 0, count: 10, links }
            return undefined
          },
        },
      ]),
    ),
  },
  guide: {
    setup: [
      'Create a LinkedIn Page for your company, or use the one it has; its super admin must confirm the app.',
      'Open https://www.linkedin.com/developers/apps/new, create the app, link the Page and have it verified.',
      'On the Products tab request Sign In with LinkedIn using OpenID Connect; for pages the Community Management API; for the data of members in the EEA and Switzerland the Member Data Portability API (3rd Party). Each of them may need an app of its own.',
      'On the Auth tab copy the client ID and the primary client secret into LINKEDIN_CLIENT_ID and LINKEDIN_CLIENT_SECRET and add the redirect URI: https, without query parameters.',
      'When a product is approved, name its scopes in LINKEDIN_SCOPES. A scope that the Auth tab does not list stops every authorization.',
      'Versions of the API end after about a year: set LINKEDIN_API_VERSION to a newer one in time.',
      "Read LinkedIn's terms on how long data of members may be kept.",
    ],
    sources: [
      'https://learn.microsoft.com/en-us/linkedin/shared/authentication/authorization-code-flow (read 2026-11-20)',
      'https://learn.microsoft.com/en-us/linkedin/shared/authentication/programmatic-refresh-tokens (read 2026-11-20)',
      'https://learn.microsoft.com/en-us/linkedin/consumer/integrations/self-serve/sign-in-with-linkedin-v2 (read 2026-11-20)',
      'https://learn.microsoft.com/en-us/linkedin/marketing/versioning (read 2026-11-20)',
      'https://learn.microsoft.com/en-us/linkedin/marketing/community-management/shares/posts-api (read 2026-11-20)',
      'https://learn.microsoft.com/en-us/linkedin/marketing/community-management/organizations/share-statistics (read 2026-11-20)',
      'https://learn.microsoft.com/en-us/linkedin/dma/member-data-portability/shared/member-snapshot-api (read 2026-11-20)',
    ],
    limits: [
      'An app that only signs people in reads no history: posts and messages of a person are open to no ordinary app.',
      'Posts and statistics of pages need the Community Management API, which LinkedIn approves per app.',
      'The own posts, comments, messages and connections of a person need the Member Data Portability API, and a member in the EEA or Switzerland.',
      'Without a refresh token, which only approved partners get, people have to connect again after 60 days; with one, after 365 days.',
    ],
  },
  deviations: {
    'auth.scopes.r_basicprofile': 'Extra scope for the other way to the account, which the sheet names under unsure.',
    'auth.connection_params.apiVersion': 'Extra: the sheet says to keep the version in configuration.',
    'env.LINKEDIN_API_VERSION': 'See auth.connection_params.apiVersion.',
    'api.headers.linkedin-version': 'See auth.connection_params.apiVersion; the default is the one of the sheet.',
    'backfill.organizations.pagination.style':
      'Custom: the link to the next page decides, because a page can be shorter than what was asked for.',
    'backfill.organization_posts.pagination.style': 'See backfill.organizations.pagination.style.',
    'backfill.organization_share_statistics.params.timeIntervals':
      'Stands in the address, because its structure must not be encoded.',
    'backfill.organization_share_statistics.id': 'With the page: the sheet says so in its notes.',
    'backfill.member_snapshot.needs': 'Its own parent only to go through the domains that the notes name.',
    'backfill.member_snapshot.params.domain': 'See backfill.member_snapshot.needs.',
    'backfill.member_snapshot.pagination.style': 'See backfill.organizations.pagination.style.',
    'backfill.member_snapshot.id': 'Rows have no ids: one is made of what stands in them.',
    'backfill.member_snapshot.updated_at': 'The date column of a row, read by unfold.',
  },
})

/** LinkedIn for Passport apps. */
export class LinkedInStrategy extends strategyClass(linkedin) {}
