import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource, STANDARD_TOKEN } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pickString } from './template.js'

// Some say `{ error: 'NOT_FOUND' }`, some `{ error: { type } }`, limits `{ errors: [{ error }] }`.
const code = ['error.type', 'errors.0.error', 'error']

const errors: ErrorRules = {
  code,
  codes: {
    AUTHENTICATION_REQUIRED: 'expired',
    INVALID_PERMISSIONS: 'permission',
    // The base or table is gone, or was not picked on the consent screen: the two look the same.
    INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND: 'permission',
    NOT_FOUND: 'not_found',
    MODEL_ID_NOT_FOUND: 'not_found',
    TABLE_NOT_FOUND: 'not_found',
    LIST_RECORDS_ITERATOR_NOT_AVAILABLE: 'cursor_expired',
    INVALID_OFFSET_VALUE: 'cursor_expired',
    INVALID_FILTER_BY_FORMULA: 'invalid',
    RATE_LIMIT_REACHED: 'rate_limited',
    // The calls of the month are used up.
    PUBLIC_API_BILLING_LIMIT_EXCEEDED: 'rate_limited',
  },
  // No call succeeds in the 30 seconds after a refused one, and mostly no header says so.
  retryAfterSeconds: ({ body }) => {
    const said = pickString(body, code)
    if (said === 'PUBLIC_API_BILLING_LIMIT_EXCEEDED') return 86_400
    // An answer that names no code comes from the network in front: it may be a limit too.
    return said === undefined || said === 'RATE_LIMIT_REACHED' ? 30 : undefined
  },
}

const get = getFrom('https://api.airtable.com/v0')
const pages = { style: 'cursor', at: 'query', param: 'offset', next: 'offset' } as const

// A copied base can repeat the ids of its tables, records and comments: the id of the base is part of theirs.
const resources: readonly Resource[] = [
  {
    name: 'bases',
    request: get('meta/bases'),
    pagination: pages,
    items: 'bases',
    id: 'id',
    filter: 'none',
    limits: 'Only the bases that the person picked on the consent screen.',
  },
  {
    // With their fields, whose ids the records use.
    name: 'tables',
    parent: 'bases',
    parentFilter: (base) => base.permissionLevel !== 'none',
    request: get('meta/bases/{parent.id}/tables'),
    pagination: { style: 'none' },
    items: 'tables',
    id: ['parent:id', 'id'],
    filter: 'none',
    skipParentOn: ['not_found'],
  },
  {
    name: 'records',
    parent: 'tables',
    request: get('{parent.parent.id}/{parent.id}', {
      pageSize: '100',
      filterByFormula: "IS_AFTER(LAST_MODIFIED_TIME(), '{since.iso8601}')",
      'recordMetadata[]': 'commentCount',
      returnFieldsByFieldId: 'true',
    }),
    pagination: pages,
    items: 'records',
    id: ['parent:parent.id', 'id'],
    // When it was changed is asked for, but not told.
    timestamp: { path: 'createdTime', format: 'iso8601' },
    filter: 'server',
    overlapSeconds: 60,
    // The formula works, but no page promises it for every table: one that refuses it is passed over, and the receipt says so.
    skipParentOn: ['not_found', 'invalid'],
    limits:
      'By the last edit of a person or app: values that are only computed anew do not count. Deleted records are not found.',
  },
  {
    name: 'comments',
    parent: 'records',
    parentFilter: (record) => Number(record.commentCount) > 0,
    request: get('{parent.parent.parent.id}/{parent.parent.id}/{parent.id}/comments', { pageSize: '100' }),
    pagination: pages,
    items: 'comments',
    id: ['parent:parent.parent.id', 'id'],
    timestamp: { path: ['lastUpdatedTime', 'createdTime'], format: 'iso8601' },
    // Newest first, but by creation: an older one that was edited stands behind, so all are looked at.
    filter: 'client',
    skipParentOn: ['not_found'],
    limits: 'Of records changed in the window: a new comment does not count as a change of its record.',
  },
]

/**
 * Airtable: OAuth 2.0 authorization code with PKCE, client by HTTP Basic; the person picks bases or workspaces on the consent screen.
 *
 * Access tokens live 3600 seconds, refresh tokens 60 days and for one refresh, which ends the pair before at once. Using a refresh token
 * again can end the whole grant.
 *
 * @see {@link https://airtable.com/developers/web/api/oauth-reference | Airtable, OAuth reference} (read 2026-11-20)
 * @see {@link https://airtable.com/developers/web/api/list-records | Airtable, list records} (read 2026-11-20)
 */
export const airtable = defineProvider({
  id: 'airtable',
  name: 'Airtable',
  category: 'database',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://airtable.com/oauth2/v1/authorize',
    tokenURL: 'https://airtable.com/oauth2/v1/token',
    clientAuth: 'basic',
    pkce: 'always',
    scopes: [
      { scope: 'user.email:read', why: 'email address of who connected; without it only an id is known' },
      { scope: 'schema.bases:read', why: 'list of bases and their tables' },
      { scope: 'data.records:read', why: 'records' },
      { scope: 'data.recordComments:read', why: 'comments on records' },
    ],
    refreshToken: 'rotating',
    accessTokenSeconds: 3600,
    refreshIdleSeconds: 5_184_000,
    tokens: { default: { ...STANDARD_TOKEN, refreshExpiresIn: 'refresh_expires_in' } },
  },
  identity: {
    request: get('meta/whoami'),
    accountId: 'id',
    accountName: ['email', 'id'],
    email: 'email',
  },
  api: {
    baseURL: 'https://api.airtable.com/v0',
    errors,
    // For each base, of everybody together. Bases are read one after another.
    rateLimit: { requests: 5, perSeconds: 1 },
  },
  resources,
  lab: {
    items: {
      bases: () => ({ permissionLevel: 'create' }),
      records: ({ pick }) => ({ commentCount: pick(3) === 0 ? 2 : 0 }),
    },
  },
  guide: {
    setup: [
      'Open https://airtable.com/create/oauth and register a new OAuth integration.',
      'Enter the redirect URI: https, or http for localhost.',
      'Tick the four read scopes listed here.',
      'Fill in support email, privacy policy and terms of service: until then only your own account can connect.',
      'Copy the client ID into AIRTABLE_CLIENT_ID, generate a client secret, and copy it into AIRTABLE_CLIENT_SECRET at once.',
    ],
    sources: [
      'https://airtable.com/developers/web/api/oauth-reference (read 2026-11-20)',
      'https://airtable.com/developers/web/api/list-records (read 2026-11-20)',
      'https://airtable.com/developers/web/api/introduction (read 2026-11-20)',
      'https://support.airtable.com/articles/2111090641-airtable-api-common-troubleshooting (read 2026-11-20)',
    ],
    limits: [
      'Only the bases that the person picked on the consent screen.',
      'A record says when it was created, not when it was changed: the window goes by its last edit, its time is that of its creation.',
      'Values that are only computed anew, deleted records, and comments on records without another change are not found.',
      'Airtable answers 5 calls a second for each base, and only so many a month on the Free and Team plans.',
    ],
  },
  deviations: {
    'backfill.tables.id': 'Ids are those of the base too, which a copied base can repeat: base id and id.',
    'backfill.records.id': 'See backfill.tables.id.',
    'backfill.comments.id': 'See backfill.tables.id.',
  },
})

/** Airtable for Passport apps. */
export class AirtableStrategy extends strategyClass(airtable) {}
