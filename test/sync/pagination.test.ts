import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { linkTo } from '../../src/provider-http/headers.js'
import type { Pagination, RequestTemplate } from '../../src/strategies/define-provider.js'
import { follow, nextState, pageRequest, type Trail } from '../../src/sync/pagination.js'

const request: RequestTemplate = { method: 'GET', url: 'https://api.acme.example/things', query: { limit: '10' } }
const window = { from: new Date(0), to: new Date(1) }
const page = (body: unknown, items: readonly unknown[] = [], more: { state?: unknown; link?: string } = {}) => ({
  ...{ body, items, window, state: more.state, url: 'https://api.acme.example/v1/things?page=1' },
  headers: (more.link ? { link: more.link } : {}) as Record<string, string>,
})

describe('pageRequest', () => {
  it('puts a cursor into the query as a value, so that braces in it stay', () => {
    const pagination: Pagination = { style: 'cursor', at: 'query', param: 'after', next: 'next' }
    expect(pageRequest(pagination, request, '{"id":1}')).toEqual({
      request: { ...request, query: { limit: '10', after: '{page_cursor}' } },
      extra: { page_cursor: '{"id":1}' },
    })
  })

  it('asks for further pages where the definition says so, with the cursor alone', () => {
    const pagination: Pagination = {
      style: 'cursor',
      at: 'json',
      param: 'cursor',
      next: 'cursor',
      continueURL: 'https://api.example.com/items/continue',
    }
    const first = { method: 'POST', url: 'https://api.example.com/items', json: { limit: 5 } } as const
    expect(pageRequest(pagination, first, undefined)).toEqual({ request: first })
    expect(pageRequest(pagination, first, 'a')).toEqual({
      request: { method: 'POST', url: 'https://api.example.com/items/continue', json: { cursor: '{page_cursor}' } },
      extra: { page_cursor: 'a' },
    })
  })

  it('asks for further pages with a body of their own where the definition has one', () => {
    const pagination: Pagination = {
      style: 'cursor',
      at: 'json',
      param: 'variables.cursor',
      next: 'cursor',
      continueJSON: { query: 'more', variables: { id: '{parent.id}' } },
    }
    const first = { method: 'POST', url: 'https://api.example.com/', json: { query: 'first', variables: {} } } as const
    expect(pageRequest(pagination, first, undefined)).toEqual({ request: first })
    expect(pageRequest(pagination, first, 'a').request).toEqual({
      ...first,
      json: { query: 'more', variables: { id: '{parent.id}', cursor: '{page_cursor}' } },
    })
  })

  it('puts a cursor into a JSON body at its place and leaves the template alone', () => {
    const json = { query: 'q', variables: { first: 50 } }
    const pagination: Pagination = { style: 'cursor', at: 'json', param: 'variables.after', next: 'next' }
    const post: RequestTemplate = { method: 'POST', url: request.url, json }
    expect(pageRequest(pagination, post, 'abc').request.json).toEqual({
      query: 'q',
      variables: { first: 50, after: '{page_cursor}' },
    })
    expect(pageRequest(pagination, post, 7).request.json).toEqual({ query: 'q', variables: { first: 50, after: 7 } })
    expect(json).toEqual({ query: 'q', variables: { first: 50 } })
  })

  it('says the first page where counting has a start of its own, and nothing where it has not', () => {
    const from0: Pagination = { style: 'page', at: 'query', param: 'page', start: 0, pageSize: 10 }
    expect(pageRequest(from0, request, undefined).request.query).toEqual({ limit: '10', page: '0' })
    const plain: Pagination = { style: 'offset', at: 'query', param: 'offset', pageSize: 10 }
    expect(pageRequest(plain, request, undefined).request.query).toEqual({ limit: '10' })
    expect(pageRequest(plain, request, 20).request.query).toEqual({ limit: '10', offset: '20' })
  })

  it('follows an address as it is, without the parameters of the first request', () => {
    const pagination: Pagination = { style: 'next_url', next: 'next' }
    const next = pageRequest(pagination, request, 'https://api.acme.example/x?c={a}')
    expect(next.request).toEqual({ method: 'GET', url: 'https://api.acme.example/x?c=%7Ba%7D' })
  })
})

describe('nextState', () => {
  const cursor: Pagination = { style: 'cursor', at: 'query', param: 'c', next: 'meta.next', more: 'more' }

  it.each([
    [{ meta: { next: 'b' } }, 'b'],
    [{ meta: { next: 0 } }, 0],
    [{ meta: { next: 'b' }, more: true }, 'b'],
    [{ meta: { next: 'b' }, more: false }, undefined],
    [{ meta: { next: 'b' }, more: null }, 'b'],
    [{ meta: { next: '' } }, undefined],
    [{ meta: { next: null } }, undefined],
    [{}, undefined],
  ])('reads a cursor from %j', (body, expected) => {
    expect(nextState(cursor, page(body))).toBe(expected)
  })

  it('ends when a cursor stays the same on an empty page', () => {
    expect(nextState(cursor, page({ meta: { next: 'a' } }, [], { state: 'a' }))).toBeUndefined()
    expect(nextState(cursor, page({ meta: { next: 'a' } }, [{}], { state: 'a' }))).toBe('a')
  })

  it('takes the last or the smallest id of the page', () => {
    const items = [{ id: '10' }, { id: '9' }, { id: '12' }]
    const last: Pagination = { style: 'last_item', at: 'query', param: 'before', field: 'id' }
    expect(nextState(last, page({}, items))).toBe('12')
    // As numbers: snowflakes of different length.
    expect(nextState({ ...last, pick: 'min' }, page({}, items))).toBe('9')
    for (const pagination of [last, { ...last, pick: 'min' as const }])
      expect(nextState(pagination, page({}, []))).toBeUndefined()
  })

  it('ends a list by its last item on a short page, unless the answer says whether there is more', () => {
    const short: Pagination = { style: 'last_item', at: 'query', param: 'before', field: 'id', pageSize: 3 }
    expect(nextState(short, page({}, [{ id: 'a' }]))).toBeUndefined()
    const told: Pagination = { ...short, more: 'has_more' }
    expect(nextState(told, page({ has_more: true }, [{ id: 'a' }]))).toBe('a')
    expect(nextState(told, page({ has_more: false }, [{ id: 'a' }, { id: 'b' }, { id: 'c' }]))).toBeUndefined()
  })

  it('knows the last page by number or by flag', () => {
    const style = { style: 'page', at: 'query', param: 'page', pageSize: 2 } as const
    expect(nextState({ ...style, last: 'pages' }, page({ pages: 3 }, [1, 2], { state: 2 }))).toBe(3)
    expect(nextState({ ...style, last: 'pages' }, page({ pages: 3 }, [1, 2], { state: 3 }))).toBeUndefined()
    expect(nextState({ ...style, last: 'last_page' }, page({ last_page: true }, [1, 2]))).toBeUndefined()
    expect(nextState({ ...style, last: 'last_page' }, page({ last_page: false }, [1, 2]))).toBe(2)
    expect(nextState({ ...style, last: 'last_page' }, page({ last_page: false }, [1]))).toBe(2)
    expect(nextState({ ...style, last: 'last_page' }, page({ last_page: false }, []))).toBeUndefined()
    expect(nextState({ ...style, last: 'last_page' }, page({}, [1]))).toBeUndefined()
    expect(nextState({ ...style, more: 'more' }, page({ more: true }, [1], { state: 4 }))).toBe(5)
    expect(nextState(style, page({}, [1], { state: 4 }))).toBeUndefined()
  })

  it('resolves a relative address against the page it stands on', () => {
    const pagination: Pagination = { style: 'next_url', next: 'next' }
    expect(nextState(pagination, page({ next: '/v1/query/2' }))).toBe('https://api.acme.example/v1/query/2')
    expect(nextState(pagination, page({ next: '?page=2' }))).toBe('https://api.acme.example/v1/things?page=2')
    expect(nextState(pagination, page({ next: '' }))).toBeUndefined()
  })

  it('finds the next page among the links of a header', () => {
    const link = '<https://api.acme.example/a?x=1,2>; rel="prev", </b;c?page=3>; title="a, b"; rel="last next"'
    expect(nextState({ style: 'link_header' }, page([], [], { link }))).toBe('https://api.acme.example/b;c?page=3')
    expect(linkTo('<x>; rel=prev', 'next')).toBeUndefined()
    expect(linkTo(undefined, 'next')).toBeUndefined()
  })
})

/** Reads a list of `total` items to its end with a style, from a server that does what the style promises. */
function readAll(pagination: Pagination, total: number, serve: (state: unknown) => { body: unknown; items: number[] }) {
  const seen: number[] = []
  let state: unknown
  for (let pages = 0; pages <= total + 2; pages++) {
    const { body, items } = serve(state)
    seen.push(...items)
    state = nextState(
      pagination,
      page(
        body,
        items.map((id) => ({ id })),
        { state },
      ),
    )
    if (state === undefined) return seen
  }
  throw new Error('no end')
}

describe('every style', () => {
  const sizes = [fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 12 })] as const
  const list = (total: number) => Array.from({ length: total }, (_, index) => index)

  it('reads each item exactly once', () => {
    fc.assert(
      fc.property(...sizes, (total, pageSize) => {
        const all = list(total)
        const slice = (start: number) => all.slice(start, start + pageSize)
        const at = { at: 'query', param: 'p' } as const
        const runs = [
          readAll({ style: 'cursor', ...at, next: 'next' }, total, (state) => {
            const start = Number(state ?? 0)
            return { body: { next: start + pageSize < total ? `${start + pageSize}` : '' }, items: slice(start) }
          }),
          readAll({ style: 'offset', ...at, pageSize, total: 'total' }, total, (state) => ({
            body: { total },
            items: slice(Number(state ?? 0)),
          })),
          readAll({ style: 'offset', ...at, pageSize }, total, (state) => ({
            body: {},
            items: slice(Number(state ?? 0)),
          })),
          readAll({ style: 'page', ...at, pageSize }, total, (state) => ({
            body: {},
            items: slice((Number(state ?? 1) - 1) * pageSize),
          })),
          readAll({ style: 'page', ...at, pageSize, start: 0, more: 'more' }, total, (state) => ({
            body: { more: (Number(state ?? 0) + 1) * pageSize < total },
            items: slice(Number(state ?? 0) * pageSize),
          })),
          readAll({ style: 'last_item', ...at, field: 'id', pageSize }, total, (state) => ({
            body: {},
            items: slice(state === undefined ? 0 : Number(state) + 1),
          })),
        ]
        for (const seen of runs) expect(seen).toEqual(all)
      }),
    )
  })
})

describe('follow', () => {
  const walk = (states: Iterable<unknown>, pageOf: (index: number) => string) => {
    let trail: Trail | undefined
    let index = 0
    for (const state of states) {
      trail = follow(trail, state, pageOf(index++))
      if (!trail) return index
    }
    return undefined
  }

  it('finds a circle of any length, with a trail of bounded size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 50 }), (tail, length) => {
        const states = Array.from({ length: 600 }, (_, index) =>
          index < tail ? `t${index}` : `c${(index - tail) % length}`,
        )
        expect(walk(states, (index) => `page ${index}`)).toBeLessThanOrEqual(4 * (tail + length) + 4)
      }),
    )
  })

  it('lets a long way pass that never repeats itself', () => {
    expect(walk(Array.from({ length: 5_000 }).keys(), (index) => (index % 7 ? `page ${index}` : ''))).toBeUndefined()
  })

  it('stops at a provider that sends the same page whatever the offset, or nothing for ever', () => {
    expect(walk(Array.from({ length: 100 }).keys(), () => '10:a:z')).toBe(3)
    expect(walk(Array.from({ length: 5_000 }).keys(), () => '')).toBe(1_000)
  })
})
