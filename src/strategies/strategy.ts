import type { Request } from 'express'
import passport from 'passport'
import OAuth1Base from 'passport-oauth1'
import OAuth2Base from 'passport-oauth2'
import { IntegrationError, textOf } from '../errors.js'
import { createProviderHttp, type OriginMap, type ProviderHttp } from '../provider-http/client.js'
import { apiKeyFlow } from './api-key-flow.js'
import type { ClientConfig } from './call.js'
import { choose, type OpenChoice } from './choices.js'
import type { ApiKey, OAuth1, OAuth2, ProviderDefinition } from './define-provider.js'
import { type Flow, type FlowContext, flatInput, inputOf, isCallback, normalizeParams } from './flow.js'
import type { ConnectedAccount, Credential } from './grant.js'
import { type Fingerprint, grantOf } from './identify.js'
import { linkTokenFlow } from './link-token-flow.js'
import { oauth1Flow } from './oauth1-flow.js'
import { oauth2Flow } from './oauth2-flow.js'
import { newState, type StateStore, sessionStateStore } from './state-store.js'

/** Passport's spelling; what is left out has the default of the definition. */
export interface StrategyOptions {
  clientID: string
  clientSecret: string
  /** Absolute. */
  callbackURL: string
  scope?: readonly string[]
  /** For providers whose PKCE is switched on per app (Slack). */
  pkce?: boolean
  /** Further variables that the definition names. */
  env?: Readonly<Record<string, string>>
  /** Parameters fixed for all users, such as Plaid's `environment`. */
  params?: Readonly<Record<string, string>>
  /** As the provider shows it. Default: the host of `callbackURL`. */
  appName?: string
  /** Where states are kept. Default: `req.session` of express-session; without either `authenticate` answers an error. */
  store?: StateStore
  /** Default: a door of its own. */
  http?: ProviderHttp
  origins?: OriginMap
  /** Default 10,000. */
  timeoutMs?: number
}

/** Always five arguments. `account` says what was connected; `grantOf(account)` has all tokens. */
export type Verify = (
  req: Request,
  accessToken: string,
  refreshToken: string | undefined,
  account: ConnectedAccount,
  done: (error?: unknown, user?: unknown, info?: unknown) => void,
) => unknown

/** What may differ per request. */
export interface AuthenticateOptions {
  /** Connection parameters as the user gave them (`shop`, an API key). Default: those in the query or body. */
  params?: Readonly<Record<string, unknown>>
  /** An opaque id of the host's user, for providers that want one. Default: `anonymous`. */
  userId?: string
  /** The credential of a connection that is to be repaired, for providers that mend it in place (Plaid). */
  repair?: Credential
  /** Default: told by the parameters that are there. */
  phase?: 'start' | 'complete'
  /** Callback parameters. Default: the query, or the body of a POST. */
  input?: Readonly<Record<string, unknown>>
  store?: StateStore
  fingerprint?: Fingerprint
}

export type Outcome =
  | { kind: 'redirect'; url: string; state: string; linkToken?: string }
  | { kind: 'success'; account: ConnectedAccount }
  /** The grant reaches several accounts: `chooseAccount` goes on with one of them. */
  | { kind: 'choice'; open: OpenChoice }
  /** An answer rather than a fault: denied, a state that does not count, input that is wrong. */
  | { kind: 'fail'; error: IntegrationError }

/** A strategy of this library, whatever its kind. */
export type ProviderStrategy = passport.Strategy & { readonly provider: ProviderDefinition }

interface Parts {
  context: FlowContext
  store: StateStore
  verify: Verify
}

const FLOWS: Record<ProviderDefinition['auth']['kind'], Flow> = {
  oauth2: oauth2Flow,
  oauth1: oauth1Flow,
  link_token: linkTokenFlow,
  api_key: apiKeyFlow,
}
/** Passport works on `Object.create(strategy)`, so the parts are found along the prototype chain. */
const parts = new WeakMap<object, Parts>()

function partsOf(strategy: object): Parts {
  for (let one: object | null = strategy; one; one = Object.getPrototypeOf(one)) {
    const found = parts.get(one)
    if (found) return found
  }
  throw new TypeError('runStrategy: this is no strategy of this library.')
}

function setUp(
  strategy: passport.Strategy,
  definition: ProviderDefinition,
  given: StrategyOptions | undefined,
  verify: Verify,
): void {
  const options = given ?? ({} as StrategyOptions)
  const needsClient = definition.auth.kind !== 'api_key'
  for (const name of needsClient ? (['clientID', 'clientSecret', 'callbackURL'] as const) : []) {
    if (typeof options[name] !== 'string' || options[name] === '')
      throw new TypeError(`The strategy "${definition.id}" needs the option "${name}".`)
  }
  // `localhost:3000/callback` is a URL too, of the scheme localhost.
  if (needsClient && !(URL.canParse(options.callbackURL) && /^https?:$/.test(new URL(options.callbackURL).protocol)))
    throw new TypeError(`The strategy "${definition.id}" needs an absolute callbackURL.`)
  if (typeof verify !== 'function')
    throw new TypeError(
      `The strategy "${definition.id}" needs a verify function: (req, accessToken, refreshToken, account, done).`,
    )
  const client: ClientConfig = {
    clientId: options.clientID ?? '',
    clientSecret: options.clientSecret ?? '',
    env: options.env ?? {},
    params: { ...configDefaults(definition), ...options.params },
    redirectURI: options.callbackURL ?? '',
    appName: options.appName ?? (needsClient ? new URL(options.callbackURL).hostname : ''),
    ...(options.scope && { scopes: options.scope }),
    ...(options.pkce !== undefined && { pkce: options.pkce }),
  }
  const http =
    options.http ??
    createProviderHttp({
      ...(options.origins && { origins: options.origins }),
      ...(options.timeoutMs && { timeoutMs: options.timeoutMs }),
    })
  strategy.name = definition.id
  Object.defineProperty(strategy, 'provider', { value: definition, enumerable: false })
  parts.set(strategy, {
    context: { http, definition, client },
    store: options.store ?? sessionStateStore(definition.id, definition.name),
    verify,
  })
}

function configDefaults(definition: ProviderDefinition): Record<string, string> {
  return Object.fromEntries(
    (definition.params ?? []).flatMap(({ name, from, default: value }) =>
      from === 'config' && value !== undefined ? [[name, value]] : [],
    ),
  )
}

/**
 * Starts a connection or completes it, without Passport around it.
 *
 * Rejects with IntegrationError for faults of the provider or of ours.
 */
export async function runStrategy(
  strategy: passport.Strategy,
  req: Request,
  options: AuthenticateOptions = {},
): Promise<Outcome> {
  const { context, store: ownStore } = partsOf(strategy)
  const store = options.store ?? ownStore
  const { definition } = context
  const flow = FLOWS[definition.auth.kind]
  const withFingerprint = options.fingerprint ? { fingerprint: options.fingerprint, ...context } : context
  try {
    if (definition.auth.kind === 'api_key') {
      const data = normalizeParams(definition, options.params ?? keyParams(req, definition.auth))
      return outcomeOf(await flow.complete(withFingerprint, { data, query: {} }))
    }
    const query = flatInput(options.input ?? inputOf(req))
    if ((options.phase ?? (isCallback(query) ? 'complete' : 'start')) === 'start') {
      const { params, secrets } = normalizeParams(definition, options.params ?? query)
      const state = newState()
      const started = await flow.start(withFingerprint, {
        state,
        params,
        secrets,
        userId: options.userId ?? 'anonymous',
        ...(options.repair && { repair: options.repair }),
      })
      await store.save(req, state, started.data)
      return {
        kind: 'redirect',
        url: context.http.browserURL(started.url),
        state,
        ...(started.linkToken !== undefined && { linkToken: started.linkToken }),
      }
    }
    if (!query.state)
      throw new IntegrationError('AUTH_STATE_MISSING', `${definition.name}: the callback carries no state`, {
        provider: definition.name,
      })
    const data = await store.claim(req, query.state)
    return outcomeOf(await flow.complete(withFingerprint, { data, query }))
  } catch (error) {
    if (error instanceof IntegrationError && /^(AUTH_|REQUEST_|CREDENTIALS_)/.test(error.code))
      return { kind: 'fail', error }
    throw error
  }
}

function outcomeOf(completed: ConnectedAccount | OpenChoice): Outcome {
  return 'choices' in completed ? { kind: 'choice', open: completed } : { kind: 'success', account: completed }
}

/** Goes on after the outcome `choice`. Rejects with IntegrationError `REQUEST_INVALID` for an id that was not offered. */
export function chooseAccount(
  strategy: passport.Strategy,
  open: OpenChoice,
  id: string | undefined,
  fingerprint?: Fingerprint,
): Promise<ConnectedAccount> {
  const { context } = partsOf(strategy)
  return choose(fingerprint ? { ...context, fingerprint } : context, open, id)
}

function keyParams(req: Request, { key }: ApiKey): Record<string, unknown> {
  const body = (req.body ?? {}) as { params?: Record<string, unknown> } & Record<string, unknown>
  return body.params ?? (Object.hasOwn(body, key) ? body : {})
}

/** `authenticate` of all four kinds. Passport awaits nothing, so every path ends in one of its actions. */
function authenticate(
  this: passport.StrategyCreated<passport.Strategy>,
  req: Request,
  options?: AuthenticateOptions,
): void {
  const { verify } = partsOf(this)
  const settled = runStrategy(this, req, options).then(async (outcome) =>
    // Whoever wants to ask the user calls runStrategy; Passport knows no question in between.
    outcome.kind === 'choice'
      ? { kind: 'success' as const, account: await chooseAccount(this, outcome.open, outcome.open.choices[0]?.id) }
      : outcome,
  )
  // Without an error, Passport would go on as if somebody had signed in.
  const failed = (error: unknown) => this.error(error || new Error(`${this.name}: verify failed without an error`))
  settled
    .then((outcome) => {
      if (outcome.kind === 'redirect') return this.redirect(outcome.url)
      if (outcome.kind === 'fail') {
        const { error } = outcome
        // A "no" of the user is a page of ours with status 200; Passport answers with the status itself.
        return this.fail(
          { message: textOf(error.code, error.provider).message, code: error.code, reference: error.reference },
          error.status < 400 ? 401 : error.status,
        )
      }
      const { account } = outcome
      const token = Object.values(grantOf(account).tokens)[0]
      const done = (error?: unknown, user?: unknown, info?: unknown) => {
        if (error) return this.error(error)
        if (!user) return this.fail(info as never)
        return this.success(user as never, info as never)
      }
      const pending = verify(req, token?.accessToken ?? '', token?.refreshToken, account, done)
      if (pending instanceof Promise) pending.catch(failed)
    })
    // Also what Passport's actions throw, such as a redirect of a response that was sent.
    .catch(failed)
}

/** A constructor for the strategies of one definition, as Passport apps know it: `new SlackStrategy({ … }, verify)`. */
export type StrategyClass = new (options: StrategyOptions, verify: Verify) => ProviderStrategy

const unused = () => {}

/** The strategy class of a definition: on passport-oauth2 or passport-oauth1 where it speaks those protocols. */
export function strategyClass(definition: ProviderDefinition): StrategyClass {
  const { auth } = definition
  if (auth.kind === 'oauth2') return oauth2Class(definition, auth)
  if (auth.kind === 'oauth1') return oauth1Class(definition, auth)
  return class extends passport.Strategy {
    constructor(options: StrategyOptions, verify: Verify) {
      super()
      setUp(this, definition, options, verify)
    }
    override authenticate = authenticate as never
  } as unknown as StrategyClass
}

// The bases want fixed URLs; ours may depend on the connection and are filled per request. Their own checks come after ours would.
function oauth2Class(definition: ProviderDefinition, { authorizationURL, tokenURL }: OAuth2): StrategyClass {
  return class extends OAuth2Base {
    constructor(options: StrategyOptions, verify: Verify) {
      const { clientID, clientSecret, callbackURL } = options ?? {}
      super(
        {
          authorizationURL,
          tokenURL,
          clientID: clientID || 'missing',
          clientSecret,
          callbackURL,
          state: true,
        } as never,
        unused as never,
      )
      setUp(this, definition, options, verify)
    }
    override authenticate = authenticate as never
  } as unknown as StrategyClass
}

function oauth1Class(definition: ProviderDefinition, auth: OAuth1): StrategyClass {
  const { requestTokenURL, accessTokenURL, authorizationURL } = auth
  return class extends OAuth1Base {
    constructor(options: StrategyOptions, verify: Verify) {
      const { clientID, clientSecret, callbackURL } = options ?? {}
      super(
        {
          requestTokenURL,
          accessTokenURL,
          userAuthorizationURL: authorizationURL,
          consumerKey: clientID || 'missing',
          consumerSecret: clientSecret ?? '',
          callbackURL,
        },
        unused,
      )
      setUp(this, definition, options, verify)
    }
    override authenticate = authenticate as never
  } as unknown as StrategyClass
}

/** A strategy for a definition. */
export function createStrategy(
  definition: ProviderDefinition,
  options: StrategyOptions,
  verify: Verify,
): ProviderStrategy {
  return new (strategyClass(definition))(options, verify)
}
