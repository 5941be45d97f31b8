import { createHash } from 'node:crypto'
import { linkTo } from '../provider-http/headers.js'
import type { JsonTemplate, PageAnswer, Pagination, RequestTemplate } from '../strategies/define-provider.js'
import { pick } from '../strategies/template.js'

/** Name under which a cursor enters a template: as a value, so that braces in it are not taken for placeholders. */
const CURSOR = 'page_cursor'

/** A request, and the values that its templates need beyond those known everywhere. */
export interface PagedRequest {
  request: RequestTemplate
  extra?: Record<string, string>
}

/**
 * The request for the page that `state` stands for; `undefined`: the first one.
 *
 * A state is JSON: the cursor, the offset, the page number or the address, or whatever a custom style made of it.
 */
export function pageRequest(pagination: Pagination, request: RequestTemplate, state: unknown): PagedRequest {
  if (state === undefined || state === null) return { request: firstPage(pagination, request) }
  switch (pagination.style) {
    case 'none':
      return { request }
    case 'cursor':
    case 'last_item': {
      const further = furtherRequest(pagination, request)
      if (pagination.at === 'json' && typeof state === 'number')
        return { request: withParam(further, 'json', pagination.param, state) }
      return {
        request: withParam(further, pagination.at, pagination.param, `{${CURSOR}}`),
        extra: { [CURSOR]: String(state) },
      }
    }
    case 'offset':
    case 'page':
      return { request: withParam(request, pagination.at, pagination.param, Number(state)) }
    case 'link_header':
    case 'next_url': {
      // The address has all that the first request asked for. Braces would be read as placeholders; encoded they mean the same.
      const { query: _, ...rest } = request
      return { request: { ...rest, url: String(state).replaceAll('{', '%7B').replaceAll('}', '%7D') } }
    }
    case 'custom':
      return { request: pagination.apply(request, state) }
  }
}

/** What the cursor of a further page is put into: the first request, or one at an address or with a body of its own. */
export function furtherRequest(pagination: Pagination, request: RequestTemplate): RequestTemplate {
  if (pagination.style !== 'cursor') return request
  const { continueURL, continueJSON } = pagination
  const body = continueJSON !== undefined && { json: continueJSON }
  if (continueURL === undefined) return body ? { ...request, ...body } : request
  const { query: _, json: __, ...rest } = request
  return { ...rest, url: continueURL, ...body }
}

function firstPage(pagination: Pagination, request: RequestTemplate): RequestTemplate {
  // Where counting does not begin at the provider's own default, the first request has to say so.
  if (pagination.style === 'page' && pagination.start !== undefined)
    return withParam(request, pagination.at, pagination.param, pagination.start)
  return request
}

/** What a page tells about the next one: its state, or `undefined` at the end. */
export function nextState(pagination: Pagination, answer: PageAnswer & { url: string }): unknown {
  const { body, items, state } = answer
  switch (pagination.style) {
    case 'none':
      return undefined
    case 'cursor': {
      if (pagination.more !== undefined && saysNo(body, pagination.more)) return undefined
      const next = pick(body, pagination.next)
      if (typeof next !== 'string' && typeof next !== 'number') return undefined
      // The same cursor with nothing on the page is how some say that this was all (Box's events).
      return next === '' || (next === state && items.length === 0) ? undefined : next
    }
    case 'last_item': {
      if (pagination.more !== undefined) {
        if (saysNo(body, pagination.more)) return undefined
      } else if (pagination.pageSize !== undefined && items.length < pagination.pageSize) return undefined
      return cursorAmong(items, pagination.field, pagination.pick)
    }
    case 'offset': {
      const next = Number(state ?? 0) + items.length
      const total = pagination.total === undefined ? Number.NaN : Number(pick(body, pagination.total))
      const isLast = Number.isNaN(total) ? items.length < pagination.pageSize : next >= total
      return isLast || items.length === 0 ? undefined : next
    }
    case 'page': {
      const page = Number(state ?? pagination.start ?? 1)
      if (pagination.more !== undefined) return saysNo(body, pagination.more) ? undefined : page + 1
      const last = pagination.last === undefined ? undefined : pick(body, pagination.last)
      // Some name the last page (Xero), some say whether this one was it (ClickUp): a short one need not be.
      if (last === true || items.length === 0) return undefined
      if (last === false) return page + 1
      if (typeof last === 'number' || (typeof last === 'string' && /^\d+$/.test(last)))
        return page >= Number(last) ? undefined : page + 1
      return items.length < pagination.pageSize ? undefined : page + 1
    }
    case 'link_header': {
      const next = linkTo(answer.headers.link, 'next')
      return next === undefined ? undefined : absolute(next, answer.url)
    }
    case 'next_url': {
      const next = pick(body, pagination.next)
      return typeof next === 'string' && next !== '' ? absolute(next, answer.url) : undefined
    }
    case 'custom':
      return pagination.next(answer)?.state
  }
}

/** True when the value is there and not true. A number or text counts as true unless it is 0, empty or `false`. */
function saysNo(body: unknown, path: string): boolean {
  const more = pick(body, path)
  return more !== undefined && (!more || more === 'false')
}

function cursorAmong(items: readonly unknown[], field: string, choice: 'min' | undefined): unknown {
  const values = items
    .map((item) => pick(item, field))
    .filter((value) => typeof value === 'string' || typeof value === 'number')
  return choice === 'min' ? values.toSorted(compare)[0] : values.at(-1)
}

/** Ids that are numbers in text form (snowflakes) go by their value, others by their characters. */
function compare(a: string | number, b: string | number): number {
  if (/^\d+$/.test(String(a)) && /^\d+$/.test(String(b))) {
    const difference = BigInt(a) - BigInt(b)
    return difference > 0n ? 1 : difference < 0n ? -1 : 0
  }
  return a < b ? -1 : a > b ? 1 : 0
}

function withParam(
  request: RequestTemplate,
  at: 'query' | 'json',
  param: string,
  value: string | number,
): RequestTemplate {
  if (at === 'query') return { ...request, query: withKey(request.query, param, String(value)) }
  return { ...request, json: withPath(request.json, param.split('.'), value) }
}

/** `{ ...object, [key]: value }`, which on Node 20 makes a hidden class for every copy: garbage that only a full collection frees. */
function withKey<T>(
  object: Readonly<Record<string, T>> | undefined,
  key: string,
  value: NoInfer<T>,
): Record<string, T> {
  return Object.assign({}, object, { [key]: value })
}

function withPath(json: JsonTemplate | undefined, path: readonly string[], value: string | number): JsonTemplate {
  const [name, ...rest] = path
  if (name === undefined) return value
  const before =
    typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Record<string, JsonTemplate>) : {}
  return withKey(before, name, withPath(before[name], rest, value))
}

function absolute(next: string, base: string): string {
  return URL.canParse(next, base) ? new URL(next, base).href : next
}

/** What is kept of the way so far to notice when it goes in a circle; small, whatever its length. */
export interface Trail {
  /** Hash of a state passed before. */
  mark: string
  steps: number
  /** After so many steps the mark moves on. */
  limit: number
  /** The last page, and how many in a row were like it. */
  page: string
  same: number
}

const SAME_PAGES = 3
const EMPTY_PAGES = 1_000

/**
 * The way with one more page, or `undefined` when it goes in a circle: a state that was there before (Brent's algorithm: found for
 * circles of any length), or page after page with the same items, or with none.
 *
 * @param page - Tells one page from another; empty: there was nothing on it.
 */
export function follow(trail: Trail | undefined, state: unknown, page: string): Trail | undefined {
  const hash = digest(JSON.stringify(state))
  if (!trail) return { mark: hash, steps: 0, limit: 1, page, same: 1 }
  if (hash === trail.mark) return undefined
  const same = page === trail.page ? trail.same + 1 : 1
  if (same >= (page === '' ? EMPTY_PAGES : SAME_PAGES)) return undefined
  const steps = trail.steps + 1
  const moved = steps === trail.limit
  return {
    mark: moved ? hash : trail.mark,
    steps: moved ? 0 : steps,
    limit: moved ? trail.limit * 2 : trail.limit,
    page,
    same,
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}
