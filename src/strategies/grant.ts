/** What is sealed per token of a connection. Never logged, never in an event. */
export interface Credential {
  /** Access token, or the API key. */
  accessToken: string
  refreshToken?: string
  /** OAuth 1.0a. */
  tokenSecret?: string
  /** Further sealed values by name (OpenAI's second key). */
  secrets?: Record<string, string>
  /** When the access token was issued, in milliseconds since 1970; the margin before its end is measured by it. */
  issuedAt?: number
}

/** One token of a grant, as the provider gave it. */
export interface GrantedToken extends Credential {
  /** Milliseconds since 1970; undefined: not told. */
  expiresAt?: number
  refreshExpiresAt?: number
}

/** What a completed connect brings, whatever its kind: ready to be sealed and saved. */
export interface Grant {
  /** By name, the default first. */
  tokens: Record<string, GrantedToken>
  scopes: string[]
  params: Record<string, string>
  /** The tokens are those that the repaired connection has already: to take them back would end it. */
  kept?: true
}

/** The verified account of a grant. This is the `account` that `verify` gets. */
export interface ConnectedAccount {
  provider: string
  id: string
  name: string
  email?: string
  /** Issuer + account (+ person): tells two connections apart. */
  key: string
  scopes: string[]
  params: Record<string, string>
}
