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

/** Ids that stay when a message moves to another folder. */
const IMMUTABLE = 'IdType="ImmutableId"'

const resources: readonly Resource[] = [
  {
    // Asked for folder by folder from the root on: a plain list has the top level only.
    name: 'mail_folders',
    parent: 'mail_folders',
    roots: [{ id: 'msgfolderroot' }],
    parentFilter: (folder) => Number(folder.childFolderCount) > 0,
    request: graphGet('me/mailFolders/{parent.id}/childFolders', { $top: '100' }),
    pagination: graphPages,
    items: 'value',
    id: 'id',
    filter: 'none',
    // Deleted since its parent was read.
    skipParentOn: ['not_found'],
  },
  {
    name: 'messages',
    request: graphGet('me/messages', {
      $filter: 'receivedDateTime ge {since.iso8601}',
      // What is sorted by has to stand in the filter too, and first.
      $orderby: 'receivedDateTime desc',
      $top: '100',
      $select:
        'id,conversationId,internetMessageId,subject,from,toRecipients,ccRecipients,receivedDateTime,sentDateTime,lastModifiedDateTime,hasAttachments,isRead,parentFolderId,bodyPreview,webLink',
    }),
    pagination: graphPages,
    items: 'value',
    id: 'id',
    timestamp: { path: ['lastModifiedDateTime', 'receivedDateTime'], format: 'iso8601' },
    // By the time of arrival, not by `timestamp`.
    filter: 'server',
    limits:
      'The beginning of each text, not the whole of it, and no attachments. Sent and deleted items are among them.',
  },
  {
    name: 'events',
    request: {
      ...graphGet('me/calendarView/delta', { startDateTime: '{since.iso8601}', endDateTime: '{now.iso8601}' }),
      // One header for both; it goes with every page.
      headers: { prefer: `${IMMUTABLE}, odata.maxpagesize=50` },
    },
    pagination: graphPages,
    items: 'value',
    // Events that are gone stand among the others, with no more than their id.
    itemFilter: (event) => event['@removed'] === undefined,
    id: 'id',
    timestamp: { path: 'lastModifiedDateTime', format: 'iso8601' },
    filter: 'server',
    limits:
      'The primary calendar only. The window counts by when an event takes place: coming events are left out. Series are read as their single events.',
  },
]

/**
 * Outlook: OAuth 2.0 at Microsoft with PKCE; mail, folders and the primary calendar by Microsoft Graph.
 *
 * `Mail.Read` and `Calendars.Read` can be consented to by people themselves, unless their tenant forbids it.
 *
 * @see {@link https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/user-list-messages.md | Microsoft Graph, messages} (read 2026-11-20)
 * @see {@link https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/event-delta.md | Microsoft Graph, calendar view} (read 2026-11-20)
 * @see {@link https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/concepts/throttling-limits.md | Microsoft Graph, limits} (read 2026-11-20)
 */
export const outlook = defineProvider({
  id: 'outlook',
  name: 'Outlook',
  category: 'mail',
  client: microsoftClient,
  params: [microsoftTenant('common')],
  auth: microsoftOAuth([
    { scope: 'Mail.Read', why: 'messages and folders of the mailbox' },
    { scope: 'Calendars.Read', why: 'events of the calendar' },
  ]),
  afterToken: microsoftHomeTenant,
  identity: microsoftIdentity,
  api: {
    baseURL: GRAPH,
    headers: { prefer: IMMUTABLE },
    errors: microsoftErrors,
    // Per app and mailbox, with at most 4 requests at the same time.
    rateLimit: { requests: 10_000, perSeconds: 600 },
    concurrency: 4,
  },
  resources,
  lab: { items: { mail_folders: () => ({ childFolderCount: 0 }) } },
  guide: {
    setup: [...microsoftSetup, ...microsoftPermissions('Mail.Read', 'Calendars.Read')],
    sources: [
      ...microsoftSources,
      'https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/user-list-messages.md (read 2026-11-20)',
      'https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/concepts/delta-query-messages.md (read 2026-11-20)',
      'https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main/api-reference/v1.0/api/event-delta.md (read 2026-11-20)',
    ],
    limits: [
      'Messages have the beginning of their text, and no attachments.',
      'Of the calendars only the primary one, and of it what took place in the window.',
      'Mailboxes without an Exchange Online licence, or on a server of the organization, cannot be read.',
    ],
  },
  deviations: {
    'backfill.messages_delta':
      'Left out: it would read every message of `messages` a second time, 5,000 a folder at most. Its own notes keep it for later runs.',
    'backfill.mail_folders.needs': 'Its own parent: the tree of folders is walked, as its notes say.',
    'backfill.mail_folders.url':
      'The folders below the root are the same as the plain list, and those below them follow.',
  },
})

/** Outlook for Passport apps. */
export class OutlookStrategy extends strategyClass(outlook) {}
