import { type FaultKind, IntegrationError } from '../errors.js'

/**
 * What a call answers that an account can do without; `undefined` where the provider refuses it.
 *
 * @param faults - The refusals that count; whatever else goes wrong is thrown.
 */
export async function unlessRefused(
  call: Promise<unknown>,
  faults: readonly FaultKind[] = ['scope', 'permission', 'not_found'],
): Promise<unknown> {
  try {
    return await call
  } catch (error) {
    if (error instanceof IntegrationError && error.fault && faults.includes(error.fault)) return undefined
    throw error
  }
}
