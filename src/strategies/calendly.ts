import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const errors: ErrorRules = {
  // The API has a title and a sentence, the token endpoint OAuth's own shape.
  code: ['error', 'title'],
  codes: {
    insufficient_scope: 'scope',
    invalid_token: 'expired',
  },
  classify: ({ status, body }) => {
    if (status === 403 && /scope/i.test(String(pick(body, 'message') ?? ''))) return 'scope'
    const details = pick(body, 'details')
    const aboutCursor = Array.isArray(details) && details.some((one) => pick(one, 'parameter') === 'page_token')
    return status === 400 && aboutCursor ? 'cursor_expired' : undefined
  },
}

const get = getFrom('https://api.calendly.com', { count: '100' })
const pages = { style: 'cursor', at: 'query', param: 'page_token', next: 'pagination.next_page_token' } as const
const updated = { path: 'updated_at', format: 'iso8601' } as const

/** Ids are addresses. Requests for what belongs to a meeting want the last part alone, so it is put beside the address. */
function withUuid(event: Record<string, unknown>): unknown {
  const uuid = /([^/]+)\/?$/.exec(String(event.uri ?? ''))?.[1]
  return uuid === undefined ? event : { ...event, uuid }
}

// No `scopes` per resource: a write scope includes its read scope and is listed alone, and older apps have none at all.
const resources: readonly Resource[] = [
  {
    name: 'scheduled_events',
    title: 'Meetings',
    request: get('scheduled_events', {
      user: '{userUri}',
      min_start_time: '{since.iso8601}',
      sort: 'start_time:asc',
    }),
    pagination: pages,
    items: 'collection',
    unfold: withUuid,
    id: 'uri',
    timestamp: updated,
    // By the start of the meeting: what is cancelled or marked a no-show later is found by reading the last week again.
    filter: 'server',
    overlapSeconds: 604_800,
    limits:
      'Meetings that start in the window or later. A change that comes more than a week after the meeting is not found.',
  },
  {
    name: 'event_invitees',
    title: 'Invitees',
    parent: 'scheduled_events',
    request: get('scheduled_events/{parent.uuid}/invitees', { sort: 'created_at:asc' }),
    pagination: pages,
    items: 'collection',
    id: 'uri',
    timestamp: updated,
    // They belong to their meeting, however long ago they booked it.
    filter: 'none',
    skipParentOn: ['not_found'],
    limits: 'One call for each meeting: on the free plan (50 calls a minute) this takes long.',
  },
  {
    name: 'event_types',
    request: get('event_types', { user: '{userUri}' }),
    pagination: pages,
    items: 'collection',
    id: 'uri',
    timestamp: updated,
    filter: 'none',
  },
  {
    name: 'organization_memberships',
    request: get('organization_memberships', { organization: '{organizationUri}' }),
    pagination: pages,
    items: 'collection',
    id: 'uri',
    timestamp: updated,
    filter: 'none',
    limits: 'Calendly shows the members to owners and administrators of the organization only.',
  },
]

/**
 * Calendly: OAuth 2.0 authorization code with PKCE, client by HTTP Basic and, as the newest description wants, its id in the body.
 *
 * Access tokens live 7200 seconds. Refresh tokens have no end until they are used, and work once. At most 8 token requests a minute
 * per person are answered. Since March 2026 apps have scopes; older ones keep their access without any.
 *
 * @see {@link https://developer.calendly.com/api-docs/calendly-o-auth/o-auth/post-oauth-refresh-token.md | Calendly, refresh} (read 2026-11-20)
 * @see {@link https://developer.calendly.com/docs/authentication/scopes.md | Calendly, scopes} (read 2026-11-20)
 * @see {@link https://developer.calendly.com/api-docs/overview/rate-limits | Calendly, rate limits} (read 2026-11-20)
 */
export const calendly = defineProvider({
  id: 'calendly',
  name: 'Calendly',
  category: 'calendar',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://auth.calendly.com/oauth/authorize',
    tokenURL: 'https://auth.calendly.com/oauth/token',
    clientAuth: 'basic',
    // One page requires it of every app, another still describes the flow without: sent, it satisfies both.
    pkce: 'always',
    scopes: [
      { scope: 'users:read', why: 'who connected, and the addresses that further requests need' },
      { scope: 'scheduled_events:read', why: 'meetings and their invitees' },
      { scope: 'event_types:read', why: 'event types' },
      { scope: 'organizations:read', why: 'members of the organization' },
    ],
    tokenParams: { client_id: '{client_id}' },
    refreshParams: { client_id: '{client_id}' },
    refreshToken: 'rotating',
    accessTokenSeconds: 7200,
    revocation: {
      method: 'POST',
      url: 'https://auth.calendly.com/oauth/revoke',
      form: { client_id: '{client_id}', client_secret: '{client_secret}', token: '{token}' },
      auth: 'none',
      token: 'refresh',
    },
  },
  identity: {
    request: { method: 'GET', url: 'https://api.calendly.com/users/me' },
    accountId: 'resource.uri',
    accountName: ['resource.name', 'resource.email'],
    email: 'resource.email',
    // The token answer has them as owner and organization, which no page promises.
    params: { userUri: 'resource.uri', organizationUri: 'resource.current_organization' },
  },
  api: {
    baseURL: 'https://api.calendly.com',
    headers: { accept: 'application/json' },
    errors,
    // Of paid plans. The free one has 50: its answers say when nothing is left.
    rateLimit: { requests: 500, perSeconds: 60 },
  },
  resources,
  lab: {
    items: {
      scheduled_events: ({ item }) => ({
        uri: `https://api.calendly.com/scheduled_events/${item.uri}`,
        uuid: item.uri,
      }),
    },
  },
  guide: {
    setup: [
      'Create a Calendly developer account on https://developer.calendly.com; it is another one than that of a Calendly user.',
      'Create an OAuth application of the kind Web: Sandbox first, which allows http://localhost, and Production (https only) for real customers.',
      'Enter the redirect URI and tick the read scopes listed here.',
      'Copy client ID and client secret into CALENDLY_CLIENT_ID and CALENDLY_CLIENT_SECRET at once: the secret is shown only once.',
    ],
    sources: [
      'https://developer.calendly.com/creating-an-oauth-app (read 2026-11-20)',
      'https://developer.calendly.com/api-docs/calendly-o-auth/o-auth/post-oauth-refresh-token.md (read 2026-11-20)',
      'https://developer.calendly.com/refresh-token-rotation-guide (read 2026-11-20)',
      'https://developer.calendly.com/docs/authentication/scopes.md (read 2026-11-20)',
      'https://developer.calendly.com/api-docs/calendly-o-auth/o-auth/post-oauth-revoke.md (read 2026-11-20)',
      'https://developer.calendly.com/api-docs/calendly-api/scheduled-events/list-scheduled-events.md (read 2026-11-20)',
      'https://developer.calendly.com/api-docs/calendly-api/scheduled-events/list-event-invitees.md (read 2026-11-20)',
      'https://developer.calendly.com/api-docs/overview/rate-limits (read 2026-11-20)',
    ],
    limits: [
      'The window goes by the start of a meeting: later ones are read too, changes of older ones are not found.',
      'The meetings of the person who connected; those of colleagues are not read.',
      'On the free plan Calendly answers 50 calls a minute, and each meeting needs one for its invitees.',
    ],
  },
  deviations: {
    'auth.token_params.client_id':
      'The sheet asks for it under quirks: client id in the body beside the Basic header, which satisfies both descriptions.',
  },
})

/** Calendly for Passport apps. */
export class CalendlyStrategy extends strategyClass(calendly) {}
