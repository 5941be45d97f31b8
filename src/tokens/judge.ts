import { IntegrationError } from '../errors.js'
import type { ConnectionCause, ConnectionDocument } from '../persistence/store.js'
import type { OpenToken } from './open-token.js'

/** Whether somebody stored another token, or another grant, since. */
export function hasChanged(old: OpenToken, newest: ConnectionDocument): boolean {
  if (newest.generation !== old.document.generation) return true
  if (newest.status === 'disconnected' || newest.status === 'needs_reauth') return true
  return newest.tokens[old.name]?.version !== old.stored.version
}

export type Verdict =
  | { kind: 'refused'; cause: ConnectionCause }
  /** `uncertain`: the provider may have acted on it. `lost`: no answer came although the request may have arrived. */
  | { kind: 'outage'; uncertain: boolean; lost: boolean }
  | { kind: 'error' }

/** A refusal is only what the provider says in so many words; whatever else goes wrong is weather. */
export function judge(error: unknown): Verdict {
  if (!(error instanceof IntegrationError) || !error.code.startsWith('PROVIDER_')) return { kind: 'error' }
  const lost = error.sent === 'maybe'
  switch (error.code) {
    case 'PROVIDER_HTML_RESPONSE':
    case 'PROVIDER_BAD_RESPONSE':
    case 'PROVIDER_TOO_LARGE':
    case 'PROVIDER_TIMEOUT':
    case 'PROVIDER_UNAVAILABLE':
      return { kind: 'outage', uncertain: error.sent !== 'no', lost }
    case 'PROVIDER_ORIGIN_REFUSED':
    case 'PROVIDER_NOT_CONFIGURED':
      return { kind: 'error' }
  }
  switch (error.fault) {
    case 'revoked':
    case 'expired':
      return { kind: 'refused', cause: 'revoked' }
    case 'admin':
    case 'scope':
    case 'account_gone':
      return { kind: 'refused', cause: error.fault }
  }
  return { kind: 'outage', uncertain: lost, lost }
}
