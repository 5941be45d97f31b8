import type { Request } from 'express'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signedHeader } from '../../src/strategies/oauth1-flow.js'
import { runStrategy } from '../../src/strategies/strategy.js'
import { TrelloStrategy } from '../../src/strategies/trello.js'
import { createProviderLab, type LabRequest, type ProviderLab } from '../../src/testing/index.js'

/** The parameters of an `Authorization: OAuth …` header, decoded. */
function paramsOf(header = ''): Record<string, string> {
  expect(header).toMatch(/^OAuth /)
  return Object.fromEntries(
    header
      .slice('OAuth '.length)
      .split(', ')
      .map((pair) => {
        const [, name, value] = /^([\w%.-]+)="([^"]*)"$/.exec(pair) ?? []
        return [decodeURIComponent(name ?? ''), decodeURIComponent(value ?? '')]
      }),
  )
}

describe('the signature of OAuth 1.0a', () => {
  // The worked example that Twitter published for its API, with two parameters of the request besides those of OAuth.
  const keys = {
    consumerKey: 'xvz1evFS4wEEPTGEFPHBog',
    consumerSecret: 'kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw',
    tokenSecret: 'LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE',
  }
  const token = { oauth_token: '370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb' }
  const once = { nonce: 'kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg', timestamp: 1318622958 }
  const status = 'status=Hello%20Ladies%20%2B%20Gentlemen%2C%20a%20signed%20OAuth%20request%21'
  const url = `https://api.twitter.com/1.1/statuses/update.json?include_entities=true&${status}`
  const sign = (method: string, address: string) => paramsOf(signedHeader(method, address, token, keys, once))

  it('is that of the published example', () => {
    expect(sign('POST', url)).toEqual({
      oauth_consumer_key: 'xvz1evFS4wEEPTGEFPHBog',
      oauth_nonce: 'kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg',
      oauth_signature: 'hCtSmYh+iHYCEqBWrE7C7hYmtUk=',
      oauth_signature_method: 'HMAC-SHA1',
      oauth_timestamp: '1318622958',
      oauth_token: '370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb',
      oauth_version: '1.0',
    })
  })

  it('stands percent-encoded in the header, without the parameters of the request', () => {
    const header = signedHeader('POST', url, token, keys, once)
    expect(header).toContain('oauth_signature="hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D"')
    expect(header).not.toContain('status')
  })

  it('depends on neither the order of parameters, the case of method and host, a default port nor a fragment', () => {
    const same = `HTTPS://API.twitter.com:443/1.1/statuses/update.json?${status}&include_entities=true#top`
    expect(sign('post', same).oauth_signature).toBe('hCtSmYh+iHYCEqBWrE7C7hYmtUk=')
  })

  it.each([
    ['method', 'GET', url],
    ['path', 'POST', url.replace('update', 'other')],
    ['host', 'POST', url.replace('api.', 'api2.')],
    ['port', 'POST', url.replace('.com/', '.com:8443/')],
    ['parameter', 'POST', url.replace('true', 'false')],
  ])('is another one for another %s', (_what, method, address) => {
    expect(sign(method, address).oauth_signature).not.toBe('hCtSmYh+iHYCEqBWrE7C7hYmtUk=')
  })

  it('is that of the client below passport-oauth1, whatever stands in parameters and secrets', () => {
    const name = fc.string({
      unit: fc.constantFrom('a', 'A', 'z', '1', '-', '.', '_', '~', '%', '@', 'ü'),
      minLength: 1,
    })
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom("!'()*", 'a b+c', '%20', '=&?/#', '~-._', ''),
    )
    const query = fc.array(fc.tuple(name, value), { maxLength: 5 }).filter((pairs) => {
      // Its parser of queries knows each name once, and reads a repeated one as a list.
      return new Set(pairs.map(([one]) => one)).size === pairs.length
    })
    fc.assert(
      fc.property(query, value, value, value, (pairs, consumerSecret, tokenSecret, callback) => {
        const strategy = new TrelloStrategy(
          { clientID: 'the key', clientSecret: consumerSecret || 'x', callbackURL: 'http://app.test/callback' },
          () => {},
        )
        const { _oauth: theirs } = strategy as unknown as { _oauth: TheirClient }
        theirs._getNonce = () => 'nonce'
        theirs._getTimestamp = () => 1_700_000_000
        const search = pairs.map((pair) => pair.map(strict).join('=')).join('&')
        const address = `https://trello.com/1/OAuthGetRequestToken${search && '?'}${search}`
        const expected = theirs._prepareParameters(undefined, tokenSecret, 'POST', address, {
          oauth_callback: callback,
        })
        const ours = paramsOf(
          signedHeader(
            'POST',
            address,
            { oauth_callback: callback },
            { consumerKey: 'the key', consumerSecret: consumerSecret || 'x', tokenSecret },
            { nonce: 'nonce', timestamp: 1_700_000_000 },
          ),
        )
        expect(ours.oauth_signature).toBe(expected.find(([one]) => one === 'oauth_signature')?.[1])
        expect(ours.oauth_callback).toBe(callback)
      }),
    )
  })

  it('has a nonce of its own and the time of now each time', () => {
    const before = Math.floor(Date.now() / 1000)
    const many = Array.from({ length: 100 }, () => paramsOf(signedHeader('POST', url, token, keys)))
    expect(new Set(many.map(({ oauth_nonce }) => oauth_nonce)).size).toBe(100)
    for (const { oauth_timestamp } of many) {
      expect(Number(oauth_timestamp)).toBeGreaterThanOrEqual(before)
      expect(Number(oauth_timestamp)).toBeLessThanOrEqual(Math.floor(Date.now() / 1000))
    }
  })
})

interface TheirClient {
  _getNonce(): string
  _getTimestamp(): number
  _prepareParameters(
    token: undefined,
    tokenSecret: string,
    method: string,
    url: string,
    more: Record<string, string>,
  ): [name: string, value: string][]
}

function strict(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
}

describe('a request of OAuth 1.0a to a provider that origins maps elsewhere', () => {
  let lab: ProviderLab
  let requests: LabRequest[]
  const secrets: Record<string, string> = {}
  beforeAll(async () => {
    lab = await createProviderLab({ providers: ['trello'], recordsPerResource: 1 })
    const { clientId = '', clientSecret = '' } = lab.credentials.trello ?? {}
    const strategy = new TrelloStrategy(
      { clientID: clientId, clientSecret, callbackURL: 'http://app.test/callback', origins: lab.origins },
      () => {},
    )
    const session = {} as Record<string, Record<string, { data: { requestTokenSecret: string } }>>
    const start = await runStrategy(strategy, { method: 'GET', query: {}, session } as unknown as Request)
    if (start.kind !== 'redirect') throw new Error(start.kind)
    secrets.token = session['atom-integrations:trello']?.[start.state]?.data.requestTokenSecret ?? ''
    const callback = new URL(String(await lab.consent(start.url)))
    const query = Object.fromEntries(callback.searchParams)
    const end = await runStrategy(strategy, { method: 'GET', query, session } as unknown as Request)
    expect(end.kind).toBe('success')
    requests = lab.requests.filter(({ endpoint }) => endpoint === 'request_token' || endpoint === 'token')
  })
  afterAll(() => lab.close())

  it.each([
    ['request_token', 'https://trello.com/1/OAuthGetRequestToken'],
    ['token', 'https://trello.com/1/OAuthGetAccessToken'],
  ])('for the %s signs the original address, not the one it is sent to', (endpoint, url) => {
    const request = requests.find((one) => one.endpoint === endpoint) as LabRequest
    const mapped = url.replace('https://trello.com', lab.origins['https://trello.com'] as string)
    expect(mapped).toMatch(/^http:\/\/127\.0\.0\.1:/)
    const { oauth_signature, oauth_nonce: nonce, oauth_timestamp, ...rest } = paramsOf(request.headers.authorization)
    const { clientId: consumerKey = '', clientSecret: consumerSecret = '' } = lab.credentials.trello ?? {}
    const signatureFor = (address: string) => {
      const fields = Object.fromEntries(
        Object.entries(rest).filter(([name]) => /^oauth_(callback|token|verifier)$/.test(name)),
      )
      const tokenSecret = endpoint === 'token' ? (secrets.token ?? '') : ''
      const keys = { consumerKey, consumerSecret, tokenSecret }
      return paramsOf(signedHeader('POST', address, fields, keys, { nonce, timestamp: Number(oauth_timestamp) }))
        .oauth_signature
    }
    expect(oauth_signature).toBe(signatureFor(url))
    expect(oauth_signature).not.toBe(signatureFor(mapped))
    expect(request.headers.host).toBe(new URL(mapped).host)
  })
})
