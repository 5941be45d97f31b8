import { setImmediate as nextTurn } from 'node:timers/promises'
import { backoff } from './backoff.js'
import { type Connection, toConnection } from './connection.js'
import { IntegrationError } from './errors.js'
import type {
  ConnectionDocument,
  Delivery,
  DurableEventType,
  Page,
  ParkedDelivery,
  SaveConnection,
  SaveOutcome,
  Store,
} from './persistence/store.js'
import { newId } from './random.js'
import type { Backfill } from './sync/receipt.js'

/** What can be listened to. All but `backfill.progress` are durable: delivered at least once, also after a restart. */
export type EventName = DurableEventType | 'backfill.progress'

/** Something that happened to a connection. Carries ids and public fields, never a token. */
export interface IntegrationEvent<T extends EventName = EventName> {
  /** The same for every delivery of the same event: deduplicate by it. */
  id: string
  type: T
  /** ISO 8601. */
  occurredAt: string
  /** The connection as it is now, which may be later than the event. */
  connection: Connection
  /** Of events that belong to a backfill. */
  backfillId?: string
  /** The state of the backfill; only with `backfill.progress`. */
  backfill?: Backfill
}

export type Listener<T extends EventName = EventName> = (event: IntegrationEvent<T>) => void | Promise<void>

/** Progress of a backfill that runs in this process. */
export interface LiveEvent {
  type: 'backfill.progress'
  connection: Connection
  backfill: Backfill
}

/** What is told when a listener failed or the store could not be asked. Never the event's content. */
export interface EventFailure {
  eventId?: string
  type?: EventName
  group?: string
  attempt?: number
  /** No further attempt follows by itself. */
  parked?: boolean
}

export interface EventsOptions {
  store: Store
  /** Called with what a listener threw. Default: the logger. */
  onError?: (error: unknown, failure: EventFailure) => void
  logger?: { error(fields: object, message: string): void }
  now?: () => number
  /** How often the store is asked without being woken, in milliseconds. Default 1,000. */
  pollMs?: number
  /** How long a claimed delivery is ours, in milliseconds. A listener that takes longer may be called twice. Default 30,000. */
  leaseMs?: number
  /** About so many deliveries of one group at the same time: what is written meanwhile does not wait for a search. Default 64. */
  concurrency?: number
  /** Attempts after which a delivery is parked. Default 10. */
  maxAttempts?: number
  /** Delay after the first failure in milliseconds; doubles from there, up to ten minutes. Default 1,000. */
  retryMs?: number
}

export interface Events {
  /**
   * Calls `listener` for every event of this type. Listeners of one group are acknowledged together: when one of them fails, all
   * of the group's listeners for that type are called again later. Processes that share a group should have the same listeners.
   */
  on<T extends EventName>(type: T, listener: Listener<T>, options?: { group?: string }): void
  /** As `on`, for the first event whose delivery succeeds. */
  once<T extends EventName>(type: T, listener: Listener<T>, options?: { group?: string }): void
  /** Without `group`: in every group. */
  off<T extends EventName>(type: T, listener: Listener<T>, options?: { group?: string }): void
  /** Groups of this process that have listeners for durable events. */
  groups(): string[]
  /** @param keepAlive - The process lives as long as this does: it has nothing else to serve. Default false. */
  start(keepAlive?: boolean): Promise<void>
  /** Takes nothing more and waits for the listeners that run. */
  close(): Promise<void>
  /** Something may be pending: look now. */
  kick(): void
  /**
   * Saves a connection with its event, whose deliveries are claimed with the same write and so need not be looked for. Listeners are
   * called without being waited for.
   */
  saveAndDeliver(input: Omit<SaveConnection, 'groups' | 'claim'>): Promise<SaveOutcome>
  /** Tells listeners and subscribers of this process; not durable. */
  emitLive(event: LiveEvent): void
  /** For the library itself (live progress on a page): live events of this process. Returns how to stop. */
  subscribe(subscriber: (event: LiveEvent) => void): () => void
  /** Deliveries that were given up. */
  listParked(query: { tenantId: string | null; after?: string; limit: number }): Promise<Page<ParkedDelivery>>
  /** Makes parked deliveries of a group due again. */
  retryParked(tenantId: string | null, group: string): Promise<number>
}

const NAMES: readonly EventName[] = [
  'connected',
  'reconnected',
  'needs_reauth',
  'degraded',
  'recovered',
  'token.refreshed',
  'disconnected',
  'backfill.started',
  'backfill.progress',
  'backfill.completed',
  'backfill.failed',
]
const HEARTBEAT_MS = 60 * 60_000
const PRUNE_MS = 10 * 60_000
const MAX_RETRY_MS = 10 * 60_000

interface Entry {
  group: string
  type: EventName
  listener: Listener
  once: boolean
  /** A `once` that is being called: a second event must not call it too. */
  taken: boolean
}

/** Typed events over the store's outbox (design §9). */
export function createEvents(options: EventsOptions): Events {
  const { store, now = Date.now, pollMs = 1_000, leaseMs = 30_000 } = options
  const { concurrency = 64, maxAttempts = 10, retryMs = 1_000 } = options
  const owner = newId()
  const subscribers = new Set<(event: LiveEvent) => void>()
  const running = new Set<Promise<void>>()
  /** Deliveries whose listeners are at work, or whose success is being written down. */
  const taken = new Set<string>()
  const busy = new Map<string, number>()
  const registered = new Set<string>()
  let entries: Entry[] = []
  let started = false
  let closed = false
  let looking: Promise<void> | undefined
  let again = false
  let timer: NodeJS.Timeout | undefined
  let heartbeatAt = 0
  let pruneAt = 0
  let storeFailures = 0
  let keepsProcess = false

  function report(error: unknown, failure: EventFailure): void {
    try {
      if (options.onError) options.onError(error, failure)
      else options.logger?.error({ error, ...failure }, describe(failure))
    } catch {
      // A reporter that throws must not stop the deliveries.
    }
  }

  function add(type: EventName, listener: Listener, group: string, once: boolean): void {
    if (!NAMES.includes(type))
      throw new TypeError(`on: there is no event "${String(type)}". Known: ${NAMES.join(', ')}.`)
    if (typeof listener !== 'function') throw new TypeError(`on: the listener for "${type}" is not a function.`)
    if (typeof group !== 'string' || !/^[\w:.-]{1,64}$/.test(group))
      throw new TypeError('on: the group must be 1 to 64 letters, digits, "_", "-", "." or ":".')
    entries = [...entries, { group, type, listener, once, taken: false }]
    if (started && !registered.has(group)) kick()
  }

  function groups(): string[] {
    return [...new Set(entries.filter((entry) => entry.type !== 'backfill.progress').map((entry) => entry.group))]
  }

  function kick(): void {
    if (!started || closed) return
    again = true
    looking ??= look().finally(() => {
      looking = undefined
      // Kicked between the last look and here.
      if (again) kick()
    })
  }

  /** Claims until nothing is due or every group is busy. */
  async function look(): Promise<void> {
    clearTimeout(timer)
    let wait = pollMs
    try {
      while (again && !closed) {
        again = false
        await housekeeping()
        if (await claim()) again = true
      }
      storeFailures = 0
    } catch (error) {
      again = false
      report(error, {})
      wait = backoff(++storeFailures, { baseMs: pollMs, maxMs: 30_000 })
    }
    if (closed) return
    timer = setTimeout(kick, wait)
    if (!keepsProcess) timer.unref()
  }

  async function housekeeping(): Promise<void> {
    const known = groups()
    const fresh = known.filter((group) => !registered.has(group))
    const time = now()
    if (known.length > 0 && (fresh.length > 0 || time >= heartbeatAt)) {
      await store.registerGroups(known, time)
      for (const group of known) registered.add(group)
      heartbeatAt = time + HEARTBEAT_MS
    }
    if (time >= pruneAt) {
      pruneAt = time + PRUNE_MS
      await store.prune(time)
    }
  }

  /** True when there may be more. */
  async function claim(): Promise<boolean> {
    const free = (group: string) => concurrency - (busy.get(group) ?? 0)
    // A group whose listeners hang is left out, so that it holds up nobody else.
    const ready = groups().filter((group) => free(group) > 0)
    if (ready.length === 0) return false
    const limit = Math.min(...ready.map(free))
    const deliveries = await store.claimDeliveries(ready, owner, now(), leaseMs, limit)
    for (const delivery of deliveries) run(delivery)
    return deliveries.length === limit
  }

  /** An event that this process writes: its deliveries are known, and need not be looked for. */
  function saveAndDeliver(input: Omit<SaveConnection, 'groups' | 'claim'>): Promise<SaveOutcome> {
    const known = groups()
    const claimed = started && !closed ? known.filter((group) => registered.has(group) && hasRoom(group)) : []
    const claim = { owner, until: now() + leaseMs, groups: claimed }
    const saving = store.saveConnection({ groups: known, claim, ...input })
    // Room is taken before the write is done: it is held whatever else comes meanwhile.
    for (const group of claimed) enter(group)
    const delivering = saving
      .then(async (saved) => {
        if (saved.outcome === 'grant_taken') return
        // First the caller goes on: what it does with a saved connection is done before a listener sees it.
        await nextTurn()
        const { id: connectionId, tenantId } = saved.connection
        const event = { eventId: input.eventId, type: saved.outcome, occurredAt: input.now, connectionId, tenantId }
        for (const group of claimed) run({ group, attempts: 1, ...event }, saved.connection)
        if (claimed.length < known.length) kick()
      })
      // Told to the caller.
      .catch(() => {})
      .finally(() => {
        for (const group of claimed) leave(group)
      })
    track(delivering)
    return saving
  }

  function hasRoom(group: string): boolean {
    return (busy.get(group) ?? 0) < concurrency
  }

  function enter(group: string): void {
    busy.set(group, (busy.get(group) ?? 0) + 1)
  }

  /** What was left out because of this group's many deliveries is looked for now. */
  function leave(group: string): void {
    const wasFull = !hasRoom(group)
    busy.set(group, (busy.get(group) ?? 0) - 1)
    if (wasFull) kick()
  }

  /** What `close()` waits for. */
  function track(work: Promise<void>): void {
    const tracked = work.finally(() => running.delete(tracked))
    running.add(tracked)
  }

  /** @param document - The connection, where it is at hand. */
  function run(delivery: Delivery, document?: ConnectionDocument): void {
    const key = `${delivery.group} ${delivery.eventId}`
    // Its lease ran out while a listener is still at it: the claim has renewed it.
    if (taken.has(key)) return
    taken.add(key)
    enter(delivery.group)
    const work = deliver(delivery, document)
      // From the moment the failure is written, the next attempt may be claimed.
      .finally(() => taken.delete(key))
      .then((failure) => failure && retryLater(delivery, failure.error))
    track(work.catch((error: unknown) => report(error, failureOf(delivery))))
  }

  /** Resolves to what a listener threw; without that, the delivery is done and written down as such. */
  async function deliver(delivery: Delivery, document?: ConnectionDocument): Promise<{ error: unknown } | undefined> {
    const called = entries.filter(
      (entry) => entry.group === delivery.group && entry.type === delivery.type && !entry.taken,
    )
    for (const entry of called) entry.taken = entry.once
    let outcome: { error: unknown } | 'done' | undefined
    try {
      outcome = (await callAll(delivery, called, document)) ?? 'done'
    } finally {
      if (outcome === 'done') entries = entries.filter((entry) => !(entry.once && called.includes(entry)))
      else for (const entry of called) entry.taken = false
      leave(delivery.group)
    }
    if (outcome !== 'done') return outcome
    await store.ackDelivery(delivery, owner)
    return undefined
  }

  async function retryLater(delivery: Delivery, error: unknown): Promise<void> {
    const time = now()
    const delay = backoff(delivery.attempts, { baseMs: retryMs, maxMs: MAX_RETRY_MS })
    const dueAt = delivery.attempts >= maxAttempts ? null : time + delay
    await store.failDelivery(delivery, owner, dueAt, reasonOf(error), time)
  }

  /** Resolves to what one of them threw, if any did. */
  async function callAll(
    delivery: Delivery,
    called: readonly Entry[],
    known: ConnectionDocument | undefined,
  ): Promise<{ error: unknown } | undefined> {
    if (called.length === 0) return undefined
    const document = known ?? (await store.getConnection(null, delivery.connectionId))
    // Deleted since: there is nothing left to tell about.
    if (!document) return undefined
    const event: IntegrationEvent = {
      id: delivery.eventId,
      type: delivery.type,
      occurredAt: new Date(delivery.occurredAt).toISOString(),
      connection: toConnection(document),
      ...(delivery.backfillId !== undefined && { backfillId: delivery.backfillId }),
    }
    // Each its own: what one listener changes, no other sees.
    const copies = called.map((_, index) => (index === 0 ? event : structuredClone(event)))
    const outcomes = await Promise.allSettled(
      called.map(async (entry, index) => entry.listener(copies[index] as IntegrationEvent)),
    )
    const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
    for (const { reason } of failures)
      report(reason, { ...failureOf(delivery), parked: delivery.attempts >= maxAttempts })
    return failures[0] && { error: failures[0].reason }
  }

  function emitLive(event: LiveEvent): void {
    for (const subscriber of subscribers) {
      try {
        subscriber(event)
      } catch (error) {
        report(error, { type: event.type })
      }
    }
    const called = entries.filter((entry) => entry.type === event.type)
    if (called.length === 0) return
    entries = entries.filter((entry) => !(entry.once && called.includes(entry)))
    const full: IntegrationEvent = {
      id: newId(),
      type: event.type,
      occurredAt: new Date(now()).toISOString(),
      connection: event.connection,
      backfillId: event.backfill.id,
      backfill: event.backfill,
    }
    for (const entry of called) {
      Promise.resolve()
        .then(() => entry.listener(structuredClone(full)))
        .catch((error: unknown) => report(error, { eventId: full.id, type: event.type, group: entry.group }))
    }
  }

  return {
    on: (type, listener, { group = 'default' } = {}) => add(type, listener as Listener, group, false),
    once: (type, listener, { group = 'default' } = {}) => add(type, listener as Listener, group, true),
    off(type, listener, { group } = {}) {
      entries = entries.filter(
        (entry) => entry.type !== type || entry.listener !== listener || (group !== undefined && entry.group !== group),
      )
    },
    groups,
    async start(keepAlive = false) {
      if (started || closed) return
      keepsProcess = keepAlive
      // Known to the store before the first event can be written: an event is pending for known groups only.
      await housekeeping()
      started = true
      kick()
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await looking
      // What was claimed is delivered, and may have begun only now.
      while (running.size > 0) await Promise.all(running)
    },
    kick,
    saveAndDeliver,
    emitLive,
    subscribe(subscriber) {
      subscribers.add(subscriber)
      return () => subscribers.delete(subscriber)
    },
    listParked: (query) => store.listParked(query),
    async retryParked(tenantId, group) {
      const count = await store.retryParked(tenantId, group, now())
      kick()
      return count
    },
  }
}

function failureOf(delivery: Delivery): EventFailure {
  return { eventId: delivery.eventId, type: delivery.type, group: delivery.group, attempt: delivery.attempts }
}

function describe({ type, group, parked }: EventFailure): string {
  if (!type) return 'atom-integrations: events could not be read from the store'
  const then = parked ? ', and was parked' : ''
  return `atom-integrations: a listener for ${type}${group ? ` (group ${group})` : ''} failed${then}`
}

/** Kept and shown in lists: what kind of error it was, never its text. */
function reasonOf(error: unknown): string {
  if (error instanceof IntegrationError) return error.code
  return error instanceof Error ? error.name.slice(0, 64) : 'not an error'
}
