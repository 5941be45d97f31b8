import type { Pagination, Resource } from '../strategies/define-provider.js'
import type { LabPages } from '../strategies/lab-hints.js'
import { pick } from '../strategies/template.js'
import { list, writeAt } from './paths.js'
import type { Captures, Incoming } from './reverse-template.js'
import type { Node, ProviderData, Series } from './series.js'

/** An answer of the lab before it becomes bytes. */
export interface Answer {
  status: number
  headers?: Record<string, string>
  body: unknown
}

/** The request asks for something that cannot be: a cursor that was never given, an offset past the cap. */
export class BadPage extends Error {}

const SIZE_NAMES = /^(limit|per_page|perPage|page_size|pageSize|maxResults|max_results|count|first|size|\$top|top)$/
/** Lists that say where they go on are cut into at least this many pages, so that there is something to page through. */
const LEAST_PAGES = 3
const SMALLEST_CUT = 5
const DEFAULT_PAGE = 100

interface Position {
  offset: number
  size: number
}

/** One page of a resource: the items of the window asked for, in the definition's order, with its pagination. */
export function page(
  data: ProviderData,
  resource: Resource,
  parent: Node | undefined,
  incoming: Incoming,
  captures: Captures,
  scopes: readonly string[] | undefined,
): Answer {
  const series = data.series(resource, parent)
  const { low, high } = bounds(series, captures, data.reachStart(resource, scopes))
  const total = Math.max(0, high - low)
  const descending = isDescending(resource)
  const indexAt = (position: number) => (descending ? high - 1 - position : low + position)
  const positionOf = (index: number) => (descending ? high - 1 - index : index - low)
  if (data.isSingle(resource)) {
    const item = series.itemOf(0)
    return { status: 200, body: resource.items === '' ? item : wrap(resource.items, item) }
  }

  const { pagination } = resource
  const hint = data.definition.lab?.pages?.[resource.name]
  const position: Position = {
    offset: readOffset(resource, incoming, hint, (field, value) => {
      const index = findByField(series, low, high, field, value)
      return index === undefined ? undefined : positionOf(index) + 1
    }),
    size: pageSize(pagination, resource, incoming, total, hint),
  }
  const most = resource.restartAfter?.items
  if (most !== undefined && position.offset >= most) throw new BadPage(`not more than ${most} results of one query`)

  const items: Record<string, unknown>[] = []
  const end = Math.min(total, position.offset + position.size)
  for (let at = position.offset; at < end; at++) items.push(series.itemOf(indexAt(at)))
  const more = end < total

  const body: Record<string, unknown> = {}
  const extra = also(resource, position, more, items)
  const listed = extra.ghost ? [...items, extra.ghost] : items
  if (resource.items !== '' && !(resource.emptyWhenMissing && listed.length === 0))
    writeAt(body, resource.items, listed)
  for (const [path, value] of extra.lists) writeAt(body, path, value)
  const headers = writeNext(pagination, incoming, hint, body, { ...position, total, end, more })
  return { status: 200, ...(headers && { headers }), body: resource.items === '' ? listed : body }
}

function isDescending({ pagination, order }: Resource): boolean {
  return order === 'desc' || (pagination.style === 'last_item' && pagination.pick === 'min')
}

function wrap(path: string, value: unknown): unknown {
  const body = {}
  writeAt(body, path, value)
  return body
}

/** The part of the list that the request's `{since.…}` and `{now.…}` leave. */
function bounds(series: Series, captures: Captures, reachStart: number): { low: number; high: number } {
  let from = reachStart
  let to = Number.POSITIVE_INFINITY
  for (const [name, value] of captures) {
    const [kind, format] = name.split('.') as [string, string | undefined]
    if (kind === 'since') from = Math.max(from, parseTime(format, value, 'start'))
    if (kind === 'now') to = Math.min(to, parseTime(format, value, 'end'))
  }
  return {
    low: from === Number.NEGATIVE_INFINITY ? 0 : series.from(from),
    high: to === Number.POSITIVE_INFINITY ? series.count : series.from(to + 1),
  }
}

const DAY_MS = 86_400_000

function parseTime(format: string | undefined, value: string, edge: 'start' | 'end'): number {
  const number = Number(value)
  const time =
    format === 'unix' || format === 'unix_day'
      ? number * 1000 + (edge === 'end' ? 999 : 0)
      : format === 'unix_ms'
        ? number
        : format === 'date' || format === 'next_date'
          ? Date.parse(value) + (edge === 'end' ? DAY_MS - 1 : 0)
          : format === 'date_time_minutes'
            ? Date.parse(`${value.replace(' ', 'T')}:00Z`) + (edge === 'end' ? 59_999 : 0)
            : Date.parse(format === 'iso8601_no_zone' ? `${value}Z` : value)
  if (Number.isNaN(time)) throw new BadPage(`the time "${value.slice(0, 40)}" cannot be read`)
  return time
}

function findByField(series: Series, low: number, high: number, field: string, value: string): number | undefined {
  const is = (index: number) =>
    index >= 0 && index < series.count && String(pick(series.itemOf(index), field)) === value
  // Ids end in the index.
  const coded = Number(/(\d{8})$/.exec(value)?.[1] ?? Number.NaN)
  if (is(coded)) return coded
  const time = /^\d+(\.\d+)?$/.test(value) ? Number(value) * (Number(value) < 1e11 ? 1000 : 1) : Date.parse(value)
  if (!Number.isNaN(time)) for (let i = series.from(time - 1000); i < series.from(time + 1001); i++) if (is(i)) return i
  for (let index = low; index < high; index++) if (is(index)) return index
  return undefined
}

/** What stands at a pagination parameter; `undefined` where it is not there. */
function readParam(at: 'query' | 'json', param: string, incoming: Incoming): string | undefined {
  const value = at === 'query' ? incoming.query.get(param) : pick(incoming.json, param)
  return value === null || value === undefined || value === '' ? undefined : String(value)
}

/** Pagination parameters of links that the lab writes itself. */
const LINK_PARAM = { link_header: 'page', next_url: 'cursor' } as const

/** Names of what pagination changes in a request. */
export function paginationParams(pagination: Pagination): Set<string> {
  if (pagination.style === 'link_header' || pagination.style === 'next_url')
    return new Set([LINK_PARAM[pagination.style]])
  return new Set('param' in pagination ? [pagination.param] : [])
}

function readOffset(
  { pagination, request }: Resource,
  incoming: Incoming,
  hint: LabPages | undefined,
  find: (field: string, value: string) => number | undefined,
): number {
  switch (pagination.style) {
    case 'none':
      return 0
    case 'custom':
      return hint?.offset({ query: Object.fromEntries(incoming.query), json: incoming.json }) ?? 0
    case 'link_header':
    case 'next_url':
      return decodeCursor(readParam('query', LINK_PARAM[pagination.style], incoming))
    case 'cursor': {
      const cursor = readParam(pagination.at, pagination.param, incoming)
      // A feed begins at a token that another answer gave (Google Drive's changes).
      const begins = pick(pagination.at === 'query' ? request.query : request.json, pagination.param) !== undefined
      return begins && offsetIn(cursor) === undefined ? 0 : decodeCursor(cursor)
    }
  }
  const value = readParam(pagination.at, pagination.param, incoming)
  if (value === undefined) return 0
  if (pagination.style === 'last_item') {
    const position = find(pagination.field, value)
    if (position === undefined) throw new BadPage(`no item "${value.slice(0, 40)}"`)
    return position
  }
  const start = pagination.style === 'page' ? (pagination.start ?? 1) : 0
  const number = Number(value) - start
  if (!Number.isInteger(number) || number < 0) throw new BadPage(`"${value.slice(0, 40)}" is no position`)
  return pagination.style === 'page' ? number * askedSize(incoming, pagination.pageSize) : number
}

/** Opaque to the client, as a provider's is. */
function encodeCursor(offset: number): string {
  return Buffer.from(`lab:${offset}`).toString('base64url')
}
function offsetIn(cursor = ''): string | undefined {
  return /^lab:(\d+)$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1]
}
function decodeCursor(cursor: string | undefined): number {
  if (cursor === undefined) return 0
  const offset = offsetIn(cursor)
  if (offset === undefined) throw new BadPage(`invalid start_cursor "${cursor.slice(0, 40)}"`)
  return Number(offset)
}

/** How many items the request asks for, by the usual names. */
function askedSize(incoming: Incoming, otherwise: number): number {
  for (const [name, value] of incoming.query)
    if (SIZE_NAMES.test(name) && /^\d+$/.test(value)) return Number(value) || 1
  const visit = (value: unknown): number | undefined => {
    if (typeof value !== 'object' || value === null) return undefined
    for (const [name, inner] of Object.entries(value)) {
      if (typeof inner === 'number' && SIZE_NAMES.test(name)) return Math.max(1, inner)
      const found = visit(inner)
      if (found !== undefined) return found
    }
    return undefined
  }
  return visit(incoming.json) ?? otherwise
}

function pageSize(
  pagination: Pagination,
  resource: Resource,
  incoming: Incoming,
  total: number,
  hint: LabPages | undefined,
): number {
  if (pagination.style === 'none') return Number.POSITIVE_INFINITY
  const declared = 'pageSize' in pagination ? pagination.pageSize : undefined
  const asked = askedSize(incoming, declared ?? DEFAULT_PAGE)
  // Where a short page means the end, or positions are counted in pages, the size is a promise.
  const promised =
    pagination.style === 'page' ||
    pagination.style === 'offset' ||
    (pagination.style === 'last_item' && pagination.more === undefined) ||
    // Nothing says how it goes on but a full page (SendGrid's messages).
    (pagination.style === 'custom' && hint === undefined)
  if (promised || resource.restartAfter?.items !== undefined) return asked
  return Math.min(asked, Math.max(SMALLEST_CUT, Math.ceil(total / LEAST_PAGES)))
}

interface Reached extends Position {
  total: number
  end: number
  more: boolean
}

function writeNext(
  pagination: Pagination,
  incoming: Incoming,
  hint: LabPages | undefined,
  body: Record<string, unknown>,
  { offset, size, total, end, more }: Reached,
): Record<string, string> | undefined {
  if ('more' in pagination && pagination.more !== undefined) writeAt(body, pagination.more, more)
  switch (pagination.style) {
    case 'cursor':
      // With a flag that says so, the last page has a cursor all the same.
      if (more || pagination.more !== undefined) writeAt(body, list(pagination.next)[0] as string, encodeCursor(end))
      return undefined
    case 'offset':
      if (pagination.total !== undefined) writeAt(body, pagination.total, total)
      return undefined
    case 'page':
      if (pagination.last !== undefined) writeAt(body, pagination.last, Math.max(1, Math.ceil(total / size)))
      return undefined
    case 'next_url':
      if (more) writeAt(body, list(pagination.next)[0] as string, linkTo(incoming, 'cursor', end))
      return undefined
    case 'link_header': {
      const links = more ? [`<${linkTo(incoming, 'page', end)}>; rel="next"`] : []
      if (offset > 0) links.push(`<${linkTo(incoming, 'page', 0)}>; rel="first"`)
      return links.length > 0 ? { link: links.join(', ') } : undefined
    }
    case 'custom':
      return hint?.next(body, more ? end : undefined)
    default:
      return undefined
  }
}

function linkTo(incoming: Incoming, param: string, offset: number): string {
  const query = new URLSearchParams(incoming.query)
  query.set(param, encodeCursor(offset))
  return `${incoming.origin}${incoming.pathname}?${query}`
}

/**
 * Further lists of an answer. The first page brings an item that the last one takes back, so that a client which ignores deletions
 * ends up with one too many; the last page repeats an item among the changed ones.
 */
function also(
  resource: Resource,
  { offset }: Position,
  more: boolean,
  items: readonly Record<string, unknown>[],
): { ghost: Record<string, unknown> | undefined; lists: [string, unknown][] } {
  const lists: [string, unknown][] = (resource.alsoItems ?? []).map((path) => [path, more ? [] : items.slice(0, 1)])
  const { deletes } = resource
  if (!deletes) return { ghost: undefined, lists }
  const idPath = list(resource.id)[0] as string
  const ghostId = `${resource.name}-taken-back`
  let ghost: Record<string, unknown> | undefined
  if (offset === 0 && items[0]) {
    ghost = structuredClone(items[0])
    writeAt(ghost, idPath, ghostId)
  }
  lists.push([deletes.items, more || offset === 0 ? [] : [wrap(deletes.id, ghostId)]])
  if (offset === 0 && !more) ghost = undefined
  return { ghost, lists }
}
