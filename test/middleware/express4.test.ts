import express4 from 'express4'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ada, Browser, type Host, startHost } from '../support/host-app.js'

describe.each([
  ['without a body parser', false],
  ['with body parsers before it', true],
])('under express 4.21, %s', (_what, parsers) => {
  let host: Host
  let browser: Browser
  beforeAll(async () => {
    host = await startHost()
    const app = express4()
    if (parsers) app.use(express4.json(), express4.urlencoded({ extended: true }))
    app.use(host.integrations)
    app.get('/', (_req, res) => void res.send('the host'))
    browser = new Browser(app as never, ada, host.lab, 'http://127.0.0.1:3000')
  })
  afterAll(() => host.close())

  it('connects by redirect, by form and by key', async () => {
    expect((await browser.connect('slack')).body.connection).toMatchObject({ provider: 'slack', status: 'active' })
    const page = await browser.get('/integrations/shopify/connect?shop=my-shop.myshopify.com')
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
    const fields = new URLSearchParams({ csrf, 'params.shop': 'my-shop.myshopify.com' }).toString()
    expect((await browser.post('/integrations/shopify/connect', fields)).status).toBe(302)
    const key = { params: { apiKey: host.lab.apiKey('stripe') } }
    expect((await browser.post('/integrations/stripe/connect', key, { accept: 'application/json' })).status).toBe(201)
  })

  it('lets other requests pass', async () => {
    expect((await browser.get('/')).text).toBe('the host')
  })
})
