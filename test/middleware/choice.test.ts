import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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
beforeAll(async () => {
  host = await startHost({}, undefined, [atlas])
})
afterAll(() => host.close())

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

  it('needs no question when it repairs a connection', async () => {
    const known = (await connections()).find(({ account }) => account.id === 'site-south')
    const browser = host.browser()
    const start = await browser.start('atlas', { reconnect: known?.id ?? '' })
    const done = await browser.get(await browser.consent(start), { accept: 'application/json' })
    expect(done.body.connection).toMatchObject({ id: known?.id, account: { id: 'site-south' } })
  })
})
