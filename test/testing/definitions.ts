import { defineProvider, type Pagination, type Resource } from '../../src/strategies/define-provider.js'

const API = 'https://api.acme.example'

function list(name: string, pagination: Pagination, more: Partial<Resource> = {}): Resource {
  return {
    name,
    request: { method: 'GET', url: `${API}/v1/${name}`, query: { since: '{since.iso8601}', limit: '7' } },
    pagination,
    items: 'data.items',
    id: 'id',
    timestamp: { path: 'updated_at', format: 'iso8601' },
    filter: 'server',
    order: 'asc',
    ...more,
  }
}

/** OAuth 2.0 with everything strict, and one resource per pagination style. */
export const acme = defineProvider({
  id: 'acme',
  name: 'Acme',
  category: 'crm',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://acme.example/oauth/authorize',
    tokenURL: 'https://acme.example/oauth/token',
    clientAuth: 'basic',
    pkce: 'always',
    scopes: [
      { scope: 'things.read', why: 'things' },
      { scope: 'vault.read', why: 'the vault' },
    ],
    refreshToken: 'rotating',
    tokens: {
      default: {
        accessToken: 'data.access_token',
        refreshToken: 'data.refresh_token',
        expiresIn: 'data.expires_in',
        scope: 'data.scope',
      },
    },
    params: { org_id: 'org.id' },
    issuer: { value: 'https://acme.example', required: true },
    revocation: {
      method: 'POST',
      url: 'https://acme.example/oauth/revoke',
      form: { token: '{token}' },
      auth: 'client_basic',
      token: 'refresh',
    },
  },
  identity: {
    request: { method: 'GET', url: `${API}/v1/me` },
    accountId: 'organisation.id',
    accountName: 'organisation.name',
    email: 'user.email',
    keyParts: ['user.id'],
  },
  api: {
    baseURL: `${API}/v1`,
    headers: { 'acme-version': '3' },
    errors: {
      code: ['error.code'],
      codes: { token_dead: 'expired', no_right: 'permission', slow_down: 'rate_limited', bad_cursor: 'cursor_expired' },
    },
  },
  resources: [
    list('none', { style: 'none' }, { items: '' }),
    list('cursor', { style: 'cursor', at: 'query', param: 'after', next: 'paging.next' }),
    list(
      'cursor_more',
      { style: 'cursor', at: 'query', param: 'after', next: 'cursor', more: 'has_more' },
      { order: 'desc' },
    ),
    list(
      'last_item',
      { style: 'last_item', at: 'query', param: 'before', field: 'id', pageSize: 7 },
      { order: 'desc' },
    ),
    list('last_item_more', { style: 'last_item', at: 'query', param: 'after', field: 'id', more: 'has_more' }),
    list(
      'last_item_min',
      { style: 'last_item', at: 'query', param: 'before', field: 'id', pick: 'min', pageSize: 7 },
      { order: 'none' },
    ),
    list('offset', { style: 'offset', at: 'query', param: 'start', pageSize: 7, total: 'total' }),
    list('offset_short', { style: 'offset', at: 'query', param: 'start', pageSize: 7 }),
    list('page', { style: 'page', at: 'query', param: 'page', pageSize: 7, more: 'more' }),
    list('link_header', { style: 'link_header' }, { items: '' }),
    list('next_url', { style: 'next_url', next: 'next' }),
    list('custom', {
      style: 'custom',
      next: ({ body }) => {
        const mark = (body as { mark?: string }).mark
        return mark === undefined ? undefined : { state: mark }
      },
      apply: (request, state) => ({ ...request, query: { ...request.query, mark: String(state) } }),
    }),
    {
      name: 'searched',
      request: {
        method: 'POST',
        url: `${API}/v1/search`,
        json: { kind: 'searched', filter: { from: '{since.unix_ms}' }, page: { size: 7 } },
      },
      pagination: { style: 'cursor', at: 'json', param: 'page.after', next: 'next' },
      items: 'results',
      id: 'id',
      timestamp: { path: 'attributes.changed', format: 'unix_ms' },
      filter: 'server',
      order: 'asc',
      emptyWhenMissing: true,
    },
    {
      name: 'folders',
      request: { method: 'GET', url: `${API}/v1/folders` },
      pagination: { style: 'none' },
      items: 'folders',
      id: 'key',
      filter: 'none',
    },
    {
      name: 'files',
      parent: 'folders',
      request: { method: 'GET', url: `${API}/v1/folders/{parent.key}/files`, query: { after: '{since.unix}' } },
      pagination: { style: 'cursor', at: 'query', param: 'cursor', next: 'next' },
      items: 'files',
      id: ['parent:key', 'id'],
      timestamp: { path: 'at', format: 'unix' },
      filter: 'server',
      order: 'desc',
    },
    {
      name: 'file_details',
      parent: 'files',
      request: { method: 'GET', url: `${API}/v1/files/{parent.id}` },
      pagination: { style: 'none' },
      items: '',
      id: 'id',
      timestamp: { path: 'at', format: 'unix' },
      filter: 'client',
    },
    {
      name: 'balances',
      request: { method: 'POST', url: `${API}/v1/sync`, json: { size: 50 } },
      pagination: { style: 'cursor', at: 'json', param: 'cursor', next: 'next', more: 'more' },
      items: 'added',
      alsoItems: ['changed'],
      deletes: { items: 'gone', id: 'id' },
      id: 'id',
      filter: 'none',
      commit: 'set',
    },
    {
      name: 'vault',
      request: { method: 'GET', url: `${API}/v1/vault` },
      pagination: { style: 'none' },
      items: 'items',
      id: 'id',
      filter: 'none',
      scopes: ['vault.read'],
    },
  ],
  lab: {
    pages: {
      custom: {
        offset: ({ query }) => Number(query.mark ?? 0),
        next: (body, offset) => {
          if (offset !== undefined) body.mark = String(offset)
          return undefined
        },
      },
    },
  },
  guide: { setup: [], sources: [] },
})

/** A host per connection, JSON client authentication, a signed callback, errors with status 200, no PKCE. */
export const shopfront = defineProvider({
  id: 'shopfront',
  name: 'Shopfront',
  category: 'commerce',
  params: [
    {
      name: 'shop',
      label: 'Shop',
      pattern: /^[a-z0-9-]+\.shopfront\.example$/,
      hint: 'The address of the shop.',
      example: 'my-shop.shopfront.example',
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://{shop}/oauth/authorize',
    tokenURL: 'https://{shop}/oauth/token',
    clientAuth: 'json_body',
    pkce: 'never',
    scopeParam: 'user_scope',
    scopeSeparator: ',',
    scopes: [{ scope: 'orders', why: 'orders' }],
    refreshToken: 'static',
    tokenParams: { expiring: '1' },
    tokens: {
      user: { accessToken: 'user.token', refreshToken: 'user.refresh', scope: 'user.scope' },
      bot: { accessToken: 'access_token', refreshToken: 'refresh_token' },
    },
    refreshTokens: { accessToken: ['user.token', 'access_token'] },
    errors: {
      code: ['error'],
      codes: { invalid_code: 'revoked', invalid_refresh_token: 'revoked', bad_client_secret: 'client' },
      failed: (body) => (body as { ok?: boolean } | null)?.ok === false,
    },
  },
  verifyCallback: () => undefined,
  identity: { request: { method: 'GET', url: 'https://{shop}/api/shop' }, accountId: 'id', accountName: 'name' },
  api: {
    baseURL: 'https://{shop}/api',
    auth: { headers: { 'x-token': '{access_token}' } },
    errors: {
      code: ['error'],
      codes: { token_expired: 'expired', missing: 'not_found' },
      failed: (body) => (body as { ok?: boolean } | null)?.ok === false,
    },
  },
  resources: [
    {
      name: 'orders',
      request: { method: 'POST', url: 'https://{shop}/api/graphql', json: { query: 'query Orders { orders }' } },
      pagination: { style: 'none' },
      items: 'data.orders',
      id: 'id',
      filter: 'none',
    },
    {
      name: 'customers',
      request: { method: 'POST', url: 'https://{shop}/api/graphql', json: { query: 'query Customers { customers }' } },
      pagination: { style: 'none' },
      items: 'data.customers',
      id: 'id',
      filter: 'none',
    },
  ],
  grant: 'exclusive',
  guide: { setup: [], sources: [] },
})

/** OAuth 1.0a. */
export const boards = defineProvider({
  id: 'boards',
  name: 'Boards',
  category: 'tasks',
  auth: {
    kind: 'oauth1',
    requestTokenURL: 'https://boards.example/1/request',
    authorizationURL: 'https://boards.example/1/authorize',
    accessTokenURL: 'https://boards.example/1/access',
    signatureMethod: 'HMAC-SHA1',
    scopes: [],
  },
  identity: {
    request: { method: 'GET', url: 'https://api.boards.example/1/me' },
    accountId: 'id',
    accountName: 'name',
  },
  api: {
    baseURL: 'https://api.boards.example/1',
    auth: { headers: { authorization: 'OAuth oauth_consumer_key="{client_id}", oauth_token="{access_token}"' } },
  },
  resources: [],
  guide: { setup: [], sources: [] },
})

/** A link token, with client and token in every request. */
export const bank = defineProvider({
  id: 'bank',
  name: 'Bank',
  category: 'banking',
  auth: {
    kind: 'link_token',
    create: {
      method: 'POST',
      url: 'https://bank.example/link/create',
      headers: { 'x-client': '{client_id}', 'x-secret': '{client_secret}' },
      json: { user: { id: '{user_id}' }, redirect: '{redirect_uri}' },
      auth: 'none',
      linkToken: 'link.token',
      hostedLinkUrl: 'link.url',
      expiration: 'link.until',
    },
    confirm: {
      method: 'POST',
      url: 'https://bank.example/link/get',
      headers: { 'x-client': '{client_id}', 'x-secret': '{client_secret}' },
      json: { link_token: '{link_token}' },
      auth: 'none',
      publicTokens: (body) => (body as { tokens: string[] }).tokens,
    },
    exchange: {
      method: 'POST',
      url: 'https://bank.example/link/exchange',
      headers: { 'x-client': '{client_id}', 'x-secret': '{client_secret}' },
      json: { public_token: '{public_token}' },
      auth: 'none',
      accessToken: 'access_token',
      params: { item_id: 'item' },
    },
    scopes: [],
  },
  identity: {
    request: { method: 'POST', url: 'https://bank.example/item', json: {} },
    accountId: 'item.id',
    accountName: 'item.name',
  },
  api: { baseURL: 'https://bank.example', auth: { json: { access_token: '{access_token}' } } },
  resources: [],
  lab: { confirmBody: (tokens) => ({ tokens }) },
  guide: { setup: [], sources: [] },
})

/** A key that the user brings. */
export const mailer = defineProvider({
  id: 'mailer',
  name: 'Mailer',
  category: 'mail',
  credentialsEnv: null,
  params: [
    {
      name: 'apiKey',
      label: 'API key',
      pattern: /^ML\.[A-Za-z0-9_-]{16,32}\.(test|live)$/,
      hint: 'The key.',
      example: 'ML.…',
      secret: true,
    },
  ],
  auth: { kind: 'api_key', key: 'apiKey', scopes: [] },
  identity: { resolve: async () => ({ name: 'Mailer' }) },
  api: { baseURL: 'https://api.mailer.example' },
  resources: [],
  lab: {
    answers: [
      { method: 'GET', url: 'https://api.mailer.example/whoami', body: (account) => ({ mail: account.email }) },
    ],
  },
  guide: { setup: [], sources: [] },
})
