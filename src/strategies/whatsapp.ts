import type { ErrorRules } from '../provider-http/errors.js'
import { type Call, defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'
import { unlessRefused } from './unless-refused.js'

const codeOf = (body: unknown) => Number(pick(body, 'error.code'))
const messageOf = (body: unknown) => String(pick(body, 'error.message') ?? '')

const errors: ErrorRules = {
  code: ['error.code'],
  codes: {
    '1': 'unavailable',
    '2': 'unavailable',
    '3': 'permission',
    '4': 'rate_limited',
    '10': 'permission',
    '17': 'rate_limited',
    // There is no refresh token: a token that ended, whatever the reason, is repaired by connecting again.
    '102': 'revoked',
    '190': 'revoked',
    '368': 'permission',
    '613': 'rate_limited',
    '80007': 'rate_limited',
    '80008': 'rate_limited',
    '130429': 'rate_limited',
    // The business account was restricted or locked for its content.
    '131031': 'permission',
  },
  classify: ({ body }) => {
    const code = codeOf(body)
    if (code >= 200 && code <= 299) return 'permission'
    if (code !== 100) return undefined
    if (/appsecret_proof/i.test(messageOf(body))) return 'client'
    // Graph tells apart neither what is gone nor what is hidden.
    return /does not exist|missing permissions/i.test(messageOf(body)) ? 'not_found' : 'invalid'
  },
  // Minutes, in the usage of each account and kind of call; there is no Retry-After.
  retryAfterSeconds: ({ headers }) => {
    const minutes = regainMinutes(headers['x-business-use-case-usage'])
    return minutes > 0 ? minutes * 60 : undefined
  },
}

const tokenErrors: ErrorRules = {
  code: ['error.code'],
  codes: {
    '1': 'client',
    '101': 'client',
    '191': 'client',
    '2': 'unavailable',
    '4': 'rate_limited',
    // The code was used, or its 30 seconds are over.
    '100': 'revoked',
    '190': 'revoked',
  },
  classify: ({ body }) => (codeOf(body) === 100 && /redirect_uri/i.test(messageOf(body)) ? 'client' : undefined),
}

function regainMinutes(header: string | undefined): number {
  try {
    const usage: unknown = JSON.parse(header ?? '{}')
    const entries = Object.values(usage ?? {}).flat()
    const minutes = entries.map((entry) => Number(pick(entry, 'estimated_time_to_regain_access')))
    return Math.max(0, ...minutes.filter(Number.isFinite))
  } catch {
    return 0
  }
}

const GRAPH = 'https://graph.facebook.com/v26.0'
/** The app speaks for itself: its id and secret are its token. */
const AS_APP = { authorization: 'Bearer {client_id}|{client_secret}' }
/** More accounts than a person shares at once are offered by their ids. */
const MOST_NAMES = 20
const HIDDEN = ['permission', 'not_found', 'invalid'] as const

const get = getFrom(GRAPH)

/** Ids of the business accounts that the token was given for; the newest first. */
function sharedAccounts(body: unknown): string[] {
  const scopes = pick(body, 'data.granular_scopes')
  const idsOf = (name: string): string[] => {
    const found = Array.isArray(scopes) ? scopes.find((entry) => pick(entry, 'scope') === name) : undefined
    const ids = pick(found, 'target_ids')
    return Array.isArray(ids) ? ids.map(String).filter((id) => /^[0-9]{5,20}$/.test(id)) : []
  }
  const managed = idsOf('whatsapp_business_management')
  return managed.length > 0 ? managed : idsOf('whatsapp_business_messaging')
}

/** Business accounts with their names; where one hides its name, its id has to do. */
async function accountsWithNames(body: unknown, call: Call): Promise<unknown[]> {
  const ids = sharedAccounts(body)
  const accessEnds = pick(body, 'data.data_access_expires_at')
  const items: unknown[] = []
  for (const [index, id] of ids.entries()) {
    const isNamed = ids.length > 1 && index < MOST_NAMES
    const account = isNamed && (await unlessRefused(call(get(id, { fields: 'id,name' })), HIDDEN))
    items.push({
      id,
      name: pickString(account, 'name') ?? `WhatsApp Business account ${id}`,
      data_access_expires_at: accessEnds,
    })
  }
  return items
}

/** Data points come in blocks; a record is one point. */
function pointsOf(block: Record<string, unknown>): unknown {
  return block.data_points ?? block
}

const analytics = {
  timestamp: { path: 'end', format: 'unix' },
  filter: 'server',
  // Days without traffic are left out, and with them all of it.
  emptyWhenMissing: true,
  // A day counts from its midnight where the account is: the first one would be left out, or be a part of itself.
  overlapSeconds: 86_400,
  // With that day a day less than the year: a start beyond it is refused.
  reach: { days: 363, reason: 'Meta shows analytics of the last year only.' },
} as const

/** Current state, without times. */
function list(name: string, fields: string, limits?: string): Resource {
  return {
    name,
    request: get(`{wabaId}/${name}`, { fields, limit: '100' }),
    // The address in paging.next carries the token, so the cursor is used; after the last page it leads to an empty one.
    pagination: { style: 'cursor', at: 'query', param: 'after', next: 'paging.cursors.after' },
    items: 'data',
    id: 'id',
    filter: 'none',
    limits,
  }
}

const noMessages =
  'Messages cannot be read: Meta has no call for their history. They arrive by webhook only, which is up to your app.'

/**
 * WhatsApp Business: Facebook Login for Business with the Embedded Signup configuration of the app, as OAuth 2.0 authorization code.
 *
 * The configuration decides the permissions and how long the token lives (without end, or 60 days); there is no refresh token. Which
 * business accounts were shared is asked of debug_token; where there are several, the user chooses.
 *
 * @see {@link https://developers.facebook.com/documentation/business-messaging/whatsapp/embedded-signup/onboarding-customers-as-a-tech-provider/ | WhatsApp, onboarding customers} (read 2026-11-20)
 * @see {@link https://developers.facebook.com/documentation/business-messaging/whatsapp/analytics/ | WhatsApp, analytics} (read 2026-11-20)
 * @see {@link https://developers.facebook.com/docs/graph-api/overview/rate-limiting/ | Graph API, rate limits} (read 2026-11-20)
 */
export const whatsapp = defineProvider({
  id: 'whatsapp',
  name: 'WhatsApp Business',
  category: 'chat',
  env: [
    {
      name: 'WHATSAPP_CONFIG_ID',
      why: 'Id of the Facebook Login for Business configuration made from the WhatsApp Embedded Signup template.',
      required: true,
    },
  ],
  params: [
    {
      name: 'wabaId',
      label: 'WhatsApp Business account',
      pattern: /^[0-9]{5,20}$/,
      hint: 'The id of the WhatsApp Business account; the signup shares it.',
      example: '102290129340398',
      from: 'token',
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://www.facebook.com/v26.0/dialog/oauth',
    tokenURL: `${GRAPH}/oauth/access_token`,
    // Meta describes the exchange with the client in the query.
    clientAuth: 'query',
    pkce: 'never',
    scopeSeparator: ',',
    // None is sent: with config_id the permissions come from the configuration.
    scopes: [
      {
        scope: 'whatsapp_business_management',
        why: 'business account, phone numbers, templates, analytics',
        needsApproval:
          'Comes from the login configuration. For businesses other than your own: Advanced Access by App Review, business verification and Tech Provider status.',
      },
      {
        scope: 'whatsapp_business_messaging',
        why: 'belongs to Embedded Signup; sending, media and the history request of your app',
        needsApproval:
          'Comes from the login configuration. For businesses other than your own: Advanced Access by App Review, business verification and Tech Provider status.',
      },
      {
        scope: 'business_management',
        why: 'the business portfolio itself',
        optional: 'Comes from the login configuration; the backfill does not need it.',
      },
    ],
    authorizationParams: {
      config_id: '{env.WHATSAPP_CONFIG_ID}',
      override_default_response_type: 'true',
      extras: '{"setup":{},"featureType":"whatsapp_business_app_onboarding","sessionInfoVersion":"3"}',
    },
    refreshToken: 'none',
    tokens: { default: { accessToken: 'access_token', expiresIn: 'expires_in' } },
    errors: tokenErrors,
    revocation: {
      method: 'GET',
      url: `${GRAPH}/oauth/revoke`,
      query: {
        client_id: '{client_id}',
        client_secret: '{client_secret}',
        revoke_token: '{token}',
        access_token: '{token}',
      },
      auth: 'none',
      token: 'access',
    },
  },
  choices: {
    request: { ...get('debug_token', { input_token: '{access_token}' }), headers: AS_APP, auth: 'app' },
    items: 'data.granular_scopes',
    toItems: accountsWithNames,
    id: 'id',
    name: 'name',
    param: 'wabaId',
    params: { data_access_expires_at: 'data_access_expires_at' },
    noun: 'WhatsApp Business account',
  },
  identity: {
    request: get('{wabaId}', {
      fields: 'id,name,currency,timezone_id,message_template_namespace,owner_business_info',
    }),
    accountId: 'id',
    accountName: 'name',
  },
  api: {
    baseURL: GRAPH,
    errors,
    // Of an app at one business account; 5,000 once a number is active.
    rateLimit: { requests: 200, perSeconds: 3600 },
  },
  resources: [
    {
      name: 'message_analytics',
      request: get('{wabaId}', { fields: 'analytics.start({since.unix}).end({now.unix}).granularity(DAY)' }),
      pagination: { style: 'none' },
      items: 'analytics.data_points',
      id: 'start',
      ...analytics,
      order: 'asc',
      limits: 'Messages sent and delivered per day, all numbers together; no messages.',
    },
    {
      name: 'pricing_analytics',
      request: get('{wabaId}', {
        fields:
          'pricing_analytics.start({since.unix}).end({now.unix}).granularity(DAILY).metric_types(["COST","VOLUME"]).dimensions(["PRICING_CATEGORY","PRICING_TYPE","COUNTRY","PHONE"])',
      }),
      pagination: { style: 'none' },
      items: 'pricing_analytics.data',
      unfold: pointsOf,
      id: ['start', 'pricing_category', 'pricing_type', 'country', 'phone_number'],
      ...analytics,
      limits: "Costs are missing where the account is on a partner's credit line.",
    },
    list(
      'message_templates',
      'id,name,language,status,category,components,quality_score,rejected_reason',
      'Templates as they are now, one for each name and language.',
    ),
    list(
      'phone_numbers',
      'id,display_phone_number,verified_name,quality_rating,code_verification_status,name_status,platform_type,is_on_biz_app,throughput',
      'Phone numbers as they are now.',
    ),
  ],
  lab: {
    answers: [
      {
        method: 'GET',
        url: `${GRAPH}/debug_token`,
        auth: 'app',
        headers: AS_APP,
        body: ({ id }) => ({
          data: {
            type: 'SYSTEM_USER',
            is_valid: true,
            expires_at: 0,
            data_access_expires_at: 0,
            scopes: ['whatsapp_business_management', 'whatsapp_business_messaging', 'public_profile'],
            granular_scopes: [
              { scope: 'whatsapp_business_management', target_ids: [id] },
              { scope: 'whatsapp_business_messaging', target_ids: [id] },
            ],
          },
        }),
      },
    ],
  },
  guide: {
    setup: [
      'Open https://developers.facebook.com/apps, create an app of the type Business, add the product WhatsApp and link a verified business portfolio.',
      'Under App settings, Basic copy the App ID into WHATSAPP_CLIENT_ID and the App secret into WHATSAPP_CLIENT_SECRET. Leave "Require App Secret" off: appsecret_proof is not sent.',
      'Under Facebook Login for Business, Settings add the redirect URI (https; localhost only while the app is in development mode) and its domain.',
      'Under Configurations create one from the WhatsApp Embedded Signup template (v3 or v4) with the two WhatsApp permissions and a system user token without expiry; its id is WHATSAPP_CONFIG_ID.',
      'Become a Tech Provider, pass business verification and App Review for Advanced Access of both permissions, then set the app live. Until then only your own business account can be connected, by people with a role in the app.',
      'To receive messages in your app set a webhook in the WhatsApp configuration and subscribe each connected account (POST /{account}/subscribed_apps, with the fetch of the connection).',
    ],
    sources: [
      'https://developers.facebook.com/documentation/business-messaging/whatsapp/embedded-signup/onboarding-customers-as-a-tech-provider/ (read 2026-11-20)',
      'https://developers.facebook.com/documentation/business-messaging/whatsapp/embedded-signup/onboarding-business-app-users/ (read 2026-11-20)',
      'https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/history/ (read 2026-11-20)',
      'https://developers.facebook.com/documentation/business-messaging/whatsapp/analytics/ (read 2026-11-20)',
      'https://developers.facebook.com/documentation/facebook-login/facebook-login-for-business (read 2026-11-20)',
      'https://developers.facebook.com/docs/business-management-apis/system-users/install-apps-and-generate-tokens (read 2026-11-20)',
      'https://developers.facebook.com/docs/graph-api/overview/rate-limiting/ (read 2026-11-20)',
    ],
    limits: [
      noMessages,
      'Three months of messages cannot be reached by any call. Only numbers that stay in the WhatsApp Business app (coexistence) can share past messages, up to 180 days, once, by webhook, within 24 hours of the signup; the library neither asks for them (POST /{phone number}/smb_app_data) nor subscribes webhooks.',
      'The history here is counts and costs per day, of the last year at most; templates and phone numbers are as they are now.',
      'Meta describes Embedded Signup with its JavaScript SDK; that it can be opened as a redirect, as here, is practice of several integrations. Try it with your app first.',
      'A token with an end (60 days) is not prolonged: the signup has to be repeated. Choose a configuration without expiry.',
      'Versions of the Graph API live about two years; this is v26.0.',
    ],
  },
  deviations: {
    'auth.connection_params.phoneNumberId':
      'No request here is about one number; phone_numbers lists them with their ids.',
    'auth.revocation.url': 'The sheet tells the parameters of the request in words.',
    'env.WHATSAPP_WEBHOOK_VERIFY_TOKEN': 'Webhooks are received by the host, not by the library.',
    'backfill.pricing_analytics.id':
      'A record is one point: start and all dimensions (the sheet says so in its notes).',
    'backfill.pricing_analytics.updated_at': 'A record is one point: its own end.',
  },
})

/** WhatsApp Business for Passport apps. */
export class WhatsAppStrategy extends strategyClass(whatsapp) {}
