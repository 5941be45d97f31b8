import { type ErrorCode, IntegrationError } from '../errors.js'
import type { Resource } from '../strategies/define-provider.js'

/** The lease went to another worker, or the job was cancelled: nothing may be written any more. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

/** What an error means for the run. */
export type Verdict =
  /** Come back later; it says nothing about the page. */
  | { kind: 'wait'; seconds: number | undefined }
  /** Try the page again, a bounded number of times. */
  | { kind: 'retry'; seconds: number | undefined }
  /** This resource cannot be read with this connection; the others can. */
  | { kind: 'skip' }
  /** This resource fails whatever is tried; the others are read before the job fails. */
  | { kind: 'give_up' }
  /** The job ends now. */
  | { kind: 'fail'; code: ErrorCode }
  | { kind: 'lost' }

export function judge(error: unknown): Verdict {
  if (error instanceof LeaseLost) return { kind: 'lost' }
  if (!(error instanceof IntegrationError)) return { kind: 'retry', seconds: undefined }
  if (error.code.startsWith('CONNECTION_')) return { kind: 'fail', code: error.code }
  const seconds = error.retryAfterSeconds
  switch (error.fault) {
    case 'expired':
    case 'revoked':
    case 'account_gone':
      return { kind: 'fail', code: 'CONNECTION_NEEDS_REAUTH' }
    case 'client':
    case 'wrong_region':
      return { kind: 'fail', code: error.code }
    case 'scope':
    case 'permission':
    case 'admin':
      return { kind: 'skip' }
    case 'rate_limited':
    case 'not_ready':
      return { kind: 'wait', seconds }
    case 'not_found':
    case 'invalid':
      return { kind: 'give_up' }
  }
  switch (error.code) {
    case 'PROVIDER_NOT_CONFIGURED':
    case 'STORE_KEY_UNKNOWN':
    case 'STORE_SEAL_BROKEN':
      return { kind: 'fail', code: error.code }
    case 'PROVIDER_ORIGIN_REFUSED':
      return { kind: 'give_up' }
  }
  return { kind: 'retry', seconds }
}

/** Faults that say something about one parent, not about the run. */
export function skipsParent(resource: Resource, error: unknown): boolean {
  if (!(error instanceof IntegrationError) || error.fault === undefined) return false
  if (error.fault === 'permission' || error.fault === 'scope' || error.fault === 'admin') return true
  return resource.skipParentOn?.includes(error.fault) ?? false
}

/** A sentence for people. Our own words only: what a provider says may be hostile, or hold a secret. */
export function whyNot(error: unknown, provider: string): string {
  switch (error instanceof IntegrationError ? error.fault : undefined) {
    case 'scope':
      return `A permission that ${provider} wants for this was not given.`
    case 'admin':
      return `An administrator at ${provider} has to allow this first.`
    case 'permission':
      return `The connected account, its plan or its role may not read this at ${provider}.`
    case 'not_found':
      return `${provider} does not show this to the connected account, or it is gone.`
    case 'expired':
    case 'revoked':
    case 'account_gone':
      return `The connection to ${provider} ended before this was read.`
    case 'cursor_expired':
      return `${provider} lost its place again and again while this was read.`
  }
  if (error instanceof IntegrationError) {
    if (error.code.startsWith('CONNECTION_')) return `The connection to ${provider} ended before this was read.`
    if (error.code === 'PROVIDER_HTML_RESPONSE') return `${provider} sent a web page where data was expected.`
    if (error.code === 'PROVIDER_ORIGIN_REFUSED') return `${provider} pointed to an address that is not its own.`
    if (error.code.startsWith('PROVIDER_')) return `${provider} did not answer as expected.`
  }
  return 'Something went wrong on our side.'
}
