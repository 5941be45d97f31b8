import { IntegrationError } from '../errors.js'

/** What the database's failure becomes for everyone else. The driver's error is the cause. */
export function unavailable(detail: string, cause?: unknown): IntegrationError {
  return new IntegrationError('STORE_UNAVAILABLE', detail, {
    retryAfterSeconds: 5,
    ...(cause !== undefined && { cause }),
  })
}

/** Whether it is the store that failed, and may be there again in a moment. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof IntegrationError && error.code === 'STORE_UNAVAILABLE'
}
