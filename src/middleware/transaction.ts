import { createHash, randomBytes } from 'node:crypto'
import type { Request } from 'express'
import { IntegrationError } from '../errors.js'
import type { Transaction } from '../persistence/store.js'
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
      const binding = bindingOf(kit, req) ?? randomBytes(32).toString('base64url')
      const saved = await kit.store.createTransaction(
        {
          stateHash: sha256(state),
          provider: options.provider,
          client: options.client,
          tenantId: options.identity.tenantId,
          userId: options.identity.userId,
          browserHash: sha256(`${binding}.${state}`),
          mode: options.mode,
          returnTo: options.returnTo,
          params,
          sealed:
            Object.keys(secret).length > 0
              ? kit.sealer.seal(JSON.stringify(secret), sealContext(options, state))
              : null,
          expectedConnectionId: options.expectedConnectionId,
          createdAt: now,
          expiresAt: now + LIFETIME_MS,
        },
        MAX_OPEN,
      )
      if (!saved) throw new IntegrationError('REQUEST_LIMIT', `more than ${MAX_OPEN} open attempts of one user`)
      const secure = kit.baseUrl.protocol === 'https:' ? '; Secure' : ''
      res.append('set-cookie', `${cookieName(kit)}=${binding}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400${secure}`)
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
  const { kit, req } = visit
  if (state === undefined || state === '')
    throw new IntegrationError('AUTH_STATE_MISSING', 'the callback carries no state')
  const stateHash = sha256(state)
  const found = await kit.store.getTransaction(stateHash)
  if (!found) throw new IntegrationError('AUTH_STATE_UNKNOWN', 'no transaction has this state')
  const provider = kit.providers.get(found.provider)?.definition.name
  const refuse = (code: ConstructorParameters<typeof IntegrationError>[0], detail: string) =>
    new IntegrationError(code, detail, { provider })
  if (found.client !== client)
    throw refuse('AUTH_PROVIDER_MISMATCH', `the transaction is of ${found.client}, the callback of ${client}`)
  const binding = bindingOf(kit, req)
  if (binding === undefined || sha256(`${binding}.${state}`) !== found.browserHash)
    throw refuse(
      'AUTH_BROWSER_MISMATCH',
      binding === undefined ? 'the binding cookie is missing' : 'the binding cookie is of another browser',
    )
  if (found.tenantId !== identity.tenantId) throw refuse('AUTH_TENANT_MISMATCH', 'the transaction is of another tenant')
  if (found.userId !== identity.userId) throw refuse('AUTH_USER_MISMATCH', 'the transaction is of another user')
  const claimed = await kit.store.claimTransaction(stateHash, kit.now())
  if (claimed.outcome === 'unknown') throw refuse('AUTH_STATE_UNKNOWN', 'the transaction is gone')
  if (claimed.outcome === 'used') throw refuse('AUTH_STATE_USED', 'the transaction was claimed before')
  if (claimed.outcome === 'expired') throw refuse('AUTH_STATE_EXPIRED', 'the transaction has expired')
  const { transaction } = claimed
  const owner = { provider: transaction.provider, identity }
  const secret =
    transaction.sealed === null
      ? {}
      : (JSON.parse(kit.sealer.open(transaction.sealed, sealContext(owner, state))) as Omit<StateData, 'params'>)
  return { transaction, data: { params: transaction.params, ...secret } }
}

/** The value of the binding cookie, where it is one of ours. */
function bindingOf(kit: Kit, req: Request): string | undefined {
  const value = cookieOf(req, cookieName(kit))
  return value !== undefined && /^[\w-]{43}$/.test(value) ? value : undefined
}

function cookieName({ baseUrl }: Kit): string {
  return baseUrl.protocol === 'https:' ? '__Host-atom-integrations' : 'atom-integrations'
}

function sealContext({ provider, identity }: Pick<StartOptions, 'provider' | 'identity'>, state: string) {
  return { tenantId: identity.tenantId, provider, connectionId: sha256(state), field: 'transaction' }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
