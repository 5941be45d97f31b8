import type { Connection } from '../connection.js'
import type { Events } from '../events.js'
import type { BackfillDocument, NewEvent, ResourceProgress, Store, StoredRecord } from '../persistence/store.js'
import { newId } from '../random.js'
import type { Resource } from '../strategies/define-provider.js'
import { LeaseLost } from './failures.js'
import { newProgress } from './progress.js'
import { toBackfill } from './receipt.js'

/** What makes a job ours for a while. */
export interface Lease {
  owner: string
  fencing: number
  leaseMs: number
  now: () => number
}

export interface LedgerOptions {
  store: Store
  events: Pick<Events, 'groups' | 'kick' | 'emitLive'>
}

const PROGRESS_MS = 250

/** One job under our lease: what of it is written, and the only one who writes it. */
export class Ledger {
  /** Set once the connection was looked up; nobody is told of progress before. */
  connection: Connection | undefined
  private readonly abort = new AbortController()
  private writing: Promise<unknown> = Promise.resolve()
  private readonly renewal: NodeJS.Timeout
  private current: ResourceProgress | undefined
  private savedAt: number
  private toldAt = 0

  constructor(
    private readonly options: LedgerOptions,
    public job: BackfillDocument,
    private readonly lease: Lease,
  ) {
    this.savedAt = lease.now()
    this.renewal = setInterval(() => this.renew(), Math.max(50, lease.leaseMs / 4))
    this.renewal.unref()
  }

  /** Aborted with a `LeaseLost` when the job went to another worker, or was cancelled. */
  get lost(): AbortSignal {
    return this.abort.signal
  }

  progressOf({ name }: Resource): ResourceProgress {
    return this.job.resources.find(({ resource }) => resource === name) ?? newProgress(name)
  }

  /** What is worked on from now: signs of life repeat it. */
  begin(resource: Resource): void {
    this.current = { ...this.progressOf(resource), status: 'running' }
  }

  /** Writes a page with its progress. One write after the other, so that a sign of life does not overtake a page. */
  save(
    progress: ResourceProgress,
    records: readonly StoredRecord[] = [],
    deletes: readonly string[] = [],
  ): Promise<void> {
    const write = this.writing.then(async () => {
      await this.savePage(progress, records, deletes)
      const known = this.job.resources.some(({ resource }) => resource === progress.resource)
      const resources = known
        ? this.job.resources.map((entry) => (entry.resource === progress.resource ? progress : entry))
        : [...this.job.resources, progress]
      this.job = { ...this.job, resources }
      this.current = progress
      this.tell(progress.status !== 'running')
    })
    this.writing = write.catch(() => {})
    return write
  }

  private async savePage(
    progress: ResourceProgress,
    records: readonly StoredRecord[],
    deletes: readonly string[],
  ): Promise<void> {
    const { connectionId, tenantId, provider } = this.job
    const { owner, fencing, leaseMs } = this.lease
    const now = this.lease.now()
    const kept = await this.options.store.savePage({
      backfillId: this.job.id,
      connectionId,
      tenantId,
      provider,
      owner,
      fencing,
      leaseMs,
      now,
      records,
      progress,
      deletes: deletes.map((id) => ({ resource: progress.resource, id })),
    })
    if (!kept) {
      const error = new LeaseLost('the lease of this backfill is not ours any more')
      this.abort.abort(error)
      throw error
    }
    this.savedAt = now
  }

  private renew(): void {
    this.writing = this.writing
      .then(async () => {
        const isFresh = this.lease.now() - this.savedAt < this.lease.leaseMs / 4
        if (this.current && !isFresh && !this.lost.aborted) await this.savePage(this.current, [], [])
      })
      // The write that comes next finds out what is wrong.
      .catch(() => {})
  }

  /** @param always - Else at most some times a second. */
  private tell(always: boolean): void {
    const time = performance.now()
    if (!this.connection || (!always && time - this.toldAt < PROGRESS_MS)) return
    this.toldAt = time
    const backfill = toBackfill(this.job)
    this.options.events.emitLive({ type: 'backfill.progress', connection: this.connection, backfill })
  }

  /** Back to the queue, to be taken up after a while. */
  async giveBack(delayMs: number): Promise<void> {
    await this.end()
    const { owner, fencing } = this.lease
    const now = this.lease.now()
    const release = { id: this.job.id, owner, fencing, status: 'queued', failure: null, now, event: null } as const
    await this.options.store.finishBackfill({ ...release, dueAt: now + delayMs })
  }

  async finish(failure: BackfillDocument['failure']): Promise<void> {
    await this.end()
    const { owner, fencing } = this.lease
    const now = this.lease.now()
    const status = failure ? 'failed' : 'completed'
    const event: NewEvent = {
      id: newId(),
      type: `backfill.${status}`,
      occurredAt: now,
      backfillId: this.job.id,
      groups: this.options.events.groups(),
    }
    const job = await this.options.store.finishBackfill({
      id: this.job.id,
      owner,
      fencing,
      status,
      failure,
      now,
      event,
    })
    if (!job) return
    this.job = job
    this.options.events.kick()
    this.tell(true)
  }

  /** No more signs of life. Resolves when nothing is being written. */
  async end(): Promise<void> {
    clearInterval(this.renewal)
    await this.writing
  }
}
