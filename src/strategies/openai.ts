import { IntegrationError } from '../errors.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { type Call, defineProvider, type RequestTemplate, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'
import { unlessRefused } from './unless-refused.js'

const errors: ErrorRules = {
  code: ['error.code', 'error.type'],
  codes: {
    account_deactivated: 'account_gone',
    // Come with 401 or 429, and waiting does not help.
    ip_not_authorized: 'permission',
    insufficient_quota: 'permission',
    credit_balance_exhausted: 'permission',
    rate_limit_exceeded: 'rate_limited',
    server_error: 'unavailable',
  },
  // 401 says two things: the key does not count, or it may not do this. Only the message tells them apart (its code is null).
  classify: ({ status, body }) => {
    const code = pick(body, 'error.code')
    if (typeof code === 'string' && errors.codes?.[code]) return undefined
    if (status !== 401) return undefined
    return /missing scopes|insufficient permissions/i.test(String(pick(body, 'error.message'))) ? 'scope' : 'revoked'
  },
  retryAfterSeconds: ({ headers }) => durationSeconds(headers['x-ratelimit-reset-requests']),
}

/** `6m0s`, `1s`, `120ms`. */
function durationSeconds(text: string | undefined): number | undefined {
  const [, hours, minutes, seconds, milliseconds] =
    /^(?=\d)(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?$/.exec(text ?? '') ?? []
  const sum =
    Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0) + Number(milliseconds ?? 0) / 1000
  return sum > 0 ? Math.ceil(sum) : undefined
}

const API = 'https://api.openai.com/v1'
const USAGE = 'Admin API key of the organization (usage read)'
const AUDIT = 'Admin API key of the organization (audit logs read)'
const PROJECT = 'ordinary project API key'

const get = getFrom(API)

/** A day has its groups below `results`; a record is one of them. */
function groupsOfDay({ results, ...bounds }: Record<string, unknown>): unknown {
  return Array.isArray(results) ? results.map((result) => ({ ...bounds, ...result })) : bounds
}

/** Sums per day, oldest day first. */
function daily(name: string, path: string, group: 'line_item' | 'model', days: number): Resource {
  return {
    name,
    request: get(`organization/${path}`, {
      // The first day is cut to its start, and told by it: from midnight on it is whole, and the same one in every backfill.
      start_time: '{since.unix_day}',
      end_time: '{now.unix}',
      bucket_width: '1d',
      group_by: ['project_id', group],
      limit: String(days),
    }),
    pagination: { style: 'cursor', at: 'query', param: 'page', next: 'next_page', more: 'has_more' },
    items: 'data',
    unfold: groupsOfDay,
    id: ['start_time', 'project_id', group],
    timestamp: { path: 'start_time', format: 'unix' },
    filter: 'server',
    order: 'asc',
    // Sums of the last days are still corrected.
    overlapSeconds: 3 * 86_400,
    scopes: [USAGE],
    limits: 'Sums per day, project and kind of use; no single requests.',
  }
}

/** The key does not count there, or may not: another probe may succeed. */
const REFUSED = ['revoked', 'scope', 'permission'] as const
const isRefused = (error: unknown) => error instanceof IntegrationError && REFUSED.some((one) => one === error.fault)

/**
 * OpenAI: an API key that the user pastes. An Admin key of the organization reads costs, usage and the audit log; an ordinary key reads
 * the batches of its project. Neither can do what the other does, so what a key is for is found out by asking for both.
 *
 * Prompts and answers cannot be listed with any key, and ChatGPT conversations are out of reach.
 *
 * @see {@link https://developers.openai.com/api/docs/guides/admin-apis | OpenAI, Admin APIs} (read 2026-11-20)
 * @see {@link https://developers.openai.com/docs/guides/error-codes | OpenAI, error codes} (read 2026-11-20)
 */
export const openai = defineProvider({
  id: 'openai',
  name: 'OpenAI',
  category: 'ai',
  credentialsEnv: null,
  params: [
    {
      name: 'apiKey',
      label: 'Admin key or project API key',
      // What stands after sk- (admin-, proj-, svcacct-) is not documented, so it decides nothing.
      pattern: /^sk-[A-Za-z0-9_-]{20,}$/,
      hint: 'At platform.openai.com under Settings, Organization, Admin keys: an Admin key, for costs, usage and the audit log; or under Settings, API keys, a project key, for its batches. Both begin with sk-.',
      example: 'sk-admin-…',
      secret: true,
    },
  ],
  auth: {
    kind: 'api_key',
    key: 'apiKey',
    scopes: [
      { scope: USAGE, why: 'costs and usage; also what verifies the key' },
      { scope: AUDIT, why: 'the audit log' },
      { scope: PROJECT, why: 'batches of its project', optional: 'For a connection of its own beside the Admin key.' },
    ],
    errors,
  },
  identity: {
    resolve: async ({ call, keyHint }) => {
      const refusals: unknown[] = []
      const may = async (request: RequestTemplate) => {
        try {
          await call(request)
          return true
        } catch (error) {
          if (!isRefused(error)) throw error
          refusals.push(error)
          return false
        }
      }
      const yesterday = Math.floor(Date.now() / 1000) - 86_400
      const isAdmin = await may(get('organization/costs', { start_time: String(yesterday), limit: '1' }))
      const isProject = await may(get('batches', { limit: '1' }))
      // A key that is known but may not says more than one that this endpoint does not take.
      if (!isAdmin && !isProject)
        throw refusals.find((error) => (error as IntegrationError).fault !== 'revoked') ?? refusals[0]

      // Whether audit logs may be read shows when they are: a key without it gets a refusal of its own.
      const scopes = [...(isAdmin ? [USAGE, AUDIT] : []), ...(isProject ? [PROJECT] : [])]
      const organization = await onlyOrganization(call)
      const title = pickString(organization, 'title')
      const label = keyHint ? `key ${keyHint}` : isAdmin ? 'Admin key' : 'project key'
      if (!isAdmin) return { name: `${title ?? 'OpenAI'}, ${label}`, scopes }
      // Two keys of one organization are the same connection only where both see all of it.
      const id = pickString(organization, 'id')
      return { name: title ?? `OpenAI, ${label}`, scopes, id }
    },
  },
  api: {
    baseURL: API,
    errors,
  },
  resources: [
    daily('costs', 'costs', 'line_item', 180),
    daily('usage_completions', 'usage/completions', 'model', 31),
    {
      name: 'audit_logs',
      request: get('organization/audit_logs', { 'effective_at[gte]': '{since.unix}', limit: '100' }),
      pagination: { style: 'cursor', at: 'query', param: 'after', next: 'last_id', more: 'has_more' },
      items: 'data',
      id: 'id',
      timestamp: { path: 'effective_at', format: 'unix' },
      filter: 'server',
      scopes: [AUDIT],
      limits: 'Only from when the organization switched audit logging on.',
    },
    {
      name: 'batches',
      request: get('batches', { limit: '100' }),
      pagination: { style: 'cursor', at: 'query', param: 'after', next: 'last_id', more: 'has_more' },
      items: 'data',
      id: 'id',
      timestamp: { path: 'created_at', format: 'unix' },
      // Newest first by the examples only, so the list is read to its end.
      filter: 'client',
      scopes: [PROJECT],
      limits: 'Batches of the project of the key, created in the window.',
    },
  ],
  lab: {
    answers: [
      {
        method: 'GET',
        url: `${API}/me`,
        body: ({ id, name, email, personId }) => ({
          object: 'user',
          id: `user-${personId}`,
          email,
          orgs: { object: 'list', data: [{ object: 'organization', id: `org-${id}`, title: name }] },
        }),
      },
    ],
  },
  guide: {
    setup: [
      'Nothing has to be registered: each user brings a key.',
      'An owner of the OpenAI organization opens Settings, Organization, Admin keys and creates an Admin key, with read permissions for usage and audit logs only where that can be chosen.',
      'The key is shown only once: copy it at once and paste it into the form.',
      'For batches connect a second time with a project API key (Settings, API keys): an Admin key cannot read them.',
      'Switch on audit logging in the data controls of the organization if that history is wanted.',
    ],
    sources: [
      'https://developers.openai.com/api/docs/guides/admin-apis (read 2026-11-20)',
      'https://developers.openai.com/docs/guides/error-codes (read 2026-11-20)',
      'https://help.openai.com/en/articles/9132009-how-can-i-view-the-usage-of-my-api-organization (read 2026-11-20)',
    ],
    limits: [
      'Prompts and answers cannot be listed, and ChatGPT conversations cannot be reached at all: the history is costs, usage, the audit log and batch jobs.',
      'An Admin key reads costs, usage and the audit log; a project key reads the batches of its project. What the key is not for is left out, and the receipt says so.',
      'How far back costs and usage reach is not documented.',
      'Audit logs begin when the organization switches audit logging on.',
      'Where OpenAI does not name the organization behind a key, the connection is named by the first and last characters of the key, and a new key makes a new connection.',
    ],
  },
  deviations: {
    'auth.connection_params.apiKey':
      'One field for either kind of key: the two never replace each other and end apart, so each is a connection.',
    'auth.connection_params.adminKey':
      'See apiKey; the prefix is a hint only (the sheet says so), what a key is for is asked.',
    'auth.connection_params.projectKey': 'See apiKey.',
    'identity.url': 'The sheet writes "yesterday" where the request has the moment as a number.',
    'identity.account_name': 'From the name call of the sheet, else begin and end of the key.',
    'backfill.costs.params.start_time':
      'Midnight: a day that is cut would be a record of its own, beside the whole one.',
    'backfill.costs.params.group_by[]': "OpenAI's specification names the parameter group_by.",
    'backfill.costs.params.group_by': "OpenAI's specification names the parameter group_by.",
    'backfill.costs.id': 'A record is one group of a day (the sheet says so in its notes).',
    'backfill.usage_completions.params.start_time': 'See backfill.costs.params.start_time.',
    'backfill.usage_completions.params.group_by[]': "OpenAI's specification names the parameter group_by.",
    'backfill.usage_completions.params.group_by': "OpenAI's specification names the parameter group_by.",
    'backfill.usage_completions.id': 'A record is one group of a day (the sheet says so in its notes).',
  },
})

/** The organization behind the key, where OpenAI names exactly one: /v1/me does not answer for every kind of key. */
async function onlyOrganization(call: Call): Promise<unknown> {
  const faults = [...REFUSED, 'not_found', 'invalid'] as const
  const organizations = pick(await unlessRefused(call({ method: 'GET', url: `${API}/me` }), faults), 'orgs.data')
  return Array.isArray(organizations) && organizations.length === 1 ? organizations[0] : undefined
}

/** OpenAI for Passport apps. */
export class OpenAIStrategy extends strategyClass(openai) {}
