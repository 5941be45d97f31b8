import { IntegrationError } from '../errors.js'
import type { Transaction } from '../persistence/store.js'
import type { CatalogueEntry } from '../provider-settings.js'
import type { OpenChoice } from '../strategies/choices.js'
import { newState } from '../strategies/state-store.js'
import { chooseAccount } from '../strategies/strategy.js'
import { csrfToken, requireIdentity, requireOwnOrigin } from './access.js'
import { fingerprintOf, requireEntry, strategyOf } from './connect.js'
import type { Identity, Visit } from './kit.js'
import { choicePage } from './pages/choice-page.js'
import { sendPage } from './pages/layout.js'
import { badField, bodyOf, redirect } from './request.js'
import { finish } from './save.js'
import { claimFound, readTransaction, startStore } from './transaction.js'

/**
 * A grant that reaches several accounts waits, sealed, in a transaction of its own until the user says which is meant. A reconnect
 * goes on with the account that it repairs.
 */
export async function askForChoice(
  visit: Visit,
  entry: CatalogueEntry,
  transaction: Transaction,
  open: OpenChoice,
  wantsPage: boolean,
): Promise<void> {
  const { kit, res } = visit
  const known = await knownChoice(visit, entry, transaction, open)
  if (known !== undefined) return choose(visit, entry, transaction, open, known, wantsPage)
  const { provider, client, tenantId, userId, mode, returnTo, expectedConnectionId } = transaction
  const options = { provider, client, identity: { tenantId, userId }, mode, returnTo, expectedConnectionId }
  const state = newState()
  try {
    await startStore(visit, options).save(visit.req, state, { params: {}, open })
  } catch (error) {
    // Nobody could choose any more: what was granted is given back where possible.
    await kit.tokens.revokeGrant(provider, open.grant)
    throw error
  }
  res.set('cache-control', 'no-store')
  if (wantsPage) return redirect(res, 303, `${kit.path}/${client}/choose?${new URLSearchParams({ state })}`)
  res.json({ state, choices: open.choices.map(({ id, name }) => ({ id, name })) })
}

/** `GET /:client/choose`: the page that asks. */
export async function getChoice(visit: Visit): Promise<void> {
  const { kit, res, nonce, query } = visit
  const identity = await requireIdentity(visit)
  const { transaction, open } = await openChoice(visit, identity, query.state)
  const { definition } = requireEntry(kit, transaction.provider)
  const page = choicePage({
    definition,
    choices: open.choices,
    hidden: { csrf: csrfToken(kit, identity), state: query.state ?? '' },
    action: `${kit.path}/${transaction.client}/choose`,
    nonce,
    backUrl: kit.path,
  })
  sendPage(res, 200, nonce, page)
}

/** `POST /:client/choose` with `{ state, choice }`. */
export async function postChoice(visit: Visit): Promise<void> {
  const { kit } = visit
  const identity = await requireIdentity(visit)
  const { fields, isForm } = await bodyOf(visit.req)
  requireOwnOrigin(visit, identity, isForm ? { token: fields.csrf } : undefined)
  const { transaction, open } = await openChoice(visit, identity, fields.state)
  // What was not offered is refused before the attempt is used up.
  if (!open.choices.some(({ id }) => id === fields.choice)) throw badField('choice', 'Choose one of those offered.')
  await claimFound(kit, transaction)
  visit.connecting = transaction.provider
  const wantsPage = isForm && (visit.html || transaction.mode === 'popup')
  await choose(visit, requireEntry(kit, transaction.provider), transaction, open, fields.choice, wantsPage)
}

async function openChoice(visit: Visit, identity: Identity, state: string | undefined) {
  const { transaction, data } = await readTransaction(visit, state, visit.segments[0] as string, identity)
  if (!data.open) throw new IntegrationError('AUTH_STATE_UNKNOWN', 'this attempt has nothing to choose from')
  return { transaction, open: data.open }
}

async function knownChoice({ kit }: Visit, { definition }: CatalogueEntry, transaction: Transaction, open: OpenChoice) {
  const { tenantId, expectedConnectionId } = transaction
  const expected =
    expectedConnectionId === null ? undefined : await kit.store.getConnection(tenantId, expectedConnectionId)
  const id = expected && definition.choices && expected.params[definition.choices.param]
  return open.choices.find((choice) => choice.id === id)?.id
}

async function choose(
  visit: Visit,
  entry: CatalogueEntry,
  transaction: Transaction,
  open: OpenChoice,
  id: string | undefined,
  wantsPage: boolean,
): Promise<void> {
  const { kit } = visit
  const strategy = strategyOf(kit, entry)
  const account = await chooseAccount(strategy, open, id, fingerprintOf(kit, entry))
  await finish(visit, entry, transaction, transaction, account, wantsPage)
}
