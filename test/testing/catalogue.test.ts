import type { Request } from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../src/persistence/store.js'
import { createProviderHttp, type ProviderHttp } from '../../src/provider-http/index.js'
import { type ClientConfig, callProvider } from '../../src/strategies/call.js'
import type { ProviderDefinition, Resource } from '../../src/strategies/define-provider.js'
import type { ConnectedAccount, Grant } from '../../src/strategies/grant.js'
import { grantOf, identify } from '../../src/strategies/identify.js'
import { catalogue } from '../../src/strategies/index.js'
import { refreshToken } from '../../src/strategies/refresh.js'
import type { StateData } from '../../src/strategies/state-store.js'
import { createStrategy, runStrategy } from '../../src/strategies/strategy.js'
import { fill } from '../../src/strategies/template.js'
import { readResource } from '../../src/sync/reader.js'
import { windowBefore } from '../../src/sync/window.js'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'

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
  const { clientId = '', clientSecret = '', env = {} } = lab.credentials[definition.id] ?? {}
  const fixed = (definition.params ?? []).filter((param) => param.from === 'config')
  const params = lab.params(definition.id)
  return {
    clientId,
    clientSecret,
    env,
    params: Object.fromEntries(fixed.map(({ name }) => [name, params[name] ?? ''])),
    redirectURI: REDIRECT,
    appName: 'Test',
  }
}

/** Connects as an app does, with a strategy and whoever sits at the browser. */
async function connect(definition: ProviderDefinition, options: { deny?: boolean; weak?: boolean } = {}) {
  const client = clientOf(definition)
  const states = new Map<string, StateData>()
  const strategy = createStrategy(
    definition,
    {
      clientID: client.clientId,
      clientSecret: client.clientSecret,
      callbackURL: REDIRECT,
      params: client.params,
      appName: client.appName,
      http,
      store: {
        save: async (_req, state, data) => void states.set(state, data),
        claim: async (_req, state) => states.get(state) as StateData,
      },
    },
    () => undefined,
  )
  const { auth } = definition
  const params =
    auth.kind === 'api_key' ? { [auth.key]: lab.apiKey(definition.id, options) } : lab.params(definition.id)
  const request = { query: {}, method: 'GET' } as Request
  const started = await runStrategy(strategy, request, { params, userId: 'u-1' })
  if (started.kind !== 'redirect') return started
  const callback = new URL((await lab.consent(started.url, { params: lab.params(definition.id), ...options })) ?? '')
  return runStrategy(strategy, request, { phase: 'complete', input: Object.fromEntries(callback.searchParams) })
}

async function connected(definition: ProviderDefinition): Promise<{ account: ConnectedAccount; grant: Grant }> {
  const outcome = await connect(definition)
  if (outcome.kind !== 'success') throw new Error(`Not connected: ${JSON.stringify(outcome)}`)
  return { account: outcome.account, grant: grantOf(outcome.account) }
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
    const nextPage = readResource({
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
    for (let page = await nextPage(); page; page = await nextPage()) {
      for (const record of page.records) records.set(record.id, record)
      for (const id of page.deletes) records.delete(id)
    }
  }
  return stored
}

const sorted = (items: readonly unknown[]) => items.map((item) => JSON.stringify(item)).sort()

describe.each(Object.values(catalogue).map((one) => [one.id, one] as const))('the lab as %s', (id, definition) => {
  it('goes from consent over the token to the account, and every resource read to its end is the data', async () => {
    const { account, grant } = await connected(definition)
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
    const { grant } = await connected(definition)
    const client = clientOf(definition)
    const account = () => identify(http, definition, client, grant, undefined)
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

describe.each(
  Object.values(catalogue).map((one) => [one.id, one] as const),
)('a "no" at the lab as %s', (_id, definition) => {
  it('is an answer of its own', async () => {
    const key = definition.auth.kind === 'api_key'
    const code = key ? 'CREDENTIALS_INSUFFICIENT' : 'AUTH_DENIED'
    const outcome = await connect(definition, key ? { weak: true } : { deny: true })
    expect(outcome).toMatchObject({ kind: 'fail', error: { code } })
  })
})

it('answers for a filled API base at the mapped origin', () => {
  for (const definition of Object.values(catalogue)) {
    const base = new URL(fill(definition.api.baseURL, { params: lab.params(definition.id) }))
    expect(http.browserURL(base.href)).toMatch(/^http:\/\/127\.0\.0\.1:/)
  }
})
