import { randomBytes } from 'node:crypto'

/**
 * One row per code: the HTTP status it is sent with, and what the user may read. `{provider}` becomes the provider's name,
 * or "the other service": no "the" or "this" stands before it.
 *
 * `whose` says on whose side the cause lies: `you` (the user), `us` (this app), `them` (the provider).
 * Codes are public API: branch on them, translate by them. docs/errors.md has one heading per code.
 */
// biome-ignore format: a table, one row per code
export const ERROR_CODES = {
  AUTH_REQUIRED: row(401, 'you', 'Please sign in', 'You need to be signed in to do this.', 'Sign in and try again.'),
  AUTH_FORBIDDEN: row(403, 'you', 'Not allowed', 'You are not allowed to do this.', 'Ask the person who made this connection, or an administrator.'),
  AUTH_DENIED: row(200, 'you', 'Not connected', 'You did not approve the connection to {provider}. Nothing was changed.', 'You can start again whenever you like.'),
  AUTH_STATE_MISSING: row(400, 'you', 'This link is not complete', 'The answer from {provider} carries no reference to a connection that was started here.', 'Start again from the integrations page.'),
  AUTH_STATE_UNKNOWN: row(400, 'you', 'We do not know this attempt', 'No connection with this reference was started here.', 'Start again from the integrations page.'),
  AUTH_STATE_EXPIRED: row(400, 'you', 'That took too long', 'The attempt to connect {provider} has expired. Nothing was changed.', 'Start again from the integrations page.'),
  AUTH_STATE_USED: row(400, 'you', 'Already used', 'This attempt to connect {provider} was finished before.', 'Look at the integrations page: it may be connected. If not, start again.'),
  AUTH_BROWSER_MISMATCH: row(403, 'you', 'Another browser', 'The connection to {provider} was started in another browser, or cookies are blocked.', 'Start again in this browser and allow cookies for this site.'),
  AUTH_USER_MISMATCH: row(403, 'you', 'Another user', 'The connection to {provider} was started by another user.', 'Sign in as the user who started, or start again.'),
  AUTH_TENANT_MISMATCH: row(403, 'you', 'Another organisation', 'The connection to {provider} was started for another organisation.', 'Switch back to that organisation, or start again.'),
  AUTH_PROVIDER_MISMATCH: row(400, 'you', 'Another service', 'The answer belongs to a connection with another service.', 'Start again from the integrations page.'),
  AUTH_ISSUER_MISMATCH: row(400, 'them', 'The answer has the wrong sender', 'The answer does not come from {provider}.', 'Start again from the integrations page. Tell us if it happens again.'),
  AUTH_SIGNATURE_INVALID: row(400, 'them', 'The answer is not genuine', 'The signature on the answer from {provider} is missing, wrong or too old.', 'Start again from the integrations page.'),
  AUTH_CODE_REJECTED: row(400, 'them', 'Not connected', '{provider} did not accept the sign-in: it was used before or took too long. Nothing was changed.', 'Start again from the integrations page.'),
  AUTH_ACCOUNT_MISMATCH: row(409, 'you', 'A different account', 'You signed in to {provider} with a different account than the one connected here.', 'Sign in to {provider} with the expected account, or connect the other one separately.'),
  AUTH_ACCOUNT_TAKEN: row(409, 'you', 'Connected elsewhere', 'This account at {provider} is connected to another organisation of this app, and {provider} allows it only once.', 'Disconnect it there first.'),
  REQUEST_INVALID: row(400, 'you', 'Please check your input', 'Something in the request is not as expected.', 'Correct the marked fields and try again.'),
  REQUEST_FOREIGN_ORIGIN: row(403, 'you', 'Not from this page', 'The request did not come from a page of this app.', 'Open the integrations page and try again from there.'),
  REQUEST_LIMIT: row(429, 'you', 'Too many attempts', 'There were too many attempts in a short time.', 'Wait a few minutes and try again.'),
  CREDENTIALS_INVALID: row(422, 'you', 'The key does not work', '{provider} does not accept this key. It was not saved.', 'Copy the key again from {provider} and check that it is complete and active.'),
  CREDENTIALS_INSUFFICIENT: row(422, 'you', 'The key lacks a permission', 'The key works, but lacks a permission that is needed to read from {provider}. It was not saved.', 'Give the key the missing permission in {provider}, or make a new one.'),
  CONNECTION_NOT_FOUND: row(404, 'you', 'Not found', 'There is no such connection.', 'Look at the integrations page for the ones that exist.'),
  CONNECTION_NEEDS_REAUTH: row(409, 'you', 'Please connect again', 'The connection to {provider} has ended and needs your approval again.', 'Connect {provider} again from the integrations page.'),
  CONNECTION_DISCONNECTED: row(409, 'you', 'Disconnected', 'This connection to {provider} was disconnected.', 'Connect {provider} again from the integrations page.'),
  PROVIDER_UNKNOWN: row(404, 'you', 'Unknown service', 'There is no integration with this name.', 'Choose one from the integrations page.'),
  PROVIDER_NOT_CONFIGURED: row(409, 'us', 'Not available', '{provider} is not available here yet.', 'Ask the people who run this app to set it up.'),
  PROVIDER_HTML_RESPONSE: row(502, 'them', '{provider} answered with a web page', '{provider} sent a web page where data was expected. This is usually a short disturbance on their side. Nothing was changed.', 'Try again in a few minutes.'),
  PROVIDER_BAD_RESPONSE: row(502, 'them', '{provider} did not answer as expected', '{provider} sent an answer that cannot be used. Nothing was changed.', 'Try again in a few minutes. If it stays, tell us the reference.'),
  PROVIDER_UNAVAILABLE: row(503, 'them', '{provider} is not available', '{provider} cannot be reached at the moment. Nothing was changed.', 'Try again in a few minutes.'),
  PROVIDER_TIMEOUT: row(503, 'them', '{provider} takes too long', '{provider} did not answer in time. Nothing was changed.', 'Try again in a few minutes.'),
  PROVIDER_TOO_LARGE: row(502, 'them', '{provider} sent too much', '{provider} sent an answer that is larger than allowed. Nothing was changed.', 'Try again. If it stays, tell us the reference.'),
  PROVIDER_RATE_LIMITED: row(503, 'them', '{provider} asks us to wait', '{provider} limits how often it may be asked, and the limit is reached.', 'Try again a little later.'),
  PROVIDER_UNAUTHORIZED: row(502, 'them', '{provider} refused the sign-in', '{provider} no longer accepts the credentials of this connection.', 'Connect {provider} again from the integrations page.'),
  PROVIDER_FORBIDDEN: row(403, 'them', 'Not permitted at {provider}', 'The connected account, its plan or its permissions do not allow this at {provider}.', 'Ask an administrator of the account at {provider}, or connect again and approve all permissions.'),
  PROVIDER_NOT_FOUND: row(404, 'them', 'Not found at {provider}', '{provider} does not know what was asked for, or does not show it to this account.', 'Check that it still exists and is shared with the connected account.'),
  PROVIDER_REFUSED: row(502, 'them', '{provider} refused the request', '{provider} did not accept the request.', 'Try again. If it stays, tell us the reference.'),
  PROVIDER_CLIENT_REFUSED: row(502, 'us', '{provider} does not accept this app', '{provider} does not accept the way this app is set up with it. Nothing was changed.', 'Tell the people who run this app and give them the reference.'),
  PROVIDER_ORIGIN_REFUSED: row(400, 'us', 'Not an address of {provider}', 'The request was about to leave for an address that does not belong to {provider}. It was stopped.', 'Use an address of {provider}.'),
  STORE_UNAVAILABLE: row(503, 'us', 'We cannot save at the moment', 'Our storage cannot be reached. Nothing was changed.', 'Please start again in a few minutes.'),
  STORE_KEY_UNKNOWN: row(500, 'us', 'We cannot read this connection', 'A key that is needed to read this connection is missing on our side. Nothing was lost.', 'Tell the people who run this app and give them the reference.'),
  STORE_SEAL_BROKEN: row(500, 'us', 'We cannot read this connection', 'The stored credentials of this connection do not open. Nothing was deleted.', 'Tell the people who run this app and give them the reference.'),
  STORE_SCHEMA_NEWER: row(500, 'us', 'This version is too old', 'The storage was written by a newer version of this software.', 'Tell the people who run this app and give them the reference.'),
  SYNC_DISABLED: row(409, 'us', 'Not switched on', 'Reading past data is switched off in this app.', 'Ask the people who run this app.'),
  SYNC_BACKFILL_NOT_FOUND: row(404, 'you', 'Not found', 'There is no such run.', 'Look at the integrations page for the ones that exist.'),
  INTERNAL_ERROR: row(500, 'us', 'Something went wrong on our side', 'An unexpected error occurred. Nothing more is known to us here.', 'Try again. If it stays, tell us the reference.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERROR_CODES

interface ErrorRow {
  readonly status: number
  readonly whose: 'you' | 'us' | 'them'
  readonly title: string
  readonly message: string
  readonly action: string
}

function row(status: number, whose: ErrorRow['whose'], title: string, message: string, action: string): ErrorRow {
  return { status, whose, title, message, action }
}

/**
 * What a provider's refusal means for us. Definitions map provider codes to these words (`api.errors`), the rest of the library
 * branches on them and never on a provider's own codes.
 *
 * - `expired`: the access token ended; a refresh may help. `revoked`: the grant is gone; only the user can help.
 * - `scope`: a permission was not granted. `permission`: the plan, role or capability of the account does not allow it.
 * - `admin`: an administrator's policy or missing consent. `account_gone`: the account is suspended, closed or uninstalled.
 * - `rate_limited`, `unavailable`: come back later. `not_found`, `invalid`: this request, not the connection.
 * - `client`: our client id or secret is refused. `wrong_region`: another data centre holds the account.
 * - `cursor_expired`: restart this resource. `not_ready`: the provider still prepares the data; come back later.
 */
export type FaultKind =
  | 'expired'
  | 'revoked'
  | 'scope'
  | 'permission'
  | 'admin'
  | 'account_gone'
  | 'rate_limited'
  | 'unavailable'
  | 'not_found'
  | 'invalid'
  | 'client'
  | 'wrong_region'
  | 'cursor_expired'
  | 'not_ready'

export interface IntegrationErrorOptions {
  cause?: unknown
  /** The provider's name for people, such as `Slack`. */
  provider?: string | undefined
  fault?: FaultKind | undefined
  /** When a retry makes sense, in seconds; becomes the header `Retry-After`. */
  retryAfterSeconds?: number | undefined
  /** Fields that were wrong, with a sentence each. Only our own constant texts, never input. */
  fields?: Record<string, string> | undefined
  /** Status the provider answered, where there was an answer. */
  providerStatus?: number | undefined
  /** The provider's own error code, bounded and redacted. For logs. */
  providerCode?: string | undefined
  /** Whether the request certainly did not reach the provider (`no`), or may have (`maybe`). Refresh decides by it. */
  sent?: 'no' | 'maybe' | undefined
}

/** Every error of this library at run time. Branch on `code`, never on `message`. */
export class IntegrationError extends Error {
  override readonly name = 'IntegrationError'
  readonly code: ErrorCode
  /** Short random id that the user sees and the log carries, such as `r-7f3k2m9q`. */
  readonly reference: string
  readonly provider: string | undefined
  readonly fault: FaultKind | undefined
  readonly retryAfterSeconds: number | undefined
  readonly fields: Record<string, string> | undefined
  readonly providerStatus: number | undefined
  readonly providerCode: string | undefined
  readonly sent: 'no' | 'maybe' | undefined

  /** @param detail - For developers and logs only: may name provider, endpoint and status, never a token or a body. */
  constructor(code: ErrorCode, detail: string, options: IntegrationErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.reference = newReference()
    this.provider = options.provider
    this.fault = options.fault
    this.retryAfterSeconds = options.retryAfterSeconds
    this.fields = options.fields
    this.providerStatus = options.providerStatus
    this.providerCode = options.providerCode
    this.sent = options.sent
  }

  /** HTTP status that this error is answered with. */
  get status(): number {
    return ERROR_CODES[this.code].status
  }

  /** What may leave the server: an RFC 9457 problem, without `message`, `cause` or stack. */
  toJSON(): Problem {
    const text = textOf(this.code, this.provider)
    return {
      type: `urn:atom-integrations:error:${this.code}`,
      title: text.title,
      status: this.status,
      detail: `${text.message} ${text.action}`,
      code: this.code,
      reference: this.reference,
      ...(this.fields && { fields: this.fields }),
    }
  }
}

/** RFC 9457 problem details as this library sends them (`application/problem+json`). */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  code: ErrorCode
  reference: string
  fields?: Record<string, string>
}

/** Fills the provider's name into the texts of a code. */
export function textOf(
  code: ErrorCode,
  provider: string | undefined,
): { title: string; message: string; action: string } {
  const { title, message, action } = ERROR_CODES[code]
  const fill = (text: string) =>
    text
      .replace(/(?<=^|[.?!] )\{provider\}/g, () => provider ?? 'The other service')
      .replace(/\{provider\}/g, () => provider ?? 'the other service')
  return { title: fill(title), message: fill(message), action: fill(action) }
}

const ALPHABET = '23456789abcdefghjkmnpqrstuvwxyz'

function newReference(): string {
  let text = 'r-'
  for (const byte of randomBytes(8)) text += ALPHABET[byte % ALPHABET.length]
  return text
}
