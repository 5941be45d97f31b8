import type { ProviderDefinition, RequestTemplate, Resource } from '../strategies/define-provider.js'
import type { LabAnswer } from '../strategies/lab-hints.js'
import { furtherRequest } from '../sync/pagination.js'
import { sampleParams } from './accounts.js'
import type { LabEndpoint } from './faults.js'
import { paginationParams } from './pages.js'
import { fillKnown, type Incoming, type Match, matchRequest, placeholdersOf, splitURL } from './reverse-template.js'

/** One address that a provider answers at. */
export interface Route {
  provider: string
  endpoint: LabEndpoint
  template: RequestTemplate
  resource?: Resource
  answer?: LabAnswer
  /** What a `link` route is for. */
  step?: 'create' | 'confirm'
  ignore?: ReadonlySet<string>
}

/** Where the hosted pages of link tokens stand, at the origin that makes them. */
export const HOSTED_PATH = '/lab/link/'

/** All addresses of a definition. */
export function routesOf(definition: ProviderDefinition): Route[] {
  const provider = definition.id
  const { auth, identity } = definition
  const routes: Route[] = []
  const add = (endpoint: LabEndpoint, template: RequestTemplate | undefined, more: Partial<Route> = {}) => {
    if (template) routes.push({ provider, endpoint, template, ...more })
  }
  if (auth.kind === 'oauth2') {
    add('authorize', { method: 'GET', url: auth.authorizationURL })
    // Which of the two it is, the grant type says.
    add('token', { method: 'POST', url: auth.tokenURL })
    if (auth.refreshURL) add('token', { method: 'POST', url: auth.refreshURL })
  }
  if (auth.kind === 'oauth1') {
    add('authorize', { method: 'GET', url: auth.authorizationURL })
    for (const method of ['POST', 'GET'] as const) {
      add('request_token', { method, url: auth.requestTokenURL })
      add('token', { method, url: auth.accessTokenURL })
    }
  }
  if (auth.kind === 'link_token') {
    add('authorize', { method: 'GET', url: `${splitURL(auth.create.url).origin}${HOSTED_PATH}{link_token}` })
    add('link', auth.create, { step: 'create' })
    add('link', auth.repair, { step: 'create' })
    add('link', auth.confirm, { step: 'confirm' })
    add('token', auth.exchange)
  }
  add('revoke', auth.revocation)
  add('identity', identity.request)
  for (const answer of definition.lab?.answers ?? []) add('identity', templateOf(answer), { answer })
  for (const resource of definition.resources) {
    const more = { resource, ignore: paginationParams(resource.pagination) }
    add('api', resource.request, more)
    const further = furtherRequest(resource.pagination, resource.request)
    if (further !== resource.request) add('api', further, more)
  }
  return routes
}

function templateOf({ method, url, auth, headers }: LabAnswer): RequestTemplate {
  return { method: method as RequestTemplate['method'], url, ...(auth && { auth }), ...(headers && { headers }) }
}

export interface Found {
  route: Route
  match: Match
}

/** The routes that a request fits, the best first. */
export function findRoutes(routes: readonly Route[], incoming: Incoming): Found[] {
  const found: Found[] = []
  for (const route of routes) {
    const match = matchRequest(route.template, incoming, route.ignore)
    if (match) found.push({ route, match })
  }
  return found.sort((a, b) => rank(b) - rank(a))
}

/** How well a request fits. */
export function rank({ match }: Found): number {
  return match.agreements - 2 * match.differences
}

/**
 * Origins that a definition uses, for the option `origins`. A host that a parameter makes becomes a wildcard for its first label, where
 * the parameter can have many values; a fixed choice becomes one origin each.
 */
export function originsOf(definition: ProviderDefinition, seed: number): string[] {
  const templates = [
    definition.api.baseURL,
    ...(definition.api.origins ?? []),
    ...routesOf(definition).map(({ template }) => template.url),
  ].map((url) => (/^\{[^{}]+\}$/.test(url) ? url : splitURL(url).origin))
  const origins = new Set<string>()
  for (const template of templates)
    for (const origin of originsOfTemplate(definition, template, seed)) origins.add(origin)
  return [...origins]
}

function originsOfTemplate(definition: ProviderDefinition, template: string, seed: number): string[] {
  const names = placeholdersOf(template)
  if (names.length === 0) return [new URL(template).origin]
  const sample = sampleParams(definition, seed)
  const params = (definition.params ?? []).filter((param) => names.includes(param.name))
  const values = params.flatMap((param) => param.choices?.map((choice) => ({ [param.name]: choice.value })) ?? [])
  const filled = [{}, ...values].flatMap((value) => {
    const all = { ...sample, ...value }
    const text = fillKnown(template, { ...all, ...definition.derive?.(all) })
    return text && URL.canParse(text) ? [new URL(text).origin] : []
  })
  const open = params.some((param) => !param.choices && param.from !== 'token')
  if (!open) return filled
  // Not `https://*.com`: a wildcard needs a domain below it.
  return filled.map((origin) => origin.replace(/^https:\/\/[^./]+(\.[^./]+\.[^/]+)$/, 'https://*$1'))
}
