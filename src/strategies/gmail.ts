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

const READONLY = 'https://www.googleapis.com/auth/gmail.readonly'
const get = getFrom('https://gmail.googleapis.com/gmail/v1/users/me')

// No `scopes` per resource: a host that asks for more (gmail.modify) may read as well; a refusal for a missing one skips it.
const resources: readonly Resource[] = [
  {
    // Read before the first page of messages: where the later history starts, so that nothing is lost while reading.
    name: 'profile',
    parentOnly: true,
    request: get('profile'),
    pagination: { style: 'none' },
    items: '',
    id: 'emailAddress',
    filter: 'none',
  },
  {
    name: 'messages',
    request: get('messages', { q: 'after:{since.unix}', maxResults: '500', includeSpamTrash: 'false' }),
    pagination: googlePages,
    items: 'messages',
    emptyWhenMissing: true,
    id: 'id',
    filter: 'server',
    // Whether `after:` goes by arrival or by the Date header is not documented.
    overlapSeconds: 86_400,
    limits: 'Spam and trash are left out.',
  },
  {
    name: 'message_details',
    parent: 'messages',
    request: get('messages/{parent.id}', { format: 'full' }),
    pagination: { style: 'none' },
    items: '',
    id: 'id',
    timestamp: { path: 'internalDate', format: 'unix_ms' },
    filter: 'client',
    // Deleted since it was listed.
    skipParentOn: ['not_found'],
  },
  {
    // What changed while the messages were read. It starts at a history id, not at a time, and cannot replace the messages.
    name: 'history',
    parent: 'profile',
    request: get('history', { startHistoryId: '{parent.historyId}', maxResults: '500' }),
    pagination: googlePages,
    items: 'history',
    emptyWhenMissing: true,
    id: 'id',
    filter: 'none',
    // The history id is too old: nothing to read from there.
    skipParentOn: ['not_found'],
    limits: 'Changes since the run began; Gmail keeps them for about a week, sometimes only for hours.',
  },
]

/**
 * Gmail: OAuth 2.0 at Google with PKCE; messages are listed by id and fetched one by one.
 *
 * `gmail.readonly` is a restricted scope: it works at once for up to 100 test users, and for everyone after Google's verification.
 * `gmail.metadata` would refuse the search parameter that the window needs.
 *
 * @see {@link https://developers.google.com/workspace/gmail/api/guides/filtering | Gmail, searching} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/gmail/api/guides/sync | Gmail, synchronizing} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/gmail/api/reference/quota | Gmail, quota} (read 2026-11-20)
 */
export const gmail = defineProvider({
  id: 'gmail',
  name: 'Gmail',
  category: 'mail',
  client: googleClient,
  auth: googleOAuth([{ scope: READONLY, why: 'search and read messages (a restricted scope, see the setup steps)' }]),
  identity: googleIdentity,
  api: {
    baseURL: 'https://gmail.googleapis.com',
    errors: googleErrors,
    // 6,000 units a minute and user at 5 units for a message.
    rateLimit: { requests: 20, perSeconds: 1 },
  },
  resources,
  lab: { single: ['profile'] },
  // Revoking any token of an account ends the client's whole access to it, that of other Google products included.
  grant: 'shared',
  guide: {
    setup: [
      'In the Google Cloud console create or pick a project and enable the Gmail API.',
      'Under Data Access add the scopes openid, email, profile and gmail.readonly.',
      ...googleSetup,
      'Before going live, publish the app and pass the verification for restricted scopes, with its yearly security assessment. Until then at most 100 users can connect.',
    ],
    sources: [
      ...googleSources,
      'https://developers.google.com/workspace/gmail/api/guides/filtering (read 2026-11-20)',
      'https://developers.google.com/workspace/gmail/api/guides/sync (read 2026-11-20)',
      'https://developers.google.com/workspace/gmail/api/reference/quota (read 2026-11-20)',
    ],
    limits: ['Spam and trash are left out.', 'Attachments are named, not downloaded.'],
  },
  deviations: {
    'backfill.profile':
      'Not in the list of the sheet, but asked for by its notes on messages: the history id is captured before the first page.',
    'backfill.history.needs': 'The start of the history is kept by profile.',
    'backfill.history.params.startHistoryId': 'The same value, {state.historyId} in the sheet: a field of the parent.',
  },
})

/** Gmail for Passport apps. */
export class GmailStrategy extends strategyClass(gmail) {}
