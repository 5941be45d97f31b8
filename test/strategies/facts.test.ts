import { describe, expect, it } from 'vitest'
import type { ProviderDefinition } from '../../src/strategies/define-provider.js'
import { catalogue } from '../../src/strategies/index.js'
import { checkFacts, compareWithSheet, factsFolder, readSheets, type Sheet } from './facts-check.js'

const folder = factsFolder()

describe('the facts check', () => {
  if (folder === undefined) {
    it('is not checked here: the fact sheets do not lie beside this checkout (../shared/facts)', () => {
      console.info('facts check: not checked, ../shared/facts is not there')
      expect(Object.keys(catalogue).length).toBeGreaterThan(0)
    })
  } else {
    const sheets = readSheets(folder)

    it('finds a definition for every sheet; a provider without a sheet is not compared', () => {
      expect([...sheets.keys()].filter((id) => !(id in catalogue))).toEqual([])
      const alone = Object.keys(catalogue).filter((id) => !sheets.has(id))
      if (alone.length > 0) console.info(`facts check: no sheet for ${alone.join(', ')}`)
    })

    it.each(
      [...sheets].filter(([id]) => id in catalogue),
    )('finds %s as its sheet says, but for the deviations that give a reason', async (id, sheet) => {
      expect(await checkFacts(catalogue[id] as ProviderDefinition, sheet)).toEqual({ unexplained: [], stale: [] })
    })
  }
})

const sheet: Sheet = {
  id: 'acme',
  auth: {
    kind: 'oauth2',
    authorization_url: 'https://acme.example/authorize',
    token_url: 'https://acme.example/token',
    refresh_url: null,
    revocation: { method: 'POST', url: 'https://acme.example/revoke' },
    client_auth: 'body',
    authorization_params: {},
    token_params: {},
    pkce: 'supported',
    scope_param: 'scope',
    scope_separator: ' ',
    scopes: [{ scope: 'read' }],
    refresh_token: 'static',
    token_response: {
      access_token: 'access_token',
      refresh_token: 'refresh_token',
      expires_in: 'expires_in',
      scope: 'scope',
    },
    connection_params: [{ name: 'site', pattern: '^[a-z]+$' }],
  },
  identity: {
    method: 'GET',
    url: 'https://api.acme.example/me?fields=id',
    account_id: 'id',
    account_name: 'name',
    email: null,
  },
  api: { base_url: 'https://api.acme.example', auth_header: 'Authorization: Bearer {access_token}', headers: {} },
  backfill: [
    {
      resource: 'notes',
      needs: null,
      method: 'GET',
      url: 'https://api.acme.example/notes',
      params: { since: '{since.iso8601}', cursor: '{cursor}' },
      pagination: { style: 'cursor', request: 'cursor', response: 'next' },
      items: '$',
      id: 'id',
      updated_at: 'at',
      updated_at_format: 'unix_s',
    },
    {
      resource: 'comments',
      needs: 'notes',
      method: 'POST',
      url: 'https://api.acme.example/notes/{notes.id}/comments',
      params: {},
      body: { limit: 5, cursor: '{cursor}' },
      pagination: { style: 'cursor', request: 'before', response: 'id of the last item' },
      items: 'data',
      id: 'id',
      updated_at: null,
      updated_at_format: 'other',
    },
  ],
  env: ['ACME_CLIENT_ID', 'ACME_CLIENT_SECRET', 'ACME_REDIRECT_URI'],
}

const acme: ProviderDefinition = {
  id: 'acme',
  name: 'Acme',
  category: 'notes',
  params: [{ name: 'site', label: 'Site', pattern: /^[a-z]+$/, hint: 'Its name.' }],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://acme.example/authorize',
    tokenURL: 'https://acme.example/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [{ scope: 'read', why: 'notes' }],
    refreshToken: 'static',
    tokens: {
      default: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in', scope: 'scope' },
    },
    revocation: { method: 'POST', url: 'https://acme.example/revoke', form: { token: '{token}' } },
  },
  identity: {
    request: { method: 'GET', url: 'https://api.acme.example/me', query: { fields: 'id' } },
    accountId: 'id',
    accountName: 'name',
  },
  api: { baseURL: 'https://api.acme.example' },
  resources: [
    {
      name: 'notes',
      request: { method: 'GET', url: 'https://api.acme.example/notes', query: { since: '{since.iso8601}' } },
      pagination: { style: 'cursor', at: 'query', param: 'cursor', next: 'next' },
      items: '',
      id: 'id',
      timestamp: { path: 'at', format: 'unix' },
      filter: 'server',
    },
    {
      name: 'comments',
      parent: 'notes',
      request: { method: 'POST', url: 'https://api.acme.example/notes/{parent.id}/comments', json: { limit: 5 } },
      pagination: { style: 'last_item', at: 'json', param: 'before', field: 'id', pageSize: 5 },
      items: 'data',
      id: 'id',
      filter: 'none',
    },
  ],
  guide: { setup: [], sources: [] },
}

describe('compareWithSheet', () => {
  it('finds no difference where sheet and definition say the same in their own words', async () => {
    expect(await compareWithSheet(acme, sheet)).toEqual([])
  })

  const [notes, comments] = acme.resources as [
    ProviderDefinition['resources'][number],
    ProviderDefinition['resources'][number],
  ]
  const oauth2 = acme.auth as Extract<ProviderDefinition['auth'], { kind: 'oauth2' }>
  const wrong: [key: string, definition: ProviderDefinition][] = [
    [
      'auth.token_url',
      {
        ...acme,
        auth: { ...oauth2, tokenURL: 'https://acme.example/oauth', refreshURL: 'https://acme.example/token' },
      },
    ],
    ['auth.refresh_url', { ...acme, auth: { ...oauth2, refreshURL: 'https://acme.example/again' } }],
    ['auth.client_auth', { ...acme, auth: { ...oauth2, clientAuth: 'basic' } }],
    ['auth.scopes.write', { ...acme, auth: { ...oauth2, scopes: [...oauth2.scopes, { scope: 'write', why: '' }] } }],
    ['auth.scopes.read', { ...acme, auth: { ...oauth2, scopes: [] } }],
    ['auth.pkce', { ...acme, auth: { ...oauth2, pkce: 'never' } }],
    ['auth.refresh_token', { ...acme, auth: { ...oauth2, refreshToken: 'rotating' } }],
    ['auth.revocation', { ...acme, auth: { ...oauth2, revocation: undefined } }],
    ['auth.authorization_params.prompt', { ...acme, auth: { ...oauth2, authorizationParams: { prompt: 'consent' } } }],
    ['auth.connection_params.site', { ...acme, params: [{ name: 'site', label: 'Site', pattern: /^.+$/, hint: '' }] }],
    ['auth.callback_verification', { ...acme, verifyCallback: () => {} }],
    ['env.ACME_PROJECT', { ...acme, env: [{ name: 'ACME_PROJECT', why: '', required: false }] }],
    [
      'identity.url',
      { ...acme, identity: { ...acme.identity, request: { method: 'GET', url: 'https://api.acme.example/me' } } },
    ],
    ['identity.account_id', { ...acme, identity: { ...acme.identity, accountId: 'uuid' } }],
    [
      'identity.account_id',
      {
        ...acme,
        identity: { resolve: async () => ({ id: 'x', name: '<account_name>' }), request: acme.identity.request },
      },
    ],
    ['api.base_url', { ...acme, api: { baseURL: 'https://api.acme.example/v2' } }],
    ['api.headers.acme-version', { ...acme, api: { ...acme.api, headers: { 'acme-version': '2' } } }],
    ['backfill.comments', { ...acme, resources: [notes] }],
    [
      'backfill.notes.url',
      {
        ...acme,
        resources: [{ ...notes, request: { ...notes.request, url: 'https://api.acme.example/note' } }, comments],
      },
    ],
    [
      'backfill.notes.params.since',
      { ...acme, resources: [{ ...notes, request: { ...notes.request, query: { since: '{since.unix}' } } }, comments] },
    ],
    [
      'backfill.notes.pagination.style',
      { ...acme, resources: [{ ...notes, pagination: { style: 'none' } }, comments] },
    ],
    ['backfill.notes.items', { ...acme, resources: [{ ...notes, items: 'data' }, comments] }],
    ['backfill.notes.id', { ...acme, resources: [{ ...notes, id: ['parent:id', 'id'] }, comments] }],
    [
      'backfill.notes.updated_at_format',
      { ...acme, resources: [{ ...notes, timestamp: { path: 'at', format: 'unix_ms' } }, comments] },
    ],
    ['backfill.comments.needs', { ...acme, resources: [notes, { ...comments, parent: undefined }] }],
    [
      'backfill.comments.body.limit',
      { ...acme, resources: [notes, { ...comments, request: { ...comments.request, json: { limit: 6 } } }] },
    ],
  ]
  it.each(wrong)('names %s where the definition differs there', async (key, definition) => {
    expect((await compareWithSheet(definition, sheet)).map((difference) => difference.key)).toEqual([key])
  })

  it('takes a difference as explained when the deviation names it', async () => {
    const differing = { ...acme, api: { baseURL: 'https://eu.acme.example' }, deviations: { 'api.base_url': 'Moved.' } }
    expect(await checkFacts(differing, sheet)).toEqual({ unexplained: [], stale: [] })
  })

  it('finds a deviation that no longer differs', async () => {
    const explained = { ...acme, deviations: { 'api.base_url': 'Moved.' } }
    expect(await checkFacts(explained, sheet)).toEqual({ unexplained: [], stale: ['api.base_url'] })
  })
})
