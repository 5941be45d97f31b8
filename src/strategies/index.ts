import type { ProviderDefinition } from './define-provider.js'
import * as providers from './providers.js'

export type { ClientConfig } from './call.js'
export * from './define-provider.js'
export { normalizeParams } from './flow.js'
export type { ConnectedAccount, Grant, GrantedToken } from './grant.js'
export { grantOf } from './identify.js'
export * from './providers.js'
export type { StateData, StateStore } from './state-store.js'
export {
  type AuthenticateOptions,
  createStrategy,
  type ProviderStrategy,
  type StrategyClass,
  type StrategyOptions,
  strategyClass,
  type Verify,
} from './strategy.js'

const isDefinition = (value: unknown): value is ProviderDefinition => typeof value === 'object' && value !== null

/** All providers that come with this library, by id. */
export const catalogue: Readonly<Record<string, ProviderDefinition>> = Object.freeze(
  Object.fromEntries(
    (Object.values(providers) as unknown[]).filter(isDefinition).map((definition) => [definition.id, definition]),
  ),
)
