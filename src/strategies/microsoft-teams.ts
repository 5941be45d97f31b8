import { defineProvider, type Resource } from './define-provider.js'
import {
  GRAPH,
  graphGet,
  graphPages,
  microsoftClient,
  microsoftErrors,
  microsoftHomeTenant,
  microsoftIdentity,
  microsoftOAuth,
  microsoftPermissions,
  microsoftSetup,
  microsoftSources,
  microsoftTenant,
} from './microsoft.js'
import { strategyClass } from './strategy.js'

const CHANNEL_MESSAGES = 'ChannelMessage.Read.All'

const timestamp = { path: 'lastModifiedDateTime', format: 'iso8601' } as const

// No `scopes` per resource: a host that asks for more (Chat.ReadWrite) may read as well; a refusal for a missing one skips it.
const resources: readonly Resource[] = [
  {
    name: 'chats',
    request: graphGet('me/chats', { $top: '50', $expand: 'members' }),
    pagination: graphPages,
    items: 'value',
    id: 'id',
    // Tells of changes to the chat itself, not of every message: no reason to pass one over.
    timestamp: { path: 'lastUpdatedDateTime', format: 'iso8601' },
    filter: 'none',
    limits: 'At most 25 members of each chat are named.',
  },
  {
    name: 'chat_messages',
    parent: 'chats',
    request: graphGet('me/chats/{parent.id}/messages', {
      $top: '50',
      $orderby: 'lastModifiedDateTime desc',
      $filter: 'lastModifiedDateTime gt {since.iso8601}',
    }),
    pagination: graphPages,
    items: 'value',
    // Unique inside its chat only.
    id: ['parent:id', 'id'],
    timestamp,
    // Asked for as well, but a filter that Graph passes over looks like one that works.
    filter: 'client',
    order: 'desc',
    skipParentOn: ['not_found'],
    limits: 'Deleted messages keep an entry without their text.',
  },
  {
    name: 'teams',
    // Knows no parameters.
    request: graphGet('me/joinedTeams'),
    pagination: graphPages,
    items: 'value',
    id: 'id',
    filter: 'none',
  },
  {
    name: 'channels',
    parent: 'teams',
    request: graphGet('teams/{parent.id}/channels'),
    pagination: graphPages,
    items: 'value',
    id: 'id',
    filter: 'none',
    skipParentOn: ['not_found'],
    limits: 'Private and shared channels only where the person is a member.',
  },
  {
    name: 'channel_messages',
    parent: 'channels',
    request: graphGet('teams/{parent.parent.id}/channels/{parent.id}/messages/delta', {
      $top: '50',
      $filter: 'lastModifiedDateTime gt {since.iso8601}',
      $expand: 'replies',
    }),
    pagination: graphPages,
    items: 'value',
    // Unique inside its channel only.
    id: ['parent:id', 'id'],
    timestamp,
    // A thread counts when its first message or any reply changed: dropping by the first message's time would lose replies.
    filter: 'server',
    skipParentOn: ['not_found'],
    // Of one team or channel.
    rateLimit: { requests: 4, perSeconds: 1 },
    reach: { days: 240, reason: 'Microsoft lists the channel messages of the last eight months.' },
    limits: `Needs ${CHANNEL_MESSAGES}; without it every channel is passed over. A record is a thread with its replies, at most the first 1,000.`,
  },
]

/**
 * Microsoft Teams: OAuth 2.0 at Microsoft with PKCE; chats, and teams with their channels, by Microsoft Graph.
 *
 * Work and school accounts only: a personal one may sign in where the tenant is `common`, and cannot read anything then. Chats need
 * the consent of the person, channel messages that of an administrator of the tenant, so that their scope is not asked for by
 * default: it would keep everybody else from connecting.
 *
 * @see {@link https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/chat-list-messages.md | Microsoft Graph, chat messages} (read 2026-11-20)
 * @see {@link https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/chatmessage-delta.md | Microsoft Graph, channel messages} (read 2026-11-20)
 * @see {@link https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/concepts/throttling-limits.md | Microsoft Graph, limits} (read 2026-11-20)
 */
export const microsoftTeams = defineProvider({
  id: 'microsoft-teams',
  name: 'Microsoft Teams',
  category: 'chat',
  client: microsoftClient,
  params: [microsoftTenant('organizations')],
  auth: microsoftOAuth([
    { scope: 'Chat.Read', why: 'chats of the person, with their messages' },
    { scope: 'Team.ReadBasic.All', why: 'teams the person has joined' },
    { scope: 'Channel.ReadBasic.All', why: 'channels of those teams' },
    {
      scope: CHANNEL_MESSAGES,
      why: 'messages and replies in channels',
      needsApproval: 'An administrator of each tenant has to consent; then ask for it with the option scopes.',
    },
  ]),
  afterToken: microsoftHomeTenant,
  identity: microsoftIdentity,
  api: {
    baseURL: GRAPH,
    // Without it, events of the system have the type unknownFutureValue.
    headers: { prefer: 'include-unknown-enum-members' },
    errors: microsoftErrors,
    // Of all connections of a tenant together.
    rateLimit: { requests: 20, perSeconds: 1 },
  },
  resources,
  guide: {
    setup: [
      ...microsoftSetup,
      ...microsoftPermissions('Chat.Read', 'Team.ReadBasic.All', 'Channel.ReadBasic.All'),
      `For channel messages add ${CHANNEL_MESSAGES} there and to the scopes of this provider, and have an administrator of each tenant approve the app by the same link before anybody connects.`,
    ],
    sources: [
      ...microsoftSources,
      'https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/chat-list.md (read 2026-11-20)',
      'https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/chat-list-messages.md (read 2026-11-20)',
      'https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/chatmessage-delta.md (read 2026-11-20)',
    ],
    limits: [
      'Work and school accounts only.',
      'Channel messages need the consent of an administrator, and reach back eight months.',
      'Replies beyond 1,000 in one thread are not read.',
    ],
  },
  deviations: {
    'backfill.chat_messages.id': 'Unique inside a chat only, as its notes say: chat and message.',
    'backfill.channel_messages.id': 'Unique inside a channel only: channel and message.',
    'backfill.channel_messages.url': 'The team is the parent of the channel; {channels.teamId} in the sheet.',
  },
})

/** Microsoft Teams for Passport apps. */
export class MicrosoftTeamsStrategy extends strategyClass(microsoftTeams) {}
