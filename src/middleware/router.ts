import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { type ErrorCode, IntegrationError } from '../errors.js'
import { telemetry } from '../observability.js'
import { redactText } from '../provider-http/redact.js'
import { identityOf } from './access.js'
import { getBackfill, postBackfill, streamBackfill } from './backfills.js'
import { getCallback, getConnected, postCallback } from './callback.js'
import { getChoice, postChoice } from './choice.js'
import { getConnect, postConnect } from './connect.js'
import { disconnect, getConnection, getHealth, getIndex, listConnections } from './connections.js'
import { isFault, sendError, toIntegrationError } from './error-handler.js'
import type { Kit, Visit } from './kit.js'
import { newNonce } from './pages/layout.js'
import { prefersHtml, queryOf } from './request.js'
import { AccountMismatch } from './save.js'

type Route = (visit: Visit) => Promise<void>

/** Method, path (`:` stands for any segment), handler. The first that fits counts, so fixed names stand before `:provider`. */
const ROUTES: readonly [method: string, path: readonly string[], route: Route][] = [
  ['GET', [], getIndex],
  ['GET', ['connected'], getConnected],
  ['GET', ['connections'], listConnections],
  ['GET', ['connections', ':'], getConnection],
  ['DELETE', ['connections', ':'], disconnect],
  ['POST', ['connections', ':', 'disconnect'], disconnect],
  ['POST', ['connections', ':', 'backfills'], postBackfill],
  ['GET', ['backfills', ':'], getBackfill],
  ['GET', ['backfills', ':', 'events'], streamBackfill],
  ['GET', [':', 'connect'], getConnect],
  ['POST', [':', 'connect'], postConnect],
  ['GET', [':', 'callback'], getCallback],
  ['POST', [':', 'callback'], postCallback],
  ['GET', [':', 'choose'], getChoice],
  ['POST', [':', 'choose'], postChoice],
]

/** To say no is a choice, and anybody can come without being signed in. */
const UNTOLD: ReadonlySet<ErrorCode> = new Set(['AUTH_DENIED', 'AUTH_REQUIRED'])

/** A GET that acts, or that does not end: a HEAD does neither, and passes as other methods do. */
const NO_HEAD: ReadonlySet<Route> = new Set([getConnect, getCallback, streamBackfill])

/** The handler that is mounted: requests that are not ours pass at the cost of one string comparison. */
export function createRouter(kit: Kit): RequestHandler {
  const { path } = kit
  const warnOfHost = hostWarning(kit)
  return function atomIntegrations(req: Request, res: Response, next: NextFunction) {
    const url = req.originalUrl ?? req.url
    if (!url.startsWith(path)) return next()
    const end = url.charCodeAt(path.length)
    // The path itself, `/…` or `?…` behind it, but not `/integrations-elsewhere`.
    if (!Number.isNaN(end) && end !== 0x2f && end !== 0x3f) return next()
    warnOfHost(req)
    return void answer(kit, req, res, next).catch(next)
  }
}

/** In development, once: a page under another address than `baseUrl` would lose its visitor at the first callback. */
function hostWarning({ development, baseUrl, logger }: Kit): (req: Request) => void {
  let looking = development && logger !== undefined
  return function warnOfHost(req) {
    if (!looking || !prefersHtml(req) || req.headers.host === baseUrl.host) return
    looking = false
    const host = String(req.headers.host).slice(0, 100)
    logger?.warn(
      { host, baseUrl: baseUrl.origin },
      `atom-integrations: a browser came to ${host}, and baseUrl is ${baseUrl.origin}: providers send users there, and its cookies count`,
    )
  }
}

async function answer(kit: Kit, req: Request, res: Response, next: NextFunction): Promise<void> {
  const visit: Visit = { kit, req, res, segments: [], query: {}, html: prefersHtml(req), nonce: newNonce() }
  try {
    const segments = segmentsOf(req, kit.path)
    const method = req.method === 'HEAD' ? 'GET' : req.method
    const route = segments && ROUTES.find(([verb, path]) => verb === method && fits(path, segments))?.[2]
    const isHealth = method === 'GET' && segments?.length === 1 && segments[0] === 'health'
    if (!segments || (!route && !isHealth)) return next()
    if (route && req.method === 'HEAD' && NO_HEAD.has(route)) return next()
    visit.segments = segments
    visit.query = queryOf(req)
    if (isHealth) return await getHealth(visit, await identityOf(visit))
    await kit.ready().catch((cause: unknown) => {
      throw cause instanceof IntegrationError
        ? cause
        : new IntegrationError('STORE_UNAVAILABLE', 'the library could not start', { cause })
    })
    await route?.(visit)
  } catch (error) {
    fail(visit, error, next)
  }
}

function fail(visit: Visit, thrown: unknown, next: NextFunction) {
  const { kit, req, res } = visit
  if (res.headersSent) return next(thrown)
  const error = toIntegrationError(thrown)
  const { code, reference } = error
  if (visit.connecting !== undefined) telemetry.count('atom.connects', { provider: visit.connecting, outcome: code })
  if (isFault(error)) kit.logger?.error({ code, reference, error }, `atom-integrations: ${error.message}`)
  // Of the others, some name a field or a path of the request; and not every logger prints the fields of such a line.
  else if (!UNTOLD.has(code))
    kit.logger?.info({ code, reference }, `atom-integrations: ${redactText(error.message)} (${code}, ${reference})`)
  sendError(req, res, error, {
    html: visit.html,
    backUrl: kit.path,
    ...(kit.loginUrl !== undefined && { loginUrl: kit.loginUrl }),
    ...(visit.popup && { popup: visit.popup }),
    ...(error instanceof AccountMismatch && { names: error.names }),
  })
}

function fits(path: readonly string[], segments: readonly string[]): boolean {
  return path.length === segments.length && path.every((part, index) => part === ':' || part === segments[index])
}

/** Decoded path segments behind the mount path, or `undefined` when they do not decode. */
function segmentsOf(req: Request, path: string): string[] | undefined {
  const url = req.originalUrl ?? req.url
  const query = url.indexOf('?')
  const rest = url.slice(path.length, query === -1 ? undefined : query)
  try {
    return rest.split('/').filter(Boolean).map(decodeURIComponent)
  } catch {
    return undefined
  }
}
