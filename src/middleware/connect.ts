import { IntegrationError } from '../errors.js'
import type { ConnectionDocument } from '../persistence/store.js'
import type { CatalogueEntry } from '../provider-settings.js'
import { isSecret, normalizeParams } from '../strategies/flow.js'
import type { Credential } from '../strategies/grant.js'
import type { Fingerprint } from '../strategies/identify.js'
import { createStrategy, type ProviderStrategy, runStrategy } from '../strategies/strategy.js'
import { openCredential } from '../tokens/credential.js'
import {
  csrfToken,
  isOwnOrigin,
  requireConnection,
  requireIdentity,
  requireOwnOrigin,
  requirePermission,
} from './access.js'
import type { Identity, Kit, Visit } from './kit.js'
import { sendPage } from './pages/layout.js'
import { startPage } from './pages/start-page.js'
import { asksForJson, bodyOf, checkReturnTo, redirect } from './request.js'
import { finish } from './save.js'
import { LIFETIME_MS, noteMode, type StartOptions, startStore } from './transaction.js'

/** What a start may carry besides connection parameters. */
interface StartInput {
  given: Readonly<Record<string, string>>
  mode: 'redirect' | 'popup' | 'spa'
  returnTo: string | null
  reconnect: string | undefined
}

const strategies = new WeakMap<CatalogueEntry, ProviderStrategy>()

/** One strategy per provider, made when it is first used. */
export function strategyOf(kit: Kit, entry: CatalogueEntry): ProviderStrategy {
  let strategy = strategies.get(entry)
  if (!strategy) {
    const { clientId, clientSecret, redirectURI, scopes, pkce, env, params, appName } = entry.client
    const options = { clientID: clientId, clientSecret, callbackURL: redirectURI, env, params, appName, http: kit.http }
    strategy = createStrategy(
      entry.definition,
      { ...options, ...(scopes && { scope: scopes }), ...(pkce !== undefined && { pkce }) },
      () => {},
    )
    strategies.set(entry, strategy)
  }
  return strategy
}

/** Stands for an account where the provider names none. */
export function fingerprintOf(kit: Kit, { definition }: CatalogueEntry): Fingerprint {
  return (value) => kit.sealer.fingerprint(value, `account ${definition.id}`)
}

/** @throws IntegrationError `PROVIDER_UNKNOWN`, `PROVIDER_NOT_CONFIGURED` */
export function requireEntry(kit: Kit, id: string | undefined): CatalogueEntry {
  const entry = id === undefined ? undefined : kit.providers.get(id)
  if (!entry) throw new IntegrationError('PROVIDER_UNKNOWN', 'no such provider')
  if (entry.configured) return entry
  const missing = entry.missing.join(', ')
  throw new IntegrationError('PROVIDER_NOT_CONFIGURED', `${entry.definition.id} is not configured: ${missing}`, {
    provider: entry.definition.name,
    ...(kit.development && { fields: { configuration: `Set ${missing}.` } }),
  })
}

/** `GET /:provider/connect`: straight on from our own pages, a page with one button from anywhere else. */
export async function getConnect(visit: Visit): Promise<void> {
  const { kit, req, query } = visit
  const entry = requireEntry(kit, visit.segments[0])
  const identity = await requireIdentity(visit)
  const input = startInput(visit, entry, query)
  const json = asksForJson(req)
  const site = req.headers['sec-fetch-site']
  const { origin } = req.headers
  const own = site === 'same-origin' || (origin !== undefined && isOwnOrigin(kit, origin)) || isAllowedReferrer(visit)
  // A browser always says where it comes from; a page of another site gets neither a redirect nor an address.
  if (json && !own && site !== undefined)
    throw new IntegrationError('REQUEST_FOREIGN_ORIGIN', 'a start from another site')
  if (entry.definition.auth.kind === 'api_key') {
    if (json) normalizeParams(entry.definition, input.given)
    return sendStartPage(visit, entry, identity, input, {})
  }
  const asked = formParams(entry).filter((param) => param.optional !== true || own === false)
  const open = asked.some((param) => input.given[param.name] === undefined && param.default === undefined)
  if (!json && (!own || open)) return sendStartPage(visit, entry, identity, input, {})
  try {
    return await start(visit, entry, identity, input)
  } catch (error) {
    if (json || !(error instanceof IntegrationError) || !error.fields || error.code !== 'REQUEST_INVALID') throw error
    return sendStartPage(visit, entry, identity, input, error.fields)
  }
}

/** `POST /:provider/connect`: the confirmed start, API keys, and link tokens for pages that open the provider's dialog. */
export async function postConnect(visit: Visit): Promise<void> {
  const { kit } = visit
  const entry = requireEntry(kit, visit.segments[0])
  const identity = await requireIdentity(visit)
  const { fields, params, isForm } = await bodyOf(visit.req)
  requireOwnOrigin(visit, identity, isForm ? { token: fields.csrf } : undefined)
  const input = { ...startInput(visit, entry, { ...visit.query, ...fields }), given: params }
  try {
    if (entry.definition.auth.kind === 'api_key') return await connectKey(visit, entry, identity, input)
    return await start(visit, entry, identity, input)
  } catch (error) {
    const shown = isForm && visit.html && error instanceof IntegrationError && error.fields
    if (!shown || !(error.code === 'REQUEST_INVALID' || error.code.startsWith('CREDENTIALS_'))) throw error
    return sendStartPage(visit, entry, identity, input, error.fields ?? {}, error.status)
  }
}

function startInput(visit: Visit, { definition }: CatalogueEntry, given: Visit['query']): StartInput {
  const mode = given.mode === 'popup' || given.mode === 'spa' ? given.mode : 'redirect'
  noteMode(visit, mode, definition.id)
  return { given, mode, returnTo: checkReturnTo(given.returnTo, visit.kit.baseUrl.origin), reconnect: given.reconnect }
}

/** A page of an allowed origin: browsers call it cross-site, its `Referer` tells which. */
function isAllowedReferrer({ kit, req }: Visit): boolean {
  const referrer = req.headers.referer
  return referrer !== undefined && URL.canParse(referrer) && kit.allowedOrigins.includes(new URL(referrer).origin)
}

function formParams({ definition }: CatalogueEntry) {
  return (definition.params ?? []).filter((param) => (param.from ?? 'form') === 'form')
}

async function start(visit: Visit, entry: CatalogueEntry, identity: Identity, input: StartInput): Promise<void> {
  const { kit, req, res } = visit
  const expected = await expectedConnection(kit, identity, entry, input.reconnect)
  if (!expected) await requirePermission(kit, identity, 'connect')
  const options: StartOptions = {
    provider: entry.definition.id,
    client: clientOf(entry),
    identity,
    mode: input.mode,
    returnTo: input.returnTo,
    expectedConnectionId: expected?.id ?? null,
  }
  const outcome = await runStrategy(strategyOf(kit, entry), req, {
    phase: 'start',
    input: {},
    params: { ...expected?.params, ...input.given },
    ...(expected && entry.definition.auth.kind === 'link_token' && { repair: credentialOf(kit, expected) }),
    userId: kit.sealer.fingerprint(`${identity.tenantId}\0${identity.userId}`, 'user').slice(0, 32),
    store: startStore(visit, options),
  })
  if (outcome.kind === 'fail') throw outcome.error
  if (outcome.kind !== 'redirect') throw new TypeError('a start ends in a redirect')
  res.set({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
  const expiresAt = new Date(kit.now() + LIFETIME_MS).toISOString()
  if (visit.html || (req.method === 'GET' && !asksForJson(req))) return redirect(res, 302, outcome.url)
  if (outcome.linkToken !== undefined)
    res.json({ linkToken: outcome.linkToken, hostedLinkUrl: outcome.url, state: outcome.state, expiresAt })
  else res.json({ authorizationUrl: outcome.url, state: outcome.state, expiresAt })
}

/** What a link token that repairs is made with. */
function credentialOf({ sealer }: Kit, document: ConnectionDocument): Credential | undefined {
  const [name, token] = Object.entries(document.tokens)[0] ?? []
  return token && openCredential(sealer, document, name as string, token.sealed)
}

async function expectedConnection(
  kit: Kit,
  identity: Identity,
  entry: CatalogueEntry,
  id: string | undefined,
): Promise<ConnectionDocument | undefined> {
  if (id === undefined) return undefined
  const document = await requireConnection(kit, identity, id, 'reconnect')
  if (document.provider === entry.definition.id) return document
  throw new IntegrationError('CONNECTION_NOT_FOUND', 'the connection to repair is of another provider')
}

/** Tries of one user within ten minutes: a form for keys must not become a way to try many. */
const MAX_KEY_ATTEMPTS = 10
const attempts = new WeakMap<Kit, Map<string, number[]>>()

function countAttempt(kit: Kit, { tenantId, userId }: Identity): void {
  const users = attempts.get(kit) ?? new Map<string, number[]>()
  attempts.set(kit, users)
  const key = JSON.stringify([tenantId, userId])
  const since = kit.now() - LIFETIME_MS
  const recent = (users.get(key) ?? []).filter((at) => at > since)
  if (recent.length >= MAX_KEY_ATTEMPTS)
    throw new IntegrationError('REQUEST_LIMIT', `more than ${MAX_KEY_ATTEMPTS} keys tried in ten minutes`, {
      retryAfterSeconds: 600,
    })
  users.delete(key)
  users.set(key, [...recent, kit.now()])
  if (users.size > 10_000) users.delete(users.keys().next().value as string)
}

async function connectKey(visit: Visit, entry: CatalogueEntry, identity: Identity, input: StartInput): Promise<void> {
  const { kit, req, res } = visit
  const expected = await expectedConnection(kit, identity, entry, input.reconnect)
  if (!expected) await requirePermission(kit, identity, 'connect')
  countAttempt(kit, identity)
  visit.connecting = entry.definition.id
  const outcome = await runStrategy(strategyOf(kit, entry), req, {
    params: input.given,
    fingerprint: fingerprintOf(kit, entry),
  })
  if (outcome.kind === 'fail') throw outcome.error
  if (outcome.kind !== 'success') throw new TypeError('a key is checked at once')
  res.status(201)
  const attempt = { ...input, expectedConnectionId: expected?.id ?? null }
  await finish(visit, entry, identity, attempt, outcome.account, visit.html)
}

/** Segment of the callback path: providers of one OAuth client share it. */
export function clientOf({ definition }: CatalogueEntry): string {
  return definition.client?.id ?? definition.id
}

function sendStartPage(
  visit: Visit,
  entry: CatalogueEntry,
  identity: Identity,
  input: StartInput,
  fields: Readonly<Record<string, string>>,
  status = Object.keys(fields).length > 0 ? 400 : 200,
): void {
  const { kit, res, nonce } = visit
  const { definition } = entry
  const params = formParams(entry)
  // An install link of the provider brings the parameter along; it is shown, not asked again. A secret is always asked.
  const given = Object.fromEntries(
    params.flatMap((param) => {
      const value = isSecret(definition, param) ? undefined : input.given[param.name]
      return value === undefined ? [] : [[param.name, param.normalize?.(value) ?? value]]
    }),
  )
  const asked = params.filter(
    ({ name, pattern }) => given[name] === undefined || fields[name] !== undefined || !pattern.test(given[name]),
  )
  const hidden: Record<string, string> = { csrf: csrfToken(kit, identity), mode: input.mode }
  if (input.returnTo !== null) hidden.returnTo = input.returnTo
  if (input.reconnect !== undefined) hidden.reconnect = input.reconnect
  const page = startPage({
    definition,
    params: asked,
    values: given,
    fields,
    hidden,
    action: `${kit.path}/${definition.id}/connect`,
    nonce,
    backUrl: kit.path,
  })
  // The answer to the form is a redirect to the provider, which browsers hold to `form-action` too.
  sendPage(
    res,
    status,
    nonce,
    page,
    kit.development ? ['https:', 'http://127.0.0.1:*', 'http://localhost:*'] : ['https:'],
  )
}
