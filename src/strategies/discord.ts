import { IntegrationError } from '../errors.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type RequestTemplate, type Resource } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

/** Discord wants this form; calls with another one may meet a page of Cloudflare. */
const AGENT = { 'user-agent': 'DiscordBot (https://www.npmjs.com/package/atom-integrations, 0.1)' } as const

const errors: ErrorRules = {
  code: ['error', 'code'],
  codes: {
    // The general code of a 401 and of much else is 0: the status says more.
    40001: 'expired',
    50014: 'expired',
    50025: 'expired',
    50026: 'scope',
    50001: 'permission',
    50013: 'permission',
    40002: 'permission',
    // The server is gone, or the bot was removed from it.
    10004: 'account_gone',
    10003: 'not_found',
    10008: 'not_found',
    50035: 'invalid',
    110000: 'not_ready',
    130000: 'unavailable',
  },
  // A search that is not indexed yet is answered with 202.
  failed: (body) => pick(body, 'code') === 110000,
  // The body says it too, where a proxy dropped the header; in fractions of a second.
  retryAfterSeconds: ({ body }) => {
    const seconds = Number(pick(body, 'retry_after'))
    return seconds > 0 ? Math.ceil(seconds) : undefined
  },
}

const tokenErrors: ErrorRules = {
  code: ['error'],
  // A refresh token or code that was used before is told as a wrong request (seen in member-gentei/member-gentei#18).
  classify: ({ body }) => {
    if (pick(body, 'error') !== 'invalid_request') return undefined
    const field = /invalid "(\w+)" in request/i.exec(String(pick(body, 'error_description') ?? ''))?.[1]
    if (field === 'refresh_token' || field === 'code') return 'revoked'
    return field === 'redirect_uri' ? 'client' : undefined
  },
}

/** Only the app's own bot can read a server; what it may read was chosen by the person who added it. */
const asBot = (path: string, query?: RequestTemplate['query']): RequestTemplate => ({
  method: 'GET',
  url: `https://discord.com/api/v10/${path}`,
  query,
  headers: { ...AGENT, authorization: 'Bot {env.DISCORD_BOT_TOKEN}' },
  auth: 'app',
})

const typeIn =
  (...types: readonly number[]) =>
  ({ type }: Record<string, unknown>) =>
    types.includes(Number(type))
/** Text, voice, announcement and stage channels. Forums and media channels have messages in their threads only. */
const hasMessages = typeIn(0, 2, 5, 13)
/** Text and announcement channels, forums, media channels. */
const hasThreads = typeIn(0, 5, 15, 16)

function messages(name: string, parent: string, more: Partial<Resource> = {}): Resource {
  return {
    name,
    parent,
    request: asBot('channels/{parent.id}/messages', { limit: '100' }),
    // From the newest back to the window's start: how pages go forward with `after` is not described.
    pagination: { style: 'last_item', at: 'query', param: 'before', field: 'id', pageSize: 100 },
    items: '',
    id: 'id',
    timestamp: { path: 'timestamp', format: 'iso8601' },
    filter: 'client',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits:
      'The text is empty unless the app has the message content intent. A channel that the bot may not read is passed over; without the right to read the history it looks empty. Later edits of old messages are not found.',
    ...more,
  }
}

const resources: readonly Resource[] = [
  {
    name: 'channels',
    request: asBot('guilds/{guildId}/channels'),
    pagination: { style: 'none' },
    items: '',
    id: 'id',
    filter: 'none',
  },
  messages('messages', 'channels', { parentFilter: hasMessages }),
  {
    name: 'active_threads',
    request: asBot('guilds/{guildId}/threads/active'),
    pagination: { style: 'none' },
    items: 'threads',
    id: 'id',
    filter: 'none',
  },
  messages('active_thread_messages', 'active_threads'),
  {
    name: 'archived_threads',
    parent: 'channels',
    parentFilter: hasThreads,
    request: asBot('channels/{parent.id}/threads/archived/public', { limit: '100' }),
    pagination: {
      style: 'last_item',
      at: 'query',
      param: 'before',
      field: 'thread_metadata.archive_timestamp',
      more: 'has_more',
    },
    items: 'threads',
    id: 'id',
    // Nothing was written in a thread after it was archived.
    timestamp: { path: 'thread_metadata.archive_timestamp', format: 'iso8601' },
    filter: 'client',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits: 'Public threads. Archived private ones would need the right to manage threads.',
  },
  messages('archived_thread_messages', 'archived_threads'),
  {
    name: 'members',
    request: asBot('guilds/{guildId}/members', { limit: '1000' }),
    pagination: { style: 'last_item', at: 'query', param: 'after', field: 'user.id', pageSize: 1000 },
    items: '',
    id: 'user.id',
    timestamp: { path: 'joined_at', format: 'iso8601' },
    filter: 'none',
    limits: 'Needs the server members intent of the app. Authors stand in their messages anyway.',
  },
]

/**
 * Discord: OAuth 2.0 authorization code that adds the app's bot to one server; the history is read by the bot.
 *
 * A person's token cannot read messages: it says who connected, and its scope `bot` brings `guild` into the token answer, the server
 * that was chosen. One bot token serves all connections, so it goes out only with the requests of the backfill, which are about that
 * server; a connection's own `fetch()` carries the person's token. Access tokens live 604,800 seconds, refresh tokens work once.
 *
 * All connections of one person are one authorization: revoking a token ends every other one of it, though not the bot's stay in the
 * server. PKCE is described for public clients only, so it is sent when the host says so.
 *
 * @see {@link https://github.com/discord/discord-api-docs/blob/main/developers/topics/oauth2.mdx | Discord, OAuth2} (read 2026-11-20)
 * @see {@link https://github.com/discord/discord-api-docs/blob/main/developers/topics/rate-limits.mdx | Discord, rate limits} (read 2026-11-20)
 * @see {@link https://github.com/discord/discord-api-docs/blob/main/developers/resources/message.mdx | Discord, messages} (read 2026-11-20)
 */
export const discord = defineProvider({
  id: 'discord',
  name: 'Discord',
  category: 'chat',
  env: [
    {
      name: 'DISCORD_BOT_TOKEN',
      why: "Token of the app's bot, which reads channels and messages in the servers it was added to.",
      required: true,
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://discord.com/oauth2/authorize',
    tokenURL: 'https://discord.com/api/oauth2/token',
    clientAuth: 'basic',
    pkce: 'optIn',
    scopes: [
      { scope: 'identify', why: 'who connected' },
      { scope: 'bot', why: "adds the app's bot to the chosen server; only the bot can read channels and messages" },
      {
        scope: 'email',
        why: 'email address of the person who connected',
        optional: 'It is only shown beside the connection.',
      },
      {
        scope: 'guilds',
        why: 'lists the servers of that person, for your own calls',
        optional: 'The token answer names the server that was chosen.',
      },
    ],
    // VIEW_CHANNEL (1024) and READ_MESSAGE_HISTORY (65536).
    authorizationParams: { permissions: '66560', prompt: 'consent' },
    tokenHeaders: AGENT,
    refreshToken: 'rotating',
    accessTokenSeconds: 604_800,
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://discord.com/api/oauth2/token/revoke',
      headers: AGENT,
      form: { token: '{token}', token_type_hint: 'refresh_token' },
      auth: 'client_basic',
      token: 'refresh',
    },
  },
  // `guild_id` on the callback could be anything; what the token answer says decides which server the bot reads.
  afterToken: async ({ token, params }) => {
    // Asked again later, without a token answer: what was kept then counts.
    if (token === undefined) return params
    const guildId = pick(token, 'guild.id')
    if (typeof guildId !== 'string' || !/^\d{1,20}$/.test(guildId))
      throw new IntegrationError('PROVIDER_BAD_RESPONSE', 'Discord: the token answer names no server', {
        provider: 'Discord',
      })
    return { guildId }
  },
  identity: {
    request: { method: 'GET', url: 'https://discord.com/api/v10/users/@me' },
    accountId: 'id',
    // People tell connections apart by the server.
    accountName: ['token:guild.name', 'username'],
    email: 'email',
    keyParts: ['token:guild.id'],
  },
  api: {
    baseURL: 'https://discord.com/api/v10',
    headers: AGENT,
    errors,
    // Half of the 50 a second that all connections of the bot share; what a route allows beyond that, its answers say.
    rateLimit: { requests: 25, perSeconds: 1 },
    concurrency: 2,
  },
  resources,
  lab: {
    items: {
      channels: ({ index }) => ({ type: [0, 5, 2, 4, 15][index % 5] }),
    },
  },
  grant: 'shared',
  grantPer: 'account',
  guide: {
    setup: [
      'Open https://discord.com/developers/applications and create an application.',
      'On the OAuth2 page copy the client ID, reset the secret, and put both into DISCORD_CLIENT_ID and DISCORD_CLIENT_SECRET; add the redirect URI.',
      'On the Bot page reset the token and put it into DISCORD_BOT_TOKEN. Switch the message content intent on, and the server members intent to read members.',
      'On the same page make the bot public and switch on that it requires the OAuth2 code grant.',
      'The person who connects needs the right to manage the chosen server.',
    ],
    sources: [
      'https://github.com/discord/discord-api-docs/blob/main/developers/topics/oauth2.mdx (read 2026-11-20)',
      'https://github.com/discord/discord-api-docs/blob/main/developers/topics/rate-limits.mdx (read 2026-11-20)',
      'https://github.com/discord/discord-api-docs/blob/main/developers/reference.mdx (read 2026-11-20)',
      'https://github.com/discord/discord-api-docs/blob/main/developers/resources/message.mdx (read 2026-11-20)',
      'https://github.com/discord/discord-api-docs/blob/main/developers/resources/channel.mdx (read 2026-11-20)',
      'https://github.com/discord/discord-api-docs/blob/main/developers/resources/guild.mdx (read 2026-11-20)',
      'https://github.com/discord/discord-api-docs/issues/5942 (read 2026-11-20)',
    ],
    limits: [
      'Without the message content intent, which Discord approves for larger apps, messages come without their text.',
      'The channels that the bot may see, and no private archived threads. Direct messages cannot be read.',
      'Edits and deletions of messages that were read before are not found.',
      'The bot stays in the server when a connection is removed: an administrator of the server removes it.',
      'The bot reads on although the person who connected may have left the server meanwhile.',
    ],
  },
  deviations: {
    'identity.account_name':
      'The name of the server, which tells the connections of one person apart; else the username.',
    'api.auth_header':
      "The bot's token reaches the servers of all tenants: only requests of the backfill carry it; a connection's own calls go out with the person's token.",
    'api.headers.user-agent': 'Name and address of this library in the form that Discord asks for.',
    'backfill.messages.params.after': 'Read backwards with `before`, which the sheet calls the safe alternative.',
    'backfill.messages.pagination.request': 'See backfill.messages.params.after.',
    'backfill.messages.updated_at':
      'Most messages were never edited; the list is in the order in which they were sent.',
    'backfill.channels.updated_at': 'The last message id is no time; all channels are kept.',
    'backfill.active_threads':
      'Extra resource: the sheet names it in the notes of the channels; threads hold messages too.',
    'backfill.active_thread_messages': 'Extra resource: messages of active threads.',
    'backfill.archived_thread_messages':
      'Extra resource: messages of archived threads, as the sheet says in its notes.',
  },
})

/** Discord for Passport apps. */
export class DiscordStrategy extends strategyClass(discord) {}
