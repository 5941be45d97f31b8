import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/browser.js'
import { type Host, startHost } from '../support/host-app.js'

let chromium: Browser
let host: Host
let server: Server
let base: string
let context: BrowserContext
/** What a browser complains about: scripts that throw, and everything that the content policy stops. */
let complaints: string[] = []

beforeAll(async () => {
  chromium = await launchChromium()
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  host = await startHost({
    baseUrl: base,
    sync: { months: 3 },
    identify: () => ({ tenantId: 'org_acme', userId: 'ada' }),
  })
  const app = express()
  app.get('/popup', (_req, res) => {
    res
      .type('html')
      .send(`<!doctype html><title>Host</title><button onclick="window.open('/integrations/slack/connect?mode=popup')">Connect</button>
<script>window.messages=[];addEventListener('message',event=>messages.push({origin:event.origin,data:event.data}))</script>`)
  })
  app.get('/favicon.ico', (_req, res) => void res.status(204).end())
  app.use(host.app)
  server.on('request', app)
})
afterAll(async () => {
  await chromium?.close()
  server?.closeAllConnections()
  server?.close()
  await host?.close()
})
afterEach(async () => {
  await context?.close()
  host.lab.clearFaults()
})

async function open(path: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
  context = await chromium.newContext(options)
  complaints = []
  context.on('page', (page) => {
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        complaints.push(message.text())
    })
  })
  context.setDefaultTimeout(10_000)
  const page = await context.newPage()
  await page.goto(base + path)
  return page
}

/** Approves on the lab's consent page. */
async function approve(page: Page): Promise<void> {
  await page.getByRole('button', { name: /approve/i }).click()
}

/** The lab's account was perhaps read a minute ago, by the test before: then there is nothing new. */
const READ = /Read: (?:[1-9]\d* records|nothing new)/

describe.each([
  ['with JavaScript', true],
  ['without JavaScript', false],
])('in Chromium, %s', (_what, javaScriptEnabled) => {
  it('connects, and shows what arrives', async () => {
    const page = await open('/integrations', { javaScriptEnabled })
    await page.getByRole('link', { name: /connect(?: another)? hubspot/i }).click()
    await approve(page)
    await page.waitForURL(/\/integrations\?connected=hubspot/)
    expect(await page.getByRole('status').textContent()).toContain('HubSpot is connected')
    const card = page.getByRole('region', { name: /HubSpot/ })
    if (!javaScriptEnabled) {
      // What the page links as "Update".
      const read = async () => {
        await page.reload()
        return card.textContent()
      }
      await expect.poll(read, { timeout: 15_000 }).toMatch(READ)
    } else await card.getByText(READ).waitFor({ timeout: 15_000 })
    // Offered as soon as everything is read, without loading the page anew.
    await card.getByRole('button', { name: /^Read HubSpot.* again$/ }).waitFor()
    const sure = card.getByRole('button', { name: /^Disconnect HubSpot.* now$/ })
    expect(await sure.isVisible()).toBe(false)
    await card.getByText('Disconnect', { exact: true }).click()
    await sure.click()
    await page.waitForURL(/\/integrations\?disconnected=hubspot$/)
    expect(await page.getByRole('status').first().textContent()).toBe('HubSpot is disconnected.')
    expect(await page.getByRole('region', { name: /HubSpot/ }).count()).toBe(0)
    expect(complaints).toEqual([])
  })

  it('asks for the shop, keeps what was typed, and goes on with a pasted address', async () => {
    const page = await open('/integrations/shopify/connect', { javaScriptEnabled })
    const field = page.getByLabel(/^Shop/)
    await field.fill('https://evil.example/x')
    await page.getByRole('button', { name: 'Connect Shopify' }).click()
    expect(await field.inputValue()).toContain('evil.example')
    expect(await field.getAttribute('aria-invalid')).toBe('true')
    await field.fill('https://My-Shop.myshopify.com/admin')
    await page.getByRole('button', { name: 'Connect Shopify' }).click()
    await page.getByRole('button', { name: /deny/i }).click()
    await page.getByRole('heading', { name: 'Not connected' }).waitFor()
    expect(complaints).toEqual([])
  })

  it('refuses a wrong key without showing it again', async () => {
    const page = await open('/integrations/stripe/connect', { javaScriptEnabled })
    await page.locator('input[type=password]').fill('sk_test_000000000000000000')
    await page.getByRole('button', { name: 'Connect Stripe' }).click()
    await page.getByRole('alert').waitFor()
    expect(await page.content()).not.toContain('sk_test_0000')
    expect(complaints).toEqual([])
  })

  it('explains an outage', async () => {
    const page = await open('/integrations', { javaScriptEnabled })
    host.lab.fault({ provider: 'trello', endpoint: 'token', kind: 'html-502', times: 1 })
    await page.getByRole('link', { name: /connect trello/i }).click()
    await approve(page)
    await page.getByRole('heading', { name: 'Trello answered with a web page' }).waitFor()
    expect(await page.getByText(/r-[2-9a-z]{8}/).count()).toBe(1)
    expect(complaints).toEqual([])
  })
})

describe('a popup', () => {
  it('tells the page that opened it, and nobody else, how it went', async () => {
    const page = await open('/popup')
    for (const [button, message] of [
      [/approve/i, { provider: 'slack', connectionId: expect.any(String) }],
      [/deny/i, { provider: 'slack', code: 'AUTH_DENIED' }],
    ] as const) {
      const [popup] = await Promise.all([
        page.waitForEvent('popup'),
        page.getByRole('button', { name: 'Connect' }).click(),
      ])
      // A popup's start comes from our own page, so it goes straight to the provider.
      await popup.getByRole('button', { name: button }).click()
      await page.waitForFunction('messages.length > 0')
      expect(await page.evaluate('messages.shift()')).toEqual({
        origin: base,
        data: { type: 'atom-integrations', ...message },
      })
    }
    expect(complaints).toEqual([])
  })
})

describe('every page', () => {
  it.each([320, 390, 1280])('fits %d pixels, and names every control', async (width) => {
    const page = await open('/integrations', { viewport: { width, height: 800 } })
    for (const path of [
      '/integrations',
      '/integrations/shopify/connect',
      '/integrations/stripe/connect',
      '/integrations/slack/callback?code=x&state=y',
    ]) {
      await page.goto(base + path)
      const found = (await page.evaluate(`({
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        headings: document.querySelectorAll('h1').length,
        main: document.querySelectorAll('main').length,
        lang: document.documentElement.lang,
        nameless: [...document.querySelectorAll('a,button,input:not([type=hidden]),select')].filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).length,
        small: [...document.querySelectorAll('a.button,.button,button,input:not([type=hidden]),select')].filter((e) => e.checkVisibility() && (e.closest('label.choice') ?? e).getBoundingClientRect().height < 44).length,
      })`)) as Record<string, unknown>
      expect([path, found]).toEqual([path, { overflow: 0, headings: 1, main: 1, lang: 'en', nameless: 0, small: 0 }])
    }
    expect(complaints).toEqual([])
  })
})
