import { IntegrationError } from '../errors.js'
import type { Logger } from '../observability.js'
import type { Sealer } from '../persistence/sealing.js'
import type {
  ConnectionCause,
  ConnectionDocument,
  DurableEventType,
  NewEvent,
  Store,
  StoredToken,
} from '../persistence/store.js'
import type { ProviderHttp } from '../provider-http/client.js'
import type { ClientConfig } from '../strategies/call.js'
import { type ProviderDefinition, tokenPaths } from '../strategies/define-provider.js'
import type { Credential } from '../strategies/grant.js'
import { openCredential } from './credential.js'
import { jwtExpiry, refreshMarginMs } from './expiry.js'

/** A provider's definition with what the operator set for it. */
export interface ProviderEntry {
  definition: ProviderDefinition
  client: ClientConfig
}

/** What the parts of this folder share. */
export interface TokenParts {
  store: Store
  sealer: Sealer
  http: ProviderHttp
  providers: (id: string) => ProviderEntry | undefined
  connectPath: (provider: string) => string
  /** Milliseconds since 1970, compared with what other processes wrote. */
  now: () => number
  sleep: (milliseconds: number) => Promise<void>
  /** A new event for a status change, for all listener groups. */
  newEvent: (type: DurableEventType) => NewEvent
  /** Something was written that listeners wait for. */
  onEvent: () => void
  /** Drops what this process keeps of a connection. */
  forget: (connectionId: string) => void
  logger: Logger
  refreshTimeoutMs: number
  leaseMs: number
}

/** One token of a connection, opened. Stays inside this folder. */
export interface OpenToken {
  document: ConnectionDocument
  entry: ProviderEntry
  name: string
  stored: StoredToken
  credential: Credential
  /** End of the access token in milliseconds; null: not known. */
  expiresAt: number | null
  /** When to refresh; null: only after a refusal, or never. */
  dueAt: number | null
  refreshable: boolean
}

/** @throws IntegrationError `PROVIDER_NOT_CONFIGURED` when the host no longer has this provider. */
export function entryOf(parts: TokenParts, provider: string): ProviderEntry {
  const entry = parts.providers(provider)
  if (entry) return entry
  throw new IntegrationError('PROVIDER_NOT_CONFIGURED', `the provider ${provider} of this connection is not configured`)
}

/** @throws IntegrationError `CONNECTION_DISCONNECTED`, `CONNECTION_NEEDS_REAUTH`, with the path that connects again in the detail. */
export function checkUsable(parts: TokenParts, document: ConnectionDocument): void {
  if (document.status === 'disconnected') throw disconnected(parts, document)
  if (document.status === 'needs_reauth') throw needsReauth(parts, document, document.cause)
}

function disconnected(parts: TokenParts, { id, provider }: ConnectionDocument): IntegrationError {
  return new IntegrationError(
    'CONNECTION_DISCONNECTED',
    `connection ${id} was disconnected; connect again at ${parts.connectPath(provider)}`,
    { provider: parts.providers(provider)?.definition.name },
  )
}

export function needsReauth(
  parts: TokenParts,
  { id, provider }: ConnectionDocument,
  why: ConnectionCause | null,
  cause?: unknown,
): IntegrationError {
  return new IntegrationError(
    'CONNECTION_NEEDS_REAUTH',
    `connection ${id} needs its user (${why ?? 'unknown'}); connect again at ${parts.connectPath(provider)}`,
    { provider: parts.providers(provider)?.definition.name, cause },
  )
}

export function notFound(connectionId: string): IntegrationError {
  return new IntegrationError('CONNECTION_NOT_FOUND', `no connection ${JSON.stringify(connectionId.slice(0, 64))} here`)
}

/**
 * Opens one token of a usable connection.
 *
 * @param name - Default: the first that the definition names and the connection has.
 */
export function openToken(parts: TokenParts, document: ConnectionDocument, name: string | undefined): OpenToken {
  checkUsable(parts, document)
  const entry = entryOf(parts, document.provider)
  const { auth } = entry.definition
  const chosen = name ?? defaultToken(entry.definition, document)
  const stored = Object.hasOwn(document.tokens, chosen) ? document.tokens[chosen] : undefined
  if (!stored)
    throw new IntegrationError('REQUEST_INVALID', `connection ${document.id} has no such token`, {
      provider: entry.definition.name,
      fields: { token: `Must be one of: ${Object.keys(document.tokens).join(', ')}.` },
    })
  const credential = openCredential(parts.sealer, document, chosen, stored.sealed)
  const expiresAt = stored.expiresAt ?? jwtExpiry(credential.accessToken) ?? null
  const refreshable = auth.kind === 'oauth2' && auth.refreshToken !== 'none' && credential.refreshToken !== undefined
  let dueAt: number | null = null
  if (refreshable && expiresAt !== null) {
    const told = credential.issuedAt === undefined ? undefined : expiresAt - credential.issuedAt
    const life = told ?? (auth.accessTokenSeconds ?? 0) * 1000
    dueAt = expiresAt - refreshMarginMs(document.id, Math.max(life || expiresAt - document.updatedAt, 0))
  }
  return { document, entry, name: chosen, stored, credential, expiresAt, dueAt, refreshable }
}

/** Name of the token that is meant when none is named. */
export function defaultToken({ auth }: ProviderDefinition, document: ConnectionDocument): string {
  const names = auth.kind === 'oauth2' ? Object.keys(tokenPaths(auth)) : ['default']
  const held = Object.keys(document.tokens)
  return names.find((name) => held.includes(name)) ?? held[0] ?? 'default'
}

/** Whether the access token still has `milliseconds` to live, as far as is known. */
export function isValidFor(token: OpenToken, now: number, milliseconds: number): boolean {
  return token.expiresAt === null || token.expiresAt - now > milliseconds
}
