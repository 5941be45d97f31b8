import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RequestTemplate, Resource } from '../../src/strategies/define-provider.js'
import { pick } from '../../src/strategies/template.js'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'
import { acmeTokens, bearer, send } from './client.js'
import { acme } from './definitions.js'

const NOW = Date.parse('2026-11-20T12:00:00Z')
const WINDOW = { from: new Date('2026-08-20T12:00:00Z'), to: new Date(NOW) }
const RECORDS = 45

type Item = Record<string, unknown>
const resource = (name: string) => acme.resources.find((one) => one.name === name) as Resource

let lab: ProviderLab
let token: string
beforeAll(async () => {
  lab = await createProviderLab({ providers: [acme], recordsPerResource: RECORDS, now: () => NOW })
  token = (await acmeTokens(lab)).access_token
})
afterAll(() => lab.close())

/** Fills what these definitions use, and asks the lab. */
async function ask(template: RequestTemplate, parent?: Item, since = WINDOW.from) {
  const fill = (text: string) =>
    text
      .replace('{since.iso8601}', since.toISOString())
      .replace('{since.unix_ms}', String(since.getTime()))
      .replace('{since.unix}', String(Math.floor(since.getTime() / 1000)))
      .replace(/\{parent\.([^{}]+)\}/, (_, path: string) => encodeURIComponent(String(pick(parent, path))))
  const url = new URL(fill(template.url))
  for (const [name, value] of Object.entries(template.query ?? {})) url.searchParams.set(name, fill(String(value)))
  const body = template.json === undefined ? undefined : fill(JSON.stringify(template.json))
  const headers: Record<string, string> = {
    ...bearer(token),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  }
  const answer = await send(lab, url.href, { method: template.method, headers, ...(body !== undefined && { body }) })
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Item }
}

/** Walks to the end as the style says. */
async function walk({ request, pagination, items: path }: Resource, parent?: Item, since?: Date) {
  const pages: Item[][] = []
  const bodies: Item[] = []
  let next: RequestTemplate | undefined = request
  while (next) {
    const answer: Awaited<ReturnType<typeof ask>> = await ask(next, parent, since)
    expect(answer.status).toBe(200)
    const listed = (pick(answer.body, path) ?? []) as Item | Item[]
    const items = Array.isArray(listed) ? listed : [listed]
    pages.push(items)
    bodies.push(answer.body)
    if (pages.length > 50) throw new Error('The pages do not end.')
    next = nextRequest(request, answer, items)
  }
  return { pages, bodies, items: pages.flat() }

  function nextRequest(
    first: RequestTemplate,
    answer: Awaited<ReturnType<typeof ask>>,
    items: Item[],
  ): RequestTemplate | undefined {
    const withParam = (param: string, value: unknown): RequestTemplate => {
      if (!('at' in pagination) || pagination.at === 'query')
        return { ...first, query: { ...first.query, [param]: String(value) } }
      const json = structuredClone(first.json) as Item
      const [outer, inner] = param.split('.') as [string, string?]
      if (inner) json[outer] = { ...(json[outer] as Item), [inner]: value }
      else json[outer] = value
      return { ...first, json: json as never }
    }
    const more =
      'more' in pagination && pagination.more !== undefined ? pick(answer.body, pagination.more) === true : undefined
    const done = pages.flat().length
    switch (pagination.style) {
      case 'none':
        return undefined
      case 'cursor': {
        const cursor = pick(answer.body, String(pagination.next))
        return cursor && more !== false ? withParam(pagination.param, cursor) : undefined
      }
      case 'last_item': {
        if (more === false || (more === undefined && items.length < (pagination.pageSize ?? 0))) return undefined
        const ids = items.map((item) => String(item[pagination.field]))
        const id = pagination.pick === 'min' ? [...ids].sort()[0] : ids.at(-1)
        return withParam(pagination.param, id)
      }
      case 'offset': {
        const total = pagination.total === undefined ? undefined : Number(pick(answer.body, pagination.total))
        const end = total === undefined ? items.length < pagination.pageSize : done >= total
        return end ? undefined : withParam(pagination.param, done)
      }
      case 'page':
        return more ? withParam(pagination.param, pages.length + 1) : undefined
      case 'link_header': {
        const url = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1]
        return url === undefined ? undefined : { method: 'GET', url }
      }
      case 'next_url': {
        const url = pick(answer.body, String(pagination.next))
        return url === undefined ? undefined : { method: 'GET', url: String(url) }
      }
      case 'custom': {
        const state = pagination.next({ body: answer.body, headers: {}, items, state: undefined, window: WINDOW })
        return state && pagination.apply(first, state.state)
      }
    }
  }
}

const byId = (a: Item, b: Item) => (String(a.id) < String(b.id) ? -1 : 1)

describe('pages of the lab', () => {
  const all: readonly Resource[] = acme.resources
  const styles = all.filter((one) => !one.parent && one.request.url.endsWith(`/${one.name}`) && one.filter === 'server')

  it.each(
    styles.map((one) => [one.name, one] as const),
  )('%s: walked to the end, they are the data', async (name, one) => {
    const { items, pages } = await walk(one)
    expect(items.length).toBe(RECORDS)
    expect([...items].sort(byId)).toEqual(lab.data.acme?.[name])
    if (name !== 'none') expect(pages.length).toBeGreaterThan(2)
  })

  it('has a cursor and the filter in a JSON body', async () => {
    const { items } = await walk(resource('searched'))
    expect(items).toEqual(lab.data.acme?.searched)
  })

  it('leaves the list out where the definition allows it and nothing matches', async () => {
    const { bodies } = await walk(resource('searched'), undefined, WINDOW.to)
    expect(bodies).toEqual([{}])
  })

  it('serves the order that the definition names', async () => {
    const times = (items: Item[]) => items.map((item) => Date.parse(String(item.updated_at)))
    const asc = times((await walk(resource('cursor'))).items)
    expect(asc).toEqual([...asc].sort((a, b) => a - b))
    const desc = times((await walk(resource('cursor_more'))).items)
    expect(desc).toEqual([...desc].sort((a, b) => b - a))
  })

  it('leaves out what lies before the time that the request names', async () => {
    const since = new Date('2026-10-20T00:00:00Z')
    const { items } = await walk(resource('cursor'), undefined, since)
    const expected = (lab.data.acme?.cursor ?? []).filter(
      (item) => Date.parse(String(item.updated_at)) >= since.getTime(),
    )
    expect(items).toEqual(expected)
    const everything = await walk(resource('cursor'), undefined, new Date(0))
    expect(everything.items).toEqual(lab.everything.acme?.cursor)
    expect(everything.items.length).toBeGreaterThan(RECORDS)
  })

  it('reads children through their parents, down to single objects', async () => {
    const folders = (await walk(resource('folders'))).items
    const files: Item[] = []
    for (const folder of folders) files.push(...(await walk(resource('files'), folder)).items)
    expect(files.length).toBe(RECORDS)
    expect(files.sort(byId)).toEqual([...(lab.data.acme?.files ?? [])].sort(byId))
    const details: Item[] = []
    for (const file of files) details.push(...(await walk(resource('file_details'), file)).items)
    expect(details.sort(byId)).toEqual([...(lab.data.acme?.file_details ?? [])].sort(byId))
    expect(details.map((item) => item.id)).toEqual(files.map((item) => item.id))
  })

  it('answers not found for a parent that does not exist', async () => {
    expect((await ask(resource('files').request, { key: 'nowhere' })).status).toBe(404)
  })

  it('takes an item back on the last page where the definition knows deletions', async () => {
    const { pages, bodies, items } = await walk(resource('balances'))
    const gone = bodies.flatMap((body) => body.gone as Item[]).map((item) => item.id)
    expect(gone).toEqual(['balances-taken-back'])
    expect(pages[0]?.map((item) => item.id)).toContain(gone[0])
    expect(bodies.at(-1)?.changed).toHaveLength(1)
    expect(items.filter((item) => !gone.includes(item.id)).sort(byId)).toEqual(lab.data.acme?.balances)
  })

  it('gives as many items as a request asks for, at most', async () => {
    const { request } = resource('cursor')
    const { body } = await ask({ ...request, query: { ...request.query, limit: '2' } })
    expect(pick(body, 'data.items')).toHaveLength(2)
  })

  it('refuses a cursor that it never gave, a missing header and a missing scope in the shape of the definition', async () => {
    const { request } = resource('cursor')
    expect(await ask({ ...request, query: { ...request.query, after: 'made-up' } })).toMatchObject({
      status: 400,
      body: { error: { code: 'bad_cursor' } },
    })
    const headers = { authorization: `Bearer ${token}` }
    expect((await send(lab, 'https://api.acme.example/v1/none', { headers })).status).toBe(400)
    const narrow = (await acmeTokens(lab, { scope: 'things.read' })).access_token
    const vault = () => send(lab, 'https://api.acme.example/v1/vault', { headers: bearer(narrow) })
    expect((await vault()).status).toBe(403)
    expect((await send(lab, 'https://api.acme.example/v1/nowhere', { headers: bearer(token) })).status).toBe(404)
    expect((await send(lab, 'https://api.acme.example/v1/nowhere')).status).toBe(401)
  })
})

describe('data of the lab', () => {
  it('is the same for the same seed, and other data for another', async () => {
    const make = async (seed: number) => {
      const other = await createProviderLab({ providers: [acme], recordsPerResource: RECORDS, seed, now: () => NOW })
      const found = { data: structuredClone(other.data.acme?.files), account: other.account('acme').id }
      await other.close()
      return found
    }
    const same = { data: lab.data.acme?.files, account: lab.account('acme').id }
    expect(await make(1)).toEqual(same)
    expect(await make(2)).not.toEqual(same)
  })

  it('keeps away from the edges of the window', () => {
    const times = (lab.data.acme?.cursor ?? []).map((item) => Date.parse(String(item.updated_at)))
    expect(Math.min(...times)).toBeGreaterThan(WINDOW.from.getTime() + 86_400_000)
    expect(Math.max(...times)).toBeLessThan(NOW)
  })

  it('serves a page out of 500,000 records without making the others', async () => {
    const big = await createProviderLab({ providers: [acme], recordsPerResource: 500_000, now: () => NOW })
    try {
      const { access_token } = await acmeTokens(big)
      const url = 'https://api.acme.example/v1/offset?since=2026-08-20T12:00:00Z&limit=100&start=499900'
      const before = process.memoryUsage().heapUsed
      const answer = (await (await send(big, url, { headers: bearer(access_token) })).json()) as {
        data: { items: Item[] }
        total: number
      }
      expect(answer.total).toBe(500_000)
      expect(answer.data.items).toHaveLength(100)
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * 1024 * 1024)
    } finally {
      await big.close()
    }
  })
})
