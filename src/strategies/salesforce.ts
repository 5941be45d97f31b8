import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { strategyClass } from './strategy.js'
import { pick, pickString } from './template.js'

/** A pasted address becomes its host. What is no host, or one of another kind, stays as it is, so that the pattern refuses it. */
export function normalizeHost(input: string): string {
  const text = input.trim().toLowerCase()
  return /^(?:https?:\/\/)?([a-z0-9.-]+)(?:[/?#].*)?$/.exec(text)?.[1] ?? text
}

const errors: ErrorRules = {
  code: ['0.errorCode', 'error'],
  codes: {
    INVALID_SESSION_ID: 'expired',
    INVALID_AUTH_HEADER: 'expired',
    REQUEST_LIMIT_EXCEEDED: 'rate_limited',
    // The edition has no API, or it is switched off.
    API_DISABLED_FOR_ORG: 'permission',
    API_CURRENTLY_DISABLED: 'permission',
    FUNCTIONALITY_NOT_ENABLED: 'permission',
    INSUFFICIENT_ACCESS: 'permission',
    INSUFFICIENT_ACCESS_OR_READONLY: 'permission',
    // An object or a field that this person may not see is answered as if it did not exist.
    INVALID_TYPE: 'permission',
    INVALID_FIELD: 'permission',
    TXN_SECURITY_METERING_ERROR: 'admin',
    ORG_LOCKED: 'account_gone',
    NOT_FOUND: 'not_found',
    MALFORMED_QUERY: 'invalid',
    INVALID_QUERY_LOCATOR: 'cursor_expired',
    QUERY_TIMEOUT: 'unavailable',
    SERVER_UNAVAILABLE: 'unavailable',
    UNABLE_TO_LOCK_ROW: 'unavailable',
  },
  classify: ({ status, body }) => {
    // The identity service speaks plain text, with status 403.
    if (status === 403 && typeof body === 'string' && /\b(Bad|Missing)_OAuth_Token\b/.test(body)) return 'expired'
    // A fresh token would be refused the same way.
    return /not valid for use with the REST API/i.test(String(pick(body, '0.message'))) ? 'scope' : undefined
  },
  // No answer tells how long. The limit on requests counts the last 24 hours and eases slowly; that on slow requests passes at once.
  retryAfterSeconds: ({ body }) =>
    pick(body, '0.errorCode') === 'REQUEST_LIMIT_EXCEEDED' && !/concurrent/i.test(String(pick(body, '0.message')))
      ? 3600
      : undefined,
}

const tokenErrors: ErrorRules = {
  code: ['error'],
  codes: {
    invalid_client_id: 'client',
    invalid_client_credentials: 'client',
    // The administrators of the organization decide which apps may be used, and by whom.
    invalid_app_access: 'admin',
    OAUTH_APP_BLOCKED: 'admin',
    OAUTH_APP_ACCESS_DENIED: 'admin',
    inactive_user: 'account_gone',
    inactive_org: 'account_gone',
    rate_limit_exceeded: 'rate_limited',
  },
  // One code for much: the description says whether the grant is gone.
  classify: ({ body }) => {
    const text = pickString(body, 'error_description') ?? ''
    // Another refresh of the same token is under way; its answer counts.
    if (/already being processed/i.test(text)) return 'unavailable'
    if (/ip restricted/i.test(text)) return 'admin'
    return /inactive (user|org)/i.test(text) ? 'account_gone' : undefined
  },
}

function query(name: string, object: string, fields: string, limits?: string): Resource {
  return {
    name,
    request: {
      method: 'GET',
      url: '{instance_url}/services/data/v66.0/query',
      query: {
        q: `SELECT ${fields}, SystemModstamp FROM ${object} WHERE SystemModstamp >= {since.iso8601} ORDER BY SystemModstamp ASC`,
      },
    },
    // A path of the API; missing on the last page.
    pagination: { style: 'next_url', next: 'nextRecordsUrl' },
    items: 'records',
    id: 'Id',
    timestamp: { path: 'SystemModstamp', format: 'iso8601' },
    filter: 'server',
    order: 'asc',
    limits,
  }
}

/**
 * Salesforce: OAuth 2.0 authorization code with PKCE at login.salesforce.com, test.salesforce.com or the organization's My Domain.
 *
 * The token answer names the address of the organization (`instance_url`), to which every API call goes; a refresh may name a new one.
 * It does not say how long a token lives: that is the session timeout of the organization, so a refresh follows a 401 and no clock.
 * The refresh token mostly stays; where the app has rotation on, the new one is kept. Five are live per person and app.
 *
 * @see {@link https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_web_server_flow.htm | Salesforce, web server flow} (read 2026-11-20)
 * @see {@link https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_refresh_token_flow.htm | Salesforce, refresh token flow} (read 2026-11-20)
 * @see {@link https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_query.htm | Salesforce, query} (read 2026-11-20)
 */
export const salesforce = defineProvider({
  id: 'salesforce',
  name: 'Salesforce',
  category: 'crm',
  params: [
    {
      name: 'host',
      label: 'Login host',
      pattern:
        /^(login|test|[a-z0-9][a-z0-9-]*(\.(sandbox|develop|scratch|demo|patch|trailblaze|free))?\.my)\.salesforce\.com$/,
      hint: 'login.salesforce.com, test.salesforce.com for a sandbox, or My Domain: the address that ends in .my.salesforce.com, to be found under Setup, My Domain. An address that ends in .lightning.force.com does not do.',
      example: 'acme.my.salesforce.com',
      default: 'login.salesforce.com',
      normalize: normalizeHost,
    },
    {
      // Every call with the token goes there, so it has to be a host of Salesforce.
      name: 'instance_url',
      label: 'Address of the organization',
      pattern: /^https:\/\/[a-z0-9-]+(\.[a-z0-9-]+)*\.salesforce\.com$/i,
      hint: 'Salesforce names it when the account is connected.',
      example: 'https://acme.my.salesforce.com',
      from: 'token',
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://{host}/services/oauth2/authorize',
    tokenURL: 'https://{host}/services/oauth2/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [
      { scope: 'api', why: 'the REST API, with the rights of the person who connects' },
      { scope: 'refresh_token', why: 'access that goes on after the session has ended' },
      { scope: 'openid', why: 'who connected' },
    ],
    refreshToken: 'static',
    tokens: { default: { accessToken: 'access_token', refreshToken: 'refresh_token', scope: 'scope' } },
    params: { instance_url: 'instance_url', identity_url: 'id' },
    errors: tokenErrors,
    revocation: {
      method: 'POST',
      url: 'https://{host}/services/oauth2/revoke',
      form: { token: '{token}' },
      auth: 'none',
      // Ends its access tokens too.
      token: 'refresh',
    },
  },
  identity: {
    request: { method: 'GET', url: '{instance_url}/services/oauth2/userinfo' },
    accountId: 'organization_id',
    accountName: ['preferred_username', 'email', 'name'],
    email: 'email',
    // The token sees what its person may see: a colleague in the same organization is another connection.
    keyParts: ['user_id'],
    // An organization can move to another instance.
    uniqueAcrossHosts: true,
  },
  api: {
    baseURL: '{instance_url}/services/data/v66.0',
    headers: { accept: 'application/json', 'sforce-query-options': 'batchSize=2000' },
    errors,
    // Requests are counted by the day and organization, and no two have the same number: the answers say when it is reached.
    concurrency: 4,
  },
  resources: [
    query('accounts', 'Account', 'Id, Name, Website, Industry, OwnerId, CreatedDate'),
    query('contacts', 'Contact', 'Id, FirstName, LastName, Email, Phone, Title, AccountId, OwnerId, CreatedDate'),
    query('leads', 'Lead', 'Id, Name, Company, Email, Status, OwnerId, CreatedDate'),
    query(
      'opportunities',
      'Opportunity',
      'Id, Name, StageName, Amount, CloseDate, IsClosed, IsWon, AccountId, OwnerId, CreatedDate',
    ),
    query(
      'tasks',
      'Task',
      'Id, Subject, Status, Priority, ActivityDate, TaskSubtype, WhoId, WhatId, OwnerId, Description, CreatedDate',
      'Calls and emails that were logged are tasks. Archived ones, older than a year, do not appear.',
    ),
    query(
      'events',
      'Event',
      'Id, Subject, StartDateTime, EndDateTime, Location, WhoId, WhatId, OwnerId, Description, CreatedDate',
      'Meetings. Archived ones, older than a year, do not appear.',
    ),
    query(
      'cases',
      'Case',
      'Id, CaseNumber, Subject, Status, Priority, Origin, AccountId, ContactId, OwnerId, Description, CreatedDate, ClosedDate',
      'Skipped where the person has no access to cases.',
    ),
  ],
  guide: {
    setup: [
      'In a Developer Edition organization open Setup, App Manager, New External Client App; choose Packaged as distribution when others are to connect.',
      'Enable OAuth, enter the redirect URI as callback URL (https, or http for localhost), and add the scopes api, refresh_token and openid. Keep the secret required for both flows, and PKCE.',
      'Under Settings, OAuth Settings copy consumer key and secret into SALESFORCE_CLIENT_ID and SALESFORCE_CLIENT_SECRET.',
      'Under Policies let refresh tokens be valid until they are revoked.',
      "For others' organizations: package the app; an administrator there installs it and allows its users. Salesforce blocks people from apps that are not installed.",
      'A new app can need ten minutes before the first login works.',
    ],
    sources: [
      'https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_web_server_flow.htm (read 2026-11-20)',
      'https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_refresh_token_flow.htm (read 2026-11-20)',
      'https://help.salesforce.com/s/articleView?id=xcloud.connected_app_limit_idle_ttl.htm (read 2026-11-20)',
      'https://developer.salesforce.com/docs/platform/isvforce/guide/secure-code-ac-eca.html (read 2026-11-20)',
      'https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_query.htm (read 2026-11-20)',
      'https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm (read 2026-11-20)',
      'https://github.com/segmentio/action-destinations/pull/2300 (read 2026-11-21)',
    ],
    limits: [
      'Deleted records, and activities that Salesforce has archived, are not found.',
      'The standard fields listed here; a field or object that the person may not see skips its whole resource.',
      'The edition must have the API: Enterprise, Unlimited, Performance and Developer do, Professional as an add-on.',
      'At most five connections of one person with one app: a sixth ends the oldest.',
      'Organizations of the government and China clouds cannot be connected.',
    ],
  },
  deviations: {
    'auth.connection_params.instance_url':
      'The sheet keeps it from the token answer; declared as a parameter so that its pattern is checked before a token goes there.',
    'backfill.accounts': 'Extra resource: the same query, as the sheet says in the notes of the contacts.',
    'backfill.leads': 'Extra resource: the same query, as the sheet says in the notes of the contacts.',
    'backfill.events': 'Extra resource: the same query, as the sheet says in the notes of the tasks.',
  },
})

/** Salesforce for Passport apps. */
export class SalesforceStrategy extends strategyClass(salesforce) {}
