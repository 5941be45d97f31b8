import { IntegrationError } from '../errors.js'
import type { BackfillDocument, NewEvent, Store } from './store.js'

/* How a backfill changes; like connection-changes.ts, run by both adapters inside an atomic step. */

/** A backfill as it is stored: the fencing number outlives the lease. */
export interface BackfillState extends BackfillDocument {
  fencing: number
}

type Claim = Parameters<Store['claimBackfill']>[0]
type SavedPage = Parameters<Store['savePage']>[0]
type Finish = Parameters<Store['finishBackfill']>[0]

export function toBackfillDocument({ fencing: _, ...document }: BackfillState): BackfillDocument {
  return document
}

export function isUnfinished({ status }: BackfillDocument): boolean {
  return status === 'queued' || status === 'running'
}

/** `dueAt` of a running job is the end of its lease: from then on any worker may take it. */
export function claimed(
  state: BackfillState,
  { owner, now, leaseMs, event }: Claim,
): { next: BackfillState; event: NewEvent | null } | undefined {
  if (!isUnfinished(state) || state.dueAt > now) return undefined
  const until = now + leaseMs
  const fencing = state.fencing + 1
  const next: BackfillState = {
    ...state,
    status: 'running',
    lease: { owner, until, fencing },
    fencing,
    attempts: state.attempts + 1,
    dueAt: until,
    startedAt: state.startedAt ?? now,
  }
  return { next, event: state.startedAt === null ? { ...event, backfillId: state.id } : null }
}

export function holdsJob(state: BackfillState, { owner, fencing }: { owner: string; fencing: number }): boolean {
  return state.status === 'running' && state.lease?.owner === owner && state.lease.fencing === fencing
}

export function pageSaved(state: BackfillState, input: SavedPage): BackfillState | undefined {
  if (!holdsJob(state, input)) return undefined
  const { progress, owner, fencing } = input
  const until = input.now + input.leaseMs
  const known = state.resources.some(({ resource }) => resource === progress.resource)
  const resources = known
    ? state.resources.map((before) => (before.resource === progress.resource ? progress : before))
    : [...state.resources, progress]
  return { ...state, resources, lease: { owner, until, fencing }, dueAt: until }
}

export function finished(state: BackfillState, input: Finish): BackfillState | undefined {
  if (!holdsJob(state, input)) return undefined
  const { status, failure, now, dueAt } = input
  const waits = status === 'queued'
  return { ...state, status, failure, lease: null, dueAt: waits ? (dueAt ?? now) : now, finishedAt: waits ? null : now }
}

export function requeued(state: BackfillState, now: number): BackfillState | undefined {
  if (state.status !== 'failed') return undefined
  return { ...state, status: 'queued', failure: null, attempts: 0, dueAt: now, finishedAt: null }
}

/** Its connection was disconnected: a worker that runs it finds its lease gone. */
export function cancelled(state: BackfillState, now: number): BackfillState | undefined {
  if (!isUnfinished(state)) return undefined
  const { code, reference } = new IntegrationError('CONNECTION_DISCONNECTED', 'disconnected while a backfill was open')
  return { ...state, status: 'failed', failure: { code, reference }, lease: null, dueAt: now, finishedAt: now }
}
