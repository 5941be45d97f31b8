import { IntegrationError } from '../errors.js'

/** What the database's failure becomes for everyone else. The driver's error is the cause. */
export function unavailable(detail: string, cause?: unknown): IntegrationError {
  return new IntegrationError('STORE_UNAVAILABLE', detail, {
    retryAfterSeconds: 5,
    ...(cause !== undefined && { cause }),
  })
}
