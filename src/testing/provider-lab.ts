import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OriginMap } from '../provider-http/client.js'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import { makeAccount, sampleParam, sampleParams } from './accounts.js'
import { document, escapeHtml } from './consent-page.js'
import { Faults, type LabEndpoint, type LabFault } from './faults.js'
import { clientOf } from './grants.js'
import { digits, hashText } from './random.js'
import { readIncoming } from './read-request.js'
import { sendReply } from './replies.js'
import { ProviderData } from './series.js'
import { closeServer, type LabServer, openServer, openServers } from './servers.js'
import { type PlayedProvider, Stage } from './stage.js'

export interface ProviderLabOptions {
  /** Ids of the catalogue, or definitions of your own. Default: the whole catalogue. */
  providers?: readonly (string | ProviderDefinition)[]
  /** Time span of the data, in calendar months before `now()`. 1 to 36, default 3. */
  months?: number
  /** Records per resource. Default 120; 500,000 are no problem: they are made when asked for. */
  recordsPerResource?: number
  /** The same seed, definitions and time give the same accounts and data. Default 1. */
  seed?: number
  /** Life of OAuth 2.0 access tokens in seconds. Default: what the definition says, else 3600. */
  accessTokenSeconds?: number
  /** Consent pages approve account `a` by themselves. Default false. */
  autoApprove?: boolean
  /** Clock, in milliseconds since 1970; for tests of expiry. Default `Date.now`. */
  now?: () => number
}

/** A request that reached the lab. Headers and bodies are kept as they came, secrets included: it is a lab, its secrets open nothing. */
export interface LabRequest {
  /** Id of the provider; `''` when no provider answers at this address. */
  provider: string
  /** `''` when the provider does not know the address. */
  endpoint: LabEndpoint | ''
  /** Name of the resource, for `api`. */
  resource: string | undefined
  method: string
  /** The provider's own address, such as `https://slack.com/api/users.list?limit=200`. */
  url: string
  headers: Readonly<Record<string, string>>
  body: string
  /** Milliseconds since 1970. */
  at: number
  /** Status of the answer; `undefined` as long as there is none. */
  status: number | undefined
}

export interface ProviderLab {
  /** For the option `origins`: each provider's origin, mapped to the lab's server for it. */
  readonly origins: OriginMap
  /**
   * OAuth clients by provider id; fits the option `providers`. Providers whose users bring a key have an empty entry, definitions of your
   * own bring theirs along.
   */
  readonly credentials: Readonly<Record<string, LabCredentials>>
  /** Connection parameters that the lab answers for, by provider: the shop, the subdomain. */
  params(provider: string): Record<string, string>
  /** A key that works, for providers whose users bring one. `weak`: a key that is known, but lacks every permission. */
  apiKey(provider: string, options?: { account?: 'a' | 'b'; weak?: boolean }): string
  /** The account that the consent page offers as `a` or `b`. */
  account(provider: string, key?: 'a' | 'b'): LabAccount
  /**
   * Does what a person does on the consent page: opens the address that the app redirects to (the provider's own, or mapped already),
   * and resolves to the callback's address. `undefined` when the page sends nobody back (a hosted page without a redirect).
   *
   * @throws Error when the page refuses, with what it says.
   */
  consent(
    authorizationURL: string,
    options?: { account?: 'a' | 'b'; deny?: boolean; params?: Readonly<Record<string, string>> },
  ): Promise<string | undefined>
  /** @throws TypeError on an unknown provider, endpoint or kind. */
  fault(fault: LabFault): void
  clearFaults(): void
  /** The last 1,000 requests, oldest first. Empty it with `requests.length = 0`. */
  readonly requests: LabRequest[]
  /** What a backfill over the lab's months stores: by provider and resource, oldest first within a parent. Made when read. */
  readonly data: Readonly<Record<string, Readonly<Record<string, readonly Record<string, unknown>[]>>>>
  /** Everything there is, also what lies before the window. */
  readonly everything: Readonly<Record<string, Readonly<Record<string, readonly Record<string, unknown>[]>>>>
  /** Ends all access tokens of a provider; refresh tokens stay. */
  expireTokens(provider: string): void
  /** The user withdraws all grants at the provider. */
  revokeGrants(provider: string): void
  /** A page that lists what is played. */
  readonly url: string
  close(): Promise<void>
}

export interface LabCredentials {
  clientId?: string
  clientSecret?: string
  /** Variables that the definition requires beyond them. */
  env?: Record<string, string>
  /** Set for definitions that are not in the catalogue. */
  definition?: ProviderDefinition
}

const MOST_REQUESTS = 1_000

/**
 * Starts HTTP servers on 127.0.0.1 that play providers from their definitions: consent page, token endpoint, identity, API with
 * pages of made-up data, revocation, and faults on demand. See docs/testing.md.
 *
 * @throws TypeError outside `NODE_ENV` `test` and `development`, and on options that are wrong.
 */
export async function createProviderLab(options: ProviderLabOptions = {}): Promise<ProviderLab> {
  const {
    months = 3,
    recordsPerResource = 120,
    seed = 1,
    now = Date.now,
    accessTokenSeconds,
    autoApprove = false,
  } = options
  if (process.env.NODE_ENV !== 'test' && process.env.NODE_ENV !== 'development')
    throw wrong('needs NODE_ENV "test" or "development": it must never run in production.')
  if (!(Number.isInteger(months) && months >= 1 && months <= 36)) throw wrong('option "months" must be 1 to 36.')
  if (!(Number.isInteger(recordsPerResource) && recordsPerResource >= 1))
    throw wrong('option "recordsPerResource" must be a whole number above 0.')
  if (!Number.isInteger(seed)) throw wrong('option "seed" must be a whole number.')
  if (accessTokenSeconds !== undefined && !(accessTokenSeconds > 0))
    throw wrong('option "accessTokenSeconds" must be above 0.')

  const catalogue = await loadCatalogue(options.providers)
  const definitions = chooseDefinitions(options.providers, catalogue)
  const to = now()
  const from = monthsBefore(to, months)
  const played = new Map<string, PlayedProvider>()
  for (const definition of definitions) {
    const client = clientOf(definition)
    const secretSeed = hashText(`client ${client}`, seed)
    played.set(definition.id, {
      definition,
      client: {
        clientId: `lab-${client}-${digits(secretSeed, 8)}`,
        clientSecret: `lab-${client}-secret-${digits(secretSeed + 1, 20)}`,
        env: sampleEnv(definition, seed),
      },
      accounts: { a: makeAccount(definition, 'a', seed), b: makeAccount(definition, 'b', seed) },
      data: new ProviderData(definition, { seed, recordsPerResource, span: { from, to } }),
    })
  }
  const faults = new Faults(new Map(definitions.map(({ id, resources }) => [id, resources.map(({ name }) => name)])))
  const requests: LabRequest[] = []
  const stage = new Stage({ played, faults, now, accessTokenSeconds, autoApprove, seed })
  const open = await openServers(definitions, seed, (server) => (request, response) => {
    serve(stage, server, request, response, (entry) => {
      requests.push(entry)
      if (requests.length > MOST_REQUESTS) requests.splice(0, requests.length - MOST_REQUESTS)
    }).catch(() => response.destroy())
  })

  const find = (provider: string): PlayedProvider => {
    const found = played.get(provider)
    if (!found)
      throw new TypeError(`lab: unknown provider "${provider}"; the lab plays ${[...played.keys()].join(', ')}.`)
    return found
  }
  const inCatalogue = new Set(Object.values(catalogue))
  const index = await openServer(() => (_request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8')
    response.end(indexPage(definitions, open.origins))
  })

  return {
    origins: open.origins,
    credentials: Object.fromEntries(
      [...played.values()].map(({ definition, client: { env, ...client } }) => [
        definition.id,
        {
          ...(definition.auth.kind !== 'api_key' && client),
          ...(Object.keys(env).length > 0 && { env }),
          ...(!inCatalogue.has(definition) && { definition }),
        },
      ]),
    ),
    params: (provider) => sampleParams(find(provider).definition, seed, find(provider).accounts.a),
    account: (provider, key = 'a') => find(provider).accounts[key],
    apiKey(provider, { account = 'a', weak = false } = {}) {
      const { definition, accounts } = find(provider)
      if (definition.auth.kind !== 'api_key')
        throw new TypeError(`lab.apiKey: "${provider}" is not connected by a key.`)
      const name = definition.auth.key
      const param = definition.params?.find((one) => one.name === name)
      if (!param) throw new TypeError(`lab.apiKey: "${provider}" has no parameter "${name}".`)
      const { default: _, example, ...rest } = param
      for (let attempt = 0; ; attempt++) {
        const key = sampleParam(definition, rest, hashText(`${provider} key ${account} ${weak} ${attempt}`, seed))
        // One that was withdrawn stays dead; the user would make another.
        if (stage.adoptKey(definition, key, accounts[account], weak)) return key
      }
    },
    async consent(authorizationURL, { account = 'a', deny = false, params = {} } = {}) {
      const url = new URL(toLab(open.origins, authorizationURL))
      url.searchParams.set('lab', deny ? 'deny' : 'approve')
      url.searchParams.set('lab_account', account)
      for (const [name, value] of Object.entries(params)) url.searchParams.set(`lab_param_${name}`, value)
      const answer = await fetch(url, { redirect: 'manual' })
      const location = answer.headers.get('location')
      if (location) return location
      const page = await answer.text()
      if (answer.ok) return undefined
      throw new Error(`lab.consent: ${answer.status}: ${/<p>(.*?)<\/p>/.exec(page)?.[1] ?? page.slice(0, 200)}`)
    },
    fault: (fault) => faults.add(fault),
    clearFaults: () => faults.clear(),
    requests,
    data: lazyData(definitions, (definition, name) => {
      const { data } = find(definition.id)
      const resource = definition.resources.find((one) => one.name === name)
      return resource ? data.records(resource) : []
    }),
    everything: lazyData(definitions, (definition, name) => {
      const { data } = find(definition.id)
      const resource = definition.resources.find((one) => one.name === name)
      return resource ? data.everything(resource) : []
    }),
    expireTokens: (provider) => stage.grants.expireProvider(find(provider).definition.id),
    revokeGrants: (provider) => stage.grants.revokeProvider(find(provider).definition.id),
    url: index.url,
    async close() {
      await Promise.all([...open.servers, index].map(({ server }) => closeServer(server)))
    },
  }
}

/** The catalogue is not loaded for definitions of one's own. */
async function loadCatalogue(
  chosen: ProviderLabOptions['providers'],
): Promise<Readonly<Record<string, ProviderDefinition>>> {
  if (chosen?.every((one) => typeof one !== 'string')) return {}
  return (await import('../strategies/index.js')).catalogue
}

function chooseDefinitions(
  chosen: ProviderLabOptions['providers'],
  catalogue: Readonly<Record<string, ProviderDefinition>>,
): ProviderDefinition[] {
  return (chosen ?? Object.keys(catalogue)).map((one) => {
    if (typeof one !== 'string') return one
    const definition = Object.hasOwn(catalogue, one) ? catalogue[one] : undefined
    if (!definition)
      throw wrong(
        `option "providers" names "${one}", which is not in the catalogue: ${Object.keys(catalogue).join(', ')}.`,
      )
    return definition
  })
}

/** Values of the variables that the operator has to set. */
function sampleEnv({ id, env = [] }: ProviderDefinition, seed: number): Record<string, string> {
  const required = env.filter((variable) => variable.required && variable.default === undefined)
  return Object.fromEntries(required.map(({ name }) => [name, `lab-${id}-${digits(hashText(name, seed), 12)}`]))
}

function monthsBefore(time: number, months: number): number {
  const date = new Date(time)
  date.setUTCMonth(date.getUTCMonth() - months)
  return date.getTime()
}

/** Each provider and resource is an accessor: what nobody looks at is never made. */
function lazyData(
  definitions: readonly ProviderDefinition[],
  make: (definition: ProviderDefinition, resource: string) => Record<string, unknown>[],
): Record<string, Record<string, Record<string, unknown>[]>> {
  return Object.fromEntries(
    definitions.map((definition) => {
      const lists = {}
      for (const { name, parentOnly } of definition.resources) {
        if (parentOnly) continue
        let made: Record<string, unknown>[] | undefined
        Object.defineProperty(lists, name, {
          enumerable: true,
          get: () => {
            made ??= make(definition, name)
            return made
          },
        })
      }
      return [definition.id, lists]
    }),
  )
}

async function serve(
  stage: Stage,
  server: LabServer,
  request: IncomingMessage,
  response: ServerResponse,
  log: (entry: LabRequest) => void,
): Promise<void> {
  const incoming = await readIncoming(request, server.origin)
  const reply = stage.play(server, incoming)
  const entry: LabRequest = {
    provider: reply.provider ?? '',
    endpoint: reply.endpoint ?? '',
    resource: reply.resource,
    method: incoming.method,
    url: `${incoming.origin}${request.url ?? '/'}`,
    headers: incoming.headers,
    body: incoming.text,
    at: stage.now(),
    status: undefined,
  }
  log(entry)
  await sendReply(reply, response, stage.now, (status) => {
    entry.status = status
  })
}

/** The address of the lab for an address of a provider; others stay as they are. */
function toLab(origins: OriginMap, address: string): string {
  const url = new URL(address)
  const wildcard = url.origin.replace(/^https:\/\/[^.]+\./, 'https://*.')
  const target = origins[url.origin] ?? origins[wildcard]
  return typeof target === 'string' ? target + url.pathname + url.search : address
}

function indexPage(definitions: readonly ProviderDefinition[], origins: OriginMap): string {
  const rows = definitions.map(({ id, name }) => `<li>${escapeHtml(name)} <code>${escapeHtml(id)}</code></li>`)
  const maps = Object.entries(origins).map(
    ([origin, target]) => `<li><code>${escapeHtml(origin)}</code> → <code>${escapeHtml(String(target))}</code></li>`,
  )
  return document(
    'Provider lab',
    `<h1>Provider lab</h1><p>It plays:</p><ul>${rows.join('')}</ul><p>Origins:</p><ul>${maps.join('')}</ul>`,
  )
}

function wrong(problem: string): TypeError {
  return new TypeError(`createProviderLab: ${problem}`)
}
