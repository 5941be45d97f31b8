import { IntegrationError } from '../errors.js'
import type { StoredRecord } from '../persistence/store.js'
import type { OneOrMore, Path, Resource } from '../strategies/define-provider.js'
import { pick } from '../strategies/template.js'
import { parseTimestamp, toISO } from './window.js'

/** One answer, read by the definition: what to write, and what the runner goes on by. */
export interface Page {
  records: StoredRecord[]
  /** Ids that the answer says are gone; none of them is among the records. */
  deletes: string[]
  /** The item list as it came, for the pagination. */
  items: readonly unknown[]
  /** Newest and oldest time on the page, in or out of the window. */
  newest?: number
  oldest?: number
  /** The list goes from new to old and has reached the window's start. */
  beyondEdge: boolean
  /** Items without an id: they cannot be kept. */
  unreadable: number
  /** Tells this page from the next; empty: nothing was on it. */
  key: string
}

/** The record whose children are read. */
export interface Parent {
  id: string
  /** As the provider sent it; where it has a parent itself and that is asked for, under `parent`. */
  data: unknown
}

/**
 * Reads one answer.
 *
 * @param edge - Start of the window in milliseconds: older items are dropped where the definition filters here.
 * @throws IntegrationError `PROVIDER_BAD_RESPONSE` when the list is missing although the definition does not allow it.
 */
export function readPage(resource: Resource, body: unknown, parent: Parent | undefined, edge: number): Page {
  const items = itemsOf(resource, body)
  const page: Page = { records: [], deletes: [], items, beyondEdge: false, unreadable: 0, key: '' }
  const records = new Map<string, StoredRecord>()
  let last: number | undefined
  let found = 0

  const add = (item: unknown, isMain: boolean) => {
    // Some lists have holes (Spotify).
    if (item === null || item === undefined) return
    if (resource.itemFilter && !(typeof item === 'object' && resource.itemFilter(item as Record<string, unknown>)))
      return
    const time = timeOf(resource, item)
    if (isMain && time !== undefined) {
      last = time
      page.newest = Math.max(page.newest ?? time, time)
      page.oldest = Math.min(page.oldest ?? time, time)
    }
    if (resource.filter === 'client' && time !== undefined && time < edge) {
      found++
      return
    }
    const id = idOf(resource.id, item, parent?.data)
    if (id === undefined) {
      page.unreadable++
      return
    }
    found++
    const timestamp = time === undefined ? null : toISO(time)
    records.set(id, { resource: resource.name, id, timestamp, data: item, parentId: parent?.id ?? null })
  }
  for (const item of items) add(item, true)
  for (const path of resource.alsoItems ?? []) for (const item of listAt(body, path)) add(item, false)
  if (found === 0 && page.unreadable > 0)
    throw badResponse(resource, `none of ${page.unreadable} items has an id at ${JSON.stringify(resource.id)}`)

  if (resource.deletes) {
    const { items: path, id } = resource.deletes
    for (const item of listAt(body, path)) {
      const value = asText(pick(item, id))
      if (value === undefined) continue
      page.deletes.push(value)
      records.delete(value)
    }
  }
  page.records = [...records.values()]
  page.beyondEdge = resource.order === 'desc' && resource.filter === 'client' && last !== undefined && last < edge
  if (items.length > 0) {
    const name = (item: unknown) => idOf(resource.id, item, parent?.data) ?? ''
    page.key = `${items.length}:${name(items[0])}:${name(items.at(-1))}`
  }
  return page
}

function itemsOf(resource: Resource, body: unknown): readonly unknown[] {
  const list = resource.toItems ? resource.toItems(body) : pick(body, resource.items)
  const items: unknown[] | undefined = Array.isArray(list) ? list : isObject(list) ? [list] : undefined
  const { unfold } = resource
  if (items) return unfold ? items.flatMap((item) => (isObject(item) ? unfold(item) : item)) : items
  if ((list === undefined || list === null) && resource.emptyWhenMissing) return []
  throw badResponse(resource, `there is no list at "${resource.items}"`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function badResponse(resource: Resource, why: string): IntegrationError {
  return new IntegrationError('PROVIDER_BAD_RESPONSE', `A page of ${resource.name} cannot be used: ${why}.`)
}

function listAt(body: unknown, path: Path): readonly unknown[] {
  const list = pick(body, path)
  return Array.isArray(list) ? list : []
}

function timeOf({ timestamp }: Resource, item: unknown): number | undefined {
  if (!timestamp) return undefined
  const { path, format } = timestamp
  if (typeof path === 'string') return parseTimestamp(pick(item, path), format)
  for (const one of path) {
    const time = parseTimestamp(pick(item, one), format)
    if (time !== undefined) return time
  }
  return undefined
}

/** Parts joined by colons. A part of the parent alone is no id; a missing part beside others is empty. */
function idOf(paths: OneOrMore<Path>, item: unknown, parent: unknown): string | undefined {
  if (typeof paths === 'string') return paths.startsWith('parent:') ? undefined : asText(pick(item, paths))
  const parts: string[] = []
  let own = false
  for (const path of paths) {
    const ofParent = path.startsWith('parent:')
    const part = asText(ofParent ? pick(parent, path.slice('parent:'.length)) : pick(item, path))
    own ||= !ofParent && part !== undefined
    parts.push(part ?? '')
  }
  return own ? parts.join(':') : undefined
}

function asText(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function listOf<T extends string>(value: OneOrMore<T>): readonly T[] {
  return typeof value === 'string' ? [value] : value
}
