import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createProviderHttp, type ProviderHttp } from '../../src/provider-http/client.js'
import { authorizedRequest, callProvider } from '../../src/strategies/call.js'
import { defineProvider, plaid } from '../../src/strategies/index.js'

const bank = defineProvider({
  id: 'bank',
  name: 'Bank',
  category: 'banking',
  env: [{ name: 'BANK_BOT', why: 'Speaks for the app.', required: true }],
  auth: { kind: 'api_key', key: 'key', scopes: [] },
  params: [{ name: 'key', label: 'Key', pattern: /^.+$/, hint: 'A key.', secret: true }],
  identity: {},
  api: { baseURL: 'https://bank.example', errors: { code: ['code'] } },
  resources: [],
  guide: { setup: [], sources: [] },
})
const client = {
  clientId: 'the-client',
  clientSecret: 'the-secret',
  env: { BANK_BOT: 'bot-1234' },
  params: { environment: 'sandbox' },
  redirectURI: 'https://app.example/callback',
  appName: 'App',
}
const owner = { params: {}, credential: { accessToken: 'mine' } }

let server: Server
let http: ProviderHttp
let asked: { authorization: string | undefined }[]
beforeAll(async () => {
  server = createServer((req, res) => {
    asked.push({ authorization: req.headers.authorization })
    const body = { code: `unknown ${req.headers.authorization}` }
    res.writeHead(401, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  http = createProviderHttp({
    origins: { 'https://bank.example': `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
  })
})
beforeEach(() => {
  asked = []
})
afterAll(async () => {
  await http.close()
  server.close()
})

describe("a credential of the operator's", () => {
  it('is not repeated in an error, whatever the provider echoes', async () => {
    const headers = { authorization: 'Bot {env.BANK_BOT}' }
    const request = { method: 'GET', url: 'https://bank.example/guild', headers, auth: 'app' } as const
    const error = await callProvider(http, bank, client, { ...owner, request, endpoint: 'api' }).catch((it) => it)
    expect(asked).toEqual([{ authorization: 'Bot bot-1234' }])
    expect(error).toMatchObject({ code: 'PROVIDER_CLIENT_REFUSED', fault: 'client' })
    expect(`${error.message} ${error.providerCode}`).not.toContain('bot-1234')
  })

  it('leaves with the credentials of the connection in the body, or not at all', () => {
    const post = (body?: string | Uint8Array | Readable) =>
      authorizedRequest(plaid, client, owner, { method: 'POST', url: 'https://sandbox.plaid.com/item/remove', body })
    const foreign = '{"access_token":"foreign","count":1}'
    expect(post(foreign).body).toBe('{"access_token":"mine","count":1}')
    expect(post(Buffer.from(foreign)).body).toBe('{"access_token":"mine","count":1}')
    expect(post()).toMatchObject({ body: '{"access_token":"mine"}', headers: { 'content-type': 'application/json' } })
    for (const body of ['[]', 'null', 'access_token=foreign', Readable.from([foreign])])
      expect(() => post(body)).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }))
  })
})
