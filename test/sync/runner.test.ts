import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Store } from '../../src/persistence/store.js'
import type { Pagination, ProviderDefinition, Resource } from '../../src/strategies/define-provider.js'
import type { RunnerOptions } from '../../src/sync/runner.js'
import {
  acme,
  addJob,
  allRecords,
  connect,
  FROM,
  type Handler,
  itemsInWindow,
  makeRunner,
  ORIGIN,
  receiptOf,
  runToEnd,
  serve,
  startProvider,
  TO,
  things,
} from './provider.js'

let store: Store
const open: { close(): Promise<void> }[] = []

beforeEach(async () => {
  const { openStore } = await import('./provider.js')
  store = await openStore()
})
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
  await store.close()
})

/** Runs a backfill of these resources against this provider to its end. */
async function run(
  resources: readonly Resource[],
  handler: Handler,
  more: { definition?: Partial<ProviderDefinition>; runner?: Partial<RunnerOptions>; scopes?: string[] } = {},
) {
  const provider = await startProvider(handler)
  open.push(provider)
  const definition = acme(resources, more.definition)
  const connection = await connect(store, { scopes: more.scopes ?? [] })
  const { id } = await addJob(store, connection, definition)
  const runner = makeRunner(store, provider, definition, more.runner)
  const job = await runToEnd(store, runner, id)
  const ids = async (resource = 'things') =>
    (await allRecords(store, connection.id, resource)).map((record) => record.id)
  return { job, ids, provider, connection, runner }
}

const items = itemsInWindow(25)
const itemIds = items.map(({ id }) => id)

describe('a backfill', () => {
  it('reads all pages, writes each record once and says what it covered', async () => {
    const { job, ids, provider, runner } = await run([things()], (request) => serve(items, request))
    expect(await ids()).toEqual(itemIds)
    expect(job.status).toBe('completed')
    expect(receiptOf(job, 'things')).toEqual({
      ...{ resource: 'things', status: 'completed', pages: 3, records: 25, checkpoint: null },
      coveredFrom: new Date(FROM).toISOString(),
      coveredTo: new Date(TO).toISOString(),
    })
    expect(provider.requests[0]?.query.get('since')).toBe(String(FROM / 1000))
    expect(runner.live.at(-1)?.backfill.status).toBe('completed')
  })

  it('keeps what the provider sent, whatever its keys', async () => {
    const odd = { id: 't0', at: FROM / 1000, $ref: 1, 'a.b': 2, nested: { constructor: 3 } }
    const { connection } = await run([things()], () => ({ body: { items: [odd], next: null } }))
    expect((await allRecords(store, connection.id))[0]?.data).toEqual(odd)
  })

  const styles: [string, Pagination, Handler][] = [
    ['a cursor in a JSON body', { style: 'cursor', at: 'json', param: 'cursor', next: 'next' }, (r) => serve(items, r)],
    [
      'an offset',
      { style: 'offset', at: 'query', param: 'offset', pageSize: 10, total: 'total' },
      ({ query }) => {
        const start = Number(query.get('offset') ?? 0)
        return { body: { items: items.slice(start, start + 10), total: items.length } }
      },
    ],
    [
      'page numbers',
      { style: 'page', at: 'query', param: 'page', start: 0, pageSize: 10 },
      ({ query }) => ({ body: { items: items.slice(Number(query.get('page')) * 10).slice(0, 10) } }),
    ],
    [
      'the id of the last item',
      { style: 'last_item', at: 'query', param: 'after', field: 'id', pageSize: 10 },
      ({ query }) => {
        const start = itemIds.indexOf(query.get('after') ?? '') + 1
        return { body: { items: items.slice(start, start + 10) } }
      },
    ],
    [
      'links in a header',
      { style: 'link_header' },
      ({ query }) => {
        const start = Number(query.get('start') ?? 0)
        const link = `<${ORIGIN}/things?start=${start + 10}>; rel="next"`
        return { ...(start + 10 < 25 && { headers: { link } }), body: { items: items.slice(start, start + 10) } }
      },
    ],
    [
      'an address in the answer',
      { style: 'next_url', next: 'paging.next' },
      ({ query }) => {
        const start = Number(query.get('start') ?? 0)
        const next = start + 10 < 25 ? `/things?start=${start + 10}` : null
        return { body: { items: items.slice(start, start + 10), paging: { next } } }
      },
    ],
    [
      'a way of its own',
      {
        style: 'custom',
        next: ({ items: seen, state }) => {
          const start = Number((state as { start?: number })?.start ?? 0) + seen.length
          return seen.length < 10 ? undefined : { state: { start } }
        },
        apply: (request, state) => ({
          ...request,
          url: `${ORIGIN}/more`,
          query: { start: String((state as { start: number }).start) },
        }),
      },
      ({ query }) => {
        const start = Number(query.get('start') ?? 0)
        return { body: { items: items.slice(start, start + 10) } }
      },
    ],
  ]
  it.each(styles)('pages by %s', async (_name, pagination, handler) => {
    const method = pagination.style === 'cursor' ? 'POST' : 'GET'
    const { job, ids } = await run([things({ pagination, request: { method, url: `${ORIGIN}/things` } })], handler)
    expect(await ids()).toEqual(itemIds)
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'completed', pages: 3, records: 25 })
  })

  it('sends a cursor with braces back as it came', async () => {
    const cursor = '{"after":{"id":7}}'
    const { provider } = await run([things()], ({ query }) => ({
      body: {
        items: [{ id: query.get('cursor') ?? 'first', at: FROM / 1000 }],
        next: query.has('cursor') ? '' : cursor,
      },
    }))
    expect(provider.requests.map(({ query }) => query.get('cursor'))).toEqual([null, cursor])
  })
})

describe('the window', () => {
  const old = [5, 4, 3, 2, 1].map((days) => ({ id: `old${days}`, at: FROM / 1000 - days * 86_400 }))

  it('drops what is older where the server cannot filter', async () => {
    const { ids } = await run([things({ filter: 'client', order: 'none' })], (r) => serve([...old, ...items], r))
    expect(await ids()).toEqual(itemIds)
  })

  it('stops at the edge of a list that goes from new to old', async () => {
    const newestFirst = [...old, ...items].reverse()
    const resource = things({ filter: 'client', order: 'desc' })
    const many = [
      ...newestFirst,
      ...Array.from({ length: 100 }, (_, n) => ({ id: `older${n}`, at: FROM / 1000 - 1e6 - n })),
    ]
    const { ids, provider } = await run([resource], (r) => serve(many, r))
    expect((await ids()).toSorted()).toEqual(itemIds.toSorted())
    // 25 in the window, 5 just outside: the third page of ten shows the edge.
    expect(provider.requests).toHaveLength(3)
  })

  it('asks from earlier, and reads to there, where clocks differ', async () => {
    const resource = things({ filter: 'client', order: 'desc', overlapSeconds: 86_400 * 2 })
    const { ids, provider } = await run([resource], (r) => serve([...old, ...items].reverse(), r))
    expect(provider.requests[0]?.query.get('since')).toBe(String(FROM / 1000 - 86_400 * 2))
    expect((await ids()).toSorted()).toEqual([...itemIds, 'old1', 'old2'].toSorted())
  })

  it('is asked for in pieces where the provider bounds a query', async () => {
    const request: Resource['request'] = {
      method: 'GET',
      url: `${ORIGIN}/things`,
      query: { from: '{since.unix}', to: '{now.unix}' },
    }
    const { ids, provider, job } = await run([things({ request, sliceDays: 30 })], ({ query }) => ({
      body: { items: items.filter(({ at }) => at >= Number(query.get('from')) && at < Number(query.get('to'))) },
    }))
    expect(await ids()).toEqual(itemIds)
    expect(provider.requests).toHaveLength(4)
    expect(receiptOf(job, 'things').records).toBe(25)
  })

  it('says how far a resource can reach, unless a scope lifts the limit', async () => {
    const reach = { days: 60, unlessScope: 'all', reason: 'Acme shows 60 days without the permission all.' }
    const limited = await run([things({ reach })], (r) => serve([], r), { scopes: ['read'] })
    expect(receiptOf(limited.job, 'things')).toMatchObject({
      reason: reach.reason,
      coveredFrom: new Date(TO - 60 * 86_400_000).toISOString(),
    })
    const whole = await run([things({ reach })], (r) => serve([], r), { scopes: ['read', 'all'] })
    expect(receiptOf(whole.job, 'things')).not.toHaveProperty('reason')
  })

  it('covers only what was seen where the reach has no length', async () => {
    const resource = things({ reach: { reason: 'Acme keeps the last 50.' }, limits: 'Drafts are left out.' })
    const { job } = await run([resource], (r) => serve(items.slice(-2), r))
    expect(receiptOf(job, 'things')).toMatchObject({
      coveredFrom: new Date((items[23]?.at ?? 0) * 1000).toISOString(),
      reason: 'Acme keeps the last 50. Drafts are left out.',
    })
  })
})

describe('items', () => {
  const page = (list: unknown) => () => ({ body: { items: list, next: null } })
  const at = FROM / 1000

  it('get composite ids, with parts of the parent', async () => {
    const channels = things({ name: 'channels', timestamp: undefined, filter: 'none' })
    const resource = things({
      parent: 'channels',
      request: { method: 'GET', url: `${ORIGIN}/channels/{parent.id}/things` },
      id: ['parent:id', 'id'],
    })
    const { ids, connection } = await run([resource, channels], ({ path }) =>
      path === '/things' ? page([{ id: 'C 1' }, { id: 'C2' }])() : page([{ id: 'x', at }])(),
    )
    expect(await ids()).toEqual(['C 1:x', 'C2:x'])
    expect((await allRecords(store, connection.id, 'things')).map(({ parentId }) => parentId)).toEqual(['C 1', 'C2'])
  })

  it('may be holes, and those without an id are left out and told', async () => {
    const { ids, job } = await run([things()], page([null, { id: 'a', at }, { at }, { id: '', at }, { id: 7, at }]))
    expect(await ids()).toEqual(['a', '7'])
    expect(receiptOf(job, 'things').reason).toBe('2 items came without an id and were left out.')
  })

  it('are a failed page when none of them has an id', async () => {
    const { job } = await run([things()], page([{ at }, { at }]))
    expect(job).toMatchObject({ status: 'failed', failure: { code: 'PROVIDER_BAD_RESPONSE' } })
  })

  it('can be a single object, unfolded, filtered, or spread over several lists', async () => {
    const single = await run([things({ items: '', pagination: { style: 'none' } })], () => ({
      body: { id: 'one', at },
    }))
    expect(await single.ids()).toEqual(['one'])
    const toItems = (body: unknown) => (body as { days: { rows: unknown[] }[] }).days?.flatMap(({ rows }) => rows)
    const unfolded = await run([things({ name: 'from_days', toItems })], () => ({
      body: { days: [{ rows: [{ id: 'a', at }] }, { rows: [{ id: 'b', at }] }] },
    }))
    expect(await unfolded.ids('from_days')).toEqual(['a', 'b'])
    const unfold = (item: Record<string, unknown>) => item.rows ?? { ...item, id: 'c' }
    const eachUnfolded = await run([things({ name: 'each_unfolded', unfold })], () => ({
      body: {
        items: [
          {
            rows: [
              { id: 'a', at },
              { id: 'b', at },
            ],
          },
          null,
          { at },
        ],
        next: null,
      },
    }))
    expect(await eachUnfolded.ids('each_unfolded')).toEqual(['a', 'b', 'c'])
    const resource = things({ name: 'filtered', itemFilter: ({ id }) => id !== 'b', alsoItems: ['changed'] })
    const filtered = await run([resource], () => ({
      body: {
        items: [
          { id: 'a', at },
          { id: 'b', at },
        ],
        changed: [{ id: 'c', at }],
        next: null,
      },
    }))
    expect(await filtered.ids('filtered')).toEqual(['a', 'c'])
  })

  it('may be missing only where the definition says so', async () => {
    const empty = await run([things({ emptyWhenMissing: true })], () => ({ body: { resultSizeEstimate: 0 } }))
    expect(receiptOf(empty.job, 'things')).toMatchObject({ status: 'completed', records: 0, pages: 1 })
    const missing = await run([things()], () => ({ body: { resultSizeEstimate: 0 } }))
    expect(missing.job).toMatchObject({ status: 'failed', failure: { code: 'PROVIDER_BAD_RESPONSE' } })
    expect(receiptOf(missing.job, 'things')).toMatchObject({
      status: 'failed',
      reason: 'Acme did not answer as expected.',
    })
  })

  it('are removed where the answer says they are gone', async () => {
    const resource = things({ deletes: { items: 'removed', id: 'id' } })
    const { ids } = await run([resource], (_request, count) => ({
      body:
        count === 1
          ? {
              items: [
                { id: 'a', at },
                { id: 'b', at },
              ],
              removed: [],
              next: '2',
            }
          : { items: [{ id: 'c', at }], removed: [{ id: 'a' }], next: null },
    }))
    expect(await ids()).toEqual(['b', 'c'])
  })

  it('count as removed where one answer brings and removes them', async () => {
    const told: unknown[] = []
    const resource = things({ deletes: { items: 'removed', id: 'id' } })
    const list = ['a', 'b'].map((id) => ({ id, at }))
    const { ids, job } = await run([resource], () => ({ body: { items: list, removed: [{ id: 'a' }], next: null } }), {
      runner: { onRecords: (batch, { deletedIds }) => void told.push([batch.map(({ id }) => id), deletedIds]) },
    })
    expect(await ids()).toEqual(['b'])
    expect(told).toEqual([[['b'], ['a']]])
    expect(receiptOf(job, 'things').records).toBe(1)
  })
})

describe('a set', () => {
  const at = FROM / 1000
  const resource = things({ commit: 'set', deletes: { items: 'removed', id: 'id' }, order: 'none' })

  it('is written only once its last page was read', async () => {
    const before: number[] = []
    const { ids, job } = await run([resource], async (request, count) => {
      before.push((await store.listRecords({ tenantId: null, connectionId: await only(), limit: 200 })).items.length)
      const answer = serve(items, request) as { body: { items: unknown[]; next: unknown } }
      if (count !== 2) return answer
      const { items: list, next } = answer.body
      return { body: { items: [...list, { id: 'extra', at }], removed: [{ id: 't3' }], next } }
    })
    expect(before.every((count) => count === 0)).toBe(true)
    expect((await ids()).toSorted()).toEqual([...itemIds.filter((id) => id !== 't3'), 'extra'].toSorted())
    expect(receiptOf(job, 'things')).toMatchObject({ pages: 3, records: 25 })
  })

  it('begins anew when the provider changed it meanwhile', async () => {
    let voided = false
    const { ids, job, provider } = await run([resource], (request) => {
      if (request.query.get('cursor') === '20' && !voided) {
        voided = true
        return { status: 400, body: { error: 'bad_cursor' } }
      }
      return serve(voided ? items : [{ id: 'ghost', at }, ...items.slice(1)], request)
    })
    expect(await ids()).toEqual(itemIds)
    expect(provider.requests).toHaveLength(6)
    expect(receiptOf(job, 'things').records).toBe(25)
  })

  it('of many records is written in portions that count once', async () => {
    const many = itemsInWindow(1_234)
    const batches: number[] = []
    const { ids, job } = await run([resource], (r) => serve(many, r, 400), {
      runner: { onRecords: (batch) => void batches.push(batch.length) },
    })
    expect(await ids()).toHaveLength(1_234)
    expect(batches).toEqual([...Array(6).fill(200), 34])
    expect(receiptOf(job, 'things')).toMatchObject({ records: 1_234, pages: 4 })
  })

  async function only(): Promise<string> {
    return (await store.listConnections({ tenantId: null, limit: 1 })).items[0]?.id ?? ''
  }
})

describe('parents', () => {
  const at = FROM / 1000
  const folders = (more: Partial<Resource> = {}) =>
    things({
      name: 'folders',
      request: { method: 'GET', url: `${ORIGIN}/folders` },
      timestamp: undefined,
      filter: 'none',
      ...more,
    })

  it('are read before their children, and lend them their fields and those of their own parents', async () => {
    const projects = folders({
      name: 'projects',
      parent: 'folders',
      request: { method: 'GET', url: `${ORIGIN}/{parent.id}/projects` },
    })
    const resource = things({
      parent: 'projects',
      request: { method: 'GET', url: `${ORIGIN}/{parent.parent.id}/{parent.id}/things` },
      id: ['parent:parent.id', 'parent:id', 'id'],
    })
    const { ids } = await run([resource, projects, folders()], ({ path }) => {
      const list = path === '/folders' ? ['f1', 'f2'] : path.endsWith('/projects') ? [`p-${path.split('/')[1]}`] : ['x']
      return { body: { items: list.map((id) => ({ id, at })), next: null } }
    })
    expect(await ids()).toEqual(['f1:p-f1:x', 'f2:p-f2:x'])
  })

  it('can be passed over by a filter, or because the provider refuses one of them', async () => {
    const resource = things({
      parent: 'folders',
      parentFilter: ({ size }) => Number(size) > 0,
      request: { method: 'GET', url: `${ORIGIN}/folders/{parent.id}` },
      skipParentOn: ['not_found'],
      id: ['parent:id', 'id'],
    })
    const { ids, job, provider } = await run([folders(), resource], ({ path }) => {
      if (path === '/folders')
        return {
          body: { items: ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id, size: id === 'b' ? 0 : 1 })), next: null },
        }
      if (path.endsWith('/c')) return { status: 403, body: { error: 'plan' } }
      if (path.endsWith('/d')) return { status: 404, body: {} }
      return { body: { items: [{ id: 'x', at }], next: null } }
    })
    expect(await ids()).toEqual(['a:x', 'e:x'])
    expect(provider.requests.some(({ path }) => path.endsWith('/b'))).toBe(false)
    expect(receiptOf(job, 'things')).toMatchObject({
      status: 'completed',
      pages: 2,
      reason:
        '1 of "folders" could not be read. The connected account, its plan or its role may not read this at Acme. 1 of "folders" could not be read. Acme does not show this to the connected account, or it is gone.',
    })
  })

  it('can be found among the own records, as folders are in folders', async () => {
    const tree: Record<string, string[]> = { 0: ['d1', 'd2', 'a'], d1: ['d3', 'b'], d2: [], d3: ['d4'], d4: ['c'] }
    const resource = things({
      name: 'files',
      parent: 'files',
      roots: [{ id: '0' }],
      parentFilter: ({ id }) => String(id).startsWith('d'),
      request: { method: 'GET', url: `${ORIGIN}/folders/{parent.id}` },
    })
    const { ids, job } = await run([resource], ({ path }) => ({
      body: { items: (tree[path.split('/').at(-1) ?? ''] ?? []).map((id) => ({ id, at })), next: null },
    }))
    expect((await ids('files')).toSorted()).toEqual(['a', 'b', 'c', 'd1', 'd2', 'd3', 'd4'])
    expect(receiptOf(job, 'files')).toMatchObject({ status: 'completed', pages: 5, records: 7 })
  })

  it('of an earlier run are not asked again', async () => {
    const messages = folders({ name: 'messages', request: { method: 'GET', url: `${ORIGIN}/messages` } })
    const details = things({
      name: 'details',
      parent: 'messages',
      request: { method: 'GET', url: `${ORIGIN}/messages/{parent.id}` },
      items: '',
      pagination: { style: 'none' },
    })
    let listed = ['m1', 'm2']
    const definition = acme([messages, details])
    const provider = await startProvider(({ path }) =>
      path === '/messages'
        ? { body: { items: listed.map((id) => ({ id })), next: null } }
        : { body: { id: path.split('/').at(-1), at } },
    )
    open.push(provider)
    const connection = await connect(store)
    const runner = makeRunner(store, provider, definition)
    await runToEnd(store, runner, (await addJob(store, connection, definition)).id)
    listed = ['m3']
    provider.requests.length = 0
    await runToEnd(store, runner, (await addJob(store, connection, definition)).id)
    expect(provider.requests.map(({ path }) => path)).toEqual(['/messages', '/messages/m3'])
    expect(await allRecords(store, connection.id, 'details')).toHaveLength(3)
  })
})

describe('a query that shows only so many', () => {
  // The same second for several items, across the edge of a query.
  const tied = itemsInWindow(300).map((item, index) => ({ ...item, at: items[Math.floor(index / 20)]?.at ?? 0 }))
  const capped =
    (cap: number): Handler =>
    ({ query }) => {
      const found = tied.filter(({ at }) => at >= Number(query.get('since'))).slice(0, cap)
      return serve(found, { query, json: {} })
    }

  it('begins again at the newest time, and counts what has that time once', async () => {
    const { ids, job } = await run([things({ restartAfter: { items: 100 } })], capped(100))
    expect(await ids()).toEqual(tied.map(({ id }) => id))
    expect(receiptOf(job, 'things').records).toBe(300)
  })

  it('may say itself that it was cut', async () => {
    const when = (body: unknown) => (body as { cut?: boolean }).cut === true
    const { ids, job } = await run([things({ restartAfter: { when } })], (request, count) => {
      const answer = capped(70)(request, count) as { body: { next: unknown } }
      const isCut =
        answer.body.next === null && tied.filter(({ at }) => at >= Number(request.query.get('since'))).length > 70
      return { body: { ...answer.body, cut: isCut } }
    })
    expect(await ids()).toEqual(tied.map(({ id }) => id))
    expect(receiptOf(job, 'things').records).toBe(300)
  })

  it('comes to an end, and tells, when more items have one time than it shows', async () => {
    const same = itemsInWindow(50).map((item) => ({ ...item, at: items[3]?.at ?? 0 }))
    const { job } = await run([things({ restartAfter: { items: 20 } })], ({ query }) =>
      serve(same.filter(({ at }) => at >= Number(query.get('since'))).slice(0, 20), { query, json: {} }),
    )
    expect(receiptOf(job, 'things')).toMatchObject({ status: 'completed' })
    expect(receiptOf(job, 'things').reason).toMatch(/some of them may be missing/)
  })
})
