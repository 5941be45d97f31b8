import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type PageAnswer, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

/** The token is good, but the person did not tick this workspace, or has left it. */
const otherWorkspace = /^OAUTH_0(?:23|26|27|29|3\d|4[0-5])$/

const errors: ErrorRules = {
  code: ['ECODE'],
  codes: {
    OAUTH_017: 'revoked',
    OAUTH_019: 'revoked',
    OAUTH_021: 'revoked',
    OAUTH_025: 'revoked',
    APP_002: 'rate_limited',
    // Time tracking that the plan does not have looks like a workspace that is not there.
    TIMEENTRY_052: 'permission',
  },
  // Tokens have no end and cannot be refreshed. The single codes are known in part only: where 401 does not speak of the token, it is about
  // what was asked for.
  classify: ({ status, body }) => {
    const code = String(pick(body, 'ECODE') ?? '')
    if (otherWorkspace.test(code)) return 'permission'
    if (status === 401) return code === '' || code.startsWith('OAUTH_') ? 'revoked' : 'permission'
    const aboutPlan = /\b(plan|upgrade|feature)\b/i.test(String(pick(body, 'err') ?? ''))
    return status === 400 && aboutPlan ? 'permission' : undefined
  },
}

const clientCodes = ['OAUTH_007', 'OAUTH_010']

const tokenErrors: ErrorRules = {
  code: ['ECODE'],
  codes: { OAUTH_007: 'client', OAUTH_010: 'client' },
  // Everything else that OAUTH_ codes say here is about the authorization code.
  classify: ({ body }) => {
    const code = String(pick(body, 'ECODE') ?? '')
    return code.startsWith('OAUTH_') && !clientCodes.includes(code) ? 'revoked' : undefined
  },
}

const get = getFrom('https://api.clickup.com/api/v2')

const COMMENTS_OF_A_PAGE = 25

/** Date and id of the oldest comment so far. */
export function nextComments({ items }: Pick<PageAnswer, 'items'>): { state: unknown } | undefined {
  const last = items.at(-1)
  const start = pick(last, 'date')
  const id = pick(last, 'id')
  if (items.length < COMMENTS_OF_A_PAGE || start === undefined || id === undefined) return undefined
  return { state: { start: String(start), start_id: String(id) } }
}

const commentDate = { path: 'date', format: 'unix_ms' } as const

const resources: readonly Resource[] = [
  {
    name: 'workspaces',
    // The API calls them teams. Only those that the person ticked; their members come along.
    request: get('team'),
    pagination: { style: 'none' },
    items: 'teams',
    id: 'id',
    filter: 'none',
  },
  {
    name: 'tasks',
    parent: 'workspaces',
    request: get('team/{parent.id}/task', {
      page: '0',
      order_by: 'updated',
      date_updated_gt: '{since.unix_ms}',
      include_closed: 'true',
      subtasks: 'true',
    }),
    // The whole workspace's list may not say which page is the last: then a short one is.
    pagination: { style: 'page', at: 'query', param: 'page', start: 0, pageSize: 100, last: 'last_page' },
    items: 'tasks',
    id: 'id',
    timestamp: { path: 'date_updated', format: 'unix_ms' },
    filter: 'server',
    // Strictly later than what is asked for, and known to the millisecond.
    overlapSeconds: 0.001,
    limits: 'Tasks that the person may see. Archived ones are not read.',
  },
  {
    name: 'comments',
    parent: 'tasks',
    request: get('task/{parent.id}/comment'),
    pagination: {
      style: 'custom',
      next: nextComments,
      apply: (request, state) => ({ ...request, query: state as Record<string, string> }),
    },
    items: 'comments',
    id: 'id',
    timestamp: commentDate,
    filter: 'client',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits: 'One call for each task changed in the window. A comment that is edited later is not read again.',
  },
  {
    name: 'comment_replies',
    parent: 'comments',
    parentFilter: (comment) => Number(comment.reply_count) > 0,
    request: get('comment/{parent.id}/reply'),
    pagination: { style: 'none' },
    items: 'comments',
    id: 'id',
    timestamp: commentDate,
    filter: 'client',
    skipParentOn: ['not_found'],
    limits: 'New replies to a comment from before the window are not found.',
  },
  {
    name: 'time_entries',
    parent: 'workspaces',
    request: get('team/{parent.id}/time_entries', {
      start_date: '{since.unix_ms}',
      end_date: '{now.unix_ms}',
      include_location_names: 'true',
    }),
    pagination: { style: 'none' },
    items: 'data',
    id: 'id',
    timestamp: { path: 'at', format: 'unix_ms' },
    filter: 'server',
    // Whether one answer reaches over more than 30 days is disputed.
    sliceDays: 30,
    limits:
      'Only the entries of the person who connected. The window goes by the start of an entry: one that is stopped or corrected after it was read is not read again.',
  },
]

/**
 * ClickUp: OAuth 2.0 authorization code without scopes; the person ticks workspaces on the consent screen.
 *
 * Access tokens do not end and there is no refresh token. Who authorizes the same app again gets the same token, and the workspaces ticked
 * last are those of all its holders: so one person is one connection.
 *
 * @see {@link https://developer.clickup.com/docs/authentication | ClickUp, authentication} (read 2026-11-20)
 * @see {@link https://developer.clickup.com/docs/rate-limits | ClickUp, rate limits} (read 2026-11-20)
 * @see {@link https://developer.clickup.com/reference/getfilteredteamtasks | ClickUp, tasks of a workspace} (read 2026-11-20)
 */
export const clickup = defineProvider({
  id: 'clickup',
  name: 'ClickUp',
  category: 'tasks',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://app.clickup.com/api',
    tokenURL: 'https://api.clickup.com/api/v2/oauth/token',
    clientAuth: 'body',
    // Not described anywhere.
    pkce: 'never',
    scopes: [],
    refreshToken: 'none',
    tokens: { default: { accessToken: 'access_token' } },
    errors: tokenErrors,
  },
  identity: {
    request: get('user'),
    accountId: 'user.id',
    accountName: ['user.username', 'user.email'],
    email: 'user.email',
  },
  api: {
    baseURL: 'https://api.clickup.com/api/v2',
    headers: { accept: 'application/json' },
    errors,
    // Of most plans; answers say when nothing is left.
    rateLimit: { requests: 100, perSeconds: 60 },
  },
  resources,
  lab: {
    items: {
      // The id says how many comments come before the next page, so that the lab can read it back.
      comments: ({ index, count, item, pick }) => ({
        id: `${item.id}-${count - index}`,
        comment_text: 'Looks good.',
        reply_count: pick(4) === 0 ? 2 : 0,
      }),
    },
    pages: {
      comments: {
        offset: ({ query }) => Number(query.start_id?.split('-').at(-1) ?? 0),
        // Nothing says it: the last comment of the page is where the next begins.
        next: () => undefined,
      },
    },
  },
  grant: 'exclusive',
  guide: {
    setup: [
      'As an owner or administrator of a ClickUp workspace open Settings, ClickUp API (or Apps).',
      'Choose Create an App, give it a name and the redirect URI.',
      'Copy client ID and client secret into CLICKUP_CLIENT_ID and CLICKUP_CLIENT_SECRET.',
      'There are no scopes to choose: people pick workspaces on the consent screen.',
    ],
    sources: [
      'https://developer.clickup.com/docs/authentication (read 2026-11-20)',
      'https://developer.clickup.com/docs/rate-limits (read 2026-11-20)',
      'https://developer.clickup.com/reference/getaccesstoken (read 2026-11-20)',
      'https://developer.clickup.com/reference/getfilteredteamtasks (read 2026-11-20)',
      'https://clickup.com/api/clickupreference/operation/Gettimeentrieswithinadaterange/ (read 2026-11-20)',
      'https://clickup.com/api/developer-portal/general-errorhandling/ (read 2026-11-20)',
    ],
    limits: [
      'Only the workspaces that the person ticked, and in them what the person may see; archived tasks are not read.',
      'Comments need one call for each changed task: at 100 calls a minute (most plans) this takes long.',
      'Only the time entries of the person who connected, that start in the window.',
      'ClickUp keeps one grant per person and app, so one person is one connection: a second tenant is refused.',
    ],
  },
  deviations: {
    'backfill.tasks.params.reverse':
      'Left out: by what is observed the list then begins with the newest, so that an edit between two pages moves a task to the front, and no page passes over one.',
    'backfill.comment_replies':
      'Extra resource: the replies that the sheet names in its notes on comments, which ClickUp lists apart.',
  },
})

/** ClickUp for Passport apps. */
export class ClickUpStrategy extends strategyClass(clickup) {}
