import type { ProviderDefinition, RequestTemplate, Resource } from '../strategies/define-provider.js'
import type { LabAnswer } from '../strategies/lab-hints.js'
import { identityBody } from './accounts.js'
import { clientOf, type Grants, type LabGrant } from './grants.js'
import { basicOf, finished, type LabClient } from './oauth2-server.js'
import { type Answer, BadPage, page } from './pages.js'
import { Refusal } from './refusals.js'
import { type Captures, type Incoming, isPlaceholder, reverse } from './reverse-template.js'
import type { ProviderData } from './series.js'

const DEFAULT_AUTH = { headers: { authorization: 'Bearer {access_token}' } } as const

/** The API of a provider: who is asking is checked on every request. */
export class ApiServer {
  constructor(private readonly grants: Grants) {}

  identity(definition: ProviderDefinition, client: LabClient, incoming: Incoming, captures: Captures): Answer {
    const grant = this.authorize(definition, client, definition.identity.request, incoming, captures)
    return { status: 200, body: finished(identityBody(definition, grant.account), definition.api) }
  }

  answer(
    definition: ProviderDefinition,
    client: LabClient,
    { template, hint }: { template: RequestTemplate; hint: LabAnswer },
    incoming: Incoming,
    captures: Captures,
  ): Answer {
    const grant = this.authorize(definition, client, template, incoming, captures)
    return { status: 200, body: hint.body(grant.account) }
  }

  resource(data: ProviderData, client: LabClient, resource: Resource, incoming: Incoming, captures: Captures): Answer {
    const { definition } = data
    const grant = this.authorize(definition, client, resource.request, incoming, captures)
    const missing = (resource.scopes ?? []).find((scope) => grant.scopes && !grant.scopes.includes(scope))
    if (missing !== undefined) throw new Refusal('scope', `the scope ${missing} was not granted`)
    const parent = resource.parent === undefined ? undefined : data.findParent(resource, captures)
    if (resource.parent !== undefined && !parent) throw new Refusal('not_found', 'there is no such parent')
    try {
      const answer = page(data, resource, parent, incoming, captures, grant.scopes)
      return isRecord(answer.body) ? { ...answer, body: finished(answer.body, definition.api) } : answer
    } catch (error) {
      if (error instanceof BadPage) throw new Refusal('cursor_expired', error.message)
      throw error
    }
  }

  /** Who is asking for something that the definition does not know. */
  authorizeUnknown(definition: ProviderDefinition, client: LabClient, incoming: Incoming): LabGrant {
    return this.authorize(definition, client, undefined, incoming, new Map())
  }

  /** Reads the credential from where the definition puts it, and checks it, the client and the fixed headers. */
  private authorize(
    definition: ProviderDefinition,
    client: LabClient,
    template: RequestTemplate | undefined,
    incoming: Incoming,
    captures: Captures,
  ): LabGrant {
    const known: Captures = new Map(captures)
    if (template?.auth === 'app') return this.authorizeApp(definition, client, template, incoming, known)
    if (template?.auth === 'client_basic') {
      const basic = basicOf(incoming)
      if (basic?.id !== client.clientId || basic.secret !== client.clientSecret)
        throw new Refusal('client', 'invalid key')
    } else if (template?.auth !== 'none') {
      readCredential(definition, incoming, known)
    }
    checkClientValues(known, client)
    const token = known.get('access_token') ?? known.get('token')
    if (token === undefined) throw new Refusal('expired', 'there is no token')
    const grant = this.grants.check(token)
    if (grant === 'expired') throw new Refusal('expired', 'the token has expired')
    if (typeof grant === 'string' || grant.client !== clientOf(definition))
      throw new Refusal(definition.auth.kind === 'oauth2' ? 'expired' : 'revoked', 'invalid token')
    checkAccount(definition, grant, known)
    if (grant.weak) throw new Refusal('permission', 'the key lacks a permission')
    checkHeaders({ ...definition.api.headers, ...template?.headers }, incoming)
    return grant
  }

  /** The operator's own credential says nothing about whose data is meant: that of who was there last. */
  private authorizeApp(
    definition: ProviderDefinition,
    client: LabClient,
    template: RequestTemplate,
    incoming: Incoming,
    captures: Captures,
  ): LabGrant {
    for (const [name, value] of captures)
      if (name.startsWith('env.') && value !== client.env[name.slice('env.'.length)])
        throw new Refusal('client', 'invalid key')
    checkClientValues(captures, client)
    checkHeaders(template.headers ?? {}, incoming)
    const grant = this.grants.newest(definition)
    if (!grant) throw new Refusal('permission', 'the app was removed')
    checkAccount(definition, grant, captures)
    return grant
  }
}

/** @throws Refusal `client` when a request carries another client id or secret than the lab's. */
export function checkClientValues(captures: Captures, client: LabClient): void {
  const id = captures.get('client_id')
  const secret = captures.get('client_secret')
  if (id !== undefined && id !== client.clientId) throw new Refusal('client', 'invalid key')
  if (secret !== undefined && secret !== client.clientSecret) throw new Refusal('client', 'the client secret is wrong')
}

/** A token of one shop is none for another. Where a grant reaches several accounts, what was chosen may be any of them. */
function checkAccount({ params, choices }: ProviderDefinition, { account }: LabGrant, captures: Captures): void {
  const chosen = choices ? [choices.param, ...Object.keys(choices.params ?? {})] : []
  for (const { name } of params ?? []) {
    if (chosen.includes(name)) continue
    const value = captures.get(name)
    const own = account.params[name]
    if (value !== undefined && own !== undefined && !value.startsWith('*') && value !== own)
      throw new Refusal('expired', 'invalid token: it belongs to another account')
  }
}

/** Fixed headers must be there as the definition has them (a pinned API version). */
export function checkHeaders(headers: Readonly<Record<string, string>>, incoming: Incoming): void {
  for (const [name, value] of Object.entries(headers)) {
    const given = incoming.headers[name.toLowerCase()]
    if (isPlaceholder(value)) continue
    if (given === undefined || !reverse(value, given, new Map()))
      throw new Refusal('invalid', `the header ${name} must be "${value}"`)
  }
}

/** Reads what `api.auth` puts into a request. @throws Refusal `expired` where it is missing. */
export function readCredential({ api }: ProviderDefinition, incoming: Incoming, captures: Captures): void {
  const auth: NonNullable<ProviderDefinition['api']['auth']> = api.auth ?? DEFAULT_AUTH
  const json = isRecord(incoming.json) ? incoming.json : {}
  const parts: [string, string | undefined][] = [
    ...Object.entries(auth.headers ?? {}).map(
      ([name, t]) => [t, incoming.headers[name.toLowerCase()]] as [string, string],
    ),
    ...Object.entries(auth.json ?? {}).map(([name, t]) => [t, json[name]] as [string, string]),
  ]
  for (const [template, value] of parts)
    if (typeof value !== 'string' || !reverse(template, value, captures)) throw new Refusal('expired', 'invalid token')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
