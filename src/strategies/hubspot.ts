import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource, STANDARD_TOKEN } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

const errors: ErrorRules = {
  code: ['category', 'errorType', 'status', 'error'],
  codes: {
    EXPIRED_AUTHENTICATION: 'expired',
    // A refresh decides: where the app was uninstalled, it is refused too.
    INVALID_AUTHENTICATION: 'expired',
    MISSING_SCOPES: 'scope',
    BANNED: 'account_gone',
    RATE_LIMIT: 'rate_limited',
    RATE_LIMITS: 'rate_limited',
    OBJECT_NOT_FOUND: 'not_found',
    VALIDATION_ERROR: 'invalid',
    BAD_REFRESH_TOKEN: 'revoked',
    BAD_AUTH_CODE: 'revoked',
    BAD_CLIENT_ID: 'client',
    BAD_CLIENT_SECRET: 'client',
    BAD_REDIRECT_URI: 'client',
    MISMATCH_REDIRECT_URI_AUTH_CODE: 'client',
  },
  // The category of a token endpoint's answer is general (BAD_REQUEST): its status field is the one that says something.
  classify: ({ status, body }) => {
    const code = pick(body, 'status')
    if (typeof code === 'string' && code !== 'error') return errors.codes?.[code]
    // Locked for two seconds. 477: the account moves to another data centre, and Retry-After says for how long.
    if (status === 423) return 'unavailable'
    return status === 429 || status === 477 ? 'rate_limited' : undefined
  },
  // Mostly without Retry-After: the policy tells which window to wait out.
  retryAfterSeconds: ({ body }) => {
    const policy = String(pick(body, 'policyName') ?? '')
    if (/^(TEN_SECONDLY|SECONDLY)/.test(policy)) return policy.startsWith('TEN') ? 10 : 1
    return pick(body, 'errorType') === 'RATE_LIMIT' ? 10 : undefined
  },
}

const tokenErrors: ErrorRules = {
  ...errors,
  // OAuth's own names can appear beside a category that says less.
  code: ['error', 'status', 'category'],
  // What the dated endpoint says about a token that ended was not seen: in the general shape only the sentence would tell.
  classify: (answer) => {
    const said = errors.classify?.(answer)
    if (said !== undefined || answer.status !== 400) return said
    const message = String(pick(answer.body, 'message') ?? '')
    return /(invalid|unknown) (refresh token|auth code)/i.test(message) ? 'revoked' : undefined
  },
}

/** CRM search: newest changes last, at most 10,000 results of one query, then again from the newest change seen. */
function search(name: string, modified: string, properties: readonly string[]): Resource {
  return {
    name,
    request: {
      method: 'POST',
      url: `https://api.hubapi.com/crm/objects/2026-03/${name}/search`,
      json: {
        filterGroups: [{ filters: [{ propertyName: modified, operator: 'GTE', value: '{since.unix_ms}' }] }],
        sorts: [{ propertyName: modified, direction: 'ASCENDING' }],
        properties,
        limit: 200,
      },
    },
    pagination: { style: 'cursor', at: 'json', param: 'after', next: 'paging.next.after' },
    items: 'results',
    id: 'id',
    timestamp: { path: `properties.${modified}`, format: 'iso8601' },
    filter: 'server',
    order: 'asc',
    restartAfter: { items: 10_000 },
    scopes: [`crm.objects.${name === 'notes' ? 'contacts' : name}.read`],
    // Search is counted apart from the other calls.
    rateLimit: { requests: 5, perSeconds: 1 },
    limits: 'Archived records do not appear, and a change can take some moments to show up in the search.',
  }
}

/**
 * HubSpot: OAuth 2.0 authorization code; the history is read by CRM search.
 *
 * Access tokens live 1800 seconds. The refresh token stays the same and is shared by all connections of the same app, user and
 * account: revoking it for one of them would end the others. The dated 2026-03 endpoints are used; /oauth/v1 ends on 2027-02-16.
 *
 * @see {@link https://developers.hubspot.com/docs/api-reference/2026-03/authentication/manage-oauth-tokens | HubSpot, OAuth tokens} (read 2026-11-20)
 * @see {@link https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm | HubSpot, CRM search} (read 2026-11-20)
 */
export const hubspot = defineProvider({
  id: 'hubspot',
  name: 'HubSpot',
  category: 'crm',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://app.hubspot.com/oauth/authorize',
    tokenURL: 'https://api.hubapi.com/oauth/2026-03/token',
    clientAuth: 'body',
    // Not described for confidential apps; a scope or parameter that the app page does not know stops the installation.
    pkce: 'never',
    scopes: [
      { scope: 'oauth', why: 'basic scope of every app: account details' },
      { scope: 'crm.objects.contacts.read', why: 'contacts and their notes' },
      { scope: 'crm.objects.companies.read', why: 'companies' },
      { scope: 'crm.objects.deals.read', why: 'deals' },
    ],
    // The same value has come back for years; whatever comes back is stored.
    refreshToken: 'static',
    accessTokenSeconds: 1800,
    tokens: { default: { ...STANDARD_TOKEN, scope: ['scopes', 'scope'] } },
    params: { hub_id: 'hub_id', user_id: 'user_id' },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://api.hubapi.com/oauth/2026-03/token/revoke',
      form: {
        token: '{token}',
        token_type_hint: 'refresh_token',
        client_id: '{client_id}',
        client_secret: '{client_secret}',
      },
      auth: 'none',
      token: 'refresh',
    },
  },
  identity: {
    request: { method: 'GET', url: 'https://api.hubapi.com/account-info/2026-03/details' },
    accountId: ['portalId', 'token:hub_id'],
    accountName: 'uiDomain',
    resolve: async ({ body, token }) => {
      const id = pickString(body, 'portalId') ?? pickString(token, 'hub_id')
      const domain = pickString(body, 'uiDomain')
      // The domain is the same for every account of a region: the number is what people tell them apart by.
      return { id, name: domain === undefined ? `Account ${id}` : `${domain}, account ${id}` }
    },
  },
  api: {
    baseURL: 'https://api.hubapi.com',
    errors,
    rateLimit: { requests: 100, perSeconds: 10 },
  },
  resources: [
    search('contacts', 'lastmodifieddate', [
      'email',
      'firstname',
      'lastname',
      'phone',
      'company',
      'jobtitle',
      'lifecyclestage',
      'hubspot_owner_id',
      'createdate',
      'lastmodifieddate',
    ]),
    search('deals', 'hs_lastmodifieddate', [
      'dealname',
      'amount',
      'pipeline',
      'dealstage',
      'closedate',
      'hubspot_owner_id',
      'createdate',
      'hs_lastmodifieddate',
    ]),
    search('companies', 'hs_lastmodifieddate', [
      'name',
      'domain',
      'industry',
      'phone',
      'city',
      'country',
      'hubspot_owner_id',
      'createdate',
      'hs_lastmodifieddate',
    ]),
    search('notes', 'hs_lastmodifieddate', [
      'hs_note_body',
      'hs_timestamp',
      'hubspot_owner_id',
      'hs_createdate',
      'hs_lastmodifieddate',
    ]),
  ],
  grant: 'shared',
  guide: {
    setup: [
      'Create a HubSpot developer account, and in it an app with OAuth authentication (new apps are made with the developer projects command line).',
      'In the auth settings of the app add the redirect URI: https, or http for localhost only, and a host name, no IP address.',
      'Add exactly the scopes listed here as required scopes: HubSpot stops an installation whose scopes differ.',
      'Copy client ID and client secret into HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET.',
      'Install the app in a developer test account first. The person who connects needs the super admin or the app marketplace permission.',
    ],
    sources: [
      'https://developers.hubspot.com/docs/api-reference/2026-03/authentication/manage-oauth-tokens (read 2026-11-20)',
      'https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm (read 2026-11-20)',
      'https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines (read 2026-11-20)',
      'https://developers.hubspot.com/docs/api-reference/error-handling (read 2026-11-20)',
    ],
    limits: [
      'Archived records are not found.',
      'Links between objects (which contact a note belongs to) are not read.',
      'More than 10,000 objects changed in one and the same millisecond, as an import can do, are read only in part.',
    ],
  },
})

/** HubSpot for Passport apps. */
export class HubSpotStrategy extends strategyClass(hubspot) {}
