import { defineProvider, type Pagination, type Resource } from './define-provider.js'
import {
  googleClient,
  googleErrors,
  googleIdentity,
  googleOAuth,
  googlePages,
  googleSetup,
  googleSources,
} from './google.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const READONLY = 'https://www.googleapis.com/auth/calendar.readonly'
const API = 'https://www.googleapis.com/calendar/v3'
const get = getFrom(API)

/**
 * The pages of the window, and after the last one, with its sync token, what changed while they were read. No time bounds may stand
 * beside a sync token; everything else has to stay as it was. Without a token on the last page there is nothing to add.
 */
const pagesThenChanges: Pagination = {
  style: 'custom',
  next: ({ body, state }) => {
    const syncToken = pick(state, 'syncToken') ?? null
    const pageToken = pick(body, 'nextPageToken')
    if (typeof pageToken === 'string' && pageToken !== '') return { state: { pageToken, syncToken } }
    const nextSyncToken = pick(body, 'nextSyncToken')
    if (syncToken !== null || typeof nextSyncToken !== 'string') return undefined
    return { state: { pageToken: null, syncToken: nextSyncToken } }
  },
  apply: (request, state) => {
    const query = { ...request.query }
    const [pageToken, syncToken] = [pick(state, 'pageToken'), pick(state, 'syncToken')]
    if (typeof pageToken === 'string') query.pageToken = pageToken
    if (typeof syncToken === 'string') {
      query.syncToken = syncToken
      delete query.timeMin
      delete query.timeMax
    }
    return { ...request, query }
  },
}

const resources: readonly Resource[] = [
  {
    name: 'calendars',
    request: get('users/me/calendarList', { maxResults: '250', showHidden: 'false' }),
    pagination: googlePages,
    items: 'items',
    id: 'id',
    filter: 'none',
    limits: 'Calendars that are hidden from the list are left out.',
  },
  {
    name: 'events',
    parent: 'calendars',
    request: get('calendars/{parent.id}/events', {
      // `updatedMin` would be refused when it lies more than some weeks back.
      timeMin: '{since.iso8601}',
      timeMax: '{now.iso8601}',
      singleEvents: 'true',
      maxResults: '2500',
    }),
    pagination: pagesThenChanges,
    items: 'items',
    // An invitation has one id in the calendars of all who were invited.
    id: ['parent:id', 'id'],
    timestamp: { path: 'updated', format: 'iso8601' },
    filter: 'server',
    // Removed from the list, or no longer shared, since the calendars were read.
    skipParentOn: ['not_found'],
    limits:
      'The window counts by when an event takes place: coming events are left out. Events deleted before the run are not found, those deleted during it have the status cancelled. Calendars that show only free and busy times give no details.',
  },
]

/**
 * Google Calendar: OAuth 2.0 at Google with PKCE; calendars, and for each the events that took place in the window.
 *
 * `calendar.readonly` is a sensitive scope: it works at once for up to 100 test users, and for everyone after Google's verification,
 * which needs no security assessment.
 *
 * @see {@link https://developers.google.com/workspace/calendar/api/v3/reference/events/list | Google Calendar, events} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/calendar/api/guides/sync | Google Calendar, synchronizing} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/calendar/api/guides/quota | Google Calendar, quota} (read 2026-11-20)
 */
export const googleCalendar = defineProvider({
  id: 'google-calendar',
  name: 'Google Calendar',
  category: 'calendar',
  client: googleClient,
  auth: googleOAuth([
    { scope: READONLY, why: 'calendars and events, read only (a sensitive scope, see the setup steps)' },
  ]),
  identity: googleIdentity,
  api: {
    baseURL: API,
    errors: googleErrors,
    // 600 a minute and user.
    rateLimit: { requests: 10, perSeconds: 1 },
  },
  resources,
  lab: {
    pages: {
      events: {
        // Nothing changes at the lab while the pages are read.
        offset: ({ query }) => Number(query.syncToken ? Number.MAX_SAFE_INTEGER : (query.pageToken ?? 0)),
        next: (body, offset) => {
          Object.assign(body, offset === undefined ? { nextSyncToken: 'sync' } : { nextPageToken: String(offset) })
          return undefined
        },
      },
    },
  },
  // Revoking any token of an account ends the client's whole access to it, that of other Google products included.
  grant: 'shared',
  guide: {
    setup: [
      'In the Google Cloud console create or pick a project and enable the Google Calendar API.',
      'Under Data Access add the scopes openid, email, profile and calendar.readonly.',
      ...googleSetup,
      'Before going live, publish the app and pass the verification of brand and sensitive scopes. Until then at most 100 users can connect.',
    ],
    sources: [
      ...googleSources,
      'https://developers.google.com/workspace/calendar/api/v3/reference/events/list (read 2026-11-20)',
      'https://developers.google.com/workspace/calendar/api/guides/sync (read 2026-11-20)',
      'https://developers.google.com/workspace/calendar/api/guides/quota (read 2026-11-20)',
    ],
    limits: [
      'Events are found by when they take place: coming ones are left out.',
      'Hidden calendars, and events deleted before the backfill, are left out.',
    ],
  },
  deviations: {
    'backfill.events_changes':
      'No resource of its own: the sync token stands on the last page of events, in no record, and is used right there.',
    'backfill.events.pagination.style': 'Page tokens, and after the last page its sync token.',
    'backfill.events.id': 'The same invitation in two calendars has one id: calendar id and event id.',
  },
})

/** Google Calendar for Passport apps. */
export class GoogleCalendarStrategy extends strategyClass(googleCalendar) {}
