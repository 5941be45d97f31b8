import type { ErrorRules } from '../provider-http/errors.js'
import { type Identity, type OAuth2, type Scope, STANDARD_TOKEN } from './define-provider.js'
import { pick } from './template.js'

/** All Google products share one OAuth client, one callback path and the variables `GOOGLE_*`. */
export const googleClient = { id: 'google', env: 'GOOGLE' } as const

export const googleIdentityScopes: readonly Scope[] = [
  { scope: 'openid', why: 'a stable id of the connected account' },
  { scope: 'email', why: 'the address of the connected account' },
  { scope: 'profile', why: 'the name of the connected account' },
]

/**
 * OAuth 2.0 at Google. `access_type=offline` with `prompt=consent` makes every authorization return a refresh token; a refresh
 * returns none, so the stored one stays. `include_granted_scopes` is left out: each connection stays limited to its own product.
 *
 * Access tokens live 3600 seconds. Refresh tokens have no fixed end, but die after six months without use, after 7 days while the
 * consent screen is in Testing, and the oldest when an account has more than 100 of one client.
 *
 * @see {@link https://developers.google.com/identity/protocols/oauth2/web-server | Google, OAuth for web servers} (read 2026-11-20)
 */
export function googleOAuth(scopes: readonly Scope[]) {
  return {
    kind: 'oauth2',
    authorizationURL: 'https://accounts.google.com/o/oauth2/v2/auth',
    tokenURL: 'https://oauth2.googleapis.com/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [...googleIdentityScopes, ...scopes],
    authorizationParams: { access_type: 'offline', prompt: 'consent' },
    refreshToken: 'static',
    accessTokenSeconds: 3600,
    refreshIdleSeconds: 15_552_000,
    tokens: {
      default: {
        // Consent is granular: what was unticked is missing in the scope.
        ...STANDARD_TOKEN,
        // Only there when the user granted access for a limited time.
        refreshExpiresIn: 'refresh_token_expires_in',
      },
    },
    // Not documented as a contract, but seen: checked when it is there.
    issuer: { value: 'https://accounts.google.com', required: false },
    errors: {
      code: ['error'],
      codes: {
        redirect_uri_mismatch: 'client',
        unauthorized_client: 'client',
        deleted_client: 'client',
        disabled_client: 'client',
        org_internal: 'client',
        admin_policy_enforced: 'admin',
        // Said to a revocation of what was revoked already.
        invalid_token: 'revoked',
        access_not_configured: 'client',
      },
    },
    revocation: {
      method: 'POST',
      url: 'https://oauth2.googleapis.com/revoke',
      form: { token: '{token}' },
      auth: 'none',
      token: 'refresh',
    },
  } as const satisfies OAuth2
}

/** Lists at Google go on by a token in the query. */
export const googlePages = { style: 'cursor', at: 'query', param: 'pageToken', next: 'nextPageToken' } as const

export const googleIdentity: Identity = {
  request: { method: 'GET', url: 'https://openidconnect.googleapis.com/v1/userinfo' },
  accountId: 'sub',
  accountName: ['name', 'email'],
  email: 'email',
}

/** Google's JSON errors. The reason decides, not the status: 403 stands for rate limits, missing scopes and switched-off APIs alike. */
export const googleErrors: ErrorRules = {
  code: ['error.errors.0.reason', 'error.details.0.reason', 'error.status', 'error'],
  codes: {
    authError: 'expired',
    UNAUTHENTICATED: 'expired',
    ACCESS_TOKEN_EXPIRED: 'expired',
    insufficientPermissions: 'scope',
    ACCESS_TOKEN_SCOPE_INSUFFICIENT: 'scope',
    domainPolicy: 'admin',
    rateLimitExceeded: 'rate_limited',
    userRateLimitExceeded: 'rate_limited',
    dailyLimitExceeded: 'rate_limited',
    quotaExceeded: 'rate_limited',
    RATE_LIMIT_EXCEEDED: 'rate_limited',
    RESOURCE_EXHAUSTED: 'rate_limited',
    // The API is not switched on in the Cloud project: the token is fine, and the user can do nothing about it.
    accessNotConfigured: 'client',
    SERVICE_DISABLED: 'client',
    // "Mail service not enabled": the account has no mailbox.
    failedPrecondition: 'permission',
    forbidden: 'permission',
    insufficientFilePermissions: 'permission',
    PERMISSION_DENIED: 'permission',
    appNotAuthorizedToFile: 'permission',
    // A sync token that is too old, or does not fit the other parameters.
    fullSyncRequired: 'cursor_expired',
    updatedMinTooLongAgo: 'cursor_expired',
    notFound: 'not_found',
    NOT_FOUND: 'not_found',
    backendError: 'unavailable',
    internalError: 'unavailable',
    UNAVAILABLE: 'unavailable',
  },
  classify: ({ status, body }) => {
    if (hasReason(body, 'ACCESS_TOKEN_SCOPE_INSUFFICIENT')) return 'scope'
    if (hasReason(body, 'SERVICE_DISABLED')) return 'client'
    // A page token that ended has no reason of its own; some APIs name the parameter, some say it in the message only.
    const said = `${pick(body, 'error.errors.0.location')} ${pick(body, 'error.message')}`
    return status === 400 && /\bpage[ _]?token\b/i.test(said) ? 'cursor_expired' : undefined
  },
  // No dependable header; the message of a refusal can name the time: "Retry after 2026-11-20T10:00:00.000Z".
  retryAfterSeconds: ({ body }) => {
    const time = /retry after ([0-9T:.Z+-]+)/i.exec(String(pick(body, 'error.message')))?.[1]
    const delayMs = Date.parse(time ?? '') - Date.now()
    return delayMs > 0 ? Math.ceil(delayMs / 1000) : undefined
  },
}

/** `error.errors` says `forbidden` or `insufficientPermissions` where `error.details` knows the exact reason. */
function hasReason(body: unknown, reason: string): boolean {
  const details = pick(body, 'error.details')
  return Array.isArray(details) && details.some((detail) => pick(detail, 'reason') === reason)
}

export const googleSetup = [
  'On the OAuth consent screen fill in app name and support address, and choose the audience: External for any Google account, Internal for your own Workspace.',
  'While the app is in Testing, add each tester under Audience; their connections end after 7 days.',
  'Under Clients create an OAuth client of the type Web application, add the redirect URI, and copy client ID and client secret into GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET.',
] as const

export const googleSources = [
  'https://developers.google.com/identity/protocols/oauth2 (read 2026-11-20)',
  'https://developers.google.com/identity/protocols/oauth2/web-server (read 2026-11-20)',
  'https://developers.google.com/identity/openid-connect/openid-connect (read 2026-11-20)',
] as const
