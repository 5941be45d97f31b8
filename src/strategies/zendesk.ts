import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Pagination, type Resource, STANDARD_TOKEN } from './define-provider.js'
import type { LabPages } from './lab-hints.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

/** What people paste as their subdomain: the name, the host, or an address of their Zendesk. Anything else the pattern refuses. */
export function normalizeSubdomain(input: string): string {
  const text = input.trim().toLowerCase()
  return /^(?:https?:\/\/)?([a-z0-9-]+)\.zendesk\.com(?:[/?#].*)?$/.exec(text)?.[1] ?? text
}

/** `{error, description}`, or `{error: {title, message}}`. */
const code = ['error', 'error.title'] as const
const saying = (body: unknown) =>
  [pickString(body, code), pickString(body, ['error.message', 'description', 'error_description'])].join(' ')

const isNobody = (body: unknown) => pick(body, 'user') !== undefined && pick(body, 'user.id') === undefined

const isGone: ErrorRules['classify'] = ({ status, body }) =>
  (status === 404 && /no help ?desk/i.test(saying(body))) || (status === 403 && /suspended/i.test(saying(body)))
    ? 'account_gone'
    : undefined

const errors: ErrorRules = {
  code,
  codes: {
    invalid_token: 'expired',
    Forbidden: 'permission',
    RecordNotFound: 'not_found',
    InvalidEndpoint: 'not_found',
    RecordInvalid: 'invalid',
    InvalidValue: 'invalid',
    TooManyRequests: 'rate_limited',
    APIRateLimitExceeded: 'rate_limited',
    // Two changes at once on their side.
    DatabaseConflict: 'unavailable',
  },
  // Who is not signed in is answered as an anonymous user, with status 200 and without an id.
  failed: isNobody,
  classify: (answer) => {
    if (answer.status === 200 && isNobody(answer.body)) return 'expired'
    if (answer.status === 403 && /\bscopes?\b/i.test(saying(answer.body))) return 'scope'
    return isGone(answer)
  },
}

const get = getFrom('https://{subdomain}.zendesk.com/api/v2/incremental', { start_time: '{since.unix}' })

const isEnd = (body: unknown) => pick(body, 'end_of_stream') === true

/** The last answer has a cursor too, for the next export. The start time belongs to the first request only. */
const cursorPages: Pagination = {
  style: 'custom',
  next: ({ body }) => {
    const state = pickString(body, 'after_cursor')
    return isEnd(body) || state === undefined ? undefined : { state }
  },
  apply: ({ query: { start_time: _, ...query } = {}, ...request }, state) => ({
    ...request,
    query: { ...query, cursor: String(state) },
  }),
}

/** Only the parameters of the next address are taken over, so that requests stay on the host they began at. */
const timePages: Pagination = {
  style: 'custom',
  next: ({ body }) => {
    const next = pickString(body, 'next_page')
    // Older answers have an address on the last page too, and do not say that they are the last.
    const isLast = isEnd(body) || (pick(body, 'end_of_stream') === undefined && Number(pick(body, 'count')) < 1000)
    if (isLast || next === undefined || !URL.canParse(next)) return undefined
    return { state: Object.fromEntries(new URL(next).searchParams) }
  },
  apply: (request, state) => ({ ...request, query: { ...request.query, ...(state as Record<string, string>) } }),
}

const exported = {
  id: 'id',
  timestamp: { path: 'updated_at', format: 'iso8601' },
  filter: 'server',
  // Of all incremental exports of an account together.
  rateLimit: { requests: 10, perSeconds: 60 },
} as const
const adminsOnly = 'Needs an administrator; for an agent the resource is skipped.'

const resources: readonly Resource[] = [
  {
    name: 'tickets',
    request: get('tickets/cursor', { per_page: '1000' }),
    pagination: cursorPages,
    items: 'tickets',
    ...exported,
    limits: `${adminsOnly} Changes that Zendesk made by itself count too, so a ticket can be older than the window. Deleted ones have the status deleted.`,
  },
  {
    name: 'ticket_events',
    request: get('ticket_events', { include: 'comment_events' }),
    pagination: timePages,
    items: 'ticket_events',
    ...exported,
    timestamp: { path: ['timestamp', 'created_at'], format: 'unix' },
    order: 'asc',
    limits: `${adminsOnly} Comments stand under child_events.`,
  },
  {
    name: 'users',
    request: get('users/cursor', { per_page: '1000' }),
    pagination: cursorPages,
    items: 'users',
    ...exported,
    limits: `${adminsOnly} Only users who changed in the window.`,
  },
  {
    name: 'organizations',
    request: get('organizations', {}),
    pagination: timePages,
    items: 'organizations',
    ...exported,
    limits: adminsOnly,
  },
]

/** Further requests have no start time, so a cursor of the lab counts from its very first item: ids end in their position. */
const labCursor = (items: 'tickets' | 'users'): LabPages => ({
  offset: ({ query }) => Number(query.cursor ?? 0),
  next: (body, nextOffset) => {
    const last = (body[items] as { id: unknown }[]).at(-1)
    const after_cursor = String(Number(String(last?.id).slice(-8)) + 1)
    Object.assign(body, { after_cursor, end_of_stream: nextOffset === undefined })
    return undefined
  },
})
const labTime: LabPages = {
  offset: ({ query }) => Number(query.from ?? 0),
  next: (body, nextOffset) => {
    const from = nextOffset ?? 'next'
    Object.assign(body, { next_page: `https://example.com/?from=${from}`, end_of_stream: nextOffset === undefined })
    return undefined
  },
}

/**
 * Zendesk: OAuth 2.0 authorization code per subdomain, with a JSON body; the history is read by the incremental exports.
 *
 * Access tokens live 30 minutes, refresh tokens 30 days and are single-use: a refresh ends the access token before at once. Clients
 * made before the spring of 2026 can still answer without `expires_in` and refresh token; such a token has no end. The exchange names
 * its scope again. A client reaches other accounts than its own only as a global one (its identifier begins with `zdg-`).
 *
 * @see {@link https://developer.zendesk.com/api-reference/ticketing/oauth/grant_type_tokens/ | Zendesk, grant-type tokens} (read 2026-11-20)
 * @see {@link https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/ | Zendesk, incremental exports} (read 2026-11-20)
 * @see {@link https://developer.zendesk.com/api-reference/introduction/rate-limits/ | Zendesk, rate limits} (read 2026-11-20)
 */
export const zendesk = defineProvider({
  id: 'zendesk',
  name: 'Zendesk',
  category: 'support',
  params: [
    {
      name: 'subdomain',
      label: 'Subdomain',
      pattern: /^[a-z0-9][a-z0-9-]*[a-z0-9]$/,
      hint: 'The first part of the address you work at: acme for acme.zendesk.com. A domain of your own does not do.',
      example: 'acme',
      normalize: normalizeSubdomain,
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://{subdomain}.zendesk.com/oauth/authorizations/new',
    tokenURL: 'https://{subdomain}.zendesk.com/oauth/tokens',
    clientAuth: 'json_body',
    pkce: 'always',
    // Narrower ones exist, but whether they open the exports is not said.
    scopes: [
      { scope: 'read', why: 'identity, tickets, events, users and organizations, as far as the person may see them' },
    ],
    tokenParams: { scope: 'read' },
    refreshParams: { scope: 'read' },
    refreshToken: 'rotating',
    // No accessTokenSeconds: an answer that does not tell means a token without an end.
    refreshIdleSeconds: 2_592_000,
    tokens: { default: { ...STANDARD_TOKEN, refreshExpiresIn: 'refresh_token_expires_in' } },
    errors: { code, classify: isGone },
    revocation: {
      method: 'DELETE',
      url: 'https://{subdomain}.zendesk.com/api/v2/oauth/tokens/current.json',
      headers: { authorization: 'Bearer {token}' },
      auth: 'none',
      token: 'access',
    },
  },
  identity: {
    request: { method: 'GET', url: 'https://{subdomain}.zendesk.com/api/v2/users/me.json' },
    // The token acts as its person; which Zendesk it is, the subdomain in the account key says.
    accountId: 'user.id',
    accountName: ['user.name', 'user.email'],
    email: 'user.email',
  },
  api: {
    baseURL: 'https://{subdomain}.zendesk.com/api/v2',
    headers: { accept: 'application/json' },
    errors,
    // Of the smallest plan, for the whole account; larger ones have 400 to 2,500.
    rateLimit: { requests: 200, perSeconds: 60 },
  },
  resources,
  lab: {
    pages: { tickets: labCursor('tickets'), users: labCursor('users'), ticket_events: labTime, organizations: labTime },
  },
  guide: {
    setup: [
      'As an administrator open the Admin Center, Apps and integrations, APIs, OAuth clients, and add a client of the kind confidential.',
      'Add the redirect URI: https, or http for localhost and 127.0.0.1.',
      'Copy the identifier into ZENDESK_CLIENT_ID and the secret, shown only once after saving, into ZENDESK_CLIENT_SECRET.',
      'To connect accounts other than your own, request a global OAuth client in the marketplace portal; its identifier, which begins with zdg-, replaces ZENDESK_CLIENT_ID.',
      'Let an administrator of the account connect: the exports are closed to agents.',
    ],
    sources: [
      'https://developer.zendesk.com/api-reference/ticketing/oauth/grant_type_tokens/ (read 2026-11-20)',
      'https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/ (read 2026-11-20)',
      'https://developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-api/ (read 2026-11-20)',
      'https://developer.zendesk.com/api-reference/introduction/rate-limits/ (read 2026-11-20)',
      'https://developer.zendesk.com/documentation/api-basics/authentication/revoking-oauth-token (read 2026-11-21)',
      'https://support.zendesk.com/hc/en-us/community/posts/5537132288282-Revoke-Token-API-not-Working-Properly (read 2026-11-21)',
    ],
    limits: [
      'Only administrators can read the exports; for an agent every resource is skipped.',
      'What changed within the last minute is left out; a later run finds it.',
      'Exports are limited to 10 requests a minute with up to 1,000 records each (30 with the High Volume add-on).',
      'Zendesk may confirm the end of a token that has read access only without ending it: remove it in the Admin Center when that matters.',
    ],
  },
  deviations: {
    'backfill.tickets.pagination.style':
      'A cursor that stands on the last page too: end_of_stream decides, and the start time is sent with the first request only.',
    'backfill.users.pagination.style': 'As for tickets.',
    'backfill.ticket_events.pagination.style':
      'The next address stands on the last page too: end_of_stream or the count decides; only its parameters are taken over.',
    'backfill.organizations.pagination.style': 'As for ticket_events.',
  },
})

/** Zendesk for Passport apps. */
export class ZendeskStrategy extends strategyClass(zendesk) {}
