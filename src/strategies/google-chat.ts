import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
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

const SCOPE = 'https://www.googleapis.com/auth/chat'

const errors: ErrorRules = {
  ...googleErrors,
  // Every call answers so while the app is not configured on the page of the API (seen in taylorwilsdon/google_workspace_mcp#493).
  classify: (answer) =>
    answer.status === 404 && /chat app not found/i.test(String(pick(answer.body, 'error.message') ?? ''))
      ? 'client'
      : googleErrors.classify?.(answer),
}

const get = getFrom('https://chat.googleapis.com/v1', { pageSize: '1000' })

// Names are paths already: a space is `spaces/AAAA`, a message `spaces/AAAA/messages/BBBB`. Empty lists are left out of the answers.
const resources: readonly Resource[] = [
  {
    name: 'spaces',
    request: get('spaces'),
    pagination: googlePages,
    items: 'spaces',
    emptyWhenMissing: true,
    id: 'name',
    // Absent in spaces where nothing happened for long: a hint, not a filter.
    timestamp: { path: 'lastActiveTime', format: 'iso8601' },
    filter: 'none',
    limits: 'Spaces the person is a member of. Direct messages appear once there is a first message.',
  },
  {
    name: 'messages',
    parent: 'spaces',
    request: get('{+parent.name}/messages', {
      // The default order, oldest first, is left unsaid: how a field is written in `orderBy` differs between Google's pages.
      filter: 'createTime > "{since.iso8601}"',
      showDeleted: 'false',
    }),
    pagination: googlePages,
    items: 'messages',
    emptyWhenMissing: true,
    id: 'name',
    // The first is there only when a message was edited.
    timestamp: { path: ['lastUpdateTime', 'createTime'], format: 'iso8601' },
    filter: 'server',
    // Left or deleted since the spaces were read.
    skipParentOn: ['not_found'],
    limits:
      'Counted by when a message was written: later edits of older messages are not found. What a space does not keep, by its history setting or its retention, is gone.',
  },
  {
    name: 'members',
    parent: 'spaces',
    request: get('{+parent.name}/members'),
    pagination: googlePages,
    items: 'memberships',
    emptyWhenMissing: true,
    id: 'name',
    timestamp: { path: 'createTime', format: 'iso8601' },
    filter: 'none',
    skipParentOn: ['not_found'],
    scopes: [`${SCOPE}.memberships.readonly`],
  },
]

/**
 * Google Chat: OAuth 2.0 at Google with PKCE; spaces, and for each its messages and members.
 *
 * The token reads as the person: what that person sees. Authors stand in messages as `users/…` only; the members tell their names.
 * The Chat API is for Google Workspace accounts, and answers 404 to everything while the app is not configured on its page in the
 * Cloud console.
 *
 * @see {@link https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages/list | Google Chat, messages} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/chat/authenticate-authorize | Google Chat, authentication} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/chat/limits | Google Chat, limits} (read 2026-11-20)
 */
export const googleChat = defineProvider({
  id: 'google-chat',
  name: 'Google Chat',
  category: 'chat',
  client: googleClient,
  auth: googleOAuth([
    { scope: `${SCOPE}.spaces.readonly`, why: 'spaces the person is in (a sensitive scope)' },
    { scope: `${SCOPE}.messages.readonly`, why: 'messages in them (a restricted scope, see the setup steps)' },
    { scope: `${SCOPE}.memberships.readonly`, why: 'members of spaces, for the names of authors' },
  ]),
  identity: googleIdentity,
  api: {
    baseURL: 'https://chat.googleapis.com',
    errors,
    // 900 reads a minute and space, shared by all apps in it; 3,000 a minute for the whole project.
    rateLimit: { requests: 10, perSeconds: 1 },
  },
  resources,
  // Revoking any token of an account ends the client's whole access to it, that of other Google products included.
  grant: 'shared',
  guide: {
    setup: [
      'In the Google Cloud console create or pick a project and enable the Google Chat API.',
      'On the page of the Chat API open Configuration and fill in app name, avatar URL and description: without them every call fails with 404, although nobody will see the app.',
      'Under Data Access add the scopes openid, email, profile, chat.spaces.readonly, chat.messages.readonly and chat.memberships.readonly.',
      ...googleSetup,
      'Before going live, publish the app and pass the verification for restricted scopes, with its yearly security assessment; an Internal app needs none. Until then at most 100 users can connect.',
    ],
    sources: [
      ...googleSources,
      'https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages/list (read 2026-11-20)',
      'https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces/list (read 2026-11-20)',
      'https://developers.google.com/workspace/chat/list-messages (read 2026-11-20)',
      'https://developers.google.com/workspace/chat/authenticate-authorize (read 2026-11-20)',
      'https://developers.google.com/workspace/chat/limits (read 2026-11-20)',
    ],
    limits: [
      'The Chat API is for Google Workspace accounts; a personal account may get nothing.',
      'Spaces of the person who connected, and what they still keep. Deleted messages and later edits of older ones are not found.',
      'Direct messages have no title.',
    ],
  },
  deviations: {
    'backfill.messages.params.orderBy':
      'The default order is the same, and the sheet is not sure how the field has to be written.',
  },
})

/** Google Chat for Passport apps. */
export class GoogleChatStrategy extends strategyClass(googleChat) {}
