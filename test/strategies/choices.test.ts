import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createProviderHttp, type ProviderHttp } from '../../src/provider-http/client.js'
import { choose, settle } from '../../src/strategies/choices.js'
import { defineProvider } from '../../src/strategies/index.js'

/** Each of its towers stands on a host of its own, which the provider names. */
const tower = defineProvider({
  id: 'tower',
  name: 'Tower',
  category: 'projects',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://tower.example/authorize',
    tokenURL: 'https://tower.example/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [],
    refreshToken: 'none',
  },
  params: [
    { name: 'towerId', label: 'Tower', pattern: /^\d+$/, hint: 'Chosen.', from: 'token' },
    { name: 'host', label: 'Host', pattern: /^https:\/\/[a-z]+\.tower\.example$/, hint: 'Named.', from: 'token' },
  ],
  choices: {
    request: { method: 'GET', url: 'https://tower.example/towers' },
    items: 'towers',
    id: 'id',
    name: 'name',
    param: 'towerId',
    params: { host: 'host' },
    noun: 'tower',
  },
  identity: { request: { method: 'GET', url: '{host}/me' }, accountId: 'id' },
  api: { baseURL: '{host}' },
  resources: [],
  guide: { setup: [], sources: [] },
})
const client = {
  clientId: 'id',
  clientSecret: 'secret',
  env: {},
  params: {},
  redirectURI: 'https://app.example/callback',
  appName: 'App',
}
const grant = () => ({ tokens: { default: { accessToken: 'the-token' } }, scopes: [], params: {} })

let server: Server
let http: ProviderHttp
let asked: string[]
let towers: unknown[]
beforeAll(async () => {
  server = createServer((req, res) => {
    asked.push(String(req.url))
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ id: 'account', towers }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  http = createProviderHttp({
    origins: { 'https://tower.example': url, 'https://north.tower.example': url, 'https://evil.example': url },
  })
})
beforeEach(() => {
  asked = []
})
afterAll(async () => {
  await http.close()
  server.close()
})

describe('accounts to choose from', () => {
  const open = (host: string) => ({ grant: grant(), token: {}, choices: [{ id: '1', name: 'One', params: { host } }] })

  it('lead nowhere outside the pattern of what they name', async () => {
    const context = { http, definition: tower, client }
    await expect(choose(context, open('https://north.tower.example'), '1')).resolves.toMatchObject({ id: 'account' })
    expect(asked).toEqual(['/me'])
    await expect(choose(context, open('https://evil.example'), '1')).rejects.toMatchObject({
      code: 'PROVIDER_BAD_RESPONSE',
    })
    expect(asked).toEqual(['/me'])
  })

  it('have names fit for a page', async () => {
    towers = [
      { id: 1, name: 'North\u202e\u0007', host: 'https://north.tower.example' },
      { id: 2, name: 'x'.repeat(5000), host: 'https://north.tower.example' },
    ]
    const settled = await settle({ http, definition: tower, client }, grant(), {})
    expect(settled).toMatchObject({ choices: [{ name: 'North ' }, { name: 'x'.repeat(200) }] })
  })
})
