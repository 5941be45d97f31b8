import { request as httpRequest } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createProviderLab, type LabFault, type ProviderLab } from '../../src/testing/index.js'
import { acmeCode, acmeExchange, acmeRefresh, acmeTokens, bearer, send } from './client.js'
import { acme, boards } from './definitions.js'

let lab: ProviderLab
let token: string
beforeEach(async () => {
  lab = await createProviderLab({ providers: [acme], recordsPerResource: 10 })
  token = (await acmeTokens(lab)).access_token
})
afterEach(() => lab.close())

const me = (init: RequestInit = {}) => send(lab, 'https://api.acme.example/v1/me', { headers: bearer(token), ...init })
const fault = (kind: LabFault['kind'], more: Partial<LabFault> = {}) =>
  lab.fault({ provider: 'acme', endpoint: 'identity', kind, ...more })

describe('faults of the lab', () => {
  it.each([
    200, 400, 401, 403, 404, 429, 500, 502, 503, 504,
  ] as const)('sends an HTML page with status %i', async (status) => {
    fault(`html-${status}`)
    const answer = await me()
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toContain('text/html')
    expect(await answer.text()).toMatch(/^<!DOCTYPE html>/)
    expect((await me()).status).toBe(200)
  })

  it('sends the right answer late', async () => {
    fault('slow', { delayMs: 80 })
    const before = performance.now()
    expect((await me()).status).toBe(200)
    expect(performance.now() - before).toBeGreaterThan(70)
  })

  it('never answers until the client gives up', async () => {
    fault('hang')
    await expect(me({ signal: AbortSignal.timeout(100) })).rejects.toThrow('aborted')
  })

  it('ends the connection half way', async () => {
    fault('cut')
    const answer = await me()
    expect(answer.status).toBe(200)
    await expect(answer.text()).rejects.toThrow('terminated')
  })

  it('sends more than anybody wants, as JSON', async () => {
    fault('oversized', { bytes: 1024 * 1024 })
    const answer = await me()
    expect(answer.headers.get('content-type')).toContain('json')
    expect((await answer.text()).length).toBeGreaterThan(1024 * 1024)
  })

  it('sends broken JSON, and nothing at all', async () => {
    fault('invalid-json')
    await expect((await me()).json()).rejects.toThrow(SyntaxError)
    fault('empty')
    expect(await (await me()).text()).toBe('')
  })

  it('limits the rate, with Retry-After in seconds or as a date', async () => {
    fault('rate-limit', { retryAfterSeconds: 7 })
    const seconds = await me()
    expect([seconds.status, seconds.headers.get('retry-after')]).toEqual([429, '7'])
    expect(await seconds.json()).toMatchObject({ error: { code: 'slow_down' } })
    fault('rate-limit-date', { retryAfterSeconds: 60 })
    const date = Date.parse((await me()).headers.get('retry-after') ?? '')
    expect(date - Date.now()).toBeGreaterThan(50_000)
  })

  it('refuses as the provider would', async () => {
    fault('unauthorized')
    fault('forbidden')
    fault('unavailable')
    const answers = [await me(), await me(), await me()]
    expect(answers.map(({ status }) => status)).toEqual([401, 403, 503])
    expect(await answers[0]?.json()).toMatchObject({ error: { code: 'token_dead' } })
    expect(await answers[1]?.json()).toMatchObject({ error: { code: 'no_right' } })
  })

  it('denies consent, and refuses a refresh token as rotated away', async () => {
    lab.fault({ provider: 'acme', endpoint: 'authorize', kind: 'denied' })
    expect((await acmeCode(lab)).callback.searchParams.get('error')).toBe('access_denied')
    const { refresh_token } = await acmeTokens(lab)
    lab.fault({ provider: 'acme', endpoint: 'refresh', kind: 'rotated-away' })
    expect(await acmeRefresh(lab, refresh_token)).toMatchObject({ status: 400, error: 'invalid_grant' })
    expect((await acmeRefresh(lab, refresh_token)).status).toBe(200)
  })

  it('meets token and refresh apart, and leaves the code unused where no answer was made', async () => {
    lab.fault({ provider: 'acme', endpoint: 'refresh', kind: 'html-502' })
    lab.fault({ provider: 'acme', endpoint: 'token', kind: 'html-200' })
    const { code, verifier } = await acmeCode(lab)
    expect((await acmeExchange(lab, code, verifier)).headers.get('content-type')).toContain('text/html')
    const answer = (await (await acmeExchange(lab, code, verifier)).json()) as { data: { refresh_token: string } }
    expect(answer.data.refresh_token).toEqual(expect.any(String))
  })

  it('meets one resource, or all by "api", for the number of times and until cleared', async () => {
    const get = (name: string) =>
      send(lab, `https://api.acme.example/v1/${name}`, { headers: bearer(token) }).then(({ status }) => status)
    lab.fault({ provider: 'acme', endpoint: 'folders', kind: 'html-500', times: 2 })
    expect([await get('vault'), await get('folders'), await get('folders'), await get('folders')]).toEqual([
      200, 500, 500, 200,
    ])
    lab.fault({ provider: 'acme', endpoint: 'api', kind: 'html', times: Number.POSITIVE_INFINITY })
    expect([await get('vault'), await get('folders'), (await me()).status]).toEqual([502, 502, 200])
    lab.clearFaults()
    expect(await get('vault')).toBe(200)
  })

  it.each([
    [{ provider: 'nobody' }, 'unknown provider "nobody"'],
    [{ endpoint: 'nowhere' }, 'unknown endpoint "nowhere"'],
    [{ kind: 'explode' }, 'unknown kind "explode"'],
    [{ kind: 'denied' }, 'needs endpoint "authorize"'],
    [{ kind: 'rotated-away' }, 'needs endpoint "refresh"'],
    [{ times: 0 }, '"times"'],
  ])('refuses the fault %o', (change, text) => {
    const wrong = { provider: 'acme', endpoint: 'identity', kind: 'html', ...change } as LabFault
    expect(() => lab.fault(wrong)).toThrow(TypeError)
    expect(() => lab.fault(wrong)).toThrow(text)
  })
})

describe('createProviderLab', () => {
  it('writes down every request with its original address', async () => {
    lab.requests.length = 0
    await me()
    expect(lab.requests).toEqual([
      expect.objectContaining({
        provider: 'acme',
        endpoint: 'identity',
        method: 'GET',
        url: 'https://api.acme.example/v1/me',
        body: '',
        status: 200,
      }),
    ])
    expect(lab.requests[0]?.headers.authorization).toBe(`Bearer ${token}`)
  })

  it('listens on loopback only', () => {
    for (const target of [...Object.values(lab.origins), lab.url]) expect(target).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  })

  it('has one origin for each that the definition uses, and a page that lists them', async () => {
    expect(Object.keys(lab.origins).sort()).toEqual(['https://acme.example', 'https://api.acme.example'])
    expect(await (await fetch(lab.url)).text()).toContain('https://api.acme.example')
  })

  it('gives each provider a client of its own', async () => {
    const two = await createProviderLab({ providers: [acme, boards] })
    expect(two.credentials.acme?.clientId).not.toBe(two.credentials.boards?.clientId)
    expect(two.credentials.acme?.definition).toBe(acme)
    await two.close()
  })

  it.each([undefined, 'production', 'staging'])('refuses to start with NODE_ENV %s', async (value) => {
    const before = process.env.NODE_ENV
    if (value === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = value
    try {
      await expect(createProviderLab({ providers: [acme] })).rejects.toThrow(/^createProviderLab: needs NODE_ENV/)
    } finally {
      process.env.NODE_ENV = before
    }
  })

  it.each([
    [{ months: 0 }, 'months'],
    [{ months: 1.5 }, 'months'],
    [{ recordsPerResource: 0 }, 'recordsPerResource'],
    [{ seed: 0.5 }, 'seed'],
    [{ accessTokenSeconds: -1 }, 'accessTokenSeconds'],
  ])('refuses the options %o', async (options, name) => {
    await expect(createProviderLab({ providers: [acme], ...options })).rejects.toThrow(`option "${name}"`)
  })

  it('survives a request that is no good', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const target = new URL(String(lab.origins['https://api.acme.example']))
      httpRequest({ host: target.hostname, port: target.port, path: '//evil/%zz?a=%', method: 'POST' }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
        .on('error', reject)
        .end('{"a":')
    })
    expect(status).toBe(401)
  })

  it('approves by itself where asked to', async () => {
    const auto = await createProviderLab({ providers: [acme], autoApprove: true })
    const { query } = await acmeCode(auto)
    const answer = await send(auto, `https://acme.example/oauth/authorize?${query}`)
    expect(answer.headers.get('location')).toContain('code=')
    await auto.close()
  })

  it('stops with open connections', async () => {
    fault('hang')
    const waiting = me().catch((error: unknown) => error)
    await expect.poll(() => lab.requests.at(-1)?.endpoint).toBe('identity')
    await lab.close()
    expect(await waiting).toBeInstanceOf(Error)
  })
})
