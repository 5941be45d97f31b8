import { afterEach, describe, expect, it, vi } from 'vitest'
import type { AtomOptions } from '../../src/options.js'
import { type Host, startHost } from '../support/host-app.js'

const JSON_ONLY = { accept: 'application/json' }

let host: Host
afterEach(async () => {
  await host.close()
  vi.useRealTimers()
  vi.unstubAllEnvs()
})

const start = async (options: Partial<AtomOptions>, provider: string) => {
  host = await startHost(options, undefined, [provider])
  return host.browser()
}

describe('sync: false', () => {
  it('refuses a backfill, over HTTP and in code', async () => {
    const browser = await start({ sync: false }, 'notion')
    const { id } = (await browser.connect('notion')).body.connection
    const answer = await browser.post(`/integrations/connections/${id}/backfills`, {}, JSON_ONLY)
    expect([answer.status, answer.body.code]).toEqual([409, 'SYNC_DISABLED'])
    const asked = host.integrations.forTenant('org_acme').triggerHistoricalSync({ connectionId: id })
    await expect(asked).rejects.toMatchObject({ code: 'SYNC_DISABLED' })
    expect((await host.integrations.admin.backfills.list()).items).toEqual([])
  })
})

describe('forTenant', () => {
  it('takes an id of 1 to 200 characters and nothing else', async () => {
    await start({}, 'notion')
    for (const id of ['', 'x'.repeat(201), undefined, null, 7, {}])
      expect(() => host.integrations.forTenant(id as string)).toThrow(/forTenant: the tenant id must be a string/)
    expect(await host.integrations.forTenant('x'.repeat(200)).connections.list()).toEqual({ items: [], next: null })
  })
})

describe('backgroundRefresh: true', () => {
  it('uses a refresh token in the last days before it ends unused', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] })
    const browser = await start({ backgroundRefresh: true }, 'box')
    expect((await browser.connect('box')).status).toBe(200)
    const refreshes = () => host.lab.requests.filter(({ endpoint }) => endpoint === 'refresh').length
    vi.setSystemTime(Date.now() + 57 * 86_400_000)
    expect(refreshes()).toBe(0)
    vi.advanceTimersByTime(60_000)
    await expect.poll(refreshes, { timeout: 10_000 }).toBe(1)
  })
})

describe('allowedOrigins', () => {
  it('lets a page of such an origin start by a link, as its Referer tells', async () => {
    const browser = await start({ allowedOrigins: ['https://admin.example'] }, 'notion')
    const from = (referer: string, headers: object) =>
      browser.get('/integrations/notion/connect', { 'sec-fetch-site': 'cross-site', referer, ...headers })
    const own = await from('https://admin.example/settings', {})
    expect([own.status, own.headers.location]).toEqual([302, expect.stringMatching(/^https?:.*authorize/)])
    expect((await from('https://admin.example/', JSON_ONLY)).body).toHaveProperty('authorizationUrl')
    for (const forged of [
      'https://admin.example.evil.example/',
      'https://evil.example/https://admin.example/',
      'https://admin.example@evil.example/',
      'http://admin.example/',
      'https://admin.example:8443/',
      'null',
    ]) {
      // Only a page with a button, and no address for programs.
      const page = await from(forged, {})
      expect([forged, page.status, page.headers.location]).toEqual([forged, 200, undefined])
      const refused = await from(forged, JSON_ONLY)
      expect([forged, refused.status, refused.body.code]).toEqual([forged, 403, 'REQUEST_FOREIGN_ORIGIN'])
    }
  })
})

describe('a provider without its variables', () => {
  it('is "not available" in production, which names none of them', async () => {
    for (const name of ['SLACK_CLIENT_ID', 'SLACK_CLIENT_SECRET']) vi.stubEnv(name, '')
    const answers = async (environment: string) => {
      // The lab itself refuses to run in production.
      host = await startHost(
        async () => {
          vi.stubEnv('NODE_ENV', environment)
          return { providers: ['slack'], origins: {} }
        },
        undefined,
        ['slack'],
      )
      const path = '/integrations/slack/connect'
      return [await host.browser().get(path), await host.browser().get(path, JSON_ONLY)] as const
    }
    const [page, problem] = await answers('production')
    expect([page.status, page.text]).toEqual([409, expect.stringContaining('Not available')])
    expect(problem.body).toMatchObject({ code: 'PROVIDER_NOT_CONFIGURED', title: 'Not available' })
    expect(page.text + problem.text + (await host.browser().get('/integrations')).text).not.toContain('SLACK_')
    vi.stubEnv('NODE_ENV', 'development')
    await host.close()
    const [, told] = await answers('development')
    expect(told.body.fields).toEqual({ configuration: 'Set SLACK_CLIENT_ID, SLACK_CLIENT_SECRET.' })
  })
})

describe('http', () => {
  it('timeoutMs ends a request to a token endpoint that hangs', async () => {
    const browser = await start({ http: { timeoutMs: 500 } }, 'notion')
    host.lab.fault({ provider: 'notion', endpoint: 'token', kind: 'hang' })
    const answer = await browser.connect('notion')
    expect([answer.status, answer.body.code]).toEqual([503, 'PROVIDER_TIMEOUT'])
    expect(answer.headers['content-type']).toContain('application/problem+json')
  })
})
