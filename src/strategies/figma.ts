import type { FaultKind } from '../errors.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Pagination, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

/** Refusals have one of two shapes, {status, err} and {error: true, status, message}, and no code. */
const textOf = (body: unknown) => String(pick(body, ['err', 'message']) ?? '')

const errors: ErrorRules = {
  code: ['err', 'message'],
  classify: ({ status, body }) => {
    // A token that ended is answered with 403, as is one that may not do this.
    if (status !== 403) return undefined
    const text = textOf(body)
    if (/scope/i.test(text)) return 'scope'
    return /\btoken\b.*\b(expired|invalid|revoked)|\b(invalid|expired|revoked)\b.*\btoken\b/i.test(text)
      ? 'expired'
      : undefined
  },
}

/** The texts of the token endpoint are not documented: what names the client is about the app, what names code or token ends the grant. */
const refusedTokens: readonly [RegExp, FaultKind][] = [
  [/client|redirect|\bapp\b/i, 'client'],
  [/scope/i, 'scope'],
  [/code|grant|token/i, 'revoked'],
]

const tokenErrors: ErrorRules = {
  code: ['err', 'message'],
  classify: ({ status, body }) =>
    [400, 401, 403].includes(status) ? refusedTokens.find(([pattern]) => pattern.test(textOf(body)))?.[1] : undefined,
}

const get = getFrom('https://api.figma.com/v1')

/**
 * Versions go from new to old. Which of the two links leads on is told in two ways; it is the one with `before`, the id that older versions
 * are asked for by.
 */
const olderVersions: Pagination = {
  style: 'custom',
  next: ({ body, items, state }) => {
    if (items.length === 0) return undefined
    for (const link of [pick(body, 'pagination.prev_page'), pick(body, 'pagination.next_page')]) {
      const before = typeof link === 'string' && URL.canParse(link) ? new URL(link).searchParams.get('before') : null
      if (before !== null && before !== '' && before !== state) return { state: before }
    }
    return undefined
  },
  apply: (request, state) => ({ ...request, query: { ...request.query, before: String(state) } }),
}

/** Some kinds of files (Slides, Make) know neither comments nor versions, and say so with 400. */
const skipParentOn = ['not_found', 'invalid'] as const

const resources: readonly Resource[] = [
  {
    name: 'projects',
    request: get('teams/{teamId}/projects'),
    pagination: { style: 'none' },
    items: 'projects',
    id: 'id',
    filter: 'none',
    scopes: ['projects:read'],
    limits: 'Only projects of the team that the person who connected can see; drafts lie in none.',
  },
  {
    name: 'files',
    parent: 'projects',
    request: get('projects/{parent.id}/files', { branch_data: 'false' }),
    pagination: { style: 'none' },
    items: 'files',
    id: 'key',
    timestamp: { path: 'last_modified', format: 'iso8601' },
    filter: 'client',
    skipParentOn: ['not_found'],
    scopes: ['projects:read'],
    limits: 'What is drawn in a file is not read.',
  },
  {
    // A comment need not change its file: those of all files are read.
    name: 'commented_files',
    title: 'Files, for their comments',
    parent: 'projects',
    parentOnly: true,
    request: get('projects/{parent.id}/files'),
    pagination: { style: 'none' },
    items: 'files',
    id: 'key',
    filter: 'none',
    skipParentOn: ['not_found'],
    scopes: ['projects:read'],
  },
  {
    name: 'comments',
    parent: 'commented_files',
    request: get('files/{parent.key}/comments', { as_md: 'true' }),
    pagination: { style: 'none' },
    items: 'comments',
    id: 'id',
    timestamp: { path: 'created_at', format: 'iso8601' },
    filter: 'client',
    skipParentOn,
    scopes: ['file_comments:read'],
  },
  {
    name: 'versions',
    parent: 'files',
    request: get('files/{parent.key}/versions', { page_size: '50' }),
    pagination: olderVersions,
    items: 'versions',
    id: 'id',
    timestamp: { path: 'created_at', format: 'iso8601' },
    filter: 'client',
    order: 'desc',
    skipParentOn,
    scopes: ['file_versions:read'],
  },
]

/** A team's number, also out of the address of its page (`https://www.figma.com/files/team/1234567890/Design`). */
export function normalizeTeam(input: string): string {
  return /\/team\/([0-9]+)(?:[/?#]|$)/.exec(input)?.[1] ?? input
}

/**
 * Figma: OAuth 2.0 authorization code; a refresh has an address of its own.
 *
 * A code lives about 30 seconds, access tokens 90 days; the refresh token stays the same. A person has one live token per app: connecting
 * again ends the one before. No call lists the teams of a person, so the team is asked for.
 *
 * @see {@link https://developers.figma.com/docs/rest-api/authentication | Figma, authentication} (read 2026-11-20)
 * @see {@link https://developers.figma.com/docs/rest-api/scopes/ | Figma, scopes} (read 2026-11-20)
 * @see {@link https://developers.figma.com/docs/rest-api/rate-limits | Figma, rate limits} (read 2026-11-20)
 */
export const figma = defineProvider({
  id: 'figma',
  name: 'Figma',
  category: 'design',
  params: [
    {
      name: 'teamId',
      label: 'Team',
      pattern: /^[0-9]+$/,
      hint: 'The number after /team/ in the address of the team page, or that whole address.',
      example: '1234567890',
      normalize: normalizeTeam,
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://www.figma.com/oauth',
    tokenURL: 'https://api.figma.com/v1/oauth/token',
    refreshURL: 'https://api.figma.com/v1/oauth/refresh',
    clientAuth: 'basic',
    // Some clients send it, others switch it off.
    pkce: 'optIn',
    scopeSeparator: ',',
    scopes: [
      { scope: 'current_user:read', why: 'id, name and email address of the person' },
      {
        scope: 'projects:read',
        why: 'projects of the team and their files; Figma gives it to private apps only, and stops the authorization of a public one that asks for it',
      },
      {
        scope: 'file_metadata:read',
        why: 'metadata of single files',
        optional: 'The backfill does not need it; requests of your own may.',
      },
      { scope: 'file_comments:read', why: 'comments' },
      { scope: 'file_versions:read', why: 'version history' },
    ],
    // Should a refresh bring a new one all the same, that one is stored.
    refreshToken: 'static',
    accessTokenSeconds: 7_776_000,
    tokens: {
      default: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in' },
    },
    // As text: the number beside it is too large for JavaScript.
    params: { user_id: 'user_id_string' },
    errors: tokenErrors,
  },
  identity: {
    request: get('me'),
    accountId: 'id',
    accountName: 'handle',
    email: 'email',
  },
  api: {
    baseURL: 'https://api.figma.com/v1',
    errors,
    // The limits go by seat and plan; an answer says how long to wait, which can be days.
    concurrency: 2,
  },
  resources,
  lab: {
    pages: {
      versions: {
        offset: ({ query }) => Number(query.before ?? 0),
        next: (body, offset) => {
          const prev_page = `https://api.figma.com/v1/files/key/versions?page_size=50&before=${offset}`
          if (offset !== undefined) body.pagination = { prev_page }
          return undefined
        },
      },
    },
  },
  grant: 'exclusive',
  guide: {
    setup: [
      'Open https://www.figma.com/developers/apps and create an OAuth app; it belongs to a team or an organization.',
      'Under OAuth credentials add the redirect URI as callback URL; http://localhost is accepted for development.',
      'Tick the scopes current_user:read, projects:read, file_comments:read and file_versions:read.',
      'Copy client ID and client secret, which is shown only once, into FIGMA_CLIENT_ID and FIGMA_CLIENT_SECRET.',
      'Publish the app as a private one, for your own organization: a public app may not ask for projects:read, and without it no files can be listed.',
      'Have the address of the team page at hand when connecting: the number of the team stands in it.',
    ],
    sources: [
      'https://developers.figma.com/docs/rest-api/authentication (read 2026-11-20)',
      'https://developers.figma.com/docs/rest-api/scopes/ (read 2026-11-20)',
      'https://developers.figma.com/docs/rest-api/rate-limits (read 2026-11-20)',
      'https://github.com/figma/rest-api-spec (read 2026-11-20)',
    ],
    limits: [
      'One team per connection, and its projects that the person can see. Drafts are not found.',
      'Public apps cannot list projects and files: Figma keeps the scope projects:read for private ones.',
      'One app can hold one connection per person: connecting again with another team moves it to that team, and a second tenant is refused.',
      'People with a view seat, and files of Starter teams, have very low limits: the backfill can then take days.',
      'What is drawn in a file is not read.',
    ],
  },
  deviations: {
    'backfill.commented_files':
      'Extra list, not kept: all files, because a comment need not change its file (the sheet says so in the notes of comments).',
    'backfill.comments.needs': 'See backfill.commented_files.',
    'backfill.versions.pagination.style':
      'Custom: the description leaves open which of the two links leads to older versions; the one with `before` does.',
  },
})

/** Figma for Passport apps. */
export class FigmaStrategy extends strategyClass(figma) {}
