import type { FaultKind } from '../errors.js'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import { ApiServer, checkClientValues, checkHeaders, readCredential } from './api-server.js'
import { Consent } from './consent.js'
import { htmlAnswer, messagePage } from './consent-page.js'
import type { Faults, LabFault } from './faults.js'
import { Grants } from './grants.js'
import { LinkServer } from './link-server.js'
import { OAuth1Server } from './oauth1-server.js'
import { basicOf, finished, type LabClient, OAuth2Server } from './oauth2-server.js'
import type { Answer } from './pages.js'
import { Refusal, refusal, tokenRefusal } from './refusals.js'
import type { Reply } from './replies.js'
import { type Incoming, placeholdersOf } from './reverse-template.js'
import { type Found, findRoutes, HOSTED_PATH, rank } from './routes.js'
import type { ProviderData } from './series.js'
import type { LabServer } from './servers.js'

/** A provider as the lab plays it. */
export interface PlayedProvider {
  definition: ProviderDefinition
  client: LabClient
  accounts: Record<'a' | 'b', LabAccount>
  data: ProviderData
}

export interface StageOptions {
  played: ReadonlyMap<string, PlayedProvider>
  faults: Faults
  now: () => number
  accessTokenSeconds: number | undefined
  autoApprove: boolean
  seed: number
}

/** Endpoints whose refusals have the shape of the token endpoint. */
const AT_TOKEN_ENDPOINT: ReadonlySet<string> = new Set(['token', 'refresh', 'request_token', 'link'])

/** Decides what is answered: finds the provider and the endpoint from the address, then lets the right part answer. */
export class Stage {
  readonly grants: Grants
  readonly now: () => number
  private readonly oauth2: OAuth2Server
  private readonly oauth1: OAuth1Server
  private readonly links: LinkServer
  private readonly api: ApiServer
  private readonly consent: Consent

  constructor(private readonly options: StageOptions) {
    this.now = options.now
    this.grants = new Grants(options.now)
    this.oauth2 = new OAuth2Server(this.grants, options.now, options.accessTokenSeconds)
    this.oauth1 = new OAuth1Server(this.grants, options.now)
    this.links = new LinkServer(this.grants, options.now)
    this.api = new ApiServer(this.grants)
    this.consent = new Consent(this.oauth2, this.oauth1, this.links, options)
  }

  /** Makes an API key count. `false`: it was withdrawn before. */
  adoptKey(definition: ProviderDefinition, key: string, account: LabAccount, weak: boolean): boolean {
    if (this.grants.providerOf(key) === undefined)
      this.grants.adopt(key, this.grants.open(definition, account, undefined, weak))
    return this.grants.check(key) !== 'revoked'
  }

  play(server: LabServer, incoming: Incoming): Reply {
    const found = this.choose(findRoutes(server.routes, incoming), incoming)
    if (!found) return this.unknown(server, incoming)
    const { route } = found
    const played = this.options.played.get(route.provider) as PlayedProvider
    const grantType =
      incoming.form?.get('grant_type') ?? (incoming.json as { grant_type?: unknown } | undefined)?.grant_type
    const endpoint = route.endpoint === 'token' && grantType === 'refresh_token' ? 'refresh' : route.endpoint
    const fault = this.options.faults.take(route.provider, endpoint, route.resource?.name)
    const reply: Reply = { provider: route.provider, endpoint, answer: { status: 500, body: {} } }
    if (route.resource) reply.resource = route.resource.name
    if (fault) reply.fault = fault
    try {
      refuseByFault(fault)
      reply.answer = needsNoAnswer(fault) ? { status: 200, body: {} } : this.answer(played, found, incoming, fault)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const shape = AT_TOKEN_ENDPOINT.has(endpoint) ? tokenRefusal : refusal
      reply.answer = shape(played.definition, error)
    }
    return reply
  }

  private answer(
    played: PlayedProvider,
    { route, match }: Found,
    incoming: Incoming,
    fault: LabFault | undefined,
  ): Answer {
    const { definition, client, data } = played
    const { captures } = match
    const { auth } = definition
    if (route.endpoint === 'authorize')
      return this.consent.authorize(played, incoming, captures, fault?.kind === 'denied')
    requireClient(route.template, captures)
    switch (route.endpoint) {
      case 'request_token':
        return this.oauth1.requestToken(definition, client, incoming)
      case 'token':
        if (auth.kind === 'oauth2') return this.oauth2.token(definition, auth, client, incoming, captures)
        if (auth.kind === 'oauth1') return this.oauth1.accessToken(definition, client, incoming)
        break
      case 'identity':
        return route.answer
          ? this.api.answer(definition, client, { template: route.template, hint: route.answer }, incoming, captures)
          : this.api.identity(definition, client, incoming, captures)
      case 'api':
        if (route.resource) return this.api.resource(data, client, route.resource, incoming, captures)
        break
      case 'revoke':
        return this.revoke(definition, client, { route, match }, incoming)
    }
    checkClientValues(captures, client)
    checkHeaders(route.template.headers ?? {}, incoming)
    if (auth.kind !== 'link_token') throw new Refusal('not_found', 'there is nothing here')
    if (route.endpoint === 'token') return this.links.exchange(definition, auth, captures)
    if (route.step === 'confirm') return this.links.confirm(definition, captures)
    return this.links.create(definition, auth, captures, (linkToken) => incoming.origin + HOSTED_PATH + linkToken)
  }

  private revoke(
    definition: ProviderDefinition,
    client: LabClient,
    { route, match }: Found,
    incoming: Incoming,
  ): Answer {
    const { template } = route
    const { captures } = match
    if (template.auth === 'client_basic') {
      const basic = basicOf(incoming)
      if (basic?.id !== client.clientId || basic.secret !== client.clientSecret)
        throw new Refusal('client', 'invalid key')
    } else if (template.auth !== 'none') readCredential(definition, incoming, captures)
    checkClientValues(captures, client)
    checkHeaders(template.headers ?? {}, incoming)
    // An unknown token is no error (RFC 7009 §2.2): what was wanted is so.
    this.grants.revokeToken(captures.get('token') ?? captures.get('access_token') ?? '', definition)
    return { status: 200, body: finished({ revoked: true }, definition.api) }
  }

  /** Where several providers share an address (Google's), the credential or the scopes tell them apart. */
  private choose(found: Found[], incoming: Incoming): Found | undefined {
    if (new Set(found.map(({ route }) => route.provider)).size <= 1)
      return found.find((one) => rank(one) === rank(found[0] as Found) && this.hasParent(one)) ?? found[0]
    const secrets = [
      ...(incoming.form?.values() ?? []),
      ...Object.values((incoming.json ?? {}) as Record<string, unknown>),
      (incoming.headers.authorization ?? '').split(' ').at(-1),
    ]
    const providers = secrets.map((secret) => (typeof secret === 'string' ? this.oauth2.providerOf(secret) : undefined))
    const bySecret = found.find(({ route }) => providers.includes(route.provider))
    if (bySecret) return bySecret
    const asked = (incoming.query.get('scope') ?? '').split(/[\s,]+/)
    const unfit = ({ route }: Found) => {
      const scopes = this.options.played.get(route.provider)?.definition.auth.scopes.map(({ scope }) => scope) ?? []
      return (
        asked.filter((scope) => !scopes.includes(scope)).length +
        scopes.filter((scope) => !asked.includes(scope)).length
      )
    }
    return [...found].sort((a, b) => unfit(a) - unfit(b))[0]
  }

  /** One address can serve the children of two lists (comments of tasks in projects, and of those in none). */
  private hasParent({ route: { provider, resource }, match }: Found): boolean {
    if (resource?.parent === undefined) return true
    return this.options.played.get(provider)?.data.findParent(resource, match.captures) !== undefined
  }

  /** An address that no definition names: a sign-in is asked for all the same, then it is not found. */
  private unknown(server: LabServer, incoming: Incoming): Reply {
    for (const provider of new Set(server.routes.map((route) => route.provider))) {
      const { definition, client } = this.options.played.get(provider) as PlayedProvider
      if (!server.routes.some((route) => route.provider === provider && route.endpoint === 'api')) continue
      try {
        this.api.authorizeUnknown(definition, client, incoming)
        return { provider, answer: refusal(definition, new Refusal('not_found', 'there is nothing here')) }
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        return { provider, answer: refusal(definition, error) }
      }
    }
    return { answer: htmlAnswer(404, messagePage('Not found', 'The provider lab plays nothing at this address.')) }
  }
}

/** Faults that are the provider's own refusals. */
function refuseByFault(fault: LabFault | undefined): void {
  const kinds: Partial<Record<LabFault['kind'], FaultKind>> = {
    unauthorized: 'expired',
    forbidden: 'permission',
    unavailable: 'unavailable',
    'rate-limit': 'rate_limited',
    'rate-limit-date': 'rate_limited',
  }
  if (fault?.kind === 'rotated-away') throw new Refusal('revoked', 'the refresh token is not valid', 'invalid_grant')
  const kind = fault && kinds[fault.kind]
  if (kind)
    throw new Refusal(kind, `a fault was asked for: ${fault.kind}`, kind === 'expired' ? 'invalid_client' : kind)
}

/** Faults instead of an answer: what they meet changes nothing. A cut or late answer was a real one. */
function needsNoAnswer(fault: LabFault | undefined): boolean {
  return fault !== undefined && !['slow', 'cut', 'denied'].includes(fault.kind)
}

/** A request whose template carries the client must carry it. */
function requireClient(template: Found['route']['template'], captures: ReadonlyMap<string, string>): void {
  const named = placeholdersOf({
    headers: template.headers,
    form: template.form,
    json: template.json,
    query: template.query,
  })
  for (const name of ['client_id', 'client_secret'])
    if (named.includes(name) && !captures.get(name)) throw new Refusal('client', 'invalid key: the client is missing')
}
