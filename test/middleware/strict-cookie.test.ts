import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { launchChromium } from '../support/browser.js'
import { ada, type Host, startHost } from '../support/host-app.js'

const SIGNED_IN = /(?:^|; )session=ada(?:;|$)/

let chromium: Browser
let host: Host
let server: Server
let base: string
/** What came to the callback: with the session's cookie, and after which kind of step. */
const callbacks: { session: boolean; site: unknown; bounced: boolean }[] = []

beforeAll(async () => {
  chromium = await launchChromium()
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // Another site than the lab, which is at 127.0.0.1.
  base = `http://localhost:${(server.address() as AddressInfo).port}`
  host = await startHost(
    {
      baseUrl: base,
      identify: (req) => SIGNED_IN.test(String(req.headers.cookie)) && ada,
      loginUrl: '/login',
    },
    (app) => {
      app.use((req, _res, next) => {
        if (req.path.endsWith('/callback'))
          callbacks.push({
            session: SIGNED_IN.test(String(req.headers.cookie)),
            site: req.headers['sec-fetch-site'],
            bounced: 'atom_bounced' in req.query,
          })
        next()
      })
      app.get('/login', (_req, res) => {
        res.cookie('session', 'ada', { sameSite: 'strict', httpOnly: true }).redirect('/integrations')
      })
    },
    ['slack'],
  )
  server.on('request', express().use(host.app))
})
afterAll(async () => {
  await chromium?.close()
  server?.closeAllConnections()
  server?.close()
  await host?.close()
})

it.each([
  ['with JavaScript', true],
  ['without JavaScript', false],
])('a session in a strict cookie connects in Chromium, %s, by one step of our own page', async (_what, javaScriptEnabled) => {
  const context = await chromium.newContext({ javaScriptEnabled })
  context.setDefaultTimeout(10_000)
  try {
    callbacks.length = 0
    const page = await context.newPage()
    await page.goto(`${base}/login`)
    await page.getByRole('link', { name: /connect(?: another)? slack/i }).click()
    await page.getByRole('button', { name: /approve/i }).click()
    await page.waitForURL(/\/integrations\?connected=slack/)
    expect(await page.getByRole('status').first().textContent()).toContain('Slack is connected')
    // The browser kept the cookie back when it came from the provider, and sent it with our own step.
    expect(callbacks).toEqual([
      { session: false, site: 'cross-site', bounced: false },
      { session: true, site: expect.stringMatching(/^(same-origin|cross-site)$/), bounced: true },
    ])
  } finally {
    await context.close()
  }
})

it('who is not signed in is shown the way to sign in, and is not sent in circles', async () => {
  const context = await chromium.newContext()
  context.setDefaultTimeout(10_000)
  try {
    const page = await context.newPage()
    await page.goto(`${base}/login`)
    await page.getByRole('link', { name: /connect(?: another)? slack/i }).click()
    await context.clearCookies({ name: 'session' })
    callbacks.length = 0
    await page.getByRole('button', { name: /approve/i }).click()
    await page.getByRole('link', { name: 'Sign in' }).waitFor()
    expect(callbacks.map(({ bounced }) => bounced)).toEqual([false, true])
  } finally {
    await context.close()
  }
})
