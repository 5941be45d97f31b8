import type { ResourceProgress } from '../persistence/store.js'
import type { ProviderDefinition, Resource } from '../strategies/define-provider.js'
import { whyNot } from './failures.js'
import type { Position, ReadPage } from './reader.js'
import { toISO, type Window } from './window.js'

/** The runner's own part of a resource's progress: where to go on, and what the receipt has to say at the end. */
export interface Checkpoint {
  position?: Position
  newest?: number
  oldest?: number
  /** Items without an id. */
  unreadable?: number
  /** Parents that were passed over, by the reason. */
  skipped?: Record<string, number>
  notes?: string[]
  /** Tries of the page that comes next which failed, and times that it was waited for. */
  failures?: number
  waits?: number
}

const DAY = 24 * 60 * 60_000

export function checkpointOf(progress: ResourceProgress): Checkpoint {
  return (progress.checkpoint ?? {}) as Checkpoint
}

/** Parents before children, else in the definition's order, which is that of importance. */
export function inOrder(resources: readonly Resource[]): Resource[] {
  const sorted: Resource[] = []
  const visit = (resource: Resource, path: readonly Resource[]) => {
    if (sorted.includes(resource) || path.includes(resource)) return
    const parent = resources.find(({ name }) => name === resource.parent)
    if (parent) visit(parent, [...path, resource])
    sorted.push(resource)
  }
  for (const resource of resources) visit(resource, [])
  return sorted
}

export function newProgress(resource: string): ResourceProgress {
  return { resource, status: 'pending', pages: 0, records: 0, coveredFrom: null, coveredTo: null, checkpoint: null }
}

/** The part of the window that this resource can reach, and why it is not all of it. */
export function reachOf(
  resource: Resource,
  window: Window,
  scopes: readonly string[],
): { window: Window; reason?: string } {
  const { reach } = resource
  if (!reach || (reach.unlessScope !== undefined && scopes.includes(reach.unlessScope))) return { window }
  if (reach.days === undefined) return { window, reason: reach.reason }
  const from = window.to - reach.days * DAY
  return from <= window.from ? { window } : { window: { from, to: window.to }, reason: reach.reason }
}

/** A scope that the resource needs and that was not granted. Where nothing is known of what was granted, the provider has the word. */
export function missingScope(resource: Resource, granted: readonly string[]): string | undefined {
  if (granted.length === 0) return undefined
  return resource.scopes?.find((scope) => !granted.includes(scope))
}

/** Progress once this page is written. */
export function advance(
  { reason: _, ...progress }: ResourceProgress,
  page: ReadPage,
  { resource, window, provider }: { resource: Resource; window: Window; provider: string },
): ResourceProgress {
  const { failures: __, waits: ___, ...before } = checkpointOf(progress)
  const checkpoint: Checkpoint = { ...before, position: page.position }
  if (page.newest !== undefined) checkpoint.newest = Math.max(page.newest, before.newest ?? page.newest)
  if (page.oldest !== undefined) checkpoint.oldest = Math.min(page.oldest, before.oldest ?? page.oldest)
  if (page.unreadable > 0) checkpoint.unreadable = (before.unreadable ?? 0) + page.unreadable
  if (page.note !== undefined && !before.notes?.includes(page.note))
    checkpoint.notes = [...(before.notes ?? []), page.note]
  if (page.skippedParent !== undefined) {
    const why = whyNot(page.skippedParent, provider)
    checkpoint.skipped = { ...before.skipped, [why]: (before.skipped?.[why] ?? 0) + 1 }
  }
  return {
    ...progress,
    status: 'running',
    pages: progress.pages + page.pages,
    records: resource.parentOnly ? 0 : Math.max(0, progress.records + page.counted),
    ...coveredSoFar(resource, window, checkpoint),
    checkpoint,
  }
}

/** What can be said before the end: only a list in order of time has covered anything by then. */
function coveredSoFar(resource: Resource, window: Window, { newest, oldest }: Checkpoint) {
  if (resource.parent === undefined && resource.filter !== 'none') {
    if (resource.order === 'asc' && newest !== undefined)
      return { coveredFrom: toISO(window.from), coveredTo: toISO(Math.min(Math.max(newest, window.from), window.to)) }
    if (resource.order === 'desc' && oldest !== undefined)
      return { coveredFrom: toISO(Math.max(Math.min(oldest, window.to), window.from)), coveredTo: toISO(window.to) }
  }
  return { coveredFrom: null, coveredTo: null }
}

export function completed(
  progress: ResourceProgress,
  {
    resource,
    reach,
    definition,
  }: { resource: Resource; reach: { window: Window; reason?: string }; definition: ProviderDefinition },
): ResourceProgress {
  const { oldest, unreadable = 0, skipped = {}, notes = [] } = checkpointOf(progress)
  const parents = definition.resources.find(({ name }) => name === resource.parent)
  const reasons = Object.entries(skipped).map(
    ([why, count]) => `${count} of "${parents ? titleOf(parents) : resource.parent}" could not be read. ${why}`,
  )
  if (unreadable > 0) reasons.push(`${unreadable} items came without an id and were left out.`)
  // Nothing could be read at all: that is no success.
  const nothing = reasons.length > 0 && progress.pages === 0
  const reason = [reach.reason, ...reasons, ...notes, resource.limits].filter(Boolean).join(' ')
  const { window } = reach
  // A reach without a length: what was seen is what there is.
  const unknownReach = reach.reason !== undefined && resource.reach?.days === undefined
  const from = unknownReach ? Math.max(window.from, oldest ?? window.to) : window.from
  const { reason: _, ...rest } = progress
  return {
    ...rest,
    status: nothing ? 'skipped' : 'completed',
    coveredFrom: nothing ? null : toISO(from),
    coveredTo: nothing ? null : toISO(window.to),
    ...(reason !== '' && { reason }),
    checkpoint: null,
  }
}

/** Ends a resource without success; `failed` keeps its place. */
export function ended(progress: ResourceProgress, status: 'skipped' | 'failed', reason: string): ResourceProgress {
  if (status === 'skipped') return { ...progress, status, reason, checkpoint: null }
  const { failures: _, waits: __, ...checkpoint } = checkpointOf(progress)
  return { ...progress, status, reason, checkpoint: checkpoint.position ? checkpoint : null }
}

export function titleOf({ name, title }: Resource): string {
  return title ?? name.replaceAll('_', ' ')
}
