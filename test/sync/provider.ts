import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Events } from '../../src/events.js'
import { createSqliteStore } from '../../src/persistence/sqlite/sqlite-store.js'
import type { BackfillDocument, ConnectionDocument, Store, StoredRecord } from '../../src/persistence/store.js'
import { createProviderHttp } from '../../src/provider-http/client.js'
import { type ClientConfig, callProvider } from '../../src/strategies/call.js'
import { defineProvider, type ProviderDefinition, type Resource } from '../../src/strategies/define-provider.js'
import { newProgress } from '../../src/sync/progress.js'
import { type Caller, createRunner, type RunnerOptions } from '../../src/sync/runner.js'

/* A provider on loopback, reached through the real door, and a real store: what the tests of this folder run on. */

export const ORIGIN = 'https://api.acme.example'
export const FROM = Date.UTC(2026, 7, 21)
export const TO = Date.UTC(2026, 10, 21)

export interface Incoming {
  method: string
  path: string
  query: URLSearchParams
  json: Record<string, unknown>
}
export interface Answer {
  status?: number
  headers?: Record<string, string>
  /** A text goes out as it is, anything else as JSON. */
  body: unknown
}
export type Handler = (request: Incoming, count: number) => Answer | Promise<Answer>

export async function startProvider(handler: Handler, now: () => number = Date.now) {
  const requests: Incoming[] = []
  const answer = async (req: IncomingMessage, res: ServerResponse) => {
    const url = new URL(req.url ?? '/', ORIGIN)
    let text = ''
    for await (const chunk of req) text += chunk
    const request = {
      method: req.method ?? '',
      path: decodeURIComponent(url.pathname),
      query: url.searchParams,
      json: text ? JSON.parse(text) : {},
    }
    requests.push(request)
    const { status = 200, headers, body } = await handler(request, requests.length)
    res.writeHead(status, { 'content-type': 'application/json', ...headers })
    res.end(typeof body === 'string' ? body : JSON.stringify(body))
  }
  const server = createServer((req, res) => {
    answer(req, res).catch((error: unknown) => res.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  // No real waiting between the door's own tries.
  const http = createProviderHttp({ origins: { [ORIGIN]: url }, sleep: () => Promise.resolve(), now })
  return {
    requests,
    http,
    async close() {
      await http.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function acme(resources: readonly Resource[], more: Partial<ProviderDefinition> = {}): ProviderDefinition {
  return defineProvider({
    id: 'acme',
    name: 'Acme',
    category: 'test',
    auth: {
      kind: 'oauth2',
      authorizationURL: `${ORIGIN}/authorize`,
      tokenURL: `${ORIGIN}/token`,
      clientAuth: 'body',
      pkce: 'always',
      scopes: [{ scope: 'read', why: 'reading' }],
      refreshToken: 'none',
      tokens: { default: { accessToken: 'access_token' } },
    },
    identity: { request: { method: 'GET', url: `${ORIGIN}/me` }, accountId: 'id', accountName: 'name' },
    api: {
      baseURL: ORIGIN,
      errors: {
        code: ['error'],
        codes: {
          gone: 'revoked',
          missing_scope: 'scope',
          plan: 'permission',
          ask_admin: 'admin',
          slow_down: 'rate_limited',
          later: 'not_ready',
          bad_cursor: 'cursor_expired',
        },
      },
    },
    guide: { setup: [], sources: [] },
    ...more,
    resources,
  } satisfies ProviderDefinition)
}

/** A resource whose items are `{ id, at }`, `at` in Unix seconds. */
export function things(more: Partial<Resource> = {}): Resource {
  return {
    name: 'things',
    request: { method: 'GET', url: `${ORIGIN}/things`, query: { since: '{since.unix}' } },
    pagination: { style: 'cursor', at: 'query', param: 'cursor', next: 'next' },
    items: 'items',
    id: 'id',
    timestamp: { path: 'at', format: 'unix' },
    filter: 'server',
    order: 'asc',
    ...more,
  }
}

export interface Item {
  id: string
  at: number
}

/** Items evenly over the window, oldest first. */
export function itemsInWindow(count: number, prefix = 't'): Item[] {
  const step = (TO - FROM) / 1000 / (count + 1)
  return Array.from({ length: count }, (_, index) => ({
    id: `${prefix}${index}`,
    at: Math.floor(FROM / 1000 + step * (index + 1)),
  }))
}

/** Serves a list by offset cursors. */
export function serve(
  items: readonly unknown[],
  { query, json }: Pick<Incoming, 'query' | 'json'>,
  pageSize = 10,
): Answer {
  const start = Number(query.get('cursor') ?? json.cursor ?? 0)
  const next = start + pageSize < items.length ? String(start + pageSize) : null
  return { body: { items: items.slice(start, start + pageSize), next } }
}

const client: ClientConfig = {
  clientId: 'id',
  clientSecret: 'secret',
  env: {},
  params: {},
  redirectURI: 'https://app.example/callback',
  appName: 'Test',
}

export function createCaller(
  provider: Awaited<ReturnType<typeof startProvider>>,
  definition: ProviderDefinition,
): Caller {
  return {
    call: (connectionId, request, { scope, resource, signal }) =>
      callProvider(provider.http, definition, client, {
        ...{ request, scope, resource, signal, params: {}, endpoint: 'api', limitKey: connectionId },
        credential: { accessToken: 'token' },
      }),
  }
}

export async function openStore(): Promise<Store> {
  const store = createSqliteStore({ path: ':memory:' })
  await store.open()
  return store
}

export async function connect(
  store: Store,
  more: { scopes?: string[]; key?: string } = {},
): Promise<ConnectionDocument> {
  const outcome = await store.saveConnection({
    newId: randomUUID(),
    tenantId: 'org_1',
    userId: 'user_1',
    provider: 'acme',
    accountKey: more.key ?? 'acme:1',
    account: { id: '1', name: 'Acme One' },
    scopes: more.scopes ?? [],
    params: {},
    grantKey: null,
    now: TO,
    tokensFor: () => ({ default: { sealed: 'sealed', expiresAt: null, refreshExpiresAt: null } }),
    eventId: randomUUID(),
    groups: [],
  })
  if (outcome.outcome === 'grant_taken') throw new Error('unexpected')
  return outcome.connection
}

export async function addJob(
  store: Store,
  connection: ConnectionDocument,
  definition: ProviderDefinition,
  more: Partial<BackfillDocument> = {},
): Promise<BackfillDocument> {
  const { backfill } = await store.createBackfill({
    id: `bf-${randomUUID()}`,
    connectionId: connection.id,
    tenantId: connection.tenantId,
    provider: connection.provider,
    status: 'queued',
    window: { from: FROM, to: TO },
    resources: definition.resources.map(({ name }) => newProgress(name)),
    failure: null,
    attempts: 0,
    dueAt: 0,
    lease: null,
    createdAt: TO,
    startedAt: null,
    finishedAt: null,
    ...more,
  })
  return backfill
}

/** A runner over a provider, with a queue that only remembers what it was asked to wake. */
export function makeRunner(
  store: Store,
  provider: Awaited<ReturnType<typeof startProvider>>,
  definition: ProviderDefinition,
  more: Partial<RunnerOptions> = {},
) {
  const woken: { id: string; delayMs: number }[] = []
  const live: Parameters<Events['emitLive']>[0][] = []
  const runner = createRunner({
    store,
    tokens: createCaller(provider, definition),
    events: { groups: () => [], kick() {}, emitLive: (event) => live.push(event) },
    providers: () => ({ definition }),
    wake: (id, delayMs) => woken.push({ id, delayMs }),
    retryMs: 1,
    // A write for every page, so that the tests see each checkpoint.
    gatherMs: 0,
    ...more,
  })
  return { ...runner, woken, live }
}

/** Lets workers come back, whatever the delay, until the job is over. */
export async function runToEnd(
  store: Store,
  runner: Pick<ReturnType<typeof createRunner>, 'work'>,
  id: string,
  turns = 100,
): Promise<BackfillDocument> {
  for (let turn = 0; turn < turns; turn++) {
    const job = await store.getBackfill(null, id)
    if (!job) throw new Error('no such job')
    if (job.status === 'completed' || job.status === 'failed') return job
    await runner.work(id)
  }
  throw new Error('the job did not come to an end')
}

export async function allRecords(store: Store, connectionId: string, resource?: string): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  for (let after: string | null | undefined; after !== null; ) {
    const page = await store.listRecords({
      ...{ tenantId: null, connectionId, limit: 200 },
      ...(resource && { resource }),
      ...(after && { after }),
    })
    records.push(...page.items)
    after = page.next
  }
  return records
}

export function receiptOf(job: BackfillDocument, resource: string) {
  const entry = job.resources.find((one) => one.resource === resource)
  if (!entry) throw new Error(`no receipt for ${resource}`)
  return entry
}
