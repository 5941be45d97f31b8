import { createHash } from 'node:crypto'
import type { BackfillDocument, ConnectionDocument, Store } from '../persistence/store.js'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import { inOrder, newProgress } from './progress.js'
import { cutToMinute, MAX_MONTHS, monthsBefore, type Window, windowBefore } from './window.js'

export interface Scheduled {
  backfillId: string
  created: boolean
}

interface ScheduleOptions {
  store: Store
  definitionOf: (provider: string) => ProviderDefinition | undefined
  wake: (backfillId: string) => void
  now: () => number
}

/** Newest jobs of a connection that are looked at; older ones have no say. */
const LOOK_BACK = 200
const DAY = 24 * 60 * 60_000

/** The same connection and window is the same job, however often and by whomever it is asked for. */
export function backfillId(connectionId: string, { from, to }: Window): string {
  return `bf_${createHash('sha256').update(`${connectionId}\n${from}\n${to}`).digest('base64url').slice(0, 27)}`
}

/** Decides which jobs there should be. Every step may be repeated: it leads to the same jobs. */
export function createSchedule({ store, definitionOf, wake, now }: ScheduleOptions) {
  async function jobsOf(connectionId: string): Promise<BackfillDocument[]> {
    return (await store.listBackfills({ tenantId: null, connectionId, limit: LOOK_BACK })).items
  }

  async function enqueue(
    connection: Pick<ConnectionDocument, 'id' | 'tenantId' | 'provider'>,
    window: Window,
  ): Promise<Scheduled> {
    const time = now()
    const definition = definitionOf(connection.provider)
    const { created, backfill } = await store.createBackfill({
      id: backfillId(connection.id, window),
      connectionId: connection.id,
      tenantId: connection.tenantId,
      provider: connection.provider,
      status: 'queued',
      window,
      resources: inOrder(definition?.resources ?? []).map(({ name }) => newProgress(name)),
      failure: null,
      attempts: 0,
      dueAt: time,
      lease: null,
      createdAt: time,
      startedAt: null,
      finishedAt: null,
    })
    wake(backfill.id)
    return { backfillId: backfill.id, created }
  }

  async function requeue(job: BackfillDocument): Promise<void> {
    if (job.status === 'failed') await store.requeueBackfill(job.id, now())
    wake(job.id)
  }

  /** Failed jobs whose window no other job has read. */
  function toResume(jobs: readonly BackfillDocument[]): BackfillDocument[] {
    return jobs.filter(
      (job) => job.status === 'failed' && !jobs.some((other) => other.status === 'completed' && covers(other, job)),
    )
  }

  /** After the same account was connected again: goes on with what was not finished, else reads what came since. */
  async function catchUp(
    connection: Pick<ConnectionDocument, 'id' | 'tenantId' | 'provider'>,
    at: number,
    months: number,
  ): Promise<void> {
    const jobs = await jobsOf(connection.id)
    const failed = toResume(jobs)
    for (const job of failed) await requeue(job)
    const open = jobs.filter(({ status }) => status === 'queued' || status === 'running')
    for (const job of open) wake(job.id)
    const to = cutToMinute(at)
    const reached = Math.max(...jobs.map(({ window }) => window.to), Number.NEGATIVE_INFINITY)
    const wasDeleted = failed.length + open.length === 0 && (await recordsAreGone(connection.id, jobs))
    if (reached === Number.NEGATIVE_INFINITY || wasDeleted) await enqueue(connection, windowBefore(at, months))
    // What is still under way reaches nearly up to now.
    else if (reached + (failed.length + open.length > 0 ? DAY : 0) < to)
      await enqueue(connection, { from: Math.max(reached, monthsBefore(to, MAX_MONTHS)), to })
  }

  /** A disconnect may have deleted what was read. */
  async function recordsAreGone(connectionId: string, jobs: readonly BackfillDocument[]): Promise<boolean> {
    const hadRecords = jobs.some(({ resources }) => resources.some(({ records }) => records > 0))
    if (!hadRecords) return false
    return (await store.listRecords({ tenantId: null, connectionId, limit: 1 })).items.length === 0
  }

  return {
    enqueue,
    catchUp,

    /** Goes on with what failed, and nothing else. */
    async resume(connectionId: string): Promise<void> {
      for (const job of toResume(await jobsOf(connectionId))) await requeue(job)
    },

    /** The job that reads the last months: one that does already, one that failed lately, or a new one. */
    async request(connection: ConnectionDocument, months: number): Promise<Scheduled> {
      const window = windowBefore(now(), months)
      const jobs = await jobsOf(connection.id)
      const readsAsMuch = (job: BackfillDocument) => job.window.from <= monthsBefore(job.window.to, months)
      const existing =
        jobs.find(({ id }) => id === backfillId(connection.id, window)) ??
        jobs.find((job) => (job.status === 'queued' || job.status === 'running') && readsAsMuch(job)) ??
        toResume(jobs).find((job) => readsAsMuch(job) && job.window.to > window.to - DAY)
      if (!existing) return enqueue(connection, window)
      await requeue(existing)
      return { backfillId: existing.id, created: false }
    },
  }
}

function covers(job: BackfillDocument, other: BackfillDocument): boolean {
  return job.window.from <= other.window.from && job.window.to >= other.window.to
}
