import { IntegrationError } from '../errors.js'
import { telemetry } from '../observability.js'
import { runStrategy } from '../strategies/strategy.js'
import { identityOf, requireOwnOrigin } from './access.js'
import { askForChoice } from './choice.js'
import { fingerprintOf, requireEntry, strategyOf } from './connect.js'
import type { Identity, Visit } from './kit.js'
import { html, layout, sendPage } from './pages/layout.js'
import { popupPage } from './pages/popup-page.js'
import { bodyOf } from './request.js'
import { finish } from './save.js'
import { claimTransaction } from './transaction.js'

const BOUNCED = 'atom_bounced'

/** `GET /:client/callback`: where the provider sends the browser. */
export async function getCallback(visit: Visit): Promise<void> {
  const { query, res } = visit
  const identity = await identityOf(visit)
  if (!identity && visit.html && query[BOUNCED] === undefined) return bounce(visit)
  if (!identity) throw new IntegrationError('AUTH_REQUIRED', 'identify named nobody at the callback')
  res.set('referrer-policy', 'no-referrer')
  const { [BOUNCED]: _, ...input } = query
  await complete(visit, identity, input)
}

/** `POST /:client/callback`: single-page apps, and pages that opened the provider's dialog. */
export async function postCallback(visit: Visit): Promise<void> {
  const identity = await identityOf(visit)
  if (!identity) throw new IntegrationError('AUTH_REQUIRED', 'identify named nobody at the callback')
  const { fields, isForm } = await bodyOf(visit.req)
  requireOwnOrigin(visit, identity, isForm ? { token: fields.csrf } : undefined)
  await complete(visit, identity, fields)
}

async function complete(visit: Visit, identity: Identity, input: Readonly<Record<string, string>>): Promise<void> {
  const { kit, req } = visit
  const { transaction, data } = await claimTransaction(visit, input.state, visit.segments[0] as string, identity)
  if (data.open) throw new IntegrationError('AUTH_STATE_UNKNOWN', 'this attempt waits for a choice, not for a callback')
  const entry = requireEntry(kit, transaction.provider)
  const { definition } = entry
  visit.connecting = definition.id
  const outcome = await telemetry.span('atom.connect', { provider: definition.id }, () =>
    runStrategy(strategyOf(kit, entry), req, {
      phase: 'complete',
      input,
      store: { save: () => Promise.reject(new TypeError('a callback has nothing to save')), claim: async () => data },
      fingerprint: fingerprintOf(kit, entry),
    }),
  )
  if (outcome.kind === 'fail') throw outcome.error
  if (outcome.kind === 'redirect') throw new TypeError('a callback cannot redirect')
  // A POST is a script's: it reads JSON.
  const wantsPage = req.method === 'GET' && (visit.html || transaction.mode === 'popup')
  if (outcome.kind === 'choice') await askForChoice(visit, entry, transaction, outcome.open, wantsPage)
  else await finish(visit, entry, identity, transaction, outcome.account, wantsPage)
}

/**
 * A session cookie with `SameSite=Strict` is not sent when the browser comes from the provider. One step of our own page asks again;
 * the second time it counts.
 */
function bounce({ kit, req, res, nonce }: Visit): void {
  const url = req.originalUrl ?? req.url
  const again = `${kit.baseUrl.origin}${url}${url.includes('?') ? '&' : '?'}${BOUNCED}=1`
  const page = layout({
    title: 'One moment',
    nonce,
    head: html`<meta http-equiv="refresh" content="0;url=${again}">`,
    body: html`<div class="narrow"><h1>One moment</h1><p><a class="button" href="${again}">Continue</a></p></div>`,
  })
  sendPage(res, 200, nonce, page)
}

/** `GET /connected`: what is left in a popup. */
export async function getConnected({ kit, query, res, nonce }: Visit): Promise<void> {
  const { definition } = requireEntry(kit, query.provider)
  sendPage(
    res,
    200,
    nonce,
    popupPage({
      origin: kit.baseUrl.origin,
      provider: definition.id,
      name: definition.name,
      connectionId: query.connection ?? '',
      nonce,
      backUrl: kit.path,
    }),
  )
}
