import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { IntegrationError } from '../errors.js'
import type { ConnectionCause, ConnectionDocument } from '../persistence/store.js'
import type { DoorAnswer, DoorRequest } from '../provider-http/client.js'
import { isAllowedOrigin } from '../provider-http/origins.js'
import { authorizedRequest, callProvider, scopeOf } from '../strategies/call.js'
import type { Api, RequestTemplate } from '../strategies/define-provider.js'
import { allowedOrigins, fillURL } from '../strategies/template.js'
import type { CallOptions } from './access-token.js'
import { hasChanged } from './judge.js'
import { checkUsable, entryOf, needsReauth, notFound, type OpenToken, type TokenParts } from './open-token.js'

/** What `fetch()` takes: as the global one, less what makes no sense here. */
export interface FetchInit {
  method?: string
  /** Credentials are added; a header `Authorization`, `Cookie` or `Host` of your own is refused. */
  headers?: RequestInit['headers']
  /** A stream is sent as it comes, and therefore only once: after a 401 the error is yours. */
  body?: RequestInit['body'] | Readable
  signal?: AbortSignal | null
  /** `json` (default): the whole answer is read and must be JSON. `any`: the body streams, unclassified, under an idle timeout. */
  expect?: 'json' | 'any'
  /** Which token, where a provider has several (`bot`, `user`). */
  token?: string
}

interface Access {
  document(tenantId: string | null, connectionId: string): Promise<ConnectionDocument>
  current(tenantId: string | null, connectionId: string, name: string | undefined): Promise<OpenToken>
  replace(tenantId: string | null, old: OpenToken, name: string | undefined): Promise<OpenToken>
  /** Whether a refresh just brought this token: refused again, it is not refreshed again, for the 401 means something else. */
  wasJustRefreshed(token: OpenToken): boolean
}

const REFUSED_HEADERS = ['authorization', 'proxy-authorization', 'cookie', 'host']
const NO_BODY = new Set([101, 204, 205, 304])

export function createApi(parts: TokenParts, access: Access) {
  const { store, http, now } = parts

  async function fetch(
    tenantId: string | null,
    connectionId: string,
    url: string,
    init: FetchInit = {},
  ): Promise<Response> {
    const document = await access.document(tenantId, connectionId)
    checkUsable(parts, document)
    // Before any token is looked at: a foreign address gets nothing, not even a refresh on its behalf.
    const target = targetOf(document, url)
    const headers = headersOf(init.headers)
    const body = await bodyOf(init.body, headers)
    const request = { method: (init.method ?? 'GET').toUpperCase(), url: target, headers, body }
    const repeatable = !(body instanceof Readable)
    return withToken(tenantId, connectionId, init.token, repeatable, async (token) => {
      const door = doorRequest(token, request, init.signal ?? undefined)
      if (init.expect === 'any') return http.stream({ ...door, expect: 'any' })
      return responseOf(await http.request({ ...door, expect: 'json' }))
    })
  }

  function call(connectionId: string, request: RequestTemplate, options: CallOptions = {}): Promise<DoorAnswer> {
    return withToken(null, connectionId, options.token, true, ({ document, entry, credential }) =>
      callProvider(http, entry.definition, entry.client, {
        request,
        endpoint: 'api',
        params: document.params,
        credential,
        limitKey: connectionId,
        ...(options.resource && { resource: options.resource }),
        ...(options.scope && { scope: options.scope }),
        ...(options.signal && { signal: options.signal }),
      }),
    )
  }

  /** Runs `work` with a good token, and once more with another one when the provider says that it ended. */
  async function withToken<T>(
    tenantId: string | null,
    connectionId: string,
    name: string | undefined,
    repeatable: boolean,
    work: (token: OpenToken) => Promise<T>,
  ): Promise<T> {
    const token = await access.current(tenantId, connectionId, name)
    try {
      return await work(token)
    } catch (error) {
      const next = await afterRefusal(tenantId, token, name, error)
      if (!repeatable) throw error
      return work(next)
    }
  }

  /** Decides what a refusal means for the connection. Resolves to a token to try again with, else throws. */
  async function afterRefusal(
    tenantId: string | null,
    token: OpenToken,
    name: string | undefined,
    error: unknown,
  ): Promise<OpenToken> {
    if (!(error instanceof IntegrationError)) throw error
    const { fault } = error
    if (fault !== 'expired' && fault !== 'revoked' && fault !== 'account_gone') throw error
    if (fault === 'expired' && token.refreshable) {
      if (access.wasJustRefreshed(token) && !(await isReplaced(token))) throw error
      return access.replace(tenantId, token, name)
    }
    if (await isReplaced(token)) {
      parts.forget(token.document.id)
      return access.current(tenantId, token.document.id, name)
    }
    if (fault === 'account_gone') throw await ended(token, 'account_gone', error)
    if (fault === 'expired' && !(await isDead(token))) throw error
    const over = token.expiresAt !== null && token.expiresAt <= now()
    throw await ended(token, over ? 'expired' : 'revoked', error)
  }

  async function isReplaced(token: OpenToken): Promise<boolean> {
    const { document } = token
    const newest = await store.getConnection(document.tenantId, document.id)
    if (!newest) throw notFound(document.id)
    return hasChanged(token, newest)
  }

  /** Some APIs say 401 about one resource. Before a credential that cannot be refreshed is given up, the identity call is asked. */
  async function isDead({ document, entry, credential }: OpenToken): Promise<boolean> {
    const { identity } = entry.definition
    if (!identity.request) return true
    try {
      await callProvider(http, entry.definition, entry.client, {
        request: identity.request,
        endpoint: 'identity',
        params: document.params,
        credential,
        limitKey: document.id,
      })
      return false
    } catch (error) {
      const fault = error instanceof IntegrationError ? error.fault : undefined
      return fault === 'expired' || fault === 'revoked' || fault === 'account_gone'
    }
  }

  /** Writes down that only the user can help, and answers the error that says so. */
  async function ended(
    { document, name, stored }: OpenToken,
    cause: ConnectionCause,
    error?: unknown,
  ): Promise<IntegrationError> {
    const change = { status: 'needs_reauth', cause, degradedSince: null, nextTryAt: null, now: now() } as const
    const event = parts.newEvent('needs_reauth')
    const written = await store.updateStatus(document.id, document.generation, change, event)
    parts.forget(document.id)
    if (written && written.tokens[name]?.version !== stored.version) {
      // Somebody stored a newer token while we judged the old one.
      const healed = { status: 'active', cause: null, now: now() } as const
      await store.updateStatus(document.id, document.generation, healed, parts.newEvent('recovered'))
    }
    parts.onEvent()
    return needsReauth(parts, document, cause, error)
  }

  /** The absolute URL of a request, refused unless it belongs to this connection's provider. */
  function targetOf(document: ConnectionDocument, url: string): string {
    const { definition, client } = entryOf(parts, document.provider)
    const scope = scopeOf(definition, client, { params: document.params })
    const refuse = (why: string) =>
      new IntegrationError('PROVIDER_ORIGIN_REFUSED', `${why} is not an address of ${definition.name}`, {
        provider: definition.name,
      })
    // `//host` would name another host, and URL parsers drop line breaks and read backslashes as slashes.
    if (typeof url !== 'string' || /^[/\\]{2}|\p{Cc}/u.test(url)) throw refuse('this')
    const isAbsolute = /^[a-z][a-z0-9+.-]*:/i.test(url)
    const base = fillURL(definition.api.baseURL, scope).replace(/\/$/, '')
    const text = isAbsolute ? url : `${base}${/^[/?]/.test(url) ? '' : '/'}${url}`
    if (!URL.canParse(text)) throw refuse('this')
    const target = new URL(text)
    target.hash = ''
    if (target.username || target.password || target.protocol !== 'https:') throw refuse(target.origin)
    if (!isAllowedOrigin(target, allowedOrigins(definition, scope))) throw refuse(target.origin)
    return target.href
  }

  function doorRequest(
    { document, entry, credential }: OpenToken,
    request: { method: string; url: string; headers: Record<string, string>; body: Body },
    signal: AbortSignal | undefined,
  ): DoorRequest {
    const owner = { params: document.params, credential }
    const door = authorizedRequest(entry.definition, entry.client, owner, request)
    return { ...door, limit: limitOf(document.id, entry.definition.api), ...(signal && { signal }) }
  }

  return { fetch, call, ended }
}

/** Requests of one connection at the same time, where its definition names no other number. */
const CONCURRENCY = 4

function limitOf(connectionId: string, { rateLimit, concurrency = CONCURRENCY }: Api): DoorRequest['limit'] {
  return { key: connectionId, rules: rateLimit ? [rateLimit] : [], concurrency }
}

type Body = string | Uint8Array | Readable | undefined

function headersOf(given: FetchInit['headers']): Record<string, string> {
  const headers = new Headers(given)
  for (const name of REFUSED_HEADERS)
    if (headers.has(name))
      throw new IntegrationError('REQUEST_INVALID', `the header ${name} is set by the connection, not by the caller`, {
        fields: { headers: `The header ${name} may not be set.` },
      })
  return Object.fromEntries(headers)
}

/** What can be sent twice becomes bytes, so that it can be; streams stay streams. */
async function bodyOf(given: FetchInit['body'], headers: Record<string, string>): Promise<Body> {
  if (given === undefined || given === null) return undefined
  if (given instanceof Readable) return given
  // Stays a text: where a provider wants its credentials in the JSON (Plaid), they are added to it.
  if (typeof given === 'string') return given
  if (given instanceof ReadableStream) return Readable.fromWeb(given as ReadableStream)
  const probe = new Response(given)
  const type = probe.headers.get('content-type')
  if (type && !('content-type' in headers)) headers['content-type'] = type
  return new Uint8Array(await probe.arrayBuffer())
}

function responseOf({ status, headers, body, text, url }: DoorAnswer): Response {
  const kept = new Headers(headers)
  // They speak of the bytes on the wire, which were read.
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) kept.delete(name)
  // The text as it came: numbers that JavaScript cannot hold stay what they are.
  const response = new Response(body === undefined || NO_BODY.has(status) ? null : text, { status, headers: kept })
  Object.defineProperty(response, 'url', { value: url })
  return response
}
