import type { BackfillDocument, ResourceProgress } from '../persistence/store.js'

/** What a backfill has covered of one resource. */
export interface ResourceReceipt {
  resource: string
  pages: number
  records: number
  /** ISO 8601; null: nothing yet. */
  coveredFrom: string | null
  /** ISO 8601; null: nothing yet. */
  coveredTo: string | null
  status: ResourceProgress['status']
  /** A sentence for people: what was left out and why, or what the provider does not show. */
  reason?: string
}

/** A backfill as the host sees it: the job and its receipt. */
export interface Backfill {
  id: string
  connectionId: string
  status: BackfillDocument['status']
  /** ISO 8601, both ends. */
  window: { from: string; to: string }
  resources: ResourceReceipt[]
  /** ISO 8601; null: not yet. */
  startedAt: string | null
  /** ISO 8601; null: not yet. */
  finishedAt: string | null
}

/** The public view of a job: without checkpoint and lease. */
export function toBackfill(document: BackfillDocument): Backfill {
  return {
    id: document.id,
    connectionId: document.connectionId,
    status: document.status,
    window: { from: iso(document.window.from), to: iso(document.window.to) },
    resources: document.resources.map((entry) => ({
      resource: entry.resource,
      pages: entry.pages,
      records: entry.records,
      coveredFrom: entry.coveredFrom,
      coveredTo: entry.coveredTo,
      status: entry.status,
      ...(entry.reason !== undefined && { reason: entry.reason }),
    })),
    startedAt: document.startedAt === null ? null : iso(document.startedAt),
    finishedAt: document.finishedAt === null ? null : iso(document.finishedAt),
  }
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
