import type { ProviderDefinition } from './define-provider.js'
import * as providers from './providers.js'

export * from './providers.js'

const isDefinition = (value: unknown): value is ProviderDefinition => typeof value === 'object' && value !== null

/** All providers that come with this library, by id. */
export const catalogue: Readonly<Record<string, ProviderDefinition>> = Object.freeze(
  Object.fromEntries(
    Object.values(providers)
      .filter(isDefinition)
      .map((definition) => [definition.id, definition]),
  ),
)
