import type { ProviderDefinition, Resource, Template } from './define-provider.js'

/** @throws TypeError naming the field and what is expected. */
export function checkDefinition(definition: ProviderDefinition): void {
  const { id, params = [], resources } = definition
  const wrong = (field: string, expected: string) =>
    new TypeError(`defineProvider: ${id || '(no id)'}: ${field} ${expected}.`)
  if (typeof id !== 'string' || !/^[a-z][a-z0-9-]{0,39}$/.test(id))
    throw wrong('id', 'must be lower case letters, digits and hyphens')
  for (const field of ['auth', 'identity', 'api', 'guide'] as const)
    if (typeof definition[field] !== 'object' || definition[field] === null) throw wrong(field, 'must be an object')
  if (!Array.isArray(resources)) throw wrong('resources', 'must be a list, empty where there is nothing to read')
  const urls = new Map(urlsOf(definition))
  const needed = Object.hasOwn(NEEDED_URLS, definition.auth.kind) && NEEDED_URLS[definition.auth.kind]
  if (!needed) throw wrong('auth.kind', `must be one of ${Object.keys(NEEDED_URLS).join(', ')}`)
  for (const field of ['api.baseURL', ...needed, ...urls.keys()]) {
    const url = urls.get(field)
    if (typeof url !== 'string' || !/^(https:\/\/[^/\s?#@]+(\/|$)|\{\w+\}(\/|$))/.test(url))
      throw wrong(field, 'must be an https URL, or begin with a placeholder for one')
    // What a record says, nobody has checked.
    if (/^https:\/\/[^/]*\{(parent|since|now)\./.test(url))
      throw wrong(field, 'must have parameters of the connection only before its path')
  }
  for (const { name, pattern } of params) {
    if (!(pattern instanceof RegExp) || !isAnchored(pattern))
      throw wrong(`params.${name}.pattern`, 'must be an anchored RegExp (^…$, alternatives in a group)')
    if (/[gmy]/.test(pattern.flags)) throw wrong(`params.${name}.pattern`, 'must have no flag g, m or y')
  }
  if (
    definition.auth.kind === 'api_key' &&
    !params.some(({ name }) => definition.auth.kind === 'api_key' && name === definition.auth.key)
  )
    throw wrong('auth.key', 'must name one of params')
  const seen = new Set<string>()
  for (const { name, parent, roots, restartAfter, filter, order } of resources) {
    if (!/^[a-z][a-z0-9_]{0,59}$/.test(name) || seen.has(name))
      throw wrong(`resources: "${name}"`, 'must be a name of its own in lower case')
    seen.add(name)
    const known =
      parent === undefined || (parent === name ? roots !== undefined : resources.some((other) => other.name === parent))
    if (!known) throw wrong(`resources: "${name}": parent`, 'must name another resource, or itself with roots')
    if (restartAfter && (order !== 'asc' || filter !== 'server'))
      throw wrong(`resources: "${name}": restartAfter`, "needs order 'asc' and filter 'server'")
  }
  for (const resource of resources) {
    let ancestor: Resource | undefined = resource
    for (let depth = 0; ancestor?.parent !== undefined && ancestor.parent !== ancestor.name; depth++) {
      if (depth > resources.length) throw wrong(`resources: "${resource.name}": parent`, 'must not lead back to itself')
      ancestor = resources.find((other) => other.name === ancestor?.parent)
    }
  }
}

const NEEDED_URLS: Readonly<Record<ProviderDefinition['auth']['kind'], readonly string[]>> = {
  oauth2: ['auth.authorizationURL', 'auth.tokenURL'],
  oauth1: ['auth.requestTokenURL', 'auth.authorizationURL', 'auth.accessTokenURL'],
  link_token: ['auth.create.url', 'auth.confirm.url', 'auth.exchange.url'],
  api_key: [],
}

/** Whether a pattern is about whole values only; `^a|b$` is about their begin or their end. */
function isAnchored({ source }: RegExp): boolean {
  let bare = source.replace(/\\.|\[(?:\\.|[^\]\\])*\]/g, 'x')
  for (let before = ''; before !== bare; ) {
    before = bare
    bare = bare.replace(/\([^()]*\)/g, 'x')
  }
  return bare.startsWith('^') && bare.endsWith('$') && !bare.includes('|')
}

/** Every URL template that a definition names, with the field it stands in. */
export function urlsOf({
  auth,
  choices,
  identity,
  api,
  resources,
}: ProviderDefinition): [field: string, url: Template][] {
  const urls: [string, Template | undefined][] = [
    ['api.baseURL', api.baseURL],
    ['choices.request.url', choices?.request.url],
    ['identity.request.url', identity.request?.url],
    ['auth.revocation.url', auth.revocation?.url],
  ]
  if (auth.kind === 'oauth2')
    urls.push(
      ['auth.authorizationURL', auth.authorizationURL],
      ['auth.tokenURL', auth.tokenURL],
      ['auth.refreshURL', auth.refreshURL],
    )
  if (auth.kind === 'oauth1')
    urls.push(
      ['auth.requestTokenURL', auth.requestTokenURL],
      ['auth.authorizationURL', auth.authorizationURL],
      ['auth.accessTokenURL', auth.accessTokenURL],
    )
  if (auth.kind === 'link_token')
    urls.push(
      ['auth.create.url', auth.create.url],
      ['auth.repair.url', auth.repair?.url],
      ['auth.confirm.url', auth.confirm.url],
      ['auth.exchange.url', auth.exchange.url],
    )
  for (const { name, request, pagination } of resources) {
    urls.push([`resources: "${name}"`, request.url])
    if ('continueURL' in pagination) urls.push([`resources: "${name}": continueURL`, pagination.continueURL])
  }
  return urls.filter((pair): pair is [string, Template] => pair[1] !== undefined)
}
