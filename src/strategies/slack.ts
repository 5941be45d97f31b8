import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'

/** Slack answers 200 with `ok: false`; the status alone says nothing. */
const failed = (body: unknown) => (body as { ok?: unknown } | null)?.ok === false

const errors: ErrorRules = {
  code: ['error'],
  codes: {
    // With token rotation on, an access token that ended may show as either; the refresh then tells the truth.
    token_expired: 'expired',
    invalid_auth: 'expired',
    not_authed: 'expired',
    token_revoked: 'revoked',
    account_inactive: 'account_gone',
    user_removed_from_team: 'account_gone',
    team_not_found: 'account_gone',
    missing_scope: 'scope',
    no_permission: 'permission',
    not_allowed_token_type: 'permission',
    access_denied: 'permission',
    not_in_channel: 'permission',
    channel_not_found: 'not_found',
    thread_not_found: 'not_found',
    message_not_found: 'not_found',
    ekm_access_denied: 'admin',
    org_login_required: 'admin',
    team_access_not_granted: 'admin',
    accesslimited: 'admin',
    enterprise_is_restricted: 'admin',
    two_factor_setup_required: 'admin',
    ratelimited: 'rate_limited',
    rate_limited: 'rate_limited',
    invalid_cursor: 'cursor_expired',
    internal_error: 'unavailable',
    fatal_error: 'unavailable',
    service_unavailable: 'unavailable',
    request_timeout: 'unavailable',
    team_added_to_org: 'unavailable',
  },
  failed,
}

const tokenErrors: ErrorRules = {
  code: ['error'],
  codes: {
    invalid_code: 'revoked',
    code_already_used: 'revoked',
    code_expired: 'revoked',
    invalid_refresh_token: 'revoked',
    token_revoked: 'revoked',
    // Said to a revocation, these mean that a living token has to be fetched first: the grant outlives its access token.
    token_expired: 'expired',
    invalid_auth: 'expired',
    account_inactive: 'account_gone',
    bad_redirect_uri: 'client',
    redirect_uri_mismatch: 'client',
    invalid_client_id: 'client',
    bad_client_secret: 'client',
    ratelimited: 'rate_limited',
    internal_error: 'unavailable',
    fatal_error: 'unavailable',
    service_unavailable: 'unavailable',
  },
  failed,
}

const get = getFrom('https://slack.com/api', { limit: '200' })
// A page can be shorter than the limit, even empty, while a cursor still follows.
const cursor = { style: 'cursor', at: 'query', param: 'cursor', next: 'response_metadata.next_cursor' } as const
const reducedLimits =
  'Apps that are sold to others and not in the Slack Marketplace get 1 request a minute with 15 messages each; the history then takes long.'
const freePlan = 'Slack shows the last 90 days only of a workspace on the free plan.'

const resources: readonly Resource[] = [
  {
    name: 'channels',
    request: get('users.conversations', {
      types: 'public_channel,private_channel,mpim,im',
      exclude_archived: 'false',
    }),
    pagination: cursor,
    items: 'channels',
    id: 'id',
    timestamp: { path: 'updated', format: 'unix_ms' },
    filter: 'none',
    rateLimit: { requests: 20, perSeconds: 60 },
    limits: 'Only conversations that the person who connected is a member of.',
  },
  {
    name: 'users',
    request: get('users.list', {}),
    pagination: cursor,
    items: 'members',
    id: 'id',
    timestamp: { path: 'updated', format: 'unix' },
    filter: 'none',
    scopes: ['users:read'],
    rateLimit: { requests: 20, perSeconds: 60 },
  },
  {
    name: 'messages',
    parent: 'channels',
    request: get('conversations.history', {
      channel: '{parent.id}',
      oldest: '{since.unix}',
      inclusive: 'true',
    }),
    pagination: { ...cursor, more: 'has_more' },
    items: 'messages',
    id: ['parent:id', 'ts'],
    timestamp: { path: 'ts', format: 'unix' },
    filter: 'server',
    order: 'desc',
    skipParentOn: ['not_found'],
    rateLimit: { requests: 50, perSeconds: 60 },
    limits: `${freePlan} ${reducedLimits}`,
  },
  {
    name: 'thread_replies',
    parent: 'messages',
    parentFilter: (message) => Number(message.reply_count) > 0,
    request: get('conversations.replies', {
      channel: '{parent.parent.id}',
      ts: '{parent.thread_ts}',
      oldest: '{since.unix}',
    }),
    pagination: { ...cursor, more: 'has_more' },
    items: 'messages',
    // The first item is the parent message again; it is a record of `messages` already.
    itemFilter: (message) => message.ts !== message.thread_ts,
    id: ['parent:parent.id', 'ts'],
    timestamp: { path: 'ts', format: 'unix' },
    filter: 'server',
    order: 'asc',
    skipParentOn: ['not_found'],
    rateLimit: { requests: 50, perSeconds: 60 },
    limits: `New replies to a thread that began before the window are not found. ${reducedLimits}`,
  },
]

/**
 * Slack: OAuth 2.0 authorization code with user scopes; the user token stands in `authed_user`, a bot token at the root.
 *
 * With token rotation switched on in the app, access tokens live 43,200 seconds and refresh tokens are single-use; bot and user
 * token rotate separately, and the answer of a refresh has its tokens at the root. Without it, tokens do not end and there is
 * nothing to refresh. PKCE turns an app into a public client for good, so it is sent only when the host says so.
 *
 * @see {@link https://docs.slack.dev/authentication/installing-with-oauth | Slack, installing with OAuth} (read 2026-11-20)
 * @see {@link https://docs.slack.dev/authentication/using-token-rotation | Slack, token rotation} (read 2026-11-20)
 * @see {@link https://docs.slack.dev/apis/web-api/rate-limits | Slack, rate limits} (read 2026-11-20)
 */
export const slack = defineProvider({
  id: 'slack',
  name: 'Slack',
  category: 'chat',
  env: [
    {
      name: 'SLACK_BOT_SCOPES',
      why: 'Bot scopes, comma-separated, when the app needs a bot token besides the user token.',
      required: false,
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://slack.com/oauth/v2/authorize',
    tokenURL: 'https://slack.com/api/oauth.v2.access',
    clientAuth: 'basic',
    pkce: 'optIn',
    // A user token reads what its person sees; a bot only what it was added to, so that a fresh bot has no history.
    scopeParam: 'user_scope',
    scopeSeparator: ',',
    scopes: [
      { scope: 'channels:read', why: 'list public channels' },
      { scope: 'groups:read', why: 'list private channels the person is in' },
      { scope: 'im:read', why: 'list direct messages' },
      { scope: 'mpim:read', why: 'list group direct messages' },
      { scope: 'channels:history', why: 'read messages of public channels' },
      { scope: 'groups:history', why: 'read messages of private channels' },
      { scope: 'im:history', why: 'read direct messages' },
      { scope: 'mpim:history', why: 'read group direct messages' },
      { scope: 'users:read', why: 'list members, for the names of authors' },
      { scope: 'users:read.email', why: 'email addresses of members; leave it out when they are not needed' },
    ],
    authorizationParams: { scope: '{env.SLACK_BOT_SCOPES}' },
    refreshToken: 'rotating',
    tokens: {
      user: {
        accessToken: 'authed_user.access_token',
        refreshToken: 'authed_user.refresh_token',
        expiresIn: 'authed_user.expires_in',
        scope: 'authed_user.scope',
      },
      bot: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in', scope: 'scope' },
    },
    refreshTokens: {
      accessToken: ['authed_user.access_token', 'access_token'],
      refreshToken: ['authed_user.refresh_token', 'refresh_token'],
      expiresIn: ['authed_user.expires_in', 'expires_in'],
      scope: ['authed_user.scope', 'scope'],
    },
    params: { team_id: 'team.id', enterprise_id: 'enterprise.id', app_id: 'app_id', bot_user_id: 'bot_user_id' },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://slack.com/api/auth.revoke',
      headers: { authorization: 'Bearer {token}' },
      form: {},
      auth: 'none',
      token: 'access',
      // The bot is one for the whole workspace: without its token it would be gone for everybody who connected there.
      only: ['user'],
    },
  },
  identity: {
    request: { method: 'POST', url: 'https://slack.com/api/auth.test', form: {} },
    accountId: 'team_id',
    accountName: 'team',
    // The token acts as a person: a colleague in the same workspace is another connection.
    keyParts: ['user_id'],
  },
  api: {
    baseURL: 'https://slack.com/api',
    errors,
    rateLimit: { requests: 100, perSeconds: 60 },
  },
  resources,
  lab: {
    items: {
      messages: ({ index, item, pick }) => ({
        type: 'message',
        user: `U${pick(8) + 1}`,
        // Every tenth message began a thread.
        ...(index % 10 === 3 && { thread_ts: item.ts, reply_count: 2 + pick(5) }),
      }),
      // The first item is the parent message again.
      thread_replies: ({ index, parent, pick }) =>
        index === 0 && parent
          ? { ...parent }
          : { type: 'message', user: `U${pick(8) + 1}`, thread_ts: parent?.thread_ts },
    },
  },
  // Without rotation Slack hands a person the same token again: revoking it for one connection would end the other.
  grant: 'shared',
  guide: {
    setup: [
      'Open https://api.slack.com/apps, create an app from scratch, and choose a workspace to develop in.',
      'Under Basic Information copy the client ID and the client secret into SLACK_CLIENT_ID and SLACK_CLIENT_SECRET.',
      'Under OAuth & Permissions add the redirect URI (https) and save it.',
      'On the same page add the user token scopes listed here. Bot token scopes are needed only when SLACK_BOT_SCOPES is set.',
      'To let tokens expire, switch token rotation on in the app manifest. It cannot be switched off again.',
      'Activate public distribution to connect other workspaces than your own.',
    ],
    sources: [
      'https://docs.slack.dev/authentication/installing-with-oauth (read 2026-11-20)',
      'https://docs.slack.dev/authentication/using-token-rotation (read 2026-11-20)',
      'https://docs.slack.dev/authentication/using-pkce (read 2026-11-20)',
      'https://docs.slack.dev/reference/methods/conversations.history (read 2026-11-20)',
      'https://docs.slack.dev/apis/web-api/rate-limits (read 2026-11-20)',
      'https://docs.slack.dev/changelog/2025-05-terms-rate-limit-update-and-faq (read 2026-11-20)',
    ],
    limits: [
      'A user token reads the conversations its person is a member of, nothing else.',
      freePlan,
      reducedLimits,
      'Edits and deletions of messages that were read before are not found.',
      'The app has to be installed in a workspace: an installation for a whole Enterprise Grid organization is not read.',
      'With SLACK_BOT_SCOPES the bot stays in the workspace when a connection is removed: an administrator removes the app there.',
    ],
  },
  deviations: {
    'auth.authorization_params.scope':
      'Extra parameter: bot scopes beside the user scopes, sent only when SLACK_BOT_SCOPES is set (the sheet names both parameters under quirks).',
    'env.SLACK_BOT_SCOPES': 'Extra variable, see auth.authorization_params.scope.',
    'auth.token_params.grant_type': 'The machinery sends grant_type=authorization_code with every code exchange.',
    'backfill.messages.id':
      'A ts is unique only inside its channel (the sheet says so in its notes): channel id and ts.',
    'backfill.thread_replies.id': 'A ts is unique only inside its channel: channel id and ts.',
  },
})

/** Slack for Passport apps. */
export class SlackStrategy extends strategyClass(slack) {}
