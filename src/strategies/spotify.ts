import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const errors: ErrorRules = {
  code: ['error.reason', 'error'],
  codes: {
    QUOTA_EXCEEDED: 'rate_limited',
    PREMIUM_REQUIRED: 'permission',
  },
  // The JSON errors have a status and a sentence, and one of the refusals is a plain text.
  classify: ({ status, body }) => {
    if (status !== 403) return undefined
    const message = typeof body === 'string' ? body : String(pick(body, 'error.message') ?? '')
    if (/scope/i.test(message)) return 'scope'
    // Development mode: the operator has not added this person, or has no Premium any more.
    return /not (be )?registered|premium subscription required for the owner/i.test(message) ? 'client' : undefined
  },
}

const get = getFrom('https://api.spotify.com/v1', { limit: '50' })
const pages = { style: 'offset', at: 'query', param: 'offset', pageSize: 50, total: 'total' } as const
const added = { path: 'added_at', format: 'iso8601' } as const

const resources: readonly Resource[] = [
  {
    name: 'recently_played',
    title: 'Recently played tracks',
    request: get('me/player/recently-played', { after: '{since.unix_ms}' }),
    pagination: { style: 'next_url', next: 'next' },
    items: 'items',
    id: ['played_at', 'track.uri'],
    timestamp: { path: 'played_at', format: 'iso8601' },
    filter: 'server',
    order: 'desc',
    scopes: ['user-read-recently-played'],
    reach: {
      reason:
        'Spotify keeps the last 50 plays only, so three months of listening cannot be fetched: the history grows from the day of connection on.',
    },
    limits: 'Plays of less than 30 seconds, podcasts and private sessions are not listed.',
  },
  {
    name: 'saved_tracks',
    request: get('me/tracks', { offset: '0' }),
    pagination: pages,
    items: 'items',
    id: 'track.id',
    timestamp: added,
    // Newest first is what the list shows; it is not documented, so the whole list is read.
    filter: 'client',
    scopes: ['user-library-read'],
    limits: 'Tracks that were removed leave no trace.',
  },
  {
    name: 'playlists',
    request: get('me/playlists', { offset: '0' }),
    pagination: pages,
    items: 'items',
    id: 'id',
    filter: 'none',
    limits: 'Own and followed playlists as they are now. Private ones need the scope playlist-read-private.',
  },
  {
    name: 'playlist_items',
    parent: 'playlists',
    request: get('playlists/{parent.id}/items', { offset: '0' }),
    pagination: pages,
    items: 'items',
    // What is no longer available comes as null.
    itemFilter: (entry) => pick(entry, 'item') !== undefined,
    id: ['parent:id', 'item.uri', 'added_at'],
    timestamp: added,
    // In the order of the playlist. Very old entries have no date and are kept.
    filter: 'client',
    skipParentOn: ['not_found'],
    limits: 'Spotify shows the entries of own and collaborative playlists only; followed ones are passed over.',
  },
]

/**
 * Spotify: OAuth 2.0 authorization code, client by HTTP Basic.
 *
 * Access tokens live 3600 seconds. A refresh mostly returns no new refresh token, so the stored one stays. It ends six months after
 * the person authorized, however often it is used; then the refresh answers `invalid_grant` and only a new approval helps. With PKCE,
 * which is described for public clients, each refresh brings a new refresh token; so it is sent only when the host says so. There
 * is no call to revoke: people remove the app on their account page.
 *
 * @see {@link https://developer.spotify.com/documentation/web-api/tutorials/code-flow | Spotify, authorization code} (read 2026-11-20)
 * @see {@link https://developer.spotify.com/documentation/web-api/tutorials/refreshing-tokens | Spotify, refreshing tokens} (read 2026-11-20)
 * @see {@link https://developer.spotify.com/documentation/web-api/concepts/rate-limits | Spotify, rate limits} (read 2026-11-20)
 */
export const spotify = defineProvider({
  id: 'spotify',
  name: 'Spotify',
  category: 'music',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://accounts.spotify.com/authorize',
    tokenURL: 'https://accounts.spotify.com/api/token',
    clientAuth: 'basic',
    pkce: 'optIn',
    scopes: [
      { scope: 'user-read-private', why: 'id and name of the connected account' },
      { scope: 'user-read-email', why: 'its email address, where the app still gets it' },
      { scope: 'user-read-recently-played', why: 'the last 50 plays' },
      { scope: 'user-library-read', why: 'saved tracks with the date they were saved' },
      { scope: 'playlist-read-private', why: 'private playlists' },
      { scope: 'playlist-read-collaborative', why: 'collaborative playlists' },
      {
        scope: 'user-top-read',
        why: 'top tracks and artists, read by your own calls',
        optional: 'The rankings have no dates: no backfill reads them.',
      },
    ],
    refreshToken: 'static',
    accessTokenSeconds: 3600,
  },
  identity: {
    request: { method: 'GET', url: 'https://api.spotify.com/v1/me' },
    // `account_id` is new in 2026, and not every app gets it yet.
    accountId: ['account_id', 'id'],
    accountName: ['display_name', 'email', 'id'],
    email: 'email',
  },
  api: {
    baseURL: 'https://api.spotify.com/v1',
    headers: { accept: 'application/json' },
    errors,
    // Counted per app over 30 seconds, and the number is not published.
    concurrency: 2,
  },
  resources,
  guide: {
    setup: [
      'Open https://developer.spotify.com/dashboard with a Premium account and choose Create app.',
      'Enter the redirect URI (https, or http://127.0.0.1 with a port; localhost is refused) and tick Web API.',
      'In development mode add each person who shall connect, by name and email, under User Management: at most 5.',
      'Under Settings copy client ID and client secret into SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET.',
    ],
    sources: [
      'https://developer.spotify.com/documentation/web-api/tutorials/code-flow (read 2026-11-20)',
      'https://developer.spotify.com/documentation/web-api/tutorials/refreshing-tokens (read 2026-11-20)',
      'https://developer.spotify.com/documentation/web-api/concepts/redirect_uri (read 2026-11-20)',
      'https://developer.spotify.com/documentation/web-api/concepts/rate-limits (read 2026-11-20)',
      'https://developer.spotify.com/documentation/web-api/tutorials/february-2026-migration-guide (read 2026-11-20)',
      'https://developer.spotify.com/blog/2026-06-18-refresh-token-expiration (read 2026-11-20)',
      'https://developer.spotify.com/documentation/web-api/reference/get-recently-played (read 2026-11-20)',
    ],
    limits: [
      'Three months of listening cannot be fetched: Spotify keeps the last 50 plays. The older past exists only in the data download of the privacy page.',
      'Every connection ends six months after its approval: the person has to connect again.',
      'In development mode at most 5 people can connect, each added by the operator; more needs extended quota, which is for established companies.',
      'Saved tracks and playlist entries are those of today: what was removed is not found.',
    ],
  },
  deviations: {
    'backfill.recently_played.pagination.style':
      'The address in `next` is followed instead of building one from `cursors`: it is null at the end, and right for both directions.',
    'backfill.playlist_items.id':
      'The same track can be added to two playlists in the same second: the playlist is part of the id.',
  },
})

/** Spotify for Passport apps. */
export class SpotifyStrategy extends strategyClass(spotify) {}
