/**
 * Records per second of a backfill, rate limits off, against a hand-written sequential loop: undici, the same bulk upsert, the same
 * checkpoint after each page. On sqlite on disk and on MongoDB; and what the heap does between 10,000 and 500,000 records.
 *
 * The provider is a process of its own that serves pages of 200 made once.
 */
import { execFileSync, fork, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { createMongoStore, createSqliteStore } from '../dist/persistence/index.js'
import { createProviderHttp } from '../dist/provider-http/index.js'
import { callProvider } from '../dist/strategies/call.js'
import { createRunner } from '../dist/sync/runner.js'
import { interleaved, median, perSecond } from './measure.js'

const ORIGIN = 'https://api.acme.example'
const SELF = fileURLToPath(import.meta.url)
const definition = {
  id: 'acme',
  name: 'Acme',
  auth: { kind: 'oauth2', authorizationURL: `${ORIGIN}/a`, tokenURL: `${ORIGIN}/t`, scopes: [] },
  identity: {},
  api: { baseURL: ORIGIN },
  resources: [
    {
      name: 'things',
      request: { method: 'GET', url: `${ORIGIN}/things`, query: { since: '{since.unix}' } },
      pagination: { style: 'cursor', at: 'query', param: 'cursor', next: 'next' },
      items: 'items',
      id: 'id',
      timestamp: { path: 'at', format: 'unix' },
      filter: 'server',
      order: 'asc',
    },
  ],
}

async function startProvider(total) {
  const child = fork(fileURLToPath(new URL('backfill-provider.mjs', import.meta.url)), [String(total)], {
    execArgv: [],
  })
  const port = await new Promise((resolve) => child.once('message', resolve))
  return { url: `http://127.0.0.1:${port}`, stop: () => child.kill() }
}

/** A store with one connection and one job that waits. */
async function prepare(store) {
  await store.open()
  const now = Date.now()
  const { connection } = await store.saveConnection({
    newId: randomUUID(),
    tenantId: 'org',
    userId: 'user',
    provider: 'acme',
    accountKey: randomUUID(),
    account: { id: '1', name: 'Acme' },
    scopes: [],
    params: {},
    grantKey: null,
    now,
    tokensFor: () => ({}),
    eventId: randomUUID(),
    groups: [],
  })
  const { backfill } = await store.createBackfill({
    id: randomUUID(),
    connectionId: connection.id,
    tenantId: 'org',
    provider: 'acme',
    status: 'queued',
    window: { from: 0, to: now },
    resources: [],
    failure: null,
    attempts: 0,
    dueAt: 0,
    lease: null,
    createdAt: now,
    startedAt: null,
    finishedAt: null,
  })
  return { connectionId: connection.id, backfillId: backfill.id }
}

async function ours(store, url, total) {
  const { backfillId } = await prepare(store)
  const http = createProviderHttp({ origins: { [ORIGIN]: url } })
  const client = { clientId: 'a', clientSecret: 'b', env: {}, params: {}, redirectURI: '', appName: '' }
  const runner = createRunner({
    store,
    tokens: {
      call: (limitKey, request, { scope, resource, signal }) =>
        callProvider(http, definition, client, {
          request,
          scope,
          resource,
          signal,
          params: {},
          endpoint: 'api',
          limitKey,
          credential: { accessToken: 't' },
        }),
    },
    events: { groups: () => [], kick() {}, emitLive() {} },
    providers: () => ({ definition }),
    wake() {},
  })
  const start = performance.now()
  await runner.work(backfillId)
  const seconds = (performance.now() - start) / 1000
  const job = await store.getBackfill(null, backfillId)
  if (job.status !== 'completed' || job.resources[0].records !== total)
    throw new Error(`the backfill ended as ${job.status}`)
  await http.close()
  return total / seconds
}

async function loop(store, url, total) {
  const { connectionId, backfillId } = await prepare(store)
  const pool = new Pool(url)
  const event = { id: randomUUID(), type: 'backfill.started', occurredAt: 0, groups: [] }
  const job = await store.claimBackfill({ owner: 'loop', now: Date.now(), leaseMs: 60_000, id: backfillId, event })
  const start = performance.now()
  let cursor = null
  let count = 0
  let pages = 0
  do {
    const { body } = await pool.request({
      path: `/things?since=0${cursor ? `&cursor=${cursor}` : ''}`,
      method: 'GET',
      headers: { authorization: 'Bearer t' },
    })
    const { items, next } = await body.json()
    const records = items.map((data) => ({
      resource: 'things',
      id: data.id,
      timestamp: new Date(data.at * 1000).toISOString(),
      data,
      parentId: null,
    }))
    count += records.length
    pages++
    cursor = next
    const progress = {
      resource: 'things',
      status: 'running',
      pages,
      records: count,
      coveredFrom: null,
      coveredTo: null,
      checkpoint: { cursor },
    }
    await store.savePage({
      backfillId,
      connectionId,
      tenantId: 'org',
      provider: 'acme',
      owner: 'loop',
      fencing: job.lease.fencing,
      now: Date.now(),
      leaseMs: 60_000,
      records,
      deletes: [],
      progress,
    })
  } while (cursor)
  const seconds = (performance.now() - start) / 1000
  await pool.close()
  if (count !== total) throw new Error(`the loop read ${count}`)
  return total / seconds
}

/** Runs `work` on a fresh file and removes it. */
async function onDisk(work, url, total) {
  const folder = mkdtempSync(join(tmpdir(), 'atom-bench-'))
  const store = createSqliteStore({ path: join(folder, 'atom.sqlite') })
  const rate = await work(store, url, total)
  await store.close()
  rmSync(folder, { recursive: true })
  return rate
}

async function startMongo() {
  if (process.env.TEST_MONGODB_URL) return { url: process.env.TEST_MONGODB_URL, stop() {} }
  const server = fileURLToPath(new URL('../../shared/bin/mongo-server', import.meta.url))
  if (!existsSync(server)) return undefined
  const child = spawn(server, ['--until-stdin-closes'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const url = await new Promise((resolve) => createInterface(child.stdout).once('line', resolve))
  return { url, stop: () => child.kill() }
}

/** Where the growth of a process is measured from: it is warm, and has everything loaded. */
const WARM = 10_000
const MANY = 500_000

/** With several arenas of malloc, which of V8's threads compiles something first adds or takes 10 MiB at any time. */
const ONE_ARENA = { MALLOC_ARENA_MAX: '1' }

/** What a process of its own needs after `WARM` records and after all of them, both after a full collection. */
function memory(kind, url, env = {}) {
  const output = execFileSync(process.execPath, ['--expose-gc', SELF, kind, url, String(MANY)], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  return JSON.parse(output.trim().split('\n').at(-1))
}

export async function bench() {
  const rows = []
  const total = 50_000
  const small = await startProvider(total)
  const disk = await interleaved(
    () => onDisk(ours, small.url, total),
    () => onDisk(loop, small.url, total),
    7,
  )
  rows.push({
    name: 'backfill into sqlite, 50,000 records',
    ours: perSecond(disk.ours),
    peer: `a loop: ${perSecond(disk.peer)}`,
    ratio: disk.ratio,
    spread: disk.spread,
    target: '≥ 0.8',
    met: disk.ratio >= 0.8,
    note: 'on disk; a page and its checkpoint in one transaction',
  })
  small.stop()

  const mongo = await startMongo()
  if (mongo) {
    const few = await startProvider(5_000)
    const onMongo = async (work) => {
      const url = new URL(mongo.url)
      url.pathname = `/bench_${randomUUID().slice(0, 8)}`
      const store = createMongoStore({ url: url.href })
      const rate = await work(store, few.url, 5_000)
      await store.close()
      return rate
    }
    const result = await interleaved(
      () => onMongo(ours),
      () => onMongo(loop),
      5,
    )
    rows.push({
      name: 'backfill into MongoDB, 5,000 records',
      ours: perSecond(result.ours),
      peer: `a loop: ${perSecond(result.peer)}`,
      ratio: result.ratio,
      spread: result.spread,
      note: process.env.TEST_MONGODB_URL
        ? 'w majority, j'
        : 'a stand-in that speaks MongoDB’s protocol, slower than MongoDB; w majority, j',
    })
    few.stop()
    mongo.stop()
  }

  const many = await startProvider(MANY)
  const measure = (env) =>
    Array.from({ length: 5 }, () => [memory('ours', many.url, env), memory('loop', many.url, env)])
  const oneArena = measure(ONE_ARENA)
  const asItComes = measure()
  many.stop()
  const compare = (pairs, pick) => {
    const ratios = pairs.map(([a, b]) => pick(a) / pick(b)).sort((a, b) => a - b)
    return {
      ours: `${median(pairs.map(([a]) => pick(a))).toFixed(0)} MiB`,
      peer: `a loop: ${median(pairs.map(([, b]) => pick(b))).toFixed(0)} MiB`,
      ratio: median(ratios),
      spread: [ratios[0], ratios.at(-1)],
    }
  }
  const heap = median(asItComes.map(([{ warm, end }]) => end.heap - warm.heap))
  rows.push({
    name: 'heap between 10,000 and 500,000 records',
    ours: `${heap.toFixed(1)} MiB more`,
    target: '< 10 MiB',
    met: heap < 10,
    note: 'after gc; sqlite on disk, a page and its checkpoint in one transaction',
  })
  const growth = compare(oneArena, ({ warm, end }) => end.rss - warm.rss)
  rows.push({
    name: 'resident memory between 10,000 and 500,000 records: growth',
    ...growth,
    target: '≤ 1.0',
    met: Number(growth.ratio.toFixed(1)) <= 1,
    note: 'sqlite on disk, both, with one arena of malloc; most of it is what V8 has not collected yet',
  })
  rows.push({
    name: 'resident memory at 500,000 records: the whole process',
    ...compare(asItComes, ({ end }) => end.rss),
    note: 'the loop’s has the library loaded, too',
  })
  return rows
}

/** Measures once the store has so many records, and at the end. */
async function measured(work, store, url, total) {
  const { savePage } = store
  let records = 0
  let warm
  store.savePage = async (page) => {
    const saved = await savePage(page)
    records += page.records.length
    if (records >= WARM) warm ??= usage()
    return saved
  }
  await work(store, url, total)
  console.log(JSON.stringify({ warm, end: usage() }))
}

function usage() {
  globalThis.gc()
  const { heapUsed, rss } = process.memoryUsage()
  return { heap: heapUsed / 2 ** 20, rss: rss / 2 ** 20 }
}

if (process.argv[1] === SELF) {
  const [kind, url, total] = process.argv.slice(2)
  const work = kind === 'ours' ? ours : loop
  await onDisk((store) => measured(work, store, url, Number(total)))
  process.exit(0)
}
