import type { Connection } from '../connection.js'
import type { Events } from '../events.js'
import type { Store } from '../persistence/store.js'
import { newId } from '../random.js'
import type { ProviderDefinition, RequestTemplate, Resource } from '../strategies/define-provider.js'
import { JobRun } from './job-run.js'
import { Ledger } from './ledger.js'
import type { Reply, RequestScope } from './reader.js'

/** Records of one page, as `onRecords` gets them. */
export type RecordBatch = readonly {
  /** The provider's id, unique in its connection and resource. */
  id: string
  resource: string
  /** ISO 8601; null where the provider tells none. */
  timestamp: string | null
  /** As the provider sent it. */
  data: unknown
}[]

/** Whose records they are. */
export interface RecordContext {
  connection: Connection
  resource: string
  backfillId: string
  /** Records that the provider says are gone. */
  deletedIds: readonly string[]
}

export type OnRecords = (batch: RecordBatch, context: RecordContext) => void | Promise<void>

/** The part of the tokens that the runner uses. */
export interface Caller {
  call(
    connectionId: string,
    request: RequestTemplate,
    options: { scope: RequestScope; resource: Resource; signal: AbortSignal },
  ): Promise<Reply>
}

export interface RunnerOptions {
  store: Store
  tokens: Caller
  events: Pick<Events, 'groups' | 'kick' | 'emitLive'>
  providers: (id: string) => { definition: ProviderDefinition } | undefined
  /** Asks the queue to come back to a job. */
  wake: (backfillId: string, delayMs: number) => void
  /** At least once per page, before the page counts as read: when it fails, the page is read again. */
  onRecords?: OnRecords
  now?: () => number
  /** How long a job is ours without a sign of life, in milliseconds. Default 30,000. */
  leaseMs?: number
  /** Tries of one page, then the job fails. Default 5. */
  maxTries?: number
  /** Delay after the first failed try in milliseconds, doubled with each. Default 1,000. */
  retryMs?: number
  /** How long a small page waits for the next to be written with it, in milliseconds. Default 20. */
  gatherMs?: number
  logger?: { warn(fields: object, message: string): void; error(fields: object, message: string): void }
}

export interface Runner {
  /** Takes the job, or whatever is due, and runs it to its end or until it has to wait. Resolves at once when there is nothing to take. */
  work(backfillId?: string): Promise<void>
  /** Gives running jobs back at their last checkpoint. */
  close(): Promise<void>
}

/** Runs backfills: reads page by page, writes, saves where it is, and goes on from there after any interruption (design §10). */
export function createRunner(options: RunnerOptions): Runner {
  const { store, events, now = Date.now, leaseMs = 30_000 } = options
  const owner = newId()
  const closing = new AbortController()
  const running = new Set<Promise<void>>()

  async function work(backfillId?: string): Promise<void> {
    if (closing.signal.aborted) return
    const event = { id: newId(), type: 'backfill.started', occurredAt: now(), groups: events.groups() } as const
    const claim = { owner, now: now(), leaseMs, event, ...(backfillId !== undefined && { id: backfillId }) }
    const job = await store.claimBackfill(claim)
    if (!job?.lease) return
    events.kick()
    const ledger = new Ledger({ store, events }, job, { owner, fencing: job.lease.fencing, leaseMs, now })
    const done = new JobRun(options, ledger, closing.signal).run()
    running.add(done)
    await done.finally(() => running.delete(done))
  }

  return {
    work,
    async close() {
      closing.abort()
      await Promise.allSettled(running)
    },
  }
}
