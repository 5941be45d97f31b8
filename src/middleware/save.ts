import { toConnection } from '../connection.js'
import { IntegrationError } from '../errors.js'
import { telemetry } from '../observability.js'
import type { ConnectionDocument, Transaction } from '../persistence/store.js'
import type { CatalogueEntry } from '../provider-settings.js'
import { newId } from '../random.js'
import type { ConnectedAccount } from '../strategies/grant.js'
import { grantOf } from '../strategies/identify.js'
import { sealCredential } from '../tokens/credential.js'
import { grantKeyOf } from '../tokens/grant-key.js'
import type { Identity, Kit, Visit } from './kit.js'
import { redirect } from './request.js'

/** What the end of an attempt must know of its start. */
export type Attempt = Pick<Transaction, 'mode' | 'returnTo' | 'expectedConnectionId'>

/** Saves what was connected, and sends the user on: a browser to a page, a program its connection. */
export async function finish(
  visit: Visit,
  entry: CatalogueEntry,
  identity: Identity,
  attempt: Attempt,
  account: ConnectedAccount,
  wantsPage: boolean,
): Promise<void> {
  const { kit, res } = visit
  const connection = await save(kit, entry, identity, account, attempt.expectedConnectionId)
  res.set('cache-control', 'no-store')
  if (wantsPage) redirect(res, 303, afterwards(kit, attempt, connection))
  else res.json({ connection: toConnection(connection) })
}

function afterwards({ path }: Kit, { mode, returnTo }: Attempt, { id, provider }: ConnectionDocument): string {
  if (mode === 'popup') return `${path}/connected?${new URLSearchParams({ provider, connection: id })}`
  return returnTo ?? `${path}?connected=${provider}`
}

/** Another account came than the one that was to be repaired. */
export class AccountMismatch extends IntegrationError {
  readonly names: readonly [expected: string, got: string]
  constructor(provider: string, expected: string, got: string) {
    super('AUTH_ACCOUNT_MISMATCH', `${provider}: the reconnect came back with another account`, {
      provider,
      fields: { account: `Expected ${expected}, got ${got}.` },
    })
    this.names = [expected, got]
  }
}

/**
 * Seals and saves what was granted, with its event, in one atomic write. What cannot be saved is revoked where possible: no half
 * connection remains.
 */
async function save(
  kit: Kit,
  entry: CatalogueEntry,
  identity: Identity,
  account: ConnectedAccount,
  expectedId: string | null,
): Promise<ConnectionDocument> {
  const { definition } = entry
  const grant = grantOf(account)
  const { grantKey, grantShared } = grantKeyOf(entry, account)
  let connection: ConnectionDocument
  let outcome: 'connected' | 'reconnected'
  try {
    const expected = expectedId === null ? undefined : await kit.store.getConnection(identity.tenantId, expectedId)
    if (grant.kept && expected?.status === 'disconnected')
      throw new IntegrationError('CONNECTION_DISCONNECTED', `${definition.name}: disconnected while it was repaired`, {
        provider: definition.name,
      })
    if (expected && expected.accountKey !== account.key && !kit.allowOtherAccountOnReconnect)
      throw new AccountMismatch(definition.name, expected.account.name, account.name)
    const saved = await kit.events.saveAndDeliver({
      newId: newId(),
      tenantId: identity.tenantId,
      userId: identity.userId,
      provider: definition.id,
      accountKey: account.key,
      account: { id: account.id, name: account.name, ...(account.email !== undefined && { email: account.email }) },
      scopes: grant.scopes,
      params: grant.params,
      // A shared grant may be held by many connections; only an exclusive one is refused to a second tenant.
      grantKey,
      ...(grantShared !== undefined && { grantShared }),
      now: kit.now(),
      tokensFor: (id) =>
        Object.fromEntries(
          Object.entries(grant.tokens).map(([name, token]) => [
            name,
            {
              sealed: sealCredential(
                kit.sealer,
                { tenantId: identity.tenantId, provider: definition.id, id },
                name,
                token,
              ),
              expiresAt: token.expiresAt ?? null,
              refreshExpiresAt: token.refreshExpiresAt ?? null,
            },
          ]),
        ),
      eventId: newId(),
    })
    if (saved.outcome === 'grant_taken')
      throw new IntegrationError(
        'AUTH_ACCOUNT_TAKEN',
        `${definition.name}: another tenant holds the grant of this account`,
        { provider: definition.name },
      )
    ;({ connection, outcome } = saved)
  } catch (error) {
    if (!grant.kept) await kit.tokens.revokeGrant(definition.id, grant, grantKey)
    throw error
  }
  kit.tokens.invalidate(connection.id)
  telemetry.count('atom.connects', { provider: definition.id, outcome })
  return connection
}
