import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineProvider } from '../../src/strategies/index.js'
import { ben, type Host, startHost } from '../support/host-app.js'

/** A grant that reaches three sites, one of them another product's. */
const atlas = defineProvider({
  id: 'atlas',
  name: 'Atlas',
  category: 'projects',
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://auth.atlas.example/authorize',
    tokenURL: 'https://auth.atlas.example/token',
    clientAuth: 'body',
    pkce: 'always',
    scopes: [{ scope: 'read', why: 'read' }],
    refreshToken: 'static',
    tokens: { default: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in' } },
  },
  params: [
    { name: 'siteId', label: 'Site', pattern: /^site-[a-z]+$/, hint: 'Chosen after the approval.', from: 'token' },
    { name: 'siteName', label: 'Name', pattern: /^.{1,100}$/, hint: 'Chosen after the approval.', from: 'token' },
  ],
  choices: {
    request: { method: 'GET', url: 'https://api.atlas.example/sites' },
    items: 'sites',
    itemFilter: (site) => site.product !== 'wiki',
    id: 'id',
    name: 'title',
    param: 'siteId',
    params: { siteName: 'title' },
    noun: 'site',
  },
  identity: {
    request: { method: 'GET', url: 'https://api.atlas.example/{siteId}/me' },
    resolve: async ({ params }) => ({ id: params.siteId as string, name: params.siteName as string }),
  },
  api: { baseURL: 'https://api.atlas.example/{siteId}' },
  resources: [],
  guide: { setup: [], sources: [] },
  lab: {
    params: { siteId: 'site-north', siteName: 'North' },
    answers: [
      {
        method: 'GET',
        url: 'https://api.atlas.example/sites',
        body: () => ({
          sites: [
            { id: 'site-north', title: 'North' },
            { id: 'site-wiki', title: 'Wiki', product: 'wiki' },
            { id: 'site-south', title: 'South <&>' },
          ],
        }),
      },
    ],
  },
})

let host: Host
beforeEach(async () => {
  host = await startHost({}, undefined, [atlas])
})
afterEach(() => host.close())

const connections = async () => (await host.integrations.admin.connections.list({ limit: 50 })).items
const field = (page: string, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? ''

describe('a grant that reaches several accounts', () => {
  it('is asked about on a page that offers just those, and connects the one that was chosen', async () => {
    const browser = host.browser()
    const callback = await browser.connect('atlas', { accept: 'text/html' })
    expect(callback.status).toBe(303)
    expect(await connections()).toEqual([])
    const page = await browser.get(callback.headers.location as string)
    expect(page.text).toContain('Which site?')
    expect(page.text).toContain('South &lt;&amp;&gt;')
    expect(page.text).not.toContain('Wiki')
    const answer = { csrf: field(page.text, 'csrf'), state: field(page.text, 'state'), choice: 'site-south' }
    const form = new URLSearchParams(answer).toString()
    const done = await browser.post('/integrations/atlas/choose', form)
    expect([done.status, done.headers.location]).toEqual([303, '/integrations?connected=atlas'])
    expect(await connections()).toMatchObject([{ account: { id: 'site-south', name: 'South <&>' } }])
    // Used up.
    expect((await browser.post('/integrations/atlas/choose', form)).status).toBe(400)
    expect(await connections()).toHaveLength(1)
  })

  it('is a list for programs, and counts for the browser and user that asked', async () => {
    const browser = host.browser()
    const { body } = await browser.connect('atlas')
    expect(body.choices).toEqual([
      { id: 'site-north', name: 'North' },
      { id: 'site-south', name: 'South <&>' },
    ])
    const post = (choice: string, from = browser) =>
      from.post('/integrations/atlas/choose', { state: body.state, choice }, { accept: 'application/json' })
    expect((await post('site-north', host.browser())).body.code).toBe('AUTH_BROWSER_MISMATCH')
    expect((await post('site-north', host.browser(ben))).status).toBe(403)
    expect((await post('site-wiki')).body).toMatchObject({
      code: 'REQUEST_INVALID',
      fields: { choice: expect.any(String) },
    })
    const done = await post('site-north')
    expect(done.body.connection).toMatchObject({ provider: 'atlas', account: { id: 'site-north', name: 'North' } })
  })

  it('takes no code in the name of an attempt that waits for a choice', async () => {
    const browser = host.browser()
    const { body } = await browser.connect('atlas')
    const callback = new URL(await browser.consent(await browser.start('atlas')), 'https://app.example')
    callback.searchParams.set('state', body.state)
    const answer = await browser.get(callback.pathname + callback.search, { accept: 'application/json' })
    expect([answer.status, answer.body.code]).toEqual([400, 'AUTH_STATE_UNKNOWN'])
  })

  it('needs no question when it repairs a connection', async () => {
    const browser = host.browser()
    const { state } = (await browser.connect('atlas')).body
    const chosen = { state, choice: 'site-south' }
    const known = (await browser.post('/integrations/atlas/choose', chosen, { accept: 'application/json' })).body
    expect(known.connection.account.id).toBe('site-south')
    const start = await browser.start('atlas', { reconnect: known.connection.id })
    const done = await browser.get(await browser.consent(start), { accept: 'application/json' })
    expect(done.body.connection).toMatchObject({ id: known.connection.id, account: { id: 'site-south' } })
  })
})

describe('a grant that nobody can be asked about', () => {
  it('is given back', async () => {
    let whileListing = async () => {}
    const revoked: string[] = []
    const api = createServer(async (req, res) => {
      const chunks: Buffer[] = []
      for await (const chunk of req) chunks.push(chunk as Buffer)
      if (req.url === '/revoke') revoked.push(Buffer.concat(chunks).toString())
      else await whileListing()
      const sites = [
        { id: 'site-a', title: 'A' },
        { id: 'site-b', title: 'B' },
      ]
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ sites }))
    })
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
    const atoll = defineProvider({
      ...atlas,
      id: 'atoll',
      name: 'Atoll',
      auth: {
        ...atlas.auth,
        revocation: {
          method: 'POST',
          url: 'https://api.atlas.example/revoke',
          form: { token: '{token}' },
          auth: 'none',
        },
      },
    })
    const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`
    const own = await startHost(
      async (lab) => ({ origins: { ...lab.origins, 'https://api.atlas.example': url } }),
      undefined,
      [atoll],
    )
    const browser = own.browser()
    whileListing = async () => {
      for (let open = 0; open < 20; open++) await browser.start('atoll')
    }
    expect((await browser.connect('atoll')).body.code).toBe('REQUEST_LIMIT')
    expect(revoked).toEqual([expect.stringMatching(/^token=.+/)])
    await own.close()
    api.close()
  })
})
