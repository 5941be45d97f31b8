import type { Credential } from '../tokens/credential.js'

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
