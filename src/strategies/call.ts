import { IntegrationError } from '../errors.js'
import type { DoorAnswer, DoorRequest, Endpoint, ProviderHttp } from '../provider-http/client.js'
import type { ErrorRules } from '../provider-http/errors.js'
import type { ProviderDefinition, RequestTemplate, Resource } from './define-provider.js'
import type { Credential } from './grant.js'
import { allowedOrigins, type BuiltRequest, buildRequest, fillRecord, type Scope } from './template.js'

/** What the operator set for a provider. */
export interface ClientConfig {
  clientId: string
  clientSecret: string
  /** Further variables, `{env.NAME}` in templates. */
  env: Readonly<Record<string, string>>
  /** Parameters that the operator fixes (`from: 'config'`). */
  params: Readonly<Record<string, string>>
  /** Instead of the definition's default scopes. */
  scopes?: readonly string[]
  /** For providers whose PKCE is opt-in. */
  pkce?: boolean
  redirectURI: string
  /** As providers show it. */
  appName: string
}

/** Whose request it is. */
export interface CallOwner {
  params: Readonly<Record<string, string>>
  credential?: Credential
}

export interface CallOptions extends CallOwner {
  request: RequestTemplate
  endpoint: Endpoint
  scope?: Partial<Scope>
  /** The resource that is read: its own rate limit counts too, and its POSTs are reads. */
  resource?: Resource
  /** Whose rate limit counts: the connection's id. */
  limitKey?: string
  retries?: number
  errors?: ErrorRules
  expect?: DoorRequest['expect']
  signal?: AbortSignal
}

const BEARER = { headers: { authorization: 'Bearer {access_token}' } } as const
const CONCURRENCY = 4

/** Placeholders of a connection's requests. */
export function scopeOf(
  definition: ProviderDefinition,
  client: ClientConfig,
  { params, credential }: CallOwner,
  more: Partial<Scope> = {},
): Scope {
  const known = { ...client.params, ...params }
  return {
    env: client.env,
    clientId: client.clientId,
    clientSecret: client.clientSecret,
    ...(credential && { accessToken: credential.accessToken }),
    ...more,
    params: { ...known, ...definition.derive?.(known), ...more.params },
    extra: { app_name: client.appName, redirect_uri: client.redirectURI, ...credential?.secrets, ...more.extra },
  }
}

/** Sends a request of the definition through the door, authenticated as the definition says. */
export function callProvider(
  http: ProviderHttp,
  definition: ProviderDefinition,
  client: ClientConfig,
  options: CallOptions,
): Promise<DoorAnswer> {
  const scope = scopeOf(definition, client, options, options.scope)
  const built = buildRequest(options.request, scope)
  const { resource, limitKey } = options
  const request: DoorRequest =
    (options.request.auth ?? 'token') === 'token'
      ? authorize(definition, built, scope, options)
      : { ...base(definition, scope, options), ...clientBasic(options.request, client, built) }
  request.endpoint = options.endpoint
  if (options.request.auth === 'app') request.errors = aboutTheApp(definition.api.errors)
  if (options.errors) request.errors = options.errors
  if (options.expect) request.expect = options.expect
  if (options.signal) request.signal = options.signal
  if (options.retries !== undefined) request.retries = options.retries
  else if (resource) request.retries = 2
  if (limitKey !== undefined) {
    const { rateLimit, concurrency = CONCURRENCY } = definition.api
    // A resource with a limit of its own has a budget of its own (Slack's tiers).
    const rule = resource?.rateLimit ?? rateLimit
    request.limit = {
      key: resource?.rateLimit ? `${limitKey} ${resource.name}` : limitKey,
      rules: rule ? [rule] : [],
      concurrency,
    }
  }
  return http.request(request)
}

/** The parts of a request to the provider's API with the connection's credentials on it, ready for the door. */
export function authorizedRequest<B extends DoorRequest['body']>(
  definition: ProviderDefinition,
  client: ClientConfig,
  owner: CallOwner,
  request: { method: string; url: string; headers?: Record<string, string>; body?: B },
): DoorRequest {
  const scope = scopeOf(definition, client, owner)
  return authorize(definition, { ...request, headers: request.headers ?? {} }, scope, owner)
}

/** The user's token was not asked about: refreshing it, or connecting again, would help nobody. */
function aboutTheApp(errors: ErrorRules = {}): ErrorRules {
  return { ...errors, classify: (answer) => (answer.status === 401 ? 'client' : errors.classify?.(answer)) }
}

function base(
  definition: ProviderDefinition,
  scope: Scope,
  { credential }: CallOwner,
): Omit<DoorRequest, 'method' | 'url'> {
  return {
    provider: definition.name,
    endpoint: 'api',
    origins: allowedOrigins(definition, scope),
    secrets: [
      credential?.accessToken,
      credential?.refreshToken,
      credential?.tokenSecret,
      scope.clientSecret,
      ...Object.values(scope.env ?? {}),
      ...Object.values(credential?.secrets ?? {}),
    ].filter((secret) => secret !== undefined && secret !== '') as string[],
    ...(definition.api.errors && { errors: definition.api.errors }),
  }
}

function authorize(
  definition: ProviderDefinition,
  request: { method: string; url: string; headers: Record<string, string>; body?: DoorRequest['body'] },
  scope: Scope,
  owner: CallOwner,
): DoorRequest {
  const auth: NonNullable<ProviderDefinition['api']['auth']> = definition.api.auth ?? BEARER
  const { body } = request
  // Own keys first: where a literal begins with a spread, V8 makes each object it adds keys to a shape of its own, at 2 µs a piece, and
  // such shapes live until the next full collection.
  const built: DoorRequest = {
    method: request.method,
    url: request.url,
    headers: Object.assign(
      {},
      definition.api.headers && lowerCase(fillRecord(definition.api.headers, scope)),
      request.headers,
      auth.headers && lowerCase(fillRecord(auth.headers, scope)),
    ),
    ...base(definition, scope, owner),
  }
  if (auth.json && request.method !== 'GET' && request.method !== 'HEAD') {
    built.headers = { 'content-type': 'application/json', ...built.headers }
    built.body = mergeJson(definition, body, fillRecord(auth.json, scope))
  } else if (body !== undefined) built.body = body
  return built
}

/** Without the connection's own credentials in it, such a request would be made with those of the app alone. */
function mergeJson(definition: ProviderDefinition, body: DoorRequest['body'], more: Record<string, string>): string {
  let value: unknown
  try {
    value = body === undefined ? {} : JSON.parse(body instanceof Uint8Array ? Buffer.from(body).toString() : `${body}`)
  } catch {
    value = undefined
  }
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return JSON.stringify({ ...value, ...more })
  throw new IntegrationError('REQUEST_INVALID', `${definition.name}: the body must be a JSON object, and no stream`, {
    provider: definition.name,
    fields: { body: 'Must be a JSON object.' },
  })
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function clientBasic(template: RequestTemplate, client: ClientConfig, built: BuiltRequest): BuiltRequest {
  if (template.auth !== 'client_basic') return built
  return { ...built, headers: { ...built.headers, authorization: basicAuth(client) } }
}

/** RFC 6749 §2.3.1: id and secret are form-encoded before they are joined. */
export function basicAuth({ clientId, clientSecret }: Pick<ClientConfig, 'clientId' | 'clientSecret'>): string {
  const encode = (text: string) =>
    encodeURIComponent(text)
      .replaceAll('%20', '+')
      .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
  return `Basic ${Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')}`
}
