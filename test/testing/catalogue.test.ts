import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../src/persistence/store.js'
import { createProviderHttp, type ProviderHttp } from '../../src/provider-http/index.js'
import { type ClientConfig, callProvider } from '../../src/strategies/call.js'
import type { LinkToken, OAuth1, OAuth2, ProviderDefinition, Resource } from '../../src/strategies/define-provider.js'
import type { Grant } from '../../src/strategies/grant.js'
import { identify } from '../../src/strategies/identify.js'
import { catalogue } from '../../src/strategies/index.js'
import { refreshToken } from '../../src/strategies/refresh.js'
import { fill, fillURL, pickString } from '../../src/strategies/template.js'
import { askTokenEndpoint, type OAuth2Definition, readToken } from '../../src/strategies/token-endpoint.js'
import { readResource } from '../../src/sync/reader.js'
import { windowBefore } from '../../src/sync/window.js'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'
import { oauth1Header } from './client.js'

const REDIRECT = 'http://localhost:3000/callback'

let lab: ProviderLab
let http: ProviderHttp
beforeAll(async () => {
  lab = await createProviderLab({ recordsPerResource: 60 })
  http = createProviderHttp({ origins: lab.origins })
})
afterAll(async () => {
  await http.close()
  await lab.close()
})

function clientOf(definition: ProviderDefinition): ClientConfig {
  const { clientId = '', clientSecret = '' } = lab.credentials[definition.id] ?? {}
  const fixed = (definition.params ?? []).filter((param) => param.from === 'config')
  const params = lab.params(definition.id)
  return {
    clientId,
    clientSecret,
    env: {},
    params: Object.fromEntries(fixed.map(({ name }) => [name, params[name] ?? ''])),
    redirectURI: REDIRECT,
    appName: 'Test',
  }
}

const formParams = (definition: ProviderDefinition) =>
  Object.fromEntries(
    (definition.params ?? [])
      .filter((param) => (param.from ?? 'form') === 'form' && !param.secret && !param.optional)
      .map(({ name }) => [name, lab.params(definition.id)[name] ?? '']),
  )

/** What a connect does, kind by kind, without our middleware: the lab is what is tested. */
async function connect(definition: ProviderDefinition): Promise<{ grant: Grant; token: unknown }> {
  const { auth } = definition
  if (auth.kind === 'oauth2') return connectOAuth2(definition, auth)
  if (auth.kind === 'oauth1') return connectOAuth1(definition, auth)
  if (auth.kind === 'link_token') return connectLink(definition, auth)
  return {
    grant: { tokens: { default: { accessToken: lab.apiKey(definition.id) } }, scopes: [], params: {} },
    token: undefined,
  }
}

const scopesOf = ({ auth }: ProviderDefinition) =>
  auth.scopes.filter((scope) => !scope.needsApproval && !scope.optional).map(({ scope }) => scope)

async function connectOAuth2(definition: ProviderDefinition, auth: OAuth2) {
  const client = clientOf(definition)
  const params = formParams(definition)
  const verifier = randomBytes(32).toString('base64url')
  const url = new URL(fillURL(auth.authorizationURL, { params: { ...client.params, ...params } }))
  const query: Record<string, string> = {
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: REDIRECT,
    state: 'state-1',
    [auth.scopeParam ?? 'scope']: scopesOf(definition).join(auth.scopeSeparator ?? ' '),
  }
  for (const [name, value] of Object.entries(auth.authorizationParams ?? {}))
    if (!value.includes('{')) query[name] = value
  if (auth.pkce === 'always') {
    query.code_challenge = createHash('sha256').update(verifier).digest('base64url')
    query.code_challenge_method = 'S256'
  }
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  const callback = new URL((await lab.consent(url.href, { params })) ?? '')
  const answer = Object.fromEntries(callback.searchParams)
  expect(answer.state).toBe('state-1')
  definition.verifyCallback?.({ query: answer, clientSecret: client.clientSecret, params, now: new Date() })
  const { body } = await askTokenEndpoint(http, definition as OAuth2Definition, client, {
    endpoint: 'token',
    params,
    fields: {
      grant_type: 'authorization_code',
      code: answer.code ?? '',
      redirect_uri: REDIRECT,
      ...(auth.pkce === 'always' && { code_verifier: verifier }),
    },
    secrets: [],
  })
  const [name, paths] = Object.entries(auth.tokens)[0] ?? []
  const token = paths && readToken(body, paths, auth, Date.now())
  if (!name || !token) throw new Error('There is no token in the answer.')
  return { grant: { tokens: { [name]: token }, scopes: scopesOf(definition), params }, token: body }
}

async function connectOAuth1(definition: ProviderDefinition, auth: OAuth1) {
  const client = clientOf(definition)
  const keys = { consumerKey: client.clientId, consumerSecret: client.clientSecret }
  const post = async (url: string, params: Record<string, string>, tokenSecret?: string) => {
    const headers = { authorization: oauth1Header({ method: 'POST', url, ...keys, params, tokenSecret }) }
    const origins = [new URL(url).origin]
    const request = { provider: definition.name, method: 'POST', url, headers, origins, expect: 'form' } as const
    return (await http.request({ ...request, endpoint: 'token' })).body as Record<string, string>
  }
  const asked = await post(auth.requestTokenURL, { oauth_callback: REDIRECT })
  const query = new URLSearchParams({ oauth_token: asked.oauth_token ?? '' })
  query.set('scope', scopesOf(definition).join(auth.scopeSeparator ?? ','))
  for (const [name, value] of Object.entries(auth.authorizationParams ?? {}))
    query.set(name, value.replace('{app_name}', 'Test'))
  const callback = new URL((await lab.consent(`${auth.authorizationURL}?${query}`)) ?? '')
  const { oauth_token = '', oauth_verifier = '' } = Object.fromEntries(callback.searchParams)
  const token = await post(auth.accessTokenURL, { oauth_token, oauth_verifier }, asked.oauth_token_secret)
  const tokens = { default: { accessToken: token.oauth_token ?? '', tokenSecret: token.oauth_token_secret ?? '' } }
  return { grant: { tokens, scopes: scopesOf(definition), params: {} }, token }
}

async function connectLink(definition: ProviderDefinition, auth: LinkToken) {
  const client = clientOf(definition)
  const ask = async (request: LinkToken['create' | 'confirm' | 'exchange'], extra: Record<string, string>) =>
    (await callProvider(http, definition, client, { request, endpoint: 'link', params: {}, scope: { extra } })).body
  const made = await ask(auth.create, { user_id: 'u-1' })
  const link_token = pickString(made, auth.create.linkToken) ?? ''
  await lab.consent(pickString(made, auth.create.hostedLinkUrl) ?? '')
  const [public_token = ''] = auth.confirm.publicTokens(await ask(auth.confirm, { link_token }))
  const token = await ask(auth.exchange, { public_token })
  const accessToken = pickString(token, auth.exchange.accessToken) ?? ''
  return { grant: { tokens: { default: { accessToken } }, scopes: [], params: {} }, token }
}

/** Reads a resource to its end with the reader of the backfill, parents from what was read before. */
async function backfill(definition: ProviderDefinition, grant: Grant) {
  const window = windowBefore(Date.now(), 3)
  const stored = new Map<string, Map<string, StoredRecord>>()
  const client = clientOf(definition)
  const [credential] = Object.values(grant.tokens)
  for (const resource of definition.resources as readonly Resource[]) {
    const records = new Map<string, StoredRecord>()
    stored.set(resource.name, records)
    const source = {
      connectionId: 'c-1',
      backfillId: 'b-1',
      resources: definition.resources,
      store: {
        listRecords: async ({
          resource: name = '',
          after,
          limit,
        }: {
          resource?: string
          after?: string
          limit: number
        }) => {
          const all = [...(stored.get(name)?.values() ?? [])]
          const start = Number(after ?? 0)
          const end = start + limit
          return { items: all.slice(start, end), next: end < all.length ? String(end) : null }
        },
        getRecord: async (_connection: string, name: string, id: string) => stored.get(name)?.get(id),
      },
    }
    const pages = readResource({
      resource,
      window,
      from: undefined,
      source,
      concurrency: 4,
      skipsParent: () => false,
      call: (request, scope) =>
        callProvider(http, definition, client, {
          request,
          endpoint: 'api',
          params: grant.params,
          credential,
          scope,
          resource,
        }),
    })
    for await (const page of pages) {
      for (const record of page.records) records.set(record.id, record)
      for (const id of page.deletes) records.delete(id)
    }
  }
  return stored
}

const sorted = (items: readonly unknown[]) => items.map((item) => JSON.stringify(item)).sort()

describe.each(Object.values(catalogue).map((one) => [one.id, one] as const))('the lab as %s', (id, definition) => {
  it('goes from consent over the token to the account, and every resource read to its end is the data', async () => {
    const { grant, token } = await connect(definition)
    const account = await identify(http, definition, clientOf(definition), grant, token)
    expect(account.id).toContain(lab.account(id).id)
    expect(account.name).toBeTruthy()
    const stored = await backfill(definition, grant)
    for (const resource of definition.resources as readonly Resource[]) {
      if (resource.parentOnly) continue
      const records = [...(stored.get(resource.name)?.values() ?? [])].map(({ data }) => data)
      const data = lab.data[id]?.[resource.name] ?? []
      expect(data.length, resource.name).toBeGreaterThan(0)
      expect(sorted(records), resource.name).toEqual(sorted(data))
    }
  })

  it('ends in typed refusals: an expired token refreshes, a revoked grant does not', async () => {
    const { grant, token } = await connect(definition)
    const client = clientOf(definition)
    const account = () => identify(http, definition, client, grant, token)
    const { auth } = definition
    if (auth.kind === 'oauth2' && auth.refreshToken !== 'none') {
      lab.expireTokens(id)
      await expect(account()).rejects.toMatchObject({ fault: 'expired' })
      const [name = '', credential] = Object.entries(grant.tokens)[0] ?? []
      if (!credential) throw new Error('no token')
      const input = { params: grant.params, credential, token: name }
      const refreshed = await refreshToken(http, definition, client, input)
      grant.tokens[name] = refreshed
      expect((await account()).id).toBe(lab.account(id).id)
      lab.revokeGrants(id)
      const again = refreshToken(http, definition, client, { ...input, credential: refreshed })
      await expect(again).rejects.toMatchObject({ fault: 'revoked' })
    } else {
      lab.revokeGrants(id)
      await expect(account()).rejects.toMatchObject({ fault: 'revoked' })
    }
  })
})

it('answers for a filled API base at the mapped origin', () => {
  for (const definition of Object.values(catalogue)) {
    const base = new URL(fill(definition.api.baseURL, { params: lab.params(definition.id) }))
    expect(http.browserURL(base.href)).toMatch(/^http:\/\/127\.0\.0\.1:/)
  }
})
