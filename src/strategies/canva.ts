import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'
import { unlessRefused } from './unless-refused.js'

const errors: ErrorRules = {
  code: ['code', 'error'],
  codes: {
    invalid_access_token: 'expired',
    // A refresh decides: where the consent was withdrawn, it is refused too.
    revoked_access_token: 'expired',
    missing_scope: 'scope',
    permission_denied: 'permission',
    not_found: 'not_found',
    too_many_requests: 'rate_limited',
    internal_error: 'unavailable',
  },
  classify: ({ status, body }) =>
    status === 400 && /continuation/i.test(String(pick(body, 'message') ?? '')) ? 'cursor_expired' : undefined,
  // No header tells: limits are counted by the minute.
  retryAfterSeconds: ({ body }) => (pick(body, 'code') === 'too_many_requests' ? 60 : undefined),
}

/** The description has two shapes, {error} and {code}, with the same values. */
const tokenErrors: ErrorRules = {
  code: ['error', 'code'],
  codes: { too_many_requests: 'rate_limited', internal_error: 'unavailable' },
  classify: ({ body }) => (pick(body, 'code') === 'invalid_grant' ? 'revoked' : undefined),
  retryAfterSeconds: ({ body }) => (pick(body, ['error', 'code']) === 'too_many_requests' ? 60 : undefined),
}

const get = getFrom('https://api.canva.com/rest/v1', { sort_by: 'modified_descending', limit: '100' })
const pages = { style: 'cursor', at: 'query', param: 'continuation', next: 'continuation' } as const
const noSince = 'Canva filters by no date: the list is read from the newest change back to the start of the window.'

/** The id of what lies in a folder stands below its type; it is put beside the type as well. */
function withId(item: Record<string, unknown>): unknown {
  const id = pickString(item, ['design.id', 'image.id', 'folder.id'])
  return id === undefined ? item : { ...item, id }
}

const resources: readonly Resource[] = [
  {
    name: 'designs',
    request: get('designs', { ownership: 'any' }),
    pagination: pages,
    items: 'items',
    id: 'id',
    timestamp: { path: 'updated_at', format: 'unix' },
    filter: 'client',
    order: 'desc',
    limits: `${noSince} What is drawn in a design is not read; addresses of thumbnails end after 15 minutes, others after 30 days.`,
  },
  {
    // A folder is entered whatever its date: what lies in it may be new.
    name: 'folders',
    parent: 'folders',
    roots: [{ id: 'root' }],
    request: get('folders/{parent.id}/items', { item_types: 'folder' }),
    pagination: pages,
    items: 'items',
    unfold: withId,
    id: 'id',
    timestamp: { path: 'folder.updated_at', format: 'unix' },
    filter: 'none',
    skipParentOn: ['not_found'],
  },
  {
    name: 'folder_items',
    title: 'Designs and images in folders',
    parent: 'folders',
    roots: [{ id: 'root' }, { id: 'uploads' }],
    request: get('folders/{parent.id}/items', { item_types: 'design,image' }),
    pagination: pages,
    items: 'items',
    unfold: withId,
    id: 'id',
    timestamp: { path: ['design.updated_at', 'image.updated_at'], format: 'unix' },
    filter: 'client',
    order: 'desc',
    // That uploads can be listed like a folder is not promised: refused, they are passed over, and the receipt says so.
    skipParentOn: ['not_found', 'invalid'],
    limits: `${noSince} Canva lists no videos.`,
  },
  {
    // No `scopes`: without the optional one Canva refuses, and the receipt says so.
    name: 'brand_templates',
    request: get('brand-templates', {}),
    pagination: pages,
    items: 'items',
    id: 'id',
    timestamp: { path: 'updated_at', format: 'unix' },
    filter: 'client',
    order: 'desc',
    limits: `Only on paid plans, and with the scope brandtemplate:meta:read. ${noSince}`,
  },
]

const PROFILE = 'https://api.canva.com/rest/v1/users/me/profile'

/**
 * Canva: OAuth 2.0 authorization code with PKCE, which is mandatory beside the client secret.
 *
 * Access tokens are JWTs of up to 4 KB that live 14,400 seconds; a refresh token works once. Revoking one ends its whole line and the
 * consent. The newest description moves the token endpoint to /auth/v1; /rest/v1 is what the pages and the official samples use.
 *
 * @see {@link https://www.canva.dev/docs/connect/authentication/ | Canva, authentication} (read 2026-11-20)
 * @see {@link https://www.canva.dev/docs/connect/api-reference/authentication/generate-access-token/ | Canva, access tokens} (read 2026-11-20)
 */
export const canva = defineProvider({
  id: 'canva',
  name: 'Canva',
  category: 'design',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://www.canva.com/api/oauth/authorize',
    tokenURL: 'https://api.canva.com/rest/v1/oauth/token',
    clientAuth: 'basic',
    pkce: 'always',
    scopes: [
      { scope: 'profile:read', why: 'display name of the person' },
      { scope: 'design:meta:read', why: 'list and metadata of designs' },
      { scope: 'folder:read', why: 'folders and what lies in them' },
      {
        scope: 'brandtemplate:meta:read',
        why: 'brand templates',
        optional:
          'Brand templates exist on paid plans only, and a scope that is not enabled stops every authorization.',
      },
    ],
    refreshToken: 'rotating',
    accessTokenSeconds: 14_400,
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://api.canva.com/rest/v1/oauth/revoke',
      form: { token: '{token}' },
      auth: 'client_basic',
      token: 'refresh',
    },
  },
  identity: {
    request: { method: 'GET', url: 'https://api.canva.com/rest/v1/users/me' },
    accountId: 'team_user.user_id',
    // One person in two teams is two connections.
    keyParts: ['team_user.team_id'],
    resolve: async ({ body, call }) => {
      const id = pickString(body, 'team_user.user_id')
      // Without profile:read the account has no name; that is no reason to refuse it.
      const profile = await unlessRefused(call({ method: 'GET', url: PROFILE }))
      const name = pickString(profile, 'profile.display_name')
      return { id, name: name ?? (id === undefined ? 'Canva user' : `User ${id}`) }
    },
  },
  api: {
    baseURL: 'https://api.canva.com/rest/v1',
    headers: { accept: 'application/json' },
    errors,
    // Each endpoint has its own; most have this one.
    rateLimit: { requests: 100, perSeconds: 60 },
  },
  resources,
  lab: {
    answers: [
      {
        method: 'GET',
        url: PROFILE,
        body: ({ name }) => ({ profile: { display_name: name } }),
      },
    ],
    items: {
      folders: () => ({ type: 'folder' }),
      folder_items: ({ pick: draw }) => ({ type: draw(3) === 0 ? 'image' : 'design' }),
    },
  },
  grant: 'shared',
  guide: {
    setup: [
      'Open https://www.canva.com/developers/ with an account that has multi-factor sign-in switched on.',
      'Create an integration: Public, which Canva reviews before others than your own team can connect, or Private, for teams on the Enterprise plan.',
      'Copy the client ID, and the secret that is generated and shown only once, into CANVA_CLIENT_ID and CANVA_CLIENT_SECRET.',
      'Under Scopes tick the read scopes listed here: a scope that is asked for and not ticked stops the authorization. A write scope does not include its read scope.',
      'Under Authentication add the redirect URI: https, or http://127.0.0.1 with a port for development; the name localhost is refused.',
    ],
    sources: [
      'https://www.canva.dev/docs/connect/authentication/ (read 2026-11-20)',
      'https://www.canva.dev/docs/connect/api-reference/authentication/generate-access-token/ (read 2026-11-20)',
    ],
    limits: [
      'Metadata of designs, images and folders; what is drawn in them and comments are not read.',
      'Canva filters by no date and tells nothing of what was deleted.',
      'Brand templates need a paid plan and a scope that is not asked for by default.',
      'Canva tells no email address of the person.',
    ],
  },
  deviations: {
    'identity.account_name':
      'The first call has ids only: the name comes from the second call of the sheet, users/me/profile.',
    'backfill.folders':
      'Extra resource: the folder tree apart from its contents, so that a folder is entered whatever its date and the contents are read only back to the start of the window.',
    'backfill.folder_items.params.item_types': 'Folders are the resource folders.',
    'backfill.folder_items.id': 'Stands below the type; unfold puts it beside the type.',
    'backfill.folder_items.updated_at': 'The sheet says <type>.updated_at: that of a design or an image.',
  },
})

/** Canva for Passport apps. */
export class CanvaStrategy extends strategyClass(canva) {}
