import { IntegrationError } from '../errors.js'
import type { StoredRecord } from '../persistence/store.js'
import type { RequestTemplate, Resource } from '../strategies/define-provider.js'
import { type Page, type Parent, readPage } from './page.js'
import { follow, nextState, pageRequest, type Trail } from './pagination.js'
import { type ParentPosition, type ParentSource, parentsOf } from './parents.js'
import { sliceWindow, type Window } from './window.js'

/** Where one query (of one parent, if there are parents) goes on. JSON. */
export interface QueryState {
  /** Which slice of the window. */
  slice: number
  /** State of the pagination; absent: the first page. */
  state?: unknown
  /** The query was started again from here instead of the slice's start. */
  since?: number
  /** Items since the query started. */
  items: number
  /** Records counted since the query started: it would count them again from its start. */
  counted: number
  newest?: number
  /** How many records stand at its end: a query that begins again there reads, and would count, them again. */
  tail?: Tail
  restarts: number
  trail?: Trail
}

/** Counts of the newest two steps of time, a step being what a request can tell apart. */
interface Tail {
  step: number
  count: number
  before: number
}

/** Where a resource goes on. JSON, saved with every page. */
export interface Position {
  parents?: ParentPosition
  /** The parent that is being read. */
  parent?: string
  query?: QueryState
  /** Without parents: the last page was written. */
  ended?: true
}

/** A page in its place: what to write, and where to go on once it is written. */
export interface ReadPage {
  records: StoredRecord[]
  deletes: string[]
  /** Answers that were read: 1, or 0 where a parent was passed over. */
  pages: number
  /** What it adds to the count: records, less those that a restarted query had counted already. */
  counted: number
  unreadable: number
  newest?: number
  oldest?: number
  position: Position
  /** With `commit: 'set'`: this is the last page of its set. */
  endsSet: boolean
  /** The query began anew: what was kept of its set is void. */
  restarted: boolean
  /** Why a parent was passed over, or what the provider withheld. */
  skippedParent?: unknown
  note?: string
}

/** What the provider answered to one request. */
export interface Reply {
  headers: Readonly<Record<string, string>>
  body: unknown
  url: string
}

export interface RequestScope {
  since: Date
  now: Date
  parent?: unknown
  extra?: Record<string, string>
}

export interface ReaderOptions {
  resource: Resource
  /** Without overlap. */
  window: Window
  from: Position | undefined
  source: ParentSource
  call(request: RequestTemplate, scope: RequestScope): Promise<Reply>
  /** Most parents that are asked for at the same time. */
  concurrency: number
  /** True for an error that passes over one parent. */
  skipsParent(error: unknown): boolean
}

/** After so many restarts that brought nothing new, the provider's cursors end faster than a page can be read. */
const MAX_RESTARTS = 5
const SECOND = 1_000
const DAY_MS = 86_400_000
/** What a window's start is cut to when it is written into a request. */
const CUT_MS: Readonly<Record<string, number>> = {
  unix_ms: 1,
  unix_day: DAY_MS,
  date: DAY_MS,
  next_date: DAY_MS,
  date_time_minutes: 60_000,
}

/** Resolves to what comes next, or to `undefined` at the end. One call at a time. */
type Next<T> = () => Promise<T | undefined>

/**
 * Reads a resource page by page, in order. Asking for the next page before the last one is written is safe: it only reads ahead.
 *
 * A function to call again instead of an async generator: a generator that waits keeps alive what it yielded last, each of several in
 * a row for itself, and a provider may let a job wait for minutes.
 */
export function readResource(options: ReaderOptions): Next<ReadPage> {
  const { resource, from } = options
  if (from?.ended) return async () => undefined
  if (resource.parent !== undefined) return readChildren(options)
  const nextPage = readQueries(options, undefined, from?.query)
  return async () => {
    const page = await nextPage()
    return page && placed(page, page.query ? { query: page.query } : { ended: true })
  }
}

type QueriedPage = Omit<ReadPage, 'position'> & { query: QueryState | undefined }

function placed({ query: _, ...page }: QueriedPage, position: Position): ReadPage {
  return { position, ...page }
}

const NOTHING: Omit<ReadPage, 'position'> = {
  records: [],
  deletes: [],
  pages: 0,
  counted: 0,
  unreadable: 0,
  endsSet: true,
  // What was read of its set is void.
  restarted: true,
}

/** A parent whose children are being read: its first page is asked for while those before it are read. */
interface StartedParent {
  id: string
  before: Position
  position: ParentPosition
  first: Promise<QueriedPage | undefined> | undefined
  nextPage: Next<QueriedPage>
}

function readChildren(options: ReaderOptions): Next<ReadPage> {
  const { resource, from, source } = options
  // A resource that is its own parent finds its next parents in what it writes, so nothing is read ahead.
  const ahead = resource.parent === resource.name ? 1 : options.concurrency
  const parents = parentsOf(source, resource, from?.parents)
  const started: StartedParent[] = []
  let before = from?.parents
  let more = true
  let head: StartedParent | undefined

  async function start(): Promise<void> {
    while (more && started.length < ahead) {
      const next = await parents.next()
      if (next.done) {
        more = false
        return
      }
      const { parent, position } = next.value
      const nextPage = readQueries(options, parent, parent.id === from?.parent ? from.query : undefined)
      const first = nextPage()
      // Looked at in its turn; until then a failure is not unhandled.
      first.catch(() => {})
      started.push({ id: parent.id, before: { parents: before ?? {} }, position, first, nextPage })
      before = position
    }
  }

  async function pageOf(parent: StartedParent): Promise<ReadPage | undefined> {
    try {
      const coming = parent.first ?? parent.nextPage()
      parent.first = undefined
      const page = await coming
      const query = page?.query
      return page && placed(page, query ? { ...parent.before, parent: parent.id, query } : { parents: parent.position })
    } catch (error) {
      if (!options.skipsParent(error)) throw error
      head = undefined
      return { ...NOTHING, position: { parents: parent.position }, skippedParent: error }
    }
  }

  return async () => {
    for (;;) {
      if (!head) {
        await start()
        head = started.shift()
        if (!head) return undefined
      }
      const page = await pageOf(head)
      if (page) return page
      head = undefined
    }
  }
}

/** All pages of one parent, or of a resource without parents: slice by slice, each to its end. */
function readQueries(
  options: ReaderOptions,
  parent: Parent | undefined,
  from: QueryState | undefined,
): Next<QueriedPage> {
  const { resource, window } = options
  const overlap = (resource.overlapSeconds ?? 0) * SECOND
  const cutMs = cutOf(resource)
  const slices = sliceWindow(window, resource.sliceDays, cutMs === DAY_MS)
  /** Where it goes on; `undefined` at the end. */
  let upcoming: QueryState | undefined = from ?? { slice: 0, items: 0, counted: 0, restarts: 0 }

  return async () => {
    if (!upcoming) return undefined
    let query = upcoming
    /** Records of the page before that a restarted query reads, and would count, again. */
    let takeBack = 0
    let restarted = false
    for (;;) {
      const slice = slices[query.slice] ?? (slices.at(-1) as Window)
      const since = query.since ?? slice.from - overlap
      const { request, extra } = pageRequest(resource.pagination, resource.request, query.state)
      const scope: RequestScope = { since: new Date(since), now: new Date(slice.to) }
      if (parent) scope.parent = parent.data
      if (extra) scope.extra = extra
      let reply: Reply
      try {
        reply = await options.call(request, scope)
      } catch (error) {
        if (!isCursorExpired(error) || query.state === undefined || query.restarts >= MAX_RESTARTS) throw error
        const again = restart(resource, query, since, cutMs)
        takeBack += again.since === query.since ? query.counted : recount(query, cutMs)
        restarted = true
        query = again
        continue
      }

      const page = readPage(resource, reply.body, parent, window.from - overlap)
      const answer = {
        body: reply.body,
        headers: reply.headers,
        url: reply.url,
        items: page.items,
        state: query.state,
        window: { from: new Date(since), to: scope.now },
      }
      const state = page.beyondEdge ? undefined : nextState(resource.pagination, answer)
      const trail = state === undefined ? undefined : follow(query.trail, state, page.key)
      if (state !== undefined && !trail)
        throw new IntegrationError('PROVIDER_BAD_RESPONSE', `The pages of ${resource.name} go in a circle.`)

      let counted = page.records.length - takeBack
      const seen: QueryState = {
        ...query,
        items: query.items + page.items.length,
        newest: page.newest === undefined ? query.newest : Math.max(page.newest, query.newest ?? page.newest),
        tail: resource.order === 'asc' ? tally(query.tail, page, cutMs) : undefined,
      }
      let next: QueryState | undefined
      let note: string | undefined
      if (isCapped(resource, seen.items, reply.body)) {
        const again = beyondCap(seen, since, cutMs)
        note = again.note
        next = again.query
        if (next && note === undefined) counted -= recount(seen, cutMs)
      } else if (state !== undefined)
        next = { ...seen, counted: query.counted + counted + takeBack, state, ...(trail && { trail }) }
      if (!next && query.slice + 1 < slices.length) next = { slice: query.slice + 1, items: 0, counted: 0, restarts: 0 }

      upcoming = next
      return {
        records: page.records,
        deletes: page.deletes,
        pages: 1,
        counted,
        unreadable: page.unreadable,
        ...(page.newest !== undefined && { newest: page.newest }),
        ...(page.oldest !== undefined && { oldest: page.oldest }),
        query: next,
        endsSet: next === undefined,
        restarted,
        ...(note !== undefined && { note }),
      }
    }
  }
}

function isCursorExpired(error: unknown): boolean {
  return error instanceof IntegrationError && error.fault === 'cursor_expired'
}

/**
 * The cursor is gone. Where the list goes from old to new and the server filters, the query goes on from the newest time seen, and what has
 * that time is read again; anywhere else it begins anew.
 */
function restart(resource: Resource, query: QueryState, since: number, cutMs: number): QueryState {
  const { state: _, trail: __, tail: ___, ...rest } = query
  const resumable = resource.order === 'asc' && resource.filter === 'server' && resource.commit !== 'set'
  const from = justBefore(query.newest, cutMs)
  if (resumable && from !== undefined && from > since)
    return { ...rest, since: from, items: 0, counted: 0, restarts: 0 }
  return { ...rest, items: 0, counted: 0, restarts: query.restarts + 1 }
}

function isCapped({ restartAfter }: Resource, items: number, body: unknown): boolean {
  if (!restartAfter) return false
  return (restartAfter.items !== undefined && items >= restartAfter.items) || restartAfter.when?.(body) === true
}

/** One query shows no more: the next begins at the newest time seen. */
function beyondCap(query: QueryState, since: number, cutMs: number): { query?: QueryState; note?: string } {
  const { state: _, trail: __, tail: ___, ...rest } = query
  const from = justBefore(query.newest, cutMs)
  if (from === undefined) return { note: 'One query shows only a part, and the items carry no time to go on from.' }
  if (from > since) return { query: { ...rest, since: from, items: 0, counted: 0 } }
  // More items with one time than a query shows: the rest of them cannot be asked for.
  const next = Math.max(since, query.newest ?? since) + Math.max(cutMs, SECOND)
  const note = 'More items have the same time than one query shows; some of them may be missing.'
  return { query: { ...rest, since: next, newest: next, items: 0, counted: 0 }, note }
}

/** A millisecond early, for servers that compare by "greater", and as the request will say it. */
function justBefore(time: number | undefined, cutMs: number): number | undefined {
  return time === undefined ? undefined : Math.floor((time - 1) / cutMs) * cutMs
}

function cutOf({ request }: Resource): number {
  const format = /\{since\.(\w+)\}/.exec(JSON.stringify(request))?.[1]
  return CUT_MS[format ?? ''] ?? SECOND
}

function tally(tail: Tail | undefined, page: Page, cutMs: number): Tail | undefined {
  if (page.newest === undefined) return tail
  const last = Math.floor(page.newest / cutMs)
  const known = (step: number) => (tail?.step === step ? tail.count : tail && tail.step - 1 === step ? tail.before : 0)
  const next = { step: last, count: known(last), before: known(last - 1) }
  if (tail && tail.step > last) return tail
  // The list goes from old to new: what counts stands at its end.
  for (const { timestamp } of page.records.toReversed()) {
    const step = timestamp === null ? last : Math.floor(Date.parse(timestamp) / cutMs)
    if (step < last - 1) break
    if (timestamp !== null && step === last) next.count++
    else if (step === last - 1) next.before++
  }
  return next
}

/** Counted records that a query beginning `justBefore` the newest time reads again. */
function recount({ newest, tail }: QueryState, cutMs: number): number {
  if (newest === undefined || !tail) return 0
  return justBefore(newest, cutMs) === tail.step * cutMs ? tail.count : tail.count + tail.before
}
