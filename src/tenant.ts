import { type Connection, toConnection } from './connection.js'
import { IntegrationError } from './errors.js'
import type { Page, ParkedDelivery, Store } from './persistence/store.js'
import { type Backfill, toBackfill } from './sync/receipt.js'
import type { Sync } from './sync/sync.js'
import type { FetchInit, Tokens } from './tokens/access-token.js'

/** One thing a backfill read, as `records.list` gives it. */
export interface IntegrationRecord {
  /** The provider's id, unique in its connection and resource. */
  id: string
  resource: string
  /** ISO 8601; null where the provider tells none. */
  timestamp: string | null
  /** As the provider sent it. */
  data: unknown
}

/** What code of the host does for one tenant; an id of another tenant is not found. `integrations.admin` has the same across tenants. */
export interface TenantApi {
  connections: {
    /** All connections, disconnected ones included, ordered by id. `limit`: 1 to 200, default 50. */
    list(query?: { provider?: string; userId?: string; after?: string; limit?: number }): Promise<Page<Connection>>
    get(id: string): Promise<Connection | undefined>
    /**
     * Revokes at the provider where it can (now or later), forgets the credentials, cancels backfills, and keeps or deletes records
     * (default `keep`). @throws IntegrationError `CONNECTION_NOT_FOUND`
     */
    disconnect(id: string, options?: { records?: 'keep' | 'delete' }): Promise<void>
  }
  /**
   * An access token that is valid for at least `minValiditySeconds` (default 0, on top of our own margin), refreshed when due.
   *
   * @throws IntegrationError `CONNECTION_NOT_FOUND`, `CONNECTION_NEEDS_REAUTH`, `CONNECTION_DISCONNECTED`, `PROVIDER_*`, `STORE_*`
   */
  accessToken(id: string, options?: { minValiditySeconds?: number; token?: string }): Promise<string>
  /**
   * An authenticated request through the guarded door. A path is appended to the provider's API base; an absolute URL must be of
   * that provider. Resolves on 2xx only.
   */
  fetch(id: string, url: string, init?: FetchInit): Promise<Response>
  backfills: {
    /** Newest first. */
    list(query?: { connectionId?: string; after?: string; limit?: number }): Promise<Page<Backfill>>
    get(id: string): Promise<Backfill | undefined>
  }
  records: {
    list(query: {
      connectionId: string
      resource?: string
      after?: string
      limit?: number
    }): Promise<Page<IntegrationRecord>>
  }
  /** Deliveries that were given up after repeated failures of a listener. */
  parked: {
    list(query?: { after?: string; limit?: number }): Promise<Page<ParkedDelivery>>
    /** Makes them due again. Resolves to how many. */
    retry(group?: string): Promise<number>
  }
  /**
   * Starts, or resumes, the reading of the last months. The same connection and window twice is once: `created` is then false.
   *
   * @param options.months - 1 to 36; default: option `sync.months`.
   * @throws IntegrationError `SYNC_DISABLED`, `CONNECTION_NOT_FOUND`, `CONNECTION_NEEDS_REAUTH`, `CONNECTION_DISCONNECTED`
   */
  triggerHistoricalSync(options: {
    connectionId: string
    months?: number
  }): Promise<{ backfillId: string; created: boolean }>
}

interface Parts {
  store: Store
  tokens: Tokens
  sync: Sync | undefined
  ready: () => Promise<void>
  kick: () => void
}

/** @param tenantId - `null`: across tenants. */
export function createTenantApi(tenantId: string | null, { store, tokens, sync, ready, kick }: Parts): TenantApi {
  return {
    connections: {
      async list({ provider, userId, after, limit } = {}) {
        await ready()
        const page = await store.listConnections({
          tenantId,
          limit: bounded(limit),
          ...optionalId('provider', provider),
          ...optionalId('userId', userId),
          ...optionalId('after', after),
        })
        return { items: page.items.map(toConnection), next: page.next }
      },
      async get(id) {
        await ready()
        const document = isId(id) ? await store.getConnection(tenantId, id) : undefined
        return document && toConnection(document)
      },
      async disconnect(id, { records = 'keep' } = {}) {
        if (records !== 'keep' && records !== 'delete')
          throw new TypeError(`disconnect: records must be 'keep' or 'delete'.`)
        await ready()
        await tokens.disconnect(tenantId, checkId(id), { records })
      },
    },
    accessToken: (id, options) => tokens.accessToken(tenantId, id, options),
    fetch: (id, url, init) => tokens.fetch(tenantId, id, url, init),
    backfills: {
      async list({ connectionId, after, limit } = {}) {
        await ready()
        const page = await store.listBackfills({
          tenantId,
          limit: bounded(limit),
          ...optionalId('connectionId', connectionId),
          ...optionalId('after', after),
        })
        return { items: page.items.map(toBackfill), next: page.next }
      },
      async get(id) {
        await ready()
        const document = isId(id) ? await store.getBackfill(tenantId, id) : undefined
        return document && toBackfill(document)
      },
    },
    records: {
      async list({ connectionId, resource, after, limit }) {
        await ready()
        const page = await store.listRecords({
          tenantId,
          connectionId: checkId(connectionId),
          limit: bounded(limit),
          ...optionalId('resource', resource),
          ...optionalId('after', after),
        })
        return {
          items: page.items.map(({ id, resource, timestamp, data }) => ({ id, resource, timestamp, data })),
          next: page.next,
        }
      },
    },
    parked: {
      async list({ after, limit } = {}) {
        await ready()
        return store.listParked({ tenantId, limit: bounded(limit), ...optionalId('after', after) })
      },
      async retry(group = 'default') {
        await ready()
        const count = await store.retryParked(tenantId, group, Date.now())
        kick()
        return count
      },
    },
    async triggerHistoricalSync({ connectionId, months }) {
      if (!sync) throw new IntegrationError('SYNC_DISABLED', 'the option sync is false')
      await ready()
      return sync.triggerHistoricalSync(tenantId, {
        connectionId: checkId(connectionId),
        ...(months !== undefined && { months }),
      })
    },
  }
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 200
}

function checkId(value: unknown): string {
  if (!isId(value))
    throw new IntegrationError('CONNECTION_NOT_FOUND', 'the connection id is not a string of 1 to 200 characters')
  return value
}

function optionalId<K extends string>(name: K, value: unknown): { [P in K]?: string } {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'string' || value.length === 0 || value.length > 1024)
    throw new IntegrationError('REQUEST_INVALID', `${name} must be a string of 1 to 1024 characters`, {
      fields: { [name]: 'Must be a short text.' },
    })
  return { [name]: value } as { [P in K]?: string }
}

function bounded(limit = 50): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > 200)
    throw new IntegrationError('REQUEST_INVALID', 'limit must be an integer from 1 to 200', {
      fields: { limit: 'Must be a whole number from 1 to 200.' },
    })
  return limit
}
