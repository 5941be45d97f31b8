import { IntegrationError } from '../errors.js'
import type { Events } from '../events.js'
import type { Store } from '../persistence/store.js'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import type { Queue } from './queue.js'
import { type Caller, createRunner, type OnRecords, type RunnerOptions } from './runner.js'
import { createSchedule, type Scheduled } from './schedule.js'
import { registerSyncHook } from './sync-hook.js'
import { MAX_MONTHS } from './window.js'

export interface SyncOptions extends Pick<RunnerOptions, 'leaseMs' | 'maxTries' | 'retryMs' | 'logger' | 'now'> {
  store: Store
  tokens: Caller
  queue: Queue
  events: Events
  providers: (id: string) => { definition: ProviderDefinition } | undefined
  /** How far back a new connection is read: 1 to 36 calendar months. Default 3. */
  months?: number
  onRecords?: OnRecords
  /** Backfills at the same time in this process. Default 2. */
  concurrency?: number
}

export interface Sync {
  /** Starts the workers where the role has them. Starting a second time does nothing. */
  start(role: { web: boolean; worker: boolean }): Promise<void>
  /**
   * Starts, or resumes, the reading of the last months. What is asked for twice is read once: `created` is then false.
   *
   * @param tenantId - `null`: any tenant's.
   * @throws IntegrationError `REQUEST_INVALID`, `CONNECTION_NOT_FOUND`, `CONNECTION_NEEDS_REAUTH`, `CONNECTION_DISCONNECTED`,
   *   `PROVIDER_NOT_CONFIGURED`
   */
  triggerHistoricalSync(tenantId: string | null, options: { connectionId: string; months?: number }): Promise<Scheduled>
  /** Gives running jobs back at their last checkpoint, and stops. */
  close(): Promise<void>
}

/** Backfills: started by events, kept in the store, woken by the queue (design §10). */
export function createSync(options: SyncOptions): Sync {
  const { store, queue, events, providers, months = 3, concurrency, now = Date.now, logger } = options
  if (!isMonths(months)) throw new TypeError(`sync.months must be a whole number from 1 to ${MAX_MONTHS}.`)
  const wake = (id: string, delayMs?: number) => {
    // The job is in the store, where workers look by themselves.
    queue.wake(id, delayMs).catch((error: unknown) => logger?.warn({ error, backfillId: id }, 'no worker was woken'))
  }
  const runner = createRunner({ ...options, wake })
  const schedule = createSchedule({ store, definitionOf: (id) => providers(id)?.definition, wake, now })
  registerSyncHook(events, schedule, months)

  return {
    async start(role) {
      if (!role.worker) return
      await queue.start((id) => runner.work(id), {
        keepAlive: !role.web,
        onError: (error) => logger?.warn({ error }, 'a worker for backfills failed'),
        ...(concurrency !== undefined && { concurrency }),
      })
    },
    async triggerHistoricalSync(tenantId, { connectionId, months: asked = months }) {
      if (!isMonths(asked))
        throw new IntegrationError('REQUEST_INVALID', `months must be a whole number from 1 to ${MAX_MONTHS}`, {
          fields: { months: `Must be a whole number from 1 to ${MAX_MONTHS}.` },
        })
      const connection = await store.getConnection(tenantId, connectionId)
      if (!connection) throw new IntegrationError('CONNECTION_NOT_FOUND', 'there is no such connection in this tenant')
      const entry = providers(connection.provider)
      const provider = entry?.definition.name ?? connection.provider
      if (connection.status === 'disconnected')
        throw new IntegrationError('CONNECTION_DISCONNECTED', 'a backfill needs a connection', { provider })
      if (connection.status === 'needs_reauth')
        throw new IntegrationError('CONNECTION_NEEDS_REAUTH', 'a backfill needs a connection that works', { provider })
      if (!entry)
        throw new IntegrationError('PROVIDER_NOT_CONFIGURED', `${provider} is not configured here`, { provider })
      return schedule.request(connection, asked)
    },
    async close() {
      await runner.close()
      await queue.close()
    },
  }
}

function isMonths(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_MONTHS
}
