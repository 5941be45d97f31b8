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

const METADATA = 'https://www.googleapis.com/auth/drive.metadata.readonly'
const ACTIVITY = 'https://www.googleapis.com/auth/drive.activity.readonly'
const API = 'https://www.googleapis.com/drive/v3'

const get = getFrom(API)
const allDrives = { supportsAllDrives: 'true', includeItemsFromAllDrives: 'true' } as const

// Without `fields` little more than the name comes back.
const fileFields =
  'id,name,mimeType,createdTime,modifiedTime,owners(displayName,emailAddress),lastModifyingUser(displayName,emailAddress),parents,driveId,size,webViewLink,trashed'
const changedFileFields =
  'id,name,mimeType,modifiedTime,trashed,lastModifyingUser(displayName,emailAddress),webViewLink'

const errors: ErrorRules = {
  ...googleErrors,
  // The Activity API is one of its own: where the operator did not enable it, that resource is passed over and the rest is read.
  classify: (answer) => {
    const details = pick(answer.body, 'error.details')
    const noActivity =
      Array.isArray(details) &&
      details.some(
        (detail) =>
          pick(detail, 'reason') === 'SERVICE_DISABLED' &&
          pick(detail, 'metadata.service') === 'driveactivity.googleapis.com',
      )
    return noActivity ? 'permission' : googleErrors.classify?.(answer)
  },
}

/** Activities have no id: when, what and to what. */
function activityId(activity: unknown): string | undefined {
  const time = pick(activity, 'timestamp') ?? pick(activity, 'timeRange.endTime')
  const target =
    pick(activity, 'targets.0.driveItem.name') ??
    pick(activity, 'targets.0.drive.name') ??
    pick(activity, 'targets.0.fileComment.parent.name')
  const [action = ''] = Object.keys(pick(activity, 'primaryActionDetail') ?? {})
  return time === undefined ? undefined : [time, action, target ?? ''].join(':')
}

const resources: readonly Resource[] = [
  {
    // Read before the first page of files: where the changes begin, so that nothing is lost while reading.
    name: 'start_page_token',
    parentOnly: true,
    request: get('changes/startPageToken', { supportsAllDrives: 'true' }),
    pagination: { style: 'none' },
    items: '',
    id: 'startPageToken',
    filter: 'none',
  },
  {
    name: 'files',
    request: get('files', {
      q: "modifiedTime > '{since.iso8601}' and trashed = false",
      orderBy: 'modifiedTime',
      pageSize: '1000',
      corpora: 'user',
      ...allDrives,
      fields: `nextPageToken,incompleteSearch,files(${fileFields})`,
    }),
    pagination: googlePages,
    items: 'files',
    id: 'id',
    timestamp: { path: 'modifiedTime', format: 'iso8601' },
    // The order is not kept for accounts with about a million files; nothing here depends on it.
    filter: 'server',
    limits: 'Names, owners and times, not the content. Of shared drives only files that the person has opened.',
  },
  {
    // What changed while the files were read. It starts at a token, not at a time, and cannot replace the files.
    name: 'changes',
    parent: 'start_page_token',
    request: get('changes', {
      pageToken: '{parent.startPageToken}',
      pageSize: '1000',
      includeRemoved: 'true',
      ...allDrives,
      fields: `nextPageToken,newStartPageToken,changes(changeType,time,removed,fileId,file(${changedFileFields}))`,
    }),
    pagination: googlePages,
    items: 'changes',
    // Entries about a shared drive itself have no file.
    itemFilter: ({ changeType }) => changeType !== 'drive',
    id: 'fileId',
    timestamp: { path: 'time', format: 'iso8601' },
    filter: 'none',
    limits: 'Changes since the run began. A file that was removed has an entry without the file.',
  },
  {
    name: 'drive_activity',
    request: {
      method: 'POST',
      url: 'https://driveactivity.googleapis.com/v2/activity:query',
      json: { ancestorName: 'items/root', filter: 'time >= "{since.iso8601}"', pageSize: 100 },
    },
    pagination: { ...googlePages, at: 'json' },
    items: 'activities',
    unfold: (activity) => ({ id: activityId(activity), ...activity }),
    emptyWhenMissing: true,
    id: 'id',
    timestamp: { path: ['timestamp', 'timeRange.endTime'], format: 'iso8601' },
    filter: 'server',
    order: 'desc',
    scopes: [ACTIVITY],
    limits: 'My Drive only, no shared drives. People stand in it by an id.',
  },
]

/**
 * Google Drive: OAuth 2.0 at Google with PKCE; what files are and what happened to them, without their content.
 *
 * `drive.metadata.readonly` is a restricted scope: it works at once for up to 100 test users, and for everyone after Google's
 * verification. `drive.file`, which needs none, sees nothing but files that the app made or the user picked. The activity is an API
 * of its own with a scope of its own: where the user unticks it, only that resource is passed over.
 *
 * @see {@link https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list | Google Drive, files} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/getStartPageToken | Google Drive, changes} (read 2026-11-20)
 * @see {@link https://developers.google.com/workspace/drive/activity/v2/requests | Google Drive Activity} (read 2026-11-20)
 */
export const googleDrive = defineProvider({
  id: 'google-drive',
  name: 'Google Drive',
  category: 'files',
  client: googleClient,
  auth: googleOAuth([
    {
      scope: METADATA,
      why: 'names, owners and times of all files, without content (a restricted scope, see the setup steps)',
    },
    { scope: ACTIVITY, why: 'who did what and when; leave it out when the history of edits is not needed' },
  ]),
  identity: googleIdentity,
  api: {
    baseURL: API,
    errors,
    // 325,000 units a minute and user; what one call costs was not found, so this stays far below.
    rateLimit: { requests: 10, perSeconds: 1 },
  },
  resources,
  lab: { single: ['start_page_token'] },
  // Revoking any token of an account ends the client's whole access to it, that of other Google products included.
  grant: 'shared',
  guide: {
    setup: [
      'In the Google Cloud console create or pick a project and enable the Google Drive API and the Google Drive Activity API.',
      'Under Data Access add the scopes openid, email, profile, drive.metadata.readonly and drive.activity.readonly.',
      ...googleSetup,
      'Before going live, publish the app and pass the verification for restricted scopes, with its yearly security assessment. Until then at most 100 users can connect.',
    ],
    sources: [
      ...googleSources,
      'https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list (read 2026-11-20)',
      'https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/getStartPageToken (read 2026-11-20)',
      'https://developers.google.com/workspace/drive/api/guides/limits (read 2026-11-20)',
      'https://developers.google.com/workspace/drive/activity/v2/requests (read 2026-11-20)',
    ],
    limits: [
      'The content of files is not read.',
      'Of shared drives only files that the person has opened; their activity is left out.',
      'Files in the bin, and those deleted before the backfill, are left out.',
    ],
  },
  deviations: {
    'backfill.start_page_token':
      'Not in the list of the sheet, but asked for by its notes: the token is captured before the first page of files.',
    'backfill.changes.needs': 'The start of the changes is kept by start_page_token.',
    'backfill.changes.params.pageToken': 'The same value, {state.startPageToken} in the sheet: a field of the parent.',
    'backfill.drive_activity.id': 'Made of time, action and target, as the notes of the sheet say.',
  },
})

/** Google Drive for Passport apps. */
export class GoogleDriveStrategy extends strategyClass(googleDrive) {}
