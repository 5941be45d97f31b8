import { IntegrationError } from '../errors.js'
import type { BackfillDocument } from '../persistence/store.js'
import { type Backfill, toBackfill } from '../sync/receipt.js'
import { requireConnection, requireIdentity, requireOwnOrigin } from './access.js'
import type { Identity, Kit, Visit } from './kit.js'
import { MAX_WATCHED } from './pages/connect-page.js'
import { badField, bodyOf, redirect } from './request.js'

/** A stream ends after five minutes, and who reconnects is identified again. */
const STREAM_MS = 5 * 60_000
/** Streams of one user at the same time: a browser has six connections to a host, and needs some for pages. */
const MAX_STREAMS = 4
/** A run in another process tells nothing live: the store is asked. */
const LOOK_MS = 2_000

/** `POST /connections/:id/backfills`: start, or resume. */
export async function postBackfill(visit: Visit): Promise<void> {
  const { kit, res, req } = visit
  const identity = await requireIdentity(visit)
  const { fields, isForm } = await bodyOf(req)
  requireOwnOrigin(visit, identity, isForm ? { token: fields.csrf } : undefined)
  const document = await requireConnection(kit, identity, visit.segments[1], 'backfill')
  if (!kit.sync) throw new IntegrationError('SYNC_DISABLED', 'the option sync is false')
  if (fields.months !== undefined && !/^\d{1,2}$/.test(fields.months))
    throw badField('months', 'Must be a whole number from 1 to 36.')
  const scheduled = await kit.sync.triggerHistoricalSync(identity.tenantId, {
    connectionId: document.id,
    ...(fields.months !== undefined && { months: Number(fields.months) }),
  })
  if (isForm && visit.html) return redirect(res, 303, `${kit.path}?reading=${document.provider}`)
  res
    .status(scheduled.created ? 202 : 200)
    .set('cache-control', 'no-store')
    .json(scheduled)
}

/** `GET /backfills/:id` */
export async function getBackfill(visit: Visit): Promise<void> {
  const identity = await requireIdentity(visit)
  const document = await requireBackfill(visit.kit, identity, visit.segments[1] as string)
  visit.res.set('cache-control', 'no-store').json(toBackfill(document))
}

async function requireBackfill(kit: Kit, identity: Identity, id: string): Promise<BackfillDocument> {
  const backfill = id === '' || id.length > 200 ? undefined : await kit.store.getBackfill(identity.tenantId, id)
  if (!backfill) throw new IntegrationError('SYNC_BACKFILL_NOT_FOUND', 'no such backfill in this tenant')
  await requireConnection(kit, identity, backfill.connectionId, 'view')
  return backfill
}

const streams = new WeakMap<Kit, Map<string, number>>()

/**
 * `GET /backfills/:ids/events`: server-sent events `progress`, `completed`, `failed`, each with its backfill. One stream for up to
 * `MAX_WATCHED` ids with commas between; it ends when all of them have.
 */
export async function streamBackfill(visit: Visit): Promise<void> {
  const { kit, req, res } = visit
  const identity = await requireIdentity(visit)
  const ids = new Set((visit.segments[1] as string).split(','))
  if (ids.size > MAX_WATCHED) throw badField('ids', `Must be at most ${MAX_WATCHED}.`)
  const backfills = await Promise.all([...ids].map((id) => requireBackfill(kit, identity, id)))
  // Gone before it began: nobody would tell us again.
  if (res.closed) return
  const open = streams.get(kit) ?? new Map<string, number>()
  streams.set(kit, open)
  const user = JSON.stringify([identity.tenantId, identity.userId])
  const count = open.get(user) ?? 0
  if (count >= MAX_STREAMS)
    throw new IntegrationError('REQUEST_LIMIT', `more than ${MAX_STREAMS} progress streams of one user`, {
      retryAfterSeconds: 30,
    })
  open.set(user, count + 1)

  res
    .status(200)
    .set({ 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' })
  res.flushHeaders()
  /** What was told last of each that still runs. */
  const told = new Map(backfills.map(({ id }) => [id, '']))
  let ended = false
  const show = (state: Backfill) => {
    const last = told.get(state.id)
    if (ended || last === undefined) return
    const data = JSON.stringify(state)
    const isOver = state.status === 'completed' || state.status === 'failed'
    if (data !== last) res.write(`event: ${isOver ? state.status : 'progress'}\ndata: ${data}\n\n`)
    if (isOver) told.delete(state.id)
    else told.set(state.id, data)
    if (told.size === 0) end()
  }
  const look = () => {
    for (const id of told.keys())
      kit.store.getBackfill(identity.tenantId, id).then(
        (document) => (document ? show(toBackfill(document)) : end()),
        () => end(),
      )
  }
  const unsubscribe = kit.events.subscribe(({ backfill: live }) => show(live))
  const looking = setInterval(look, LOOK_MS)
  const ending = setTimeout(() => end(), STREAM_MS)
  function end() {
    if (ended) return
    ended = true
    unsubscribe()
    clearInterval(looking)
    clearTimeout(ending)
    const left = (open.get(user) ?? 1) - 1
    if (left > 0) open.set(user, left)
    else open.delete(user)
    res.end()
  }
  req.on('close', end)
  res.on('close', end)
  for (const backfill of backfills) show(toBackfill(backfill))
}
