import { IntegrationError } from '../errors.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type PageAnswer, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'
import { unlessRefused } from './unless-refused.js'

/** There are no codes: the message is what tells refusals apart. */
const errors: ErrorRules = {
  code: ['errors.0.message'],
  codes: {
    'The provided authorization grant is invalid, expired, or revoked': 'revoked',
    // With 401 too, where the plan has no email activity.
    'access forbidden': 'permission',
    'authorization required': 'permission',
  },
  // A key cannot be refreshed; on the host of the other region it is as unknown as a deleted one.
  classify: ({ status, body }) => {
    const message = pickString(body, 'errors.0.message')
    return status === 401 && !(message !== undefined && errors.codes?.[message]) ? 'revoked' : undefined
  },
}

const get = getFrom('https://{api_host}/v3')

/** Addresses that get no mail, by when they were put on the list. */
function suppression(name: string, list: string, id: Resource['id']): Resource {
  return {
    name,
    request: get(`suppression/${list}`, {
      start_time: '{since.unix}',
      end_time: '{now.unix}',
      limit: '500',
      offset: '0',
    }),
    pagination: { style: 'offset', at: 'query', param: 'offset', pageSize: 500 },
    items: '',
    id,
    timestamp: { path: 'created', format: 'unix' },
    filter: 'server',
    scopes: ['suppression.read'],
  }
}

const MOST_MESSAGES = 1000
const SECOND = 1_000
/** From and to in milliseconds, both inside. */
type Span = [from: number, to: number]

const isFull = (messages: readonly unknown[]) => messages.length >= MOST_MESSAGES

/** One answer shows 1000 messages of its span and no way to the next. A full one is asked for again in two halves, so it counts for nothing. */
function messagesOf(body: unknown): unknown[] | undefined {
  const messages = pick(body, 'messages')
  if (!Array.isArray(messages)) return undefined
  const seconds = new Set(messages.map((message) => pick(message, 'last_event_time')))
  return isFull(messages) && seconds.size > 1 ? [] : messages
}

/** What is still to be asked for. Halves, whatever order the answers have: that is not documented. */
function remainingSpans({ body, state, window }: PageAnswer): { state: Span[] } | undefined {
  const cut = (time: number) => Math.floor(time / SECOND) * SECOND
  const [asked, ...rest] = (state as Span[] | undefined) ?? [[cut(window.from.getTime()), cut(window.to.getTime())]]
  const messages = pick(body, 'messages')
  if (asked && Array.isArray(messages) && isFull(messages) && asked[1] > asked[0]) {
    const middle = cut((asked[0] + asked[1]) / 2)
    return { state: [[asked[0], middle], [middle + SECOND, asked[1]], ...rest] }
  }
  return rest.length > 0 ? { state: rest } : undefined
}

const between = (from: string, to: string) => `last_event_time BETWEEN TIMESTAMP "${from}" AND TIMESTAMP "${to}"`

/** The names of permissions differ between keys and pages: whatever opens a resource counts as the one it is listed with. */
function namesOf(scopes: readonly unknown[], region: string | undefined): string[] {
  const granted = scopes.filter((scope) => typeof scope === 'string')
  const may = (pattern: RegExp) => granted.some((scope) => pattern.test(scope))
  const names = new Set(granted)
  if (may(/^stats\..*read$/)) names.add('stats.read')
  if (may(/^suppressions?\..*read$/)) names.add('suppression.read')
  if (may(/^email_activity\.read$/)) names.add('messages.read')
  // For EU subusers there is no email activity, whatever the key may.
  if (region === 'eu') names.delete('messages.read')
  return [...names]
}

const USEFUL = ['stats.read', 'suppression.read', 'messages.read']

/**
 * Twilio SendGrid: an API key that the user pastes. The key says itself what it may (`/v3/scopes`).
 *
 * Keys do not end by themselves. Subusers of the EU region have a host of their own; a parent account's key can read a subuser with the
 * header `on-behalf-of`. Daily statistics and suppressions are there for every account; single messages only with a paid add-on.
 *
 * @see {@link https://www.twilio.com/docs/sendgrid/api-reference/email-activity.md | SendGrid, email activity} (read 2026-11-20)
 * @see {@link https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits | SendGrid, rate limits} (read 2026-11-20)
 */
export const sendgrid = defineProvider({
  id: 'sendgrid',
  name: 'Twilio SendGrid',
  category: 'marketing',
  credentialsEnv: null,
  params: [
    {
      name: 'apiKey',
      label: 'API key',
      pattern: /^SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}$/,
      hint: 'In the SendGrid console under Settings, API keys: 69 characters that begin with SG. and are shown only once, when the key is created.',
      example: 'SG.…',
      secret: true,
    },
    {
      name: 'region',
      label: 'Region',
      pattern: /^(global|eu)$/,
      hint: 'EU only for a key of an EU regional subuser; Global for all others.',
      default: 'global',
      choices: [
        { value: 'global', label: 'Global' },
        { value: 'eu', label: 'EU' },
      ],
    },
    {
      name: 'subuser',
      label: 'Subuser',
      pattern: /^[A-Za-z0-9._@+-]{1,64}$/,
      hint: 'Only for the key of a parent account that reads one of its subusers: the username of the subuser.',
      example: 'newsletter-team',
      optional: true,
    },
  ],
  derive: ({ region }) => ({ api_host: region === 'eu' ? 'api.eu.sendgrid.com' : 'api.sendgrid.com' }),
  auth: {
    kind: 'api_key',
    key: 'apiKey',
    scopes: [
      { scope: 'stats.read', why: 'daily statistics' },
      { scope: 'suppression.read', why: 'bounces and unsubscribes' },
      {
        scope: 'messages.read',
        why: 'email activity',
        optional: 'Only with the paid add-on for additional email activity history.',
      },
      { scope: 'user.username.read', why: 'the name of the account', optional: 'Without it the key is the name.' },
    ],
    errors,
  },
  identity: {
    request: get('scopes'),
    resolve: async ({ body, call, params, keyHint }) => {
      const listed = pick(body, 'scopes')
      const scopes = Array.isArray(listed) ? namesOf(listed, params.region) : undefined
      if (scopes && !USEFUL.some((scope) => scopes.includes(scope)))
        throw new IntegrationError('PROVIDER_FORBIDDEN', 'Twilio SendGrid: the key can read nothing of the backfill', {
          provider: 'Twilio SendGrid',
          fault: 'scope',
        })
      const mayAsk = scopes === undefined || scopes.includes('user.username.read')
      const user = mayAsk && (await unlessRefused(call(get('user/username'))))
      const id = pickString(user, 'user_id')
      const label = pickString(user, 'username') ?? (keyHint ? `SendGrid, key ${keyHint}` : 'SendGrid')
      return {
        name: params.subuser === undefined ? label : `${params.subuser} (${label})`,
        // The same key reads another account for each subuser.
        keyParts: [params.subuser ?? ''],
        id,
        scopes,
      }
    },
  },
  api: {
    baseURL: 'https://{api_host}/v3',
    headers: { 'on-behalf-of': '{subuser}' },
    errors,
  },
  resources: [
    {
      name: 'daily_stats',
      title: 'Daily statistics',
      request: get('stats', {
        start_date: '{since.date}',
        end_date: '{now.date}',
        aggregated_by: 'day',
        limit: '500',
        offset: '0',
      }),
      pagination: { style: 'offset', at: 'query', param: 'offset', pageSize: 500 },
      items: '',
      id: 'date',
      timestamp: { path: 'date', format: 'date' },
      filter: 'server',
      order: 'asc',
      // The numbers of the last two or three days still change.
      overlapSeconds: 3 * 86_400,
      scopes: ['stats.read'],
    },
    // An address that was taken off the list can bounce again.
    suppression('bounces', 'bounces', ['email', 'created']),
    suppression('global_unsubscribes', 'unsubscribes', 'email'),
    {
      name: 'email_activity',
      request: get('messages', {
        query: between('{since.iso8601}', '{now.iso8601}'),
        limit: String(MOST_MESSAGES),
      }),
      pagination: {
        style: 'custom',
        next: remainingSpans,
        apply: (request, state) => {
          const [[from, to] = [0, 0]] = state as Span[]
          const time = (at: number) => new Date(at).toISOString().replace('.000Z', 'Z')
          return { ...request, query: { ...request.query, query: between(time(from), time(to)) } }
        },
      },
      items: 'messages',
      toItems: messagesOf,
      id: 'msg_id',
      timestamp: { path: 'last_event_time', format: 'iso8601' },
      filter: 'server',
      scopes: ['messages.read'],
      rateLimit: { requests: 6, perSeconds: 60 },
      reach: { days: 30, reason: 'SendGrid keeps email activity for 30 days at most.' },
      limits: `Only with the paid add-on, and not for EU subusers. More than ${MOST_MESSAGES} messages of one second are read in part.`,
    },
  ],
  lab: {
    answers: [
      {
        method: 'GET',
        url: 'https://{api_host}/v3/user/username',
        body: ({ id, name }) => ({ user_id: Number(id), username: name }),
      },
    ],
  },
  guide: {
    setup: [
      'Nothing has to be registered: each user brings a key.',
      'The user opens Settings, API Keys, Create API Key in the SendGrid console and chooses Restricted Access.',
      'The key gets read access to Stats and Suppressions, and to Email Activity where that was bought.',
      'The key is shown only once: copy it at once and paste it into the form. EU is chosen only for an EU regional subuser.',
      'For a history of single messages buy additional email activity history under Account Details, Your Products, Add-ons; keys made before need the permission added.',
    ],
    sources: [
      'https://www.twilio.com/docs/sendgrid/api-reference/email-activity.md (read 2026-11-20)',
      'https://www.twilio.com/en-us/changelog/rate-limit-change-for-the-twilio-sendgrid-email-activity-api (read 2026-11-20)',
      'https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits (read 2026-11-20)',
      'https://twilio.com/docs/sendgrid/api-reference/api-keys/retrieve-an-existing-api-key (read 2026-11-20)',
    ],
    limits: [
      'Single messages (email activity) need a paid add-on, reach back 30 days at most, and do not exist for EU subusers; daily statistics and suppressions reach the whole window.',
      'Email activity is limited to 6 requests a minute with 1,000 messages each.',
      'Suppressions are those still on the list: what was removed from it is not found.',
      'Without the permission user.username.read the connection is named by the first and last characters of the key, and a new key makes a new connection.',
    ],
  },
  deviations: {
    'auth.connection_params.subuser':
      'Extra optional parameter for the header on-behalf-of (the sheet names it under quirks).',
    'api.headers.on-behalf-of': 'Header of the optional parameter subuser; it is left out without one.',
    'api.base_url': 'The sheet names both hosts in words; {api_host} is the one of the region.',
    'identity.url': 'The host of the region, see api.base_url.',
    'identity.account_name': 'From the name call of the sheet (/v3/user/username), else begin and end of the key.',
    'backfill.daily_stats.url': 'The host of the region, see api.base_url.',
    'backfill.bounces.url': 'The host of the region, see api.base_url.',
    'backfill.bounces.id': 'An address can bounce again later: email and created (the sheet says so in its notes).',
    'backfill.global_unsubscribes.url': 'The host of the region, see api.base_url.',
    'backfill.email_activity.url': 'The host of the region, see api.base_url.',
    'backfill.email_activity.params.query': 'The ends of the window in our own placeholders.',
    'backfill.email_activity.pagination.style':
      'The windows that the sheet describes in words: a full answer is asked for again in halves.',
  },
})

/** Twilio SendGrid for Passport apps. */
export class SendGridStrategy extends strategyClass(sendgrid) {}
