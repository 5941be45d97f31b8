import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Connection, toConnection } from '../connection.js'
import { IntegrationError } from '../errors.js'
import type { ConnectionDocument } from '../persistence/store.js'
import type { Action, Identity, Kit, Visit } from './kit.js'

/** Who is asking, or `undefined`. What `identify` answers is checked; what it throws counts as "nobody". */
export async function identityOf({ kit, req }: Visit): Promise<Identity | undefined> {
  let answer: unknown
  try {
    answer = await kit.identify(req)
  } catch (error) {
    kit.logger?.warn({ error }, 'atom-integrations: identify failed')
    return undefined
  }
  if (!answer || typeof answer !== 'object') return undefined
  const { tenantId, userId } = answer as Record<string, unknown>
  if (isId(tenantId) && isId(userId)) return { tenantId, userId }
  kit.logger?.warn(
    {},
    'atom-integrations: identify answered without tenantId and userId as strings of 1 to 200 characters',
  )
  return undefined
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 200
}

/** @throws IntegrationError `AUTH_REQUIRED` */
export async function requireIdentity(visit: Visit): Promise<Identity> {
  const identity = await identityOf(visit)
  if (!identity) throw new IntegrationError('AUTH_REQUIRED', 'identify named nobody')
  return identity
}

/** By default everyone in the tenant sees, and only the one who connected changes. @throws IntegrationError `AUTH_FORBIDDEN` */
export async function requirePermission(
  kit: Kit,
  identity: Identity,
  action: Action,
  connection?: Connection,
): Promise<void> {
  if (!(await isPermitted(kit, identity, action, connection)))
    throw new IntegrationError('AUTH_FORBIDDEN', `authorize refused "${action}"`)
}

export async function isPermitted(
  kit: Kit,
  identity: Identity,
  action: Action,
  connection?: Connection,
): Promise<boolean> {
  if (kit.authorize) return (await kit.authorize(identity, action, connection)) === true
  const isOwn = connection === undefined || connection.userId === identity.userId
  return action === 'list' || action === 'view' || action === 'connect' || isOwn
}

/** A connection of the caller's tenant. @throws IntegrationError `CONNECTION_NOT_FOUND`, `AUTH_FORBIDDEN` */
export async function requireConnection(
  kit: Kit,
  identity: Identity,
  id: string | undefined,
  action: Action,
): Promise<ConnectionDocument> {
  const document = isId(id) ? await kit.store.getConnection(identity.tenantId, id) : undefined
  if (!document) throw new IntegrationError('CONNECTION_NOT_FOUND', 'no such connection in this tenant')
  await requirePermission(kit, identity, action, toConnection(document))
  return document
}

/** The token that forms of this user carry. */
export function csrfToken({ secret }: Kit, { tenantId, userId }: Identity): string {
  return createHmac('sha256', secret).update(`atom-integrations form\0${tenantId}\0${userId}`).digest('base64url')
}

/**
 * A write must come from a page of this app (or one of `allowedOrigins`): by its `Origin`, or, for a form, by the token that only our
 * pages carry. Without evidence it is refused.
 *
 * @throws IntegrationError `REQUEST_FOREIGN_ORIGIN`
 */
export function requireOwnOrigin(
  { kit, req }: Visit,
  identity: Identity,
  form: { token: string | undefined } | undefined,
): void {
  const origin = req.headers.origin
  const known = origin !== undefined && isOwnOrigin(kit, origin)
  const refuse = (why: string) => new IntegrationError('REQUEST_FOREIGN_ORIGIN', why)
  if (!form) {
    if (!known) throw refuse('the write names no origin of this app')
    return
  }
  // Browsers send "null" where a page keeps its address to itself.
  if (origin !== undefined && origin !== 'null' && !known) throw refuse('the form was sent from another origin')
  const expected = Buffer.from(csrfToken(kit, identity))
  const given = Buffer.from(form.token ?? '')
  if (expected.length !== given.length || !timingSafeEqual(expected, given))
    throw refuse('the form carries no token of this user')
}

export function isOwnOrigin({ baseUrl, allowedOrigins }: Kit, origin: string): boolean {
  return origin === baseUrl.origin || allowedOrigins.includes(origin)
}
