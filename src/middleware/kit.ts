import type { Request, Response } from 'express'
import type { Events } from '../events.js'
import type { Logger } from '../observability.js'
import type { Action, AtomOptions, Identity } from '../options.js'
import type { Sealer } from '../persistence/sealing.js'
import type { Store } from '../persistence/store.js'
import type { ProviderHttp } from '../provider-http/client.js'
import type { CatalogueEntry } from '../provider-settings.js'
import type { Queue } from '../sync/queue.js'
import type { Sync } from '../sync/sync.js'
import type { Tokens } from '../tokens/access-token.js'

/** The parts that the routes work with; built in atom-integrations.ts. */
export interface Kit {
  baseUrl: URL
  /** Where the routes are mounted, such as `/integrations`. */
  path: string
  secret: string
  loginUrl?: string
  allowedOrigins: readonly string[]
  identify: AtomOptions['identify']
  authorize?: AtomOptions['authorize']
  store: Store
  sealer: Sealer
  http: ProviderHttp
  providers: ReadonlyMap<string, CatalogueEntry>
  tokens: Tokens
  /** `undefined`: backfills are switched off. */
  sync: Sync | undefined
  events: Events
  queue: Queue
  ready(): Promise<void>
  now(): number
  /** A reconnect may bring another account, which is then connected beside the one to repair. */
  allowOtherAccountOnReconnect: boolean
  /** `NODE_ENV` is `development` or `test`: answers name what is missing. */
  development: boolean
  logger?: Logger
}

/** One request to a route of ours. */
export interface Visit {
  kit: Kit
  req: Request
  res: Response
  /** Path segments after the mount path, decoded. */
  segments: readonly string[]
  query: Readonly<Record<string, string>>
  /** Reads HTML rather than JSON. */
  html: boolean
  /** For `script-src` and `style-src`. */
  nonce: string
  /** Id of the provider that is being connected: what goes wrong is counted for it. */
  connecting?: string
  /** The attempt runs in a popup: its opener is told how it went. */
  popup?: { origin: string; provider: string }
}

export type { Action, Identity }
