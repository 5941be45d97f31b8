import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const errors: ErrorRules = {
  // The API has sentences and no codes; the token endpoint OAuth's own shape.
  code: ['error'],
  classify: ({ status, body }) => {
    const message = String(pick(body, 'errors.0.message') ?? '')
    if (status === 403 && /\bscopes?\b/i.test(message)) return 'scope'
    if (status === 400 && /pagination token|^offset\b/i.test(message)) return 'cursor_expired'
    if (status === 412) return 'cursor_expired'
    // The address of the server is under an embargo.
    return status === 451 ? 'permission' : undefined
  },
}

// Without a limit the answer is not in pages, and is cut at about 1,000 objects.
const get = getFrom('https://app.asana.com/api/1.0', { limit: '100' })
const pages = { style: 'cursor', at: 'query', param: 'offset', next: 'next_page.offset' } as const

const taskFields =
  'gid,name,resource_subtype,notes,completed,completed_at,created_at,modified_at,due_on,due_at,assignee.name,assignee.email,created_by.name,memberships.project.name,memberships.section.name,parent.gid,num_subtasks,permalink_url,tags.name'

function tasks(name: string, parent: string, of: Record<string, string>, more?: Partial<Resource>): Resource {
  return {
    name,
    parent,
    request: get('tasks', { ...of, modified_since: '{since.iso8601}', opt_fields: taskFields }),
    pagination: pages,
    items: 'data',
    id: 'gid',
    timestamp: { path: 'modified_at', format: 'iso8601' },
    // In the order of the project, not by time.
    filter: 'server',
    skipParentOn: ['not_found'],
    ...more,
  }
}

function stories(name: string, parent: string): Resource {
  return {
    name,
    parent,
    request: get('tasks/{parent.gid}/stories', {
      opt_fields: 'gid,type,resource_subtype,text,created_at,created_by.name,is_edited',
    }),
    pagination: pages,
    items: 'data',
    id: 'gid',
    timestamp: { path: 'created_at', format: 'iso8601' },
    // Oldest first as it seems, which no page promises.
    filter: 'client',
    skipParentOn: ['not_found'],
    limits: 'One call for each task changed in the window. A comment that is edited later is not read again.',
  }
}

// No `scopes` per resource: an app with full permissions has the one scope `default`, which includes them all.
const resources: readonly Resource[] = [
  {
    name: 'workspaces',
    // The consent is per workspace: only what the token lists may be read.
    request: get('workspaces', { opt_fields: 'gid,name,is_organization' }),
    pagination: pages,
    items: 'data',
    id: 'gid',
    filter: 'none',
  },
  {
    // The time of a project does not follow its tasks reliably: all of them are read.
    name: 'projects',
    parent: 'workspaces',
    request: get('workspaces/{parent.gid}/projects', {
      opt_fields: 'gid,name,notes,archived,created_at,modified_at,owner.name,team.name,permalink_url',
    }),
    pagination: pages,
    items: 'data',
    id: 'gid',
    timestamp: { path: 'modified_at', format: 'iso8601' },
    filter: 'none',
    skipParentOn: ['not_found'],
    limits: 'In very large organizations Asana may not list the projects in time.',
  },
  tasks(
    'tasks',
    'projects',
    { project: '{parent.gid}' },
    { limits: 'Subtasks only where they are in a project themselves.' },
  ),
  stories('stories', 'tasks'),
  tasks(
    'tasks_without_project',
    'workspaces',
    { assignee: 'me', workspace: '{parent.gid}' },
    {
      // The list has all tasks assigned to the person: those of projects are records of `tasks` already.
      itemFilter: ({ memberships }) => !Array.isArray(memberships) || memberships.length === 0,
      limits: 'Tasks in no project only where they are assigned to the person who connected.',
    },
  ),
  stories('stories_without_project', 'tasks_without_project'),
]

/**
 * Asana: OAuth 2.0 authorization code with PKCE. The consent is per workspace, so the workspaces are asked for with the token.
 *
 * Access tokens live 3600 seconds. The refresh token stays, and the answer of a refresh normally does not repeat it. Only the refresh
 * token can be revoked; its access tokens end with it.
 *
 * @see {@link https://developers.asana.com/docs/oauth | Asana, OAuth} (read 2026-11-20)
 * @see {@link https://developers.asana.com/docs/oauth-scopes | Asana, OAuth scopes} (read 2026-11-20)
 */
export const asana = defineProvider({
  id: 'asana',
  name: 'Asana',
  category: 'tasks',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://app.asana.com/-/oauth_authorize',
    tokenURL: 'https://app.asana.com/-/oauth_token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [
      { scope: 'users:read', why: 'who connected, and the names of authors and assignees' },
      { scope: 'workspaces:read', why: 'list of workspaces' },
      { scope: 'projects:read', why: 'projects, whose tasks are read' },
      { scope: 'tasks:read', why: 'tasks' },
      { scope: 'stories:read', why: 'comments and activity of a task' },
    ],
    refreshToken: 'static',
    accessTokenSeconds: 3600,
    tokens: { default: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in' } },
    errors,
    revocation: {
      method: 'POST',
      url: 'https://app.asana.com/-/oauth_revoke',
      form: { client_id: '{client_id}', client_secret: '{client_secret}', token: '{token}' },
      auth: 'none',
      token: 'refresh',
    },
  },
  identity: {
    request: {
      method: 'GET',
      url: 'https://app.asana.com/api/1.0/users/me',
      query: { opt_fields: 'gid,name,email,workspaces.name' },
    },
    // Older token answers name the person's id `data.id`.
    accountId: ['data.gid', 'token:data.gid', 'token:data.id'],
    accountName: ['data.name', 'data.email'],
    email: ['data.email', 'token:data.email'],
  },
  api: {
    baseURL: 'https://app.asana.com/api/1.0',
    headers: { accept: 'application/json' },
    errors,
    // Of free workspaces, as refused requests count too. Paid ones have 1,500.
    rateLimit: { requests: 150, perSeconds: 60 },
  },
  resources,
  guide: {
    setup: [
      'Open the developer console at https://app.asana.com/0/my-apps and create an app.',
      'On the OAuth tab add the redirect URI (https).',
      'On the same tab select the read scopes listed here: Asana stops an authorization that asks for another. An app with full permissions needs ASANA_SCOPES=default instead.',
      'Under Manage distribution choose Any workspace: elsewhere the client ID would look invalid to Asana.',
      'Copy client ID and client secret from the OAuth tab into ASANA_CLIENT_ID and ASANA_CLIENT_SECRET.',
    ],
    sources: [
      'https://developers.asana.com/docs/oauth (read 2026-11-20)',
      'https://developers.asana.com/docs/oauth-scopes (read 2026-11-20)',
      'https://forum.asana.com/t/new-oauth-permission-scopes/1048556 (read 2026-11-20)',
    ],
    limits: [
      'Only the workspaces that the person ticked, and in them what the person may see.',
      'Subtasks are found only where they are in a project themselves.',
      'Tasks in no project are found only where they are assigned to the person who connected.',
      'Deleted tasks and edits of older comments are not found.',
    ],
  },
  deviations: {
    'backfill.tasks_without_project':
      'Extra resource: the second pass over tasks in no project that the sheet asks for in its notes.',
    'backfill.stories_without_project': 'Extra resource: the stories of those tasks.',
  },
})

/** Asana for Passport apps. */
export class AsanaStrategy extends strategyClass(asana) {}
