import { type Connection, toConnection } from '../connection.js'
import { titleOf } from '../sync/progress.js'
import { toBackfill } from '../sync/receipt.js'
import {
  csrfToken,
  isPermitted,
  requireConnection,
  requireIdentity,
  requireOwnOrigin,
  requirePermission,
} from './access.js'
import type { Identity, Kit, Visit } from './kit.js'
import { connectPage, isLive, type ShownConnection } from './pages/connect-page.js'
import { sendPage } from './pages/layout.js'
import { badField, bodyOf, redirect } from './request.js'

/** More than fits a page; the API lists them all. */
const SHOWN = 200

/** `GET /`: the connect page, or the catalogue with connection states. */
export async function getIndex(visit: Visit): Promise<void> {
  const { kit, res, nonce, query } = visit
  const identity = await requireIdentity(visit)
  await requirePermission(kit, identity, 'list')
  if (visit.html && query.connected !== undefined) await untilScheduled(visit, identity, query.connected)
  const { items } = await kit.store.listConnections({ tenantId: identity.tenantId, limit: SHOWN })
  const visible: Connection[] = []
  for (const document of items) {
    const connection = toConnection(document)
    if (await isPermitted(kit, identity, 'view', connection)) visible.push(connection)
  }
  const byName = [...kit.providers.values()].sort((a, b) => a.definition.name.localeCompare(b.definition.name, 'en'))
  const cards = byName.map(({ definition: { id, name, category, auth }, configured, missing }) => ({
    id,
    name,
    category,
    kind: auth.kind,
    configured,
    missing: kit.development ? missing : [],
  }))
  if (!visit.html)
    return void res.set('cache-control', 'no-store').json({
      providers: cards.map((card) => ({
        ...card,
        connections: visible.filter(({ provider }) => provider === card.id),
      })),
    })
  const lastBackfill = async ({ id }: Connection) => {
    if (!kit.sync) return undefined
    const { items } = await kit.store.listBackfills({ tenantId: identity.tenantId, connectionId: id, limit: 1 })
    return items[0] && toBackfill(items[0])
  }
  const shown = await Promise.all(
    visible
      .filter(({ status }) => status !== 'disconnected')
      .map(async (connection) => ({
        connection,
        backfill: await lastBackfill(connection),
        titles: titlesOf(kit, connection.provider),
        may: {
          reconnect: await isPermitted(kit, identity, 'reconnect', connection),
          backfill: await isPermitted(kit, identity, 'backfill', connection),
          disconnect: await isPermitted(kit, identity, 'disconnect', connection),
        },
      })),
  )
  const page = connectPage({
    path: kit.path,
    home: kit.baseUrl.pathname,
    cards: cards.map((card) => ({
      ...card,
      connections: shown.filter(({ connection }) => connection.provider === card.id),
    })),
    reads: kit.sync !== undefined,
    csrf: csrfToken(kit, identity),
    nonce,
    notice: noticeOf(visit, shown),
    appName: [...kit.providers.values()][0]?.client.appName ?? kit.baseUrl.hostname,
  })
  sendPage(res, 200, nonce, page)
}

function titlesOf({ providers }: Kit, provider: string): ShownConnection['titles'] {
  const resources = providers.get(provider)?.definition.resources ?? []
  return Object.fromEntries(resources.map((resource) => [resource.name, titleOf(resource)]))
}

/** What was done a moment ago. */
function noticeOf({ kit, query }: Visit, shown: readonly ShownConnection[]) {
  const nameOf = (id: string | undefined) => (id === undefined ? undefined : kit.providers.get(id)?.definition.name)
  const isArriving = (id: string | undefined) =>
    shown.some(({ connection, backfill }) => connection.provider === id && isLive(backfill))
  const connected = nameOf(query.connected)
  if (connected !== undefined) return { text: `${connected} is connected.`, arriving: isArriving(query.connected) }
  const reading = nameOf(query.reading)
  if (reading !== undefined)
    return { text: isArriving(query.reading) ? `${reading} is being read.` : `${reading} was read a moment ago.` }
  const ended = nameOf(query.disconnected)
  return ended === undefined ? undefined : { text: `${ended} is disconnected.` }
}

/** Right after connecting, the event that starts the backfill is on its way: the page waits for it a moment, so that it shows progress. */
async function untilScheduled({ kit }: Visit, { tenantId }: Identity, provider: string): Promise<void> {
  if (!kit.sync || !kit.providers.has(provider)) return
  for (let tries = 0; tries < 10; tries++) {
    const { items } = await kit.store.listBackfills({ tenantId, limit: 20 })
    if (items.some((backfill) => backfill.provider === provider)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** `GET /connections` */
export async function listConnections({ kit, query, res, ...rest }: Visit): Promise<void> {
  const identity = await requireIdentity({ kit, query, res, ...rest })
  await requirePermission(kit, identity, 'list')
  const { provider, after } = query
  const page = await kit.store.listConnections({
    tenantId: identity.tenantId,
    limit: limitOf(query.limit),
    ...(provider !== undefined && { provider }),
    ...(after !== undefined && { after }),
  })
  const items = []
  for (const document of page.items) {
    const connection = toConnection(document)
    if (await isPermitted(kit, identity, 'view', connection)) items.push(connection)
  }
  res.set('cache-control', 'no-store').json({ items, next: page.next })
}

export function limitOf(text: string | undefined): number {
  if (text === undefined) return 50
  if (!/^\d{1,3}$/.test(text) || Number(text) < 1 || Number(text) > 200)
    throw badField('limit', 'Must be a whole number from 1 to 200.')
  return Number(text)
}

/** `GET /connections/:id` */
export async function getConnection(visit: Visit): Promise<void> {
  const identity = await requireIdentity(visit)
  const document = await requireConnection(visit.kit, identity, visit.segments[1], 'view')
  visit.res.set('cache-control', 'no-store').json(toConnection(document))
}

/** `DELETE /connections/:id`, and `POST /connections/:id/disconnect` for forms. */
export async function disconnect(visit: Visit): Promise<void> {
  const { kit, res, req } = visit
  const identity = await requireIdentity(visit)
  const { fields, isForm } = await bodyOf(req)
  requireOwnOrigin(visit, identity, isForm ? { token: fields.csrf } : undefined)
  const document = await requireConnection(kit, identity, visit.segments[1], 'disconnect')
  const records = fields.records ?? visit.query.records ?? 'keep'
  if (records !== 'keep' && records !== 'delete') throw badField('records', 'Must be keep or delete.')
  await kit.tokens.disconnect(identity.tenantId, document.id, { records })
  if (isForm && visit.html) return redirect(res, 303, `${kit.path}?disconnected=${document.provider}`)
  res.status(204).end()
}

/** `GET /health`: up or down for everyone, the parts for those who are signed in. */
export async function getHealth({ kit, res }: Visit, identity: Identity | undefined): Promise<void> {
  const check = async (ping: () => Promise<unknown>) =>
    ping().then(
      () => 'up' as const,
      () => 'down' as const,
    )
  const store = await check(async () => {
    await kit.ready()
    await kit.store.ping()
  })
  const queue = kit.sync ? await check(() => kit.queue.ping()) : 'off'
  const status = store === 'up' && queue !== 'down' ? 'up' : 'down'
  const configured = [...kit.providers.values()].filter((entry) => entry.configured).map((entry) => entry.definition.id)
  res
    .status(status === 'up' ? 200 : 503)
    .set('cache-control', 'no-store')
    .json(
      identity
        ? {
            status,
            store: { kind: kit.store.kind, status: store },
            queue: { kind: kit.queue.kind, status: queue },
            providers: configured,
          }
        : { status },
    )
}
