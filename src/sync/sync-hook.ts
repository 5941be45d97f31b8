import type { Events, IntegrationEvent } from '../events.js'
import type { createSchedule } from './schedule.js'

/** The listener group of the library itself; it is acknowledged apart from the host's. */
export const SYNC_GROUP = 'atom:sync'

/** Starts a backfill when something was connected. Delivered at least once, so each step leads to the same jobs when repeated. */
export function registerSyncHook(
  events: Pick<Events, 'on'>,
  schedule: ReturnType<typeof createSchedule>,
  months: number,
): void {
  const group = { group: SYNC_GROUP }
  // The event's time, not this one's: a late or repeated delivery must ask for the same window.
  const at = (event: IntegrationEvent) => Date.parse(event.occurredAt)
  events.on('connected', async (event) => schedule.catchUp(event.connection, at(event), months), group)
  events.on('reconnected', async (event) => schedule.catchUp(event.connection, at(event), months), group)
  // An outage that outlasted the tries of a backfill is over.
  events.on('recovered', async (event) => schedule.resume(event.connection.id), group)
}
