import { describe, expect, it } from 'vitest'
import { urlsOf } from '../../src/strategies/check-definition.js'
import { defineProvider, type ProviderDefinition, type Resource } from '../../src/strategies/define-provider.js'
import { catalogue } from '../../src/strategies/index.js'

const list = (name: string, more: Partial<Resource> = {}): Resource => ({
  name,
  request: { method: 'GET', url: `https://api.acme.example/${name}` },
  pagination: { style: 'none' },
  items: '',
  id: 'id',
  filter: 'none',
  ...more,
})

const good: ProviderDefinition = {
  id: 'acme',
  name: 'Acme',
  category: 'test',
  params: [{ name: 'site', label: 'Site', pattern: /^[a-z]{1,20}$/, hint: 'The name of the site.' }],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://{site}.acme.example/authorize',
    tokenURL: 'https://{site}.acme.example/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [],
    refreshToken: 'none',
    tokens: { default: { accessToken: 'access_token' } },
  },
  identity: { request: { method: 'GET', url: '{base}/me' }, accountId: 'id' },
  api: { baseURL: 'https://api.acme.example' },
  resources: [
    list('boards'),
    list('cards', { parent: 'boards', filter: 'server', order: 'asc', restartAfter: { items: 100 } }),
    list('folders', { parent: 'folders', roots: [{ id: '0' }] }),
  ],
  guide: { setup: [], sources: [] },
}
const { auth } = good as { auth: Extract<ProviderDefinition['auth'], { kind: 'oauth2' }> }
const [param] = good.params as [NonNullable<ProviderDefinition['params']>[number]]

type Wrong = Record<string, unknown>
const withPattern = (pattern: unknown): Wrong => ({ params: [{ ...param, pattern }] })
const withResources = (...resources: Resource[]): Wrong => ({ resources })
const unanchored = 'params.site.pattern must be an anchored RegExp (^…$, alternatives in a group).'
const noURL = 'must be an https URL, or begin with a placeholder for one.'
const oauth1 = { kind: 'oauth1', signatureMethod: 'HMAC-SHA1', scopes: [] }
const key = { kind: 'api_key', key: 'apiKey', scopes: [] }
const before = 'must have parameters of the connection only before its path.'
const noParent = 'must name another resource, or itself with roots.'
const noName = 'must be a name of its own in lower case.'

/** What is wrong, and the whole of what is said after the provider's id. */
const mistakes: [what: string, wrong: Wrong, message: string][] = [
  ['no id', { id: undefined }, 'id must be lower case letters, digits and hyphens.'],
  ['an empty id', { id: '' }, 'id must be lower case letters, digits and hyphens.'],
  ['an id in upper case', { id: 'Acme' }, 'id must be lower case letters, digits and hyphens.'],
  ['an id that leaves its path', { id: '../acme' }, 'id must be lower case letters, digits and hyphens.'],
  ['an id of 41 characters', { id: 'a'.repeat(41) }, 'id must be lower case letters, digits and hyphens.'],
  ['no auth', { auth: undefined }, 'auth must be an object.'],
  ['no identity', { identity: undefined }, 'identity must be an object.'],
  ['no api', { api: null }, 'api must be an object.'],
  ['no guide', { guide: undefined }, 'guide must be an object.'],
  ['no resources', { resources: undefined }, 'resources must be a list, empty where there is nothing to read.'],
  [
    'an unknown kind',
    { auth: { ...auth, kind: 'saml' } },
    'auth.kind must be one of oauth2, oauth1, link_token, api_key.',
  ],
  [
    'a kind that every object has',
    { auth: { ...auth, kind: 'constructor' } },
    'auth.kind must be one of oauth2, oauth1, link_token, api_key.',
  ],
  ['no base URL', { api: {} }, `api.baseURL ${noURL}`],
  ['a base URL without encryption', { api: { baseURL: 'http://api.acme.example' } }, `api.baseURL ${noURL}`],
  ['a base URL with a user', { api: { baseURL: 'https://me@acme.example' } }, `api.baseURL ${noURL}`],
  ['a base URL without a host', { api: { baseURL: '/v1' } }, `api.baseURL ${noURL}`],
  ['no token URL', { auth: { ...auth, tokenURL: undefined } }, `auth.tokenURL ${noURL}`],
  [
    'a file as authorization URL',
    { auth: { ...auth, authorizationURL: 'file:///x' } },
    `auth.authorizationURL ${noURL}`,
  ],
  ['a relative refresh URL', { auth: { ...auth, refreshURL: 'refresh' } }, `auth.refreshURL ${noURL}`],
  [
    'a relative revocation URL',
    { auth: { ...auth, revocation: { method: 'POST', url: '/revoke' } } },
    `auth.revocation.url ${noURL}`,
  ],
  [
    'a relative identity URL',
    { identity: { request: { method: 'GET', url: '/me' } } },
    `identity.request.url ${noURL}`,
  ],
  ['relative choices', { choices: { request: { method: 'GET', url: '/sites' } } }, `choices.request.url ${noURL}`],
  ['no request token URL', { auth: oauth1 }, `auth.requestTokenURL ${noURL}`],
  [
    'a relative exchange',
    {
      auth: {
        kind: 'link_token',
        create: { url: 'https://acme.example/a' },
        confirm: { url: 'https://acme.example/b' },
        exchange: { url: 'c' },
      },
    },
    `auth.exchange.url ${noURL}`,
  ],
  [
    'a relative resource',
    withResources(list('boards', { request: { method: 'GET', url: 'boards' } })),
    `resources: "boards" ${noURL}`,
  ],
  [
    'a relative further page',
    withResources(
      list('boards', { pagination: { style: 'cursor', at: 'json', param: 'c', next: 'n', continueURL: '/more' } }),
    ),
    `resources: "boards": continueURL ${noURL}`,
  ],
  [
    'a host that a record names',
    withResources(
      list('boards'),
      list('cards', { parent: 'boards', request: { method: 'GET', url: 'https://{parent.host}/cards' } }),
    ),
    `resources: "cards" ${before}`,
  ],
  ['no pattern', withPattern(undefined), unanchored],
  ['a pattern as a text', withPattern('^[a-z]+$'), unanchored],
  ['a pattern without a begin', withPattern(/[a-z]+$/), unanchored],
  ['a pattern without an end', withPattern(/^[a-z]+/), unanchored],
  ['a pattern that ends in a dollar sign', withPattern(/^[a-z]+\$/), unanchored],
  ['a pattern whose alternatives share no anchors', withPattern(/^eu|us$/), unanchored],
  ['a pattern of lines', withPattern(/^[a-z]+$/m), 'params.site.pattern must have no flag g, m or y.'],
  ['a pattern with a memory', withPattern(/^[a-z]+$/g), 'params.site.pattern must have no flag g, m or y.'],
  ['a sticky pattern', withPattern(/^[a-z]+$/y), 'params.site.pattern must have no flag g, m or y.'],
  ['a key that is no parameter', { auth: key }, 'auth.key must name one of params.'],
  ['a resource in upper case', withResources(list('Boards')), `resources: "Boards" ${noName}`],
  ['a resource twice', withResources(list('boards'), list('boards')), `resources: "boards" ${noName}`],
  ['an unknown parent', withResources(list('cards', { parent: 'boards' })), `resources: "cards": parent ${noParent}`],
  [
    'its own parent without roots',
    withResources(list('folders', { parent: 'folders' })),
    `resources: "folders": parent ${noParent}`,
  ],
  [
    'parents in a circle',
    withResources(list('a', { parent: 'b' }), list('b', { parent: 'c' }), list('c', { parent: 'a' })),
    'resources: "a": parent must not lead back to itself.',
  ],
  [
    'a restart in no order',
    withResources(list('cards', { filter: 'server', restartAfter: { items: 1 } })),
    `resources: "cards": restartAfter needs order 'asc' and filter 'server'.`,
  ],
  [
    'a restart without a filter',
    withResources(list('cards', { order: 'asc', restartAfter: { items: 1 } })),
    `resources: "cards": restartAfter needs order 'asc' and filter 'server'.`,
  ],
]

describe('defineProvider', () => {
  it('answers a good definition as it is', () => {
    const copy = structuredClone(good)
    expect(defineProvider(good)).toBe(good)
    expect(good).toEqual(copy)
  })

  it.each(mistakes)('refuses %s, naming the field and what is expected', (_what, wrong, message) => {
    const definition = { ...good, ...wrong } as ProviderDefinition
    const name = 'id' in wrong ? wrong.id || '(no id)' : 'acme'
    expect(() => defineProvider(definition)).toThrow(new TypeError(`defineProvider: ${name}: ${message}`))
  })

  it.each([
    /^(eu|us)$/,
    /^(?:a|b(c|d)|[|)]\|)$/,
    /^a\\$/,
    /^[\]|$]{1,3}$/i,
    /^(?!x|y)[^/]+$/u,
  ])('takes the pattern %s, which is about whole values', (pattern) => {
    const definition = { ...good, ...withPattern(pattern) } as ProviderDefinition
    expect(defineProvider(definition)).toBe(definition)
  })

  it('takes every kind with what it needs', () => {
    const at = (path: string) => ({ method: 'POST', url: `https://acme.example/${path}` })
    const kinds: unknown[] = [
      {
        ...oauth1,
        requestTokenURL: 'https://acme.example/a',
        authorizationURL: 'https://acme.example/b',
        accessTokenURL: '{base}',
      },
      { kind: 'link_token', create: at('a'), confirm: at('b'), exchange: at('c'), scopes: [] },
      { ...key, key: 'site' },
    ]
    for (const kind of kinds) {
      const definition = { ...good, auth: kind } as ProviderDefinition
      expect(defineProvider(definition)).toBe(definition)
    }
  })
})

describe('the catalogue', () => {
  it('builds hosts only from parameters that have a pattern, or that the definition works out itself', () => {
    const loose: string[] = []
    for (const definition of Object.values(catalogue)) {
      const urls = [...urlsOf(definition).map(([, url]) => url), ...(definition.api.origins ?? [])]
      const hosts = urls.map((url) => (url.startsWith('{') ? url.replace(/\}.*/, '}') : url.split('/')[2])).join(' ')
      for (const [, name = ''] of hosts.matchAll(/\{([\w.]+)\}/g)) {
        const known = definition.params?.some((one) => one.name === name) || definition.derive !== undefined
        if (!known) loose.push(`${definition.id}: ${name}`)
      }
    }
    expect(loose).toEqual([])
  })
})
