import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Browser, type Host, startHost } from '../support/host-app.js'

/** Plaid's side of one bank, whose sign-in can end. */
const bank = {
  signedIn: true,
  item: 'item-1',
  removable: true,
  asked: [] as { path: string; body: Record<string, unknown> }[],
}
const problem = { error_type: 'ITEM_ERROR', error_code: 'ITEM_LOGIN_REQUIRED', error_message: 'No.' }

function answer(path: string): [status: number, body: unknown] {
  if (path === '/link/token/create')
    return [
      200,
      { link_token: 'link-1', hosted_link_url: 'https://secure.plaid.com/hl/1', expiration: '2030-01-01T00:00:00Z' },
    ]
  if (path === '/link/token/get')
    return [200, { link_sessions: [{ results: { item_add_results: [{ public_token: 'public-1' }] } }] }]
  if (path === '/item/public_token/exchange') return [200, { access_token: 'access-of-the-bank', item_id: 'item-1' }]
  if (path === '/item/get')
    return [
      200,
      { item: { item_id: bank.item, institution_name: 'First Bank', error: bank.signedIn ? null : problem } },
    ]
  if (path === '/item/remove') return bank.removable ? [200, {}] : [503, {}]
  return bank.signedIn ? [200, { accounts: [] }] : [400, problem]
}

let plaid: Server
let host: Host
beforeEach(async () => {
  Object.assign(bank, { signedIn: true, item: 'item-1', removable: true, asked: [] })
  plaid = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const path = req.url as string
    bank.asked.push({ path, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) })
    const [status, body] = answer(path)
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => plaid.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(plaid.address() as AddressInfo).port}`
  host = await startHost({ origins: { 'https://sandbox.plaid.com': url } }, undefined, ['plaid'])
  browser = host.browser()
})
afterEach(async () => {
  await host?.close()
  plaid?.closeAllConnections()
  await new Promise((resolve) => plaid.close(resolve))
})

const asked = (path: string) => bank.asked.filter((request) => request.path === path)
const json = { accept: 'application/json' }
let browser: Browser
const start = async (reconnect?: string): Promise<string> => {
  const query = reconnect ? `?reconnect=${reconnect}` : ''
  return (await browser.post(`/integrations/plaid/connect${query}`, {}, json)).body.state
}
const end = (state: string) => browser.post('/integrations/plaid/callback', { state }, json)
const connect = async (reconnect?: string) => end(await start(reconnect))

describe('a bank whose sign-in has ended', () => {
  it('is repaired in place: the same connection, the same token, nothing exchanged again', async () => {
    const { connection } = (await connect()).body
    expect(connection).toMatchObject({ status: 'active', account: { id: 'item-1', name: 'First Bank' } })
    const token = await host.integrations.admin.accessToken(connection.id)

    bank.signedIn = false
    await expect(
      host.integrations.admin.fetch(connection.id, '/accounts/get', { method: 'POST', body: '{}' }),
    ).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
    // The person leaves Plaid's page without having signed in: nothing is better, and nothing is lost.
    const left = await connect(connection.id)
    expect([left.status, left.body.code]).toEqual([400, 'AUTH_CODE_REJECTED'])
    expect((await host.integrations.admin.connections.get(connection.id))?.status).toBe('needs_reauth')

    bank.signedIn = true
    const repaired = await connect(connection.id)
    expect(repaired.body.connection).toMatchObject({ id: connection.id, status: 'active' })
    expect(await host.integrations.admin.accessToken(connection.id)).toBe(token)
    expect(asked('/item/public_token/exchange')).toHaveLength(1)
    const creates = asked('/link/token/create').map(({ body }) => body)
    expect(creates[0]).toMatchObject({ products: ['transactions'] })
    expect(creates[0]).not.toHaveProperty('access_token')
    expect(creates[2]).toMatchObject({ access_token: token })
    expect(creates[2]).not.toHaveProperty('products')
    expect(asked('/item/remove')).toEqual([])
    expect(host.log.join('\n')).not.toContain(token)
  })
  it('keeps its token when a repair cannot be saved', async () => {
    const { connection } = (await connect()).body
    bank.item = 'item-2'
    expect((await connect(connection.id)).body.code).toBe('AUTH_ACCOUNT_MISMATCH')
    bank.item = 'item-1'
    expect(asked('/item/remove')).toEqual([])
  })

  it('stays disconnected when it was while its repair was under way', async () => {
    const { connection } = (await connect()).body
    const state = await start(connection.id)
    bank.removable = false
    await host.integrations.admin.connections.disconnect(connection.id)
    expect((await end(state)).body.code).toBe('CONNECTION_DISCONNECTED')
    expect((await host.integrations.admin.connections.get(connection.id))?.status).toBe('disconnected')
  })
})
