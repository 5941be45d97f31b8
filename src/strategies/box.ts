import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Pagination, type Resource } from './define-provider.js'
import type { LabPages } from './lab-hints.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const errors: ErrorRules = {
  code: ['code', 'error'],
  codes: {
    unauthorized: 'expired',
    insufficient_scope: 'scope',
    forbidden: 'permission',
    access_denied_insufficient_permissions: 'permission',
    access_denied_item_locked: 'permission',
    // Rules that the enterprise made.
    forbidden_by_policy: 'admin',
    access_from_location_blocked: 'admin',
    not_found: 'not_found',
    trashed: 'not_found',
    too_many_requests: 'rate_limited',
    rate_limit_exceeded: 'rate_limited',
    internal_server_error: 'unavailable',
    unavailable: 'unavailable',
  },
  classify: ({ status, headers, body }) => {
    // The body can be empty: then the header alone says what is missing.
    if (status === 403 && /error="insufficient_scope"/.test(headers['www-authenticate'] ?? '')) return 'scope'
    const message = `${pick(body, 'message') ?? ''} ${JSON.stringify(pick(body, 'context_info') ?? '')}`
    return status === 400 && /\bmarker\b|stream_position/.test(message) ? 'cursor_expired' : undefined
  },
}

const get = getFrom('https://api.box.com/2.0')
const markers = { style: 'cursor', at: 'query', param: 'marker', next: 'next_marker' } as const

/** A position is a text, or a number that can be too long for one in JavaScript: then one that surely lies before it. */
function positionOf(body: unknown): string | undefined {
  const position = pick(body, 'next_stream_position')
  if (typeof position !== 'number') return typeof position === 'string' && position !== '' ? position : undefined
  if (Number.isSafeInteger(position)) return String(position)
  return String(BigInt(position) - BigInt(Math.ceil(position * Number.EPSILON)))
}

/**
 * Events go on from a position; from one that lies before the right one some come again. The end is an empty page, or a position that
 * stays the same; a short page is none.
 */
const positions: Pagination = {
  style: 'custom',
  next: ({ body, items, state }) => {
    const next = positionOf(body)
    return items.length === 0 || next === undefined || next === state ? undefined : { state: next }
  },
  apply: (request, state) => ({ ...request, query: { ...request.query, stream_position: String(state) } }),
}

const folderItems = (fields: string) => get('folders/{parent.id}/items', { usemarker: 'true', limit: '1000', fields })
const isFolder = (item: Record<string, unknown>) => item.type === 'folder'
/** All Files. */
const roots = [{ id: '0' }] as const

const resources: readonly Resource[] = [
  {
    name: 'recent_items',
    request: get('recent_items', {
      limit: '1000',
      fields:
        'id,type,name,size,created_at,modified_at,content_modified_at,modified_by,owned_by,path_collection,description,shared_link',
    }),
    pagination: markers,
    items: 'entries',
    id: 'item.id',
    timestamp: { path: 'interacted_at', format: 'iso8601' },
    filter: 'client',
    reach: { days: 90, reason: 'Box lists what the person used in the last 90 days, or the last 1,000 items.' },
    limits: 'Only what the person who connected opened, changed, uploaded or commented.',
  },
  {
    // The time of a folder says nothing about what lies in it: all are walked through.
    name: 'folders',
    parent: 'folders',
    roots,
    request: folderItems('id,type,name,created_at,modified_at,owned_by,parent,path_collection,shared_link'),
    pagination: markers,
    items: 'entries',
    itemFilter: isFolder,
    id: 'id',
    timestamp: { path: 'modified_at', format: 'iso8601' },
    filter: 'none',
    skipParentOn: ['not_found'],
  },
  {
    name: 'files',
    title: 'Files and web links',
    parent: 'folders',
    roots,
    request: folderItems(
      'id,type,name,size,etag,created_at,modified_at,content_modified_at,created_by,modified_by,owned_by,parent,path_collection,shared_link,comment_count',
    ),
    pagination: markers,
    items: 'entries',
    itemFilter: (item) => !isFolder(item),
    id: 'id',
    timestamp: { path: 'modified_at', format: 'iso8601' },
    filter: 'client',
    skipParentOn: ['not_found'],
    limits:
      'Box filters by no date: every folder is read, twice. What is in a file and its older versions are not read.',
  },
  {
    name: 'events',
    request: get('events', { stream_type: 'all', stream_position: '0', limit: '500' }),
    pagination: positions,
    items: 'entries',
    id: 'event_id',
    timestamp: { path: 'created_at', format: 'iso8601' },
    filter: 'client',
    reach: { days: 60, reason: 'Box keeps the events of a person for two weeks to two months.' },
  },
  {
    // No `scopes`: Box does not tell which were granted. It refuses without the optional one, and the receipt says so.
    name: 'enterprise_events',
    request: get('events', {
      stream_type: 'admin_logs',
      stream_position: '0',
      limit: '500',
      created_after: '{since.iso8601}',
      created_before: '{now.iso8601}',
    }),
    pagination: positions,
    items: 'entries',
    id: 'event_id',
    timestamp: { path: 'created_at', format: 'iso8601' },
    filter: 'server',
    reach: { days: 365, reason: 'Box shows the events of an enterprise for a year.' },
    limits: 'Only for an administrator of the enterprise, with the scope manage_enterprise_properties.',
  },
  {
    name: 'comments',
    parent: 'files',
    parentFilter: (file) => Number(file.comment_count) > 0,
    request: get('files/{parent.id}/comments', {
      limit: '1000',
      offset: '0',
      fields: 'id,message,created_at,modified_at,created_by,is_reply_comment,item',
    }),
    pagination: { style: 'offset', at: 'query', param: 'offset', pageSize: 1000, total: 'total_count' },
    items: 'entries',
    id: 'id',
    timestamp: { path: ['modified_at', 'created_at'], format: 'iso8601' },
    filter: 'client',
    skipParentOn: ['not_found'],
    limits: 'Only comments on files that changed in the window.',
  },
]

/** Only to see where the next page begins. */
const labPositions: LabPages = {
  offset: ({ query }) => Number(query.stream_position ?? 0),
  next: (body, offset) => {
    if (offset !== undefined) body.next_stream_position = offset
    return undefined
  },
}

/**
 * Box: OAuth 2.0 authorization code.
 *
 * A code lives 30 seconds. Access tokens live 3600 seconds; a refresh token lives 60 days and works once, without a grace period: a lost
 * answer means connecting again. Revoking either ends the pair.
 *
 * @see {@link https://developer.box.com/guides/authentication/oauth2/without-sdk/ | Box, OAuth 2.0} (read 2026-11-20)
 * @see {@link https://developer.box.com/guides/authentication/tokens/refresh/ | Box, refresh a token} (read 2026-11-20)
 * @see {@link https://developer.box.com/guides/api-calls/permissions-and-errors/rate-limits/ | Box, rate limits} (read 2026-11-20)
 */
export const box = defineProvider({
  id: 'box',
  name: 'Box',
  category: 'files',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://account.box.com/api/oauth2/authorize',
    tokenURL: 'https://api.box.com/oauth2/token',
    clientAuth: 'body',
    // Neither the description nor the guides know it.
    pkce: 'never',
    scopes: [
      { scope: 'root_readonly', why: 'account, files, folders, recent items, comments, and the events of the person' },
      {
        scope: 'manage_enterprise_properties',
        why: 'events of the whole enterprise, up to a year back',
        optional: 'Only an administrator of the enterprise can use it, and it lets the app change enterprise settings.',
      },
    ],
    refreshToken: 'rotating',
    accessTokenSeconds: 3600,
    refreshIdleSeconds: 5_184_000,
    tokens: {
      default: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in' },
    },
    revocation: {
      method: 'POST',
      url: 'https://api.box.com/oauth2/revoke',
      form: { client_id: '{client_id}', client_secret: '{client_secret}', token: '{token}' },
      auth: 'none',
      token: 'refresh',
    },
  },
  identity: {
    request: get('users/me', { fields: 'id,name,login,enterprise' }),
    accountId: 'id',
    accountName: 'name',
    email: 'login',
  },
  api: {
    baseURL: 'https://api.box.com/2.0',
    headers: { accept: 'application/json' },
    errors,
    rateLimit: { requests: 1000, perSeconds: 60 },
  },
  resources,
  lab: {
    items: {
      recent_items: ({ item, pick: draw }) => ({
        type: 'recent_item',
        interaction_type: ['item_preview', 'item_upload', 'item_modify'][draw(3)],
        item: { ...(item.item as object), type: 'file', name: `Report ${draw(100, 1)}.pdf` },
      }),
      folders: () => ({ type: 'folder' }),
      files: ({ pick: draw }) => ({ type: 'file', comment_count: draw(3) }),
      events: () => ({ type: 'event', event_type: 'ITEM_UPLOAD' }),
      enterprise_events: () => ({ type: 'event', event_type: 'LOGIN' }),
      comments: () => ({ type: 'comment' }),
    },
    pages: { events: labPositions, enterprise_events: labPositions },
  },
  guide: {
    setup: [
      'Open https://app.box.com/developers/console and create a platform app with User Authentication (OAuth 2.0); the method cannot be changed later.',
      'On the Configuration tab add the redirect URI: https, or http for localhost and loopback addresses.',
      'Under Application Scopes tick reading all files and folders.',
      'Copy client ID and client secret from OAuth 2.0 Credentials into BOX_CLIENT_ID and BOX_CLIENT_SECRET.',
      'An administrator of the enterprise may have to allow the app before its people can connect it.',
    ],
    sources: [
      'https://developer.box.com/guides/authentication/oauth2/oauth2-setup/ (read 2026-11-20)',
      'https://developer.box.com/guides/authentication/oauth2/without-sdk/ (read 2026-11-20)',
      'https://developer.box.com/guides/authentication/tokens/refresh/ (read 2026-11-20)',
      'https://developer.box.com/guides/api-calls/permissions-and-errors/rate-limits/ (read 2026-11-20)',
      'https://developer.box.com/guides/events/user-events/for-user/ (read 2026-11-20)',
      'https://developer.box.com/reference/get-recent-items (read 2026-11-20)',
      'https://github.com/box/box-openapi (read 2026-11-20)',
    ],
    limits: [
      'Box keeps the events of a person for two weeks to two months; three months of events need an administrator and the scope manage_enterprise_properties.',
      'Recent items reach back 90 days, or 1,000 items.',
      'Box filters files by no date: the whole folder tree is read, which counts against the monthly calls of the plan.',
      'Comments are read for files that changed in the window.',
      'Enterprises with a sign-in host of their own (Box Verified Enterprise) are not covered.',
    ],
  },
  deviations: {
    'backfill.folders':
      'Extra resource: the folder tree that the sheet describes in the notes of files, so that every folder is entered whatever its date.',
    'backfill.enterprise_events':
      'Extra resource: the event history of the enterprise, which the sheet names in the notes of events.',
    'backfill.events.pagination.style':
      'Custom: a position that does not change is the end too, and a number too long for JavaScript can repeat events.',
  },
})

/** Box for Passport apps. */
export class BoxStrategy extends strategyClass(box) {}
