import { hash } from 'node:crypto'
import type { Request } from 'express'
import { type ErrorCode, IntegrationError } from '../errors.js'
import type { Transaction } from '../persistence/store.js'
import { randomText } from '../random.js'
import type { StateData, StateStore } from '../strategies/state-store.js'
import type { Identity, Kit, Visit } from './kit.js'
import { cookieOf } from './request.js'

/** How long an attempt to connect may take. */
export const LIFETIME_MS = 10 * 60_000
/** Open attempts of one user at the same time. */
const MAX_OPEN = 20

/** What an attempt was started with, beyond what its strategy keeps. */
export interface StartOptions {
  provider: string
  client: string
  identity: Identity
  mode: Transaction['mode']
  returnTo: string | null
  expectedConnectionId: string | null
}

/** Keeps what a strategy's callback needs in a transaction, bound to this browser and user. */
export function startStore(visit: Visit, options: StartOptions): StateStore {
  const { kit, req, res } = visit
  return {
    async save(_req: Request, state: string, { params, ...secret }: StateData) {
      const now = kit.now()
      const binding = randomText(32)
      const stateHash = sha256(state)
      const saved = await kit.store.createTransaction(
        {
          stateHash,
          provider: options.provider,
          client: options.client,
          tenantId: options.identity.tenantId,
          userId: options.identity.userId,
          browserHash: sha256(binding),
          mode: options.mode,
          returnTo: options.returnTo,
          params,
          sealed:
            Object.keys(secret).length > 0
              ? kit.sealer.seal(JSON.stringify(secret), sealContext(options, stateHash))
              : null,
          expectedConnectionId: options.expectedConnectionId,
          createdAt: now,
          expiresAt: now + LIFETIME_MS,
        },
        MAX_OPEN,
      )
      if (!saved) throw new IntegrationError('REQUEST_LIMIT', `more than ${MAX_OPEN} open attempts of one user`)
      for (const name of surplus(req)) res.append('set-cookie', cookie(kit, name, '', 0))
      res.append('set-cookie', cookie(kit, cookieName(kit, stateHash), binding, COOKIE_SECONDS))
    },
    claim: () => Promise.reject(new TypeError('a start has nothing to claim')),
  }
}

/**
 * Checks that this callback belongs to this browser, user, tenant and client, and claims its transaction: of any number of callers
 * exactly one gets it.
 *
 * @throws IntegrationError `AUTH_STATE_MISSING`, `_UNKNOWN`, `_EXPIRED`, `_USED`, `AUTH_BROWSER_MISMATCH`, `AUTH_TENANT_MISMATCH`,
 * `AUTH_USER_MISMATCH`, `AUTH_PROVIDER_MISMATCH`
 */
export async function claimTransaction(
  visit: Visit,
  state: string | undefined,
  client: string,
  identity: Identity,
): Promise<{ transaction: Transaction; data: StateData }> {
  const transaction = await findTransaction(visit, state, client, identity)
  await claimFound(visit.kit, transaction)
  return { transaction, data: dataOf(visit.kit, transaction) }
}

/** Claims what `readTransaction` gave. @throws IntegrationError `AUTH_STATE_UNKNOWN`, `_EXPIRED`, `_USED` */
export async function claimFound(kit: Kit, transaction: Transaction): Promise<void> {
  const outcome = await kit.store.claimTransaction(transaction.stateHash, kit.now())
  const refuse = refusalOf(kit, transaction)
  if (outcome === 'unknown') throw refuse('AUTH_STATE_UNKNOWN', 'the transaction is gone')
  if (outcome === 'used') throw refuse('AUTH_STATE_USED', 'the transaction was claimed before')
  if (outcome === 'expired') throw refuse('AUTH_STATE_EXPIRED', 'the transaction has expired')
}

/** Shows what a transaction holds to the one it belongs to, without claiming it. @throws like `claimTransaction` */
export async function readTransaction(
  visit: Visit,
  state: string | undefined,
  client: string,
  identity: Identity,
): Promise<{ transaction: Transaction; data: StateData }> {
  const { kit } = visit
  const transaction = await findTransaction(visit, state, client, identity)
  if (transaction.expiresAt <= kit.now())
    throw refusalOf(kit, transaction)('AUTH_STATE_EXPIRED', 'the transaction has expired')
  return { transaction, data: dataOf(kit, transaction) }
}

async function findTransaction(
  visit: Visit,
  state: string | undefined,
  client: string,
  identity: Identity,
): Promise<Transaction> {
  const { kit, req } = visit
  if (state === undefined || state === '')
    throw new IntegrationError('AUTH_STATE_MISSING', 'the callback carries no state', {
      provider: nameOf(kit, client),
    })
  const stateHash = sha256(state)
  const found = await kit.store.getTransaction(stateHash)
  if (!found) throw new IntegrationError('AUTH_STATE_UNKNOWN', 'no transaction has this state')
  noteMode(visit, found.mode, found.provider)
  const refuse = refusalOf(kit, found)
  if (found.client !== client)
    throw refuse('AUTH_PROVIDER_MISMATCH', `the transaction is of ${found.client}, the callback of ${client}`)
  const binding = cookieOf(req, cookieName(kit, stateHash))
  if (binding === undefined || sha256(binding) !== found.browserHash)
    throw refuse(
      'AUTH_BROWSER_MISMATCH',
      binding === undefined ? 'the binding cookie is missing' : 'the binding cookie is of another browser',
    )
  if (found.tenantId !== identity.tenantId) throw refuse('AUTH_TENANT_MISMATCH', 'the transaction is of another tenant')
  if (found.userId !== identity.userId) throw refuse('AUTH_USER_MISMATCH', 'the transaction is of another user')
  return found
}

/** In a popup, what goes wrong from here on is told to its opener too, at our own origin. */
export function noteMode(visit: Visit, mode: Transaction['mode'], provider: string): void {
  if (mode === 'popup') visit.popup = { origin: visit.kit.baseUrl.origin, provider }
}

function refusalOf(kit: Kit, { provider }: Transaction) {
  const name = kit.providers.get(provider)?.definition.name
  return (code: ErrorCode, detail: string) => new IntegrationError(code, detail, { provider: name })
}

/** Whose callback path this is; several providers of one OAuth client share one, which then tells nothing. */
function nameOf({ providers }: Kit, client: string): string | undefined {
  const sharing = [...providers.values()].filter(
    ({ configured, definition }) => configured && definition.client?.id === client,
  )
  const entry = providers.get(client) ?? (sharing.length === 1 ? sharing[0] : undefined)
  return entry?.definition.name
}

function dataOf(kit: Kit, transaction: Transaction): StateData {
  const { params, sealed, provider, stateHash } = transaction
  const context = sealContext({ provider, identity: transaction }, stateHash)
  return { params, ...(sealed !== null && (JSON.parse(kit.sealer.open(sealed, context)) as Omit<StateData, 'params'>)) }
}

/** Lives longer than the attempt, so that an attempt that was used or has expired can be told from one of another browser. */
const COOKIE_SECONDS = 3600
const MAX_COOKIES = 12
const COOKIE_NAME = /(?:^|;\s*)((?:__Host-)?atom-[0-9a-f]{12})=/g

/** A cookie of its own for each attempt: any number of tabs can start at the same moment. */
function cookie({ baseUrl }: Kit, name: string, value: string, seconds: number): string {
  const secure = baseUrl.protocol === 'https:' ? '; Secure' : ''
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${seconds}${secure}`
}

function cookieName({ baseUrl }: Kit, stateHash: string): string {
  return `${baseUrl.protocol === 'https:' ? '__Host-' : ''}atom-${stateHash.slice(0, 12)}`
}

/** Cookies of attempts long past; browsers send the oldest first. */
function surplus(req: Request): string[] {
  const names = [...String(req.headers.cookie ?? '').matchAll(COOKIE_NAME)].map((match) => match[1] as string)
  return names.slice(0, Math.max(0, names.length - MAX_COOKIES + 1))
}

function sealContext({ provider, identity }: Pick<StartOptions, 'provider' | 'identity'>, stateHash: string) {
  // One key for all attempts of a tenant and provider; the state is part of what must match.
  return { tenantId: identity.tenantId, provider, connectionId: 'transactions', field: stateHash }
}

function sha256(text: string): string {
  return hash('sha256', text)
}
