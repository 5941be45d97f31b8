import type { FaultKind } from '../errors.js'
import { jwtClaims } from '../jwt.js'
import type { ErrorRules } from '../provider-http/errors.js'
import type { ConnectionParam, Identity, IdentityContext, OAuth2, Scope } from './define-provider.js'
import { getFrom } from './requests.js'
import { pick, pickString } from './template.js'

/** All Microsoft products share one app registration, one callback path and the variables `MICROSOFT_*`. */
export const microsoftClient = { id: 'microsoft', env: 'MICROSOFT' } as const

export const GRAPH = 'https://graph.microsoft.com/v1.0'
export const graphGet = getFrom(GRAPH)
export const graphPages = { style: 'next_url', next: '@odata.nextLink' } as const
const LOGIN = 'https://login.microsoftonline.com/{tenant}/oauth2/v2.0'
const DOCS = 'https://github.com/MicrosoftDocs/entra-docs/blob/main/docs/identity-platform'
const GRAPH_DOCS = 'https://github.com/microsoftgraph/microsoft-graph-docs-contrib/blob/main'

const identityScopes: readonly Scope[] = [
  { scope: 'openid', why: 'the tenant of the connected account' },
  { scope: 'profile', why: 'the name of the connected account' },
  { scope: 'email', why: 'the address of the connected account' },
  { scope: 'offline_access', why: 'a refresh token; without it the connection ends after about an hour' },
  { scope: 'User.Read', why: 'who connected' },
]

/** Where people sign in. @param fallback - Which kinds of accounts may, when nothing is given. */
export function microsoftTenant(fallback: 'common' | 'organizations'): ConnectionParam {
  return {
    name: 'tenant',
    label: 'Tenant',
    pattern:
      /^(common|organizations|consumers|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,})$/,
    hint: 'The id or a domain of the Microsoft Entra tenant, such as contoso.onmicrosoft.com. Guests of a tenant and apps of a single tenant need it.',
    example: 'contoso.onmicrosoft.com',
    optional: true,
    default: fallback,
    normalize: (input) => input.toLowerCase(),
  }
}

/** What an AADSTS number says beyond OAuth's own code. From general knowledge: without them the code alone decides. */
const AADSTS: Readonly<Record<number, FaultKind>> = {
  // The person was deleted or disabled in the directory.
  50034: 'account_gone',
  50057: 'account_gone',
  // Only an administrator of the tenant can consent to what is asked for.
  90094: 'admin',
  // The client secret is wrong, or has reached its end, for all connections at once.
  7000215: 'client',
  7000222: 'client',
}

/**
 * OAuth 2.0 at the Microsoft identity platform. One access token serves Microsoft Graph alone; it lives 60 to 90 minutes, as its
 * answer says, and is opaque although it looks like a JWT.
 *
 * Refresh tokens live 90 days from their last use, and each refresh brings a fresh one. The one before is not revoked by that, so a
 * refresh whose answer was lost can be sent again. There is no revocation endpoint: people remove the app at myapps.microsoft.com or
 * account.live.com/consent, administrators under Enterprise applications.
 *
 * @see {@link https://github.com/MicrosoftDocs/entra-docs/blob/main/docs/identity-platform/v2-oauth2-auth-code-flow.md | Microsoft, authorization code flow} (read 2026-11-20)
 * @see {@link https://github.com/MicrosoftDocs/entra-docs/blob/main/docs/identity-platform/refresh-tokens.md | Microsoft, refresh tokens} (read 2026-11-20)
 */
export function microsoftOAuth(scopes: readonly Scope[]) {
  return {
    kind: 'oauth2',
    authorizationURL: `${LOGIN}/authorize`,
    tokenURL: `${LOGIN}/token`,
    clientAuth: 'body',
    pkce: 'always',
    scopes: [...identityScopes, ...scopes],
    authorizationParams: { response_mode: 'query' },
    refreshToken: 'rotating',
    accessTokenSeconds: 3600,
    // How long the one before keeps working is not told; nobody asks again after longer than this.
    refreshReplaySeconds: 3600,
    refreshIdleSeconds: 7_776_000,
    errors: {
      code: ['error'],
      codes: {
        // A new sign-in is needed: another factor, a changed policy, a consent that was taken back.
        interaction_required: 'revoked',
        login_required: 'revoked',
        consent_required: 'revoked',
      },
      classify: ({ body }) => AADSTS[Number(pick(body, 'error_codes.0'))],
    },
  } as const satisfies OAuth2
}

/** The home tenant, for links to its administrator's consent page. The token stands in an answer that came from Microsoft itself. */
export async function microsoftHomeTenant({ token }: IdentityContext): Promise<Record<string, string>> {
  const tenant = pickString(jwtClaims(pickString(token, 'id_token')), 'tid') ?? ''
  return /^[0-9a-f-]{36}$/i.test(tenant) ? { home_tenant_id: tenant } : {}
}

export const microsoftIdentity: Identity = {
  request: graphGet('me', { $select: 'id,displayName,mail,userPrincipalName' }),
  accountId: 'id',
  // Personal accounts have no `mail`.
  accountName: ['displayName', 'mail', 'userPrincipalName'],
  email: ['mail', 'userPrincipalName'],
}

/** Errors of Microsoft Graph. Throttling has its delay in Retry-After. */
export const microsoftErrors: ErrorRules = {
  code: ['error.code', 'error'],
  codes: {
    InvalidAuthenticationToken: 'expired',
    Authorization_RequestDenied: 'scope',
    // Exchange's word for a scope that is missing.
    ErrorAccessDenied: 'scope',
    // No licence for Exchange, or a mailbox on a server of the organization.
    MailboxNotEnabledForRESTAPI: 'permission',
    MailboxNotSupportedForRESTAPI: 'permission',
    OrganizationFromTenantGuidNotFound: 'permission',
    ErrorAccountSuspend: 'account_gone',
    ErrorItemNotFound: 'not_found',
    syncStateNotFound: 'cursor_expired',
    SyncStateNotFound: 'cursor_expired',
    resyncRequired: 'cursor_expired',
    ApplicationThrottled: 'rate_limited',
    activityLimitReached: 'rate_limited',
  },
  classify: ({ status, body }) => {
    // Teams says Forbidden to everything; only the sentence names the scopes that it wants.
    if (status === 403 && /\bscopes?\b|insufficient privileges/i.test(String(pick(body, 'error.message') ?? '')))
      return 'scope'
    return status === 410 ? 'cursor_expired' : undefined
  },
}

export const microsoftSetup = [
  'In the Microsoft Entra admin center open App registrations, New registration, and choose the supported account types: any organization, with personal accounts when Outlook.com must work.',
  'Copy the application (client) ID into MICROSOFT_CLIENT_ID.',
  'Under Authentication add the platform Web (no other: a redirect URI of the type SPA ends refresh tokens after 24 hours) and the redirect URI: https, or http for localhost.',
  'Under Certificates & secrets make a client secret, copy its value into MICROSOFT_CLIENT_SECRET and note its end date: after it no connection can be refreshed until there is a new one.',
] as const

/** The last steps: what differs is what is asked for. */
export function microsoftPermissions(...scopes: readonly string[]): string[] {
  const all = [...identityScopes.map(({ scope }) => scope), ...scopes]
  return [
    `Under API permissions add the delegated permissions of Microsoft Graph: ${all.join(', ')}.`,
    'For work accounts of other organizations complete the publisher verification: many tenants let people consent to verified publishers only. Where a tenant forbids it altogether, its administrator approves the app at https://login.microsoftonline.com/{tenant}/adminconsent?client_id={client ID}.',
  ]
}

export const microsoftSources = [
  `${DOCS}/v2-oauth2-auth-code-flow.md (read 2026-11-20)`,
  `${DOCS}/refresh-tokens.md (read 2026-11-20)`,
  `${DOCS}/reply-url.md (read 2026-11-20)`,
  `${GRAPH_DOCS}/concepts/throttling.md (read 2026-11-20)`,
  `${GRAPH_DOCS}/concepts/throttling-limits.md (read 2026-11-20)`,
  `${GRAPH_DOCS}/concepts/errors.md (read 2026-11-20)`,
] as const
