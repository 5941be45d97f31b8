import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const errors: ErrorRules = {
  code: ['code', 'error'],
  codes: {
    124: 'expired',
    4711: 'scope',
    4717: 'client',
    4735: 'account_gone',
    4741: 'revoked',
    // No permission, or a plan that lacks the feature.
    200: 'permission',
    1010: 'permission',
    3161: 'permission',
    1001: 'not_found',
    3001: 'not_found',
    3301: 'not_found',
    // The participants of a meeting are told for about a year.
    12702: 'not_found',
    429: 'rate_limited',
  },
  classify: ({ body }) => {
    const message = String(pick(body, 'message') ?? '')
    // Told with several codes and statuses.
    if (/does not contain scopes/i.test(message)) return 'scope'
    return /next page token is invalid or expired/i.test(message) ? 'cursor_expired' : undefined
  },
  // A daily limit names its end in Retry-After, which is read anyway; one per second mostly says nothing more than its kind.
  retryAfterSeconds: ({ headers }) => {
    const ofSeconds = /qps/i.test(headers['x-ratelimit-type'] ?? '')
    return ofSeconds && !headers['x-ratelimit-reset'] ? 1 : undefined
  },
}

const tokenErrors: ErrorRules = {
  code: ['code', 'error_code', 'error'],
  codes: {
    4702: 'client',
    4704: 'client',
    4705: 'client',
    4706: 'client',
    4709: 'client',
    4717: 'client',
    4711: 'revoked',
    4733: 'revoked',
    4734: 'revoked',
    4735: 'account_gone',
    4741: 'revoked',
  },
  // Mostly without a number: a general error, and the reason in words.
  classify: ({ body }) => {
    const reason = String(pick(body, ['reason', 'error_description', 'message']) ?? '')
    const number = /\b47\d\d\b/.exec(reason)?.[0]
    if (number !== undefined && tokenErrors.codes?.[number]) return tokenErrors.codes[number]
    if (/redirect/i.test(reason)) return 'client'
    // Comes with `invalid_request` or `invalid_grant`. Said to a revocation, it can mean that the access token alone ended: a refresh
    // brings one to revoke. A refresh that is refused so is refused for good, as with any other of these words.
    if (/^invalid token/i.test(reason)) return 'expired'
    return pick(body, 'error') === 'invalid_request' && /token|code/i.test(reason) ? 'revoked' : undefined
  },
}

const get = getFrom('{api_origin}/v2', { page_size: '300' })
const pages = { style: 'cursor', at: 'query', param: 'next_page_token', next: 'next_page_token' } as const
const started = { path: 'start_time', format: 'iso8601' } as const
/** A query spans a month at most, and February is the shortest. */
const MONTH_DAYS = 28

/**
 * What stands for a meeting in a path. One that begins with a slash, or has two in a row, wants to be encoded twice; the second time
 * is that of every path.
 */
export function uuidInPath(uuid: string): string {
  return uuid.startsWith('/') || uuid.includes('//') ? encodeURIComponent(uuid) : uuid
}

/** A meeting, with its id as the path of its participants wants it. */
function withPath(meeting: Record<string, unknown>): unknown {
  const { uuid } = meeting
  return typeof uuid === 'string' ? { ...meeting, uuid_in_path: uuidInPath(uuid) } : meeting
}

// No `scopes` per resource: apps made before 2024 have the older, classic ones.
const resources: readonly Resource[] = [
  {
    name: 'recordings',
    request: get('users/me/recordings', { from: '{since.date}', to: '{now.date}' }),
    pagination: pages,
    items: 'meetings',
    id: 'uuid',
    timestamp: started,
    // Whole days are asked for.
    filter: 'client',
    sliceDays: MONTH_DAYS,
    limits: 'Cloud recordings, which need a paid plan. The list of files, not the files themselves.',
  },
  {
    name: 'past_meetings',
    request: get('users/me/meetings', { type: 'previous_meetings', from: '{since.date}', to: '{now.date}' }),
    pagination: pages,
    items: 'meetings',
    unfold: withPath,
    id: 'uuid',
    timestamp: started,
    filter: 'client',
    // That longer spans are answered is not described.
    sliceDays: MONTH_DAYS,
    reach: { days: 184, reason: 'Zoom lists the meetings of the last six months only.' },
    limits:
      'Scheduled meetings that the person who connected hosted; those started without being scheduled may be missing, and those joined as a guest cannot be listed.',
  },
  {
    name: 'meeting_participants',
    parent: 'past_meetings',
    request: get('past_meetings/{parent.uuid_in_path}/participants'),
    pagination: pages,
    items: 'participants',
    // Who leaves and comes back is there twice, and who has no account has no id.
    id: ['parent:uuid', 'id', 'name', 'join_time'],
    timestamp: { path: 'leave_time', format: 'iso8601' },
    filter: 'none',
    skipParentOn: ['not_found'],
    limits: 'Needs a paid plan. Addresses of people outside the account of the host are empty.',
  },
]

const inApp = 'Zoom grants the scopes that are ticked in the app: they are not sent along.'

/**
 * Zoom: OAuth 2.0 authorization code with PKCE, client by HTTP Basic, for a user-managed app.
 *
 * Access tokens live 3600 seconds, refresh tokens about 90 days from their issue, and each works once. A new approval of the same
 * person ends all earlier tokens of the app, so one connection of a Zoom user can live. Which scopes are granted is set in the app; two
 * lists name different separators for the parameter, and it can be left out. The token answer may name a regional host of the API.
 *
 * @see {@link https://developers.zoom.us/docs/integrations/oauth/ | Zoom, OAuth} (read 2026-11-20)
 * @see {@link https://developers.zoom.us/docs/api/rate-limits/ | Zoom, rate limits} (read 2026-11-20)
 * @see {@link https://developers.zoom.us/docs/api/errors/ | Zoom, errors} (read 2026-11-20)
 */
export const zoom = defineProvider({
  id: 'zoom',
  name: 'Zoom',
  category: 'video',
  // Only a host of Zoom counts; that the code grant names one at all is assumed from another grant.
  derive: ({ api_url = '' }) => ({
    api_origin: /^https:\/\/[a-z0-9-]+\.zoom\.us(?=\/?$)/.exec(api_url)?.[0] ?? 'https://api.zoom.us',
  }),
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://zoom.us/oauth/authorize',
    tokenURL: 'https://zoom.us/oauth/token',
    clientAuth: 'basic',
    pkce: 'always',
    scopes: [
      { scope: 'user:read:user', why: 'who connected', optional: inApp },
      { scope: 'cloud_recording:read:list_user_recordings', why: 'the list of cloud recordings', optional: inApp },
      { scope: 'meeting:read:list_meetings', why: 'the list of meetings', optional: inApp },
      { scope: 'meeting:read:list_past_participants', why: 'participants of past meetings', optional: inApp },
      {
        scope: 'meeting:read:summary',
        why: 'summaries of meetings, read by your own calls',
        optional: 'No backfill reads them; tick it in the app when your own calls do.',
      },
    ],
    refreshToken: 'rotating',
    accessTokenSeconds: 3600,
    refreshIdleSeconds: 7_776_000,
    params: { api_url: 'api_url' },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://zoom.us/oauth/revoke',
      form: { token: '{token}' },
      auth: 'client_basic',
      token: 'access',
    },
  },
  identity: {
    request: { method: 'GET', url: '{api_origin}/v2/users/me' },
    accountId: 'id',
    accountName: ['display_name', 'email'],
    email: 'email',
  },
  api: {
    baseURL: '{api_origin}/v2',
    errors,
    // Half of what Pro allows an account per second for calls of this kind, all apps together. Free ones are told to wait.
    rateLimit: { requests: 10, perSeconds: 1 },
  },
  resources,
  lab: {
    items: {
      past_meetings: ({ index, item }) => {
        // Some ids look like this, and are encoded twice.
        const uuid = index % 7 === 3 ? `/${item.uuid}//==` : String(item.uuid)
        return { uuid, uuid_in_path: uuidInPath(uuid) }
      },
    },
  },
  grant: 'exclusive',
  guide: {
    setup: [
      'Open https://marketplace.zoom.us, choose Develop, Build App, General App, and let it be user-managed.',
      'Under Basic Information copy client ID and client secret into ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET: the development pair first, the production pair once the app is published.',
      'On the same page enter the OAuth redirect URI and put it on the OAuth allow list too.',
      'On the Scopes tab add all scopes listed here: Zoom grants what is ticked there.',
      'Until the app is published only users of your own Zoom account can connect; share it as a beta, or submit it for review, to connect others.',
    ],
    sources: [
      'https://developers.zoom.us/docs/integrations/oauth/ (read 2026-11-20)',
      'https://developers.zoom.us/docs/integrations/oauth-scopes-granular/ (read 2026-11-20)',
      'https://developers.zoom.us/docs/api/meetings/ (read 2026-11-20)',
      'https://developers.zoom.us/docs/api/rate-limits/ (read 2026-11-20)',
      'https://developers.zoom.us/docs/api/errors/ (read 2026-11-20)',
    ],
    limits: [
      'Meetings that the person who connected hosted: what was joined as a guest, and what colleagues hosted, is not read.',
      'Meetings of the last six months; those started without being scheduled may be missing.',
      'Recordings and participants need a paid plan.',
      'The exact reports of an account (real end, total minutes) need an app for administrators and are not read.',
      'A Zoom user can be connected once for each app: a second tenant is refused.',
      'Zoom asks apps to delete the data of a person who removes the app; it tells so by the webhook app_deauthorized.',
    ],
  },
  deviations: {
    'api.base_url': 'The same: `api_origin` is the host of the token answer, https://api.zoom.us where there is none.',
    'identity.url': 'See api.base_url.',
    'backfill.recordings.url': 'See api.base_url.',
    'backfill.recordings.params.from': 'The same in the words of templates: a month of the window, slice by slice.',
    'backfill.recordings.params.to': 'See backfill.recordings.params.from.',
    'backfill.past_meetings.url': 'See api.base_url.',
    'backfill.past_meetings.params.from': 'See backfill.recordings.params.from.',
    'backfill.past_meetings.params.to': 'See backfill.recordings.params.from.',
    'backfill.meeting_participants.url':
      'See api.base_url; the uuid is encoded twice where Zoom wants it, as the sheet says.',
    'backfill.meeting_participants.id':
      'The sheet asks for these parts in its notes: the id can be empty, and can repeat.',
    'backfill.meeting_reports':
      'Only for apps of administrators: the sheet says to leave it out in a user-managed app.',
  },
})

/** Zoom for Passport apps. */
export class ZoomStrategy extends strategyClass(zoom) {}
