import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type RequestTemplate, type Resource } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

/** First tags of `error_summary`, which goes on with more of them, or with a few dots that mean nothing. */
const kinds: readonly [RegExp, 'expired' | 'scope' | 'permission' | 'account_gone' | 'not_found' | 'cursor_expired'][] =
  [
    // A refresh decides: where the app was unlinked, it is refused too.
    [/^(expired|invalid)_access_token\b/, 'expired'],
    [/^missing_scope\b/, 'scope'],
    [/^user_suspended\b/, 'account_gone'],
    [/^(no_permission|route_access_denied|invalid_account_type|(paper|team)_access_denied)\b/, 'permission'],
    [/^(user_error\/|access_error\/)?email_(not_verified|unverified)\b/, 'permission'],
    [/^path\/restricted_content\b/, 'permission'],
    [/^path\/not_(found|file|folder)\b/, 'not_found'],
    [/^(reset|invalid_cursor)\b/, 'cursor_expired'],
    // The person joined or left a team with a team space: connecting again reads the root anew.
    [/^invalid_root\b/, 'account_gone'],
  ]

const errors: ErrorRules = {
  code: ['error_summary', 'error'],
  classify: ({ body }) => {
    // What was malformed is told in plain text, a scope that the app itself lacks as well.
    if (typeof body === 'string') return /required scope/.test(body) ? 'scope' : undefined
    const summary = pick(body, 'error_summary')
    return typeof summary === 'string' ? kinds.find(([pattern]) => pattern.test(summary))?.[1] : undefined
  },
  retryAfterSeconds: ({ body }) => {
    const seconds = pick(body, 'error.retry_after')
    return typeof seconds === 'number' ? seconds : undefined
  },
}

/** Nearly everything is a POST. Without arguments it has no body and no Content-Type: an empty body with one is refused. */
const post = (path: string, json?: RequestTemplate['json']): RequestTemplate => ({
  method: 'POST',
  url: `https://api.dropboxapi.com/2/${path}`,
  json,
})
const cursor = { style: 'cursor', at: 'json', param: 'cursor', next: 'cursor' } as const
const continued = (path: string) =>
  ({ ...cursor, continueURL: `https://api.dropboxapi.com/2/${path}/continue` }) as const
const noFilter = 'Dropbox filters by no date: the whole list is read each time.'

const resources: readonly Resource[] = [
  {
    name: 'files',
    title: 'Files and folders',
    request: {
      ...post('files/list_folder', {
        // The root is the empty text, not a slash.
        path: '',
        recursive: true,
        include_deleted: false,
        include_non_downloadable_files: true,
        limit: 2000,
      }),
      headers: { 'dropbox-api-path-root': '{path_root}' },
    },
    pagination: { ...continued('files/list_folder'), more: 'has_more' },
    items: 'entries',
    // What is deleted while the list is read stands on its further pages, without an id.
    itemFilter: (entry) => entry['.tag'] !== 'deleted',
    id: 'id',
    // Folders have no time: all of them are kept.
    timestamp: { path: 'server_modified', format: 'iso8601' },
    filter: 'client',
    limits: `${noFilter} Names, sizes and dates, not what is in a file.`,
  },
  {
    name: 'received_files',
    request: post('sharing/list_received_files', { limit: 300 }),
    pagination: continued('sharing/list_received_files'),
    items: 'entries',
    id: 'id',
    timestamp: { path: 'time_invited', format: 'iso8601' },
    filter: 'client',
    scopes: ['sharing.read'],
    limits: `Single files that others shared and that are not in the own folders. ${noFilter}`,
  },
  {
    name: 'shared_links',
    request: post('sharing/list_shared_links', {}),
    pagination: { ...cursor, more: 'has_more' },
    items: 'links',
    // The id is that of the file, which can have several links.
    id: 'url',
    // A new link to an old file has the time of the file, so that nothing may be dropped by it.
    timestamp: { path: 'server_modified', format: 'iso8601' },
    filter: 'none',
    scopes: ['sharing.read'],
    limits: 'Dropbox tells no date of a link: all links are read, whenever they were made.',
  },
  {
    name: 'shared_folders',
    request: post('sharing/list_folders', { limit: 1000 }),
    pagination: continued('sharing/list_folders'),
    items: 'entries',
    id: 'shared_folder_id',
    timestamp: { path: 'time_invited', format: 'iso8601' },
    filter: 'client',
    scopes: ['sharing.read'],
    limits: noFilter,
  },
]

/**
 * Dropbox: OAuth 2.0 authorization code; the API is remote calls, POST with JSON, whose further pages have an address of their own.
 *
 * `token_access_type=offline` brings a refresh token, which stays the same and has no end. Access tokens live about four hours; revoking
 * one ends its refresh token too. A member of a team with a team space sees the own folder only, unless each call names the root.
 *
 * @see {@link https://www.dropbox.com/lp/developers/reference/oauth-guide | Dropbox, OAuth guide} (read 2026-11-20)
 * @see {@link https://dropbox.tech/developers/using-oauth-2-0-with-offline-access | Dropbox, offline access} (read 2026-11-20)
 * @see {@link https://www.dropbox.com/developers/documentation/http/documentation | Dropbox, HTTP API} (read 2026-11-20)
 */
export const dropbox = defineProvider({
  id: 'dropbox',
  name: 'Dropbox',
  category: 'files',
  derive: ({ root_namespace_id: root }): Record<string, string> =>
    root === undefined ? {} : { path_root: JSON.stringify({ '.tag': 'root', root }) },
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://www.dropbox.com/oauth2/authorize',
    tokenURL: 'https://api.dropboxapi.com/oauth2/token',
    clientAuth: 'basic',
    // Known with public apps; whether a code verifier may stand beside a client secret is not documented.
    pkce: 'optIn',
    scopes: [
      { scope: 'account_info.read', why: 'who connected, and the root folder of a team' },
      { scope: 'files.metadata.read', why: 'list of files and folders' },
      { scope: 'sharing.read', why: 'shared links, shared folders, received files' },
    ],
    authorizationParams: { token_access_type: 'offline' },
    refreshToken: 'static',
    accessTokenSeconds: 14_400,
    params: { account_id: 'account_id', uid: 'uid', team_id: 'team_id' },
    revocation: {
      method: 'POST',
      url: 'https://api.dropboxapi.com/2/auth/token/revoke',
      headers: { authorization: 'Bearer {token}' },
      auth: 'none',
      token: 'access',
    },
  },
  identity: {
    request: post('users/get_current_account'),
    accountId: 'account_id',
    accountName: 'name.display_name',
    email: 'email',
    params: { root_namespace_id: 'root_info.root_namespace_id' },
  },
  api: {
    baseURL: 'https://api.dropboxapi.com/2',
    errors,
  },
  resources,
  lab: {
    items: {
      files: ({ pick: draw }) => ({ '.tag': 'file', size: draw(1_000_000) }),
      shared_links: () => ({ '.tag': 'file' }),
    },
  },
  guide: {
    setup: [
      'Open https://www.dropbox.com/developers/apps and create an app with scoped access and access to the full Dropbox; an app folder would show itself only.',
      'On the Permissions tab tick account_info.read, files.metadata.read and sharing.read and submit, before anybody connects.',
      'On the Settings tab copy the app key into DROPBOX_CLIENT_ID and the app secret into DROPBOX_CLIENT_SECRET.',
      'There add the redirect URI: https, or http for localhost and 127.0.0.1.',
      'Apply for production status before more than a few users connect: in development an app can link a limited number of them.',
    ],
    sources: [
      'https://www.dropbox.com/lp/developers/reference/oauth-guide (read 2026-11-20)',
      'https://dropbox.tech/developers/using-oauth-2-0-with-offline-access (read 2026-11-20)',
      'https://www.dropbox.com/developers/documentation/http/documentation (read 2026-11-20)',
      'https://github.com/dropbox/dropbox-api-spec (read 2026-11-20)',
    ],
    limits: [
      'Names, sizes and dates of files; what is in them, and their older versions, are not read.',
      'Dropbox filters by no date and folders have none: the whole tree is listed, and files are kept by their last change.',
      'Deleted files are not listed.',
      'Someone who joins or leaves a team with a team space has to connect again.',
    ],
  },
})

/** Dropbox for Passport apps. */
export class DropboxStrategy extends strategyClass(dropbox) {}
