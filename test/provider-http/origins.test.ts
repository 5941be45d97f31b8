import { lookup } from 'node:dns/promises'
import { describe, expect, it } from 'vitest'
import { createProviderHttp, type OriginMap } from '../../src/provider-http/client.js'
import { isAllowedOrigin, isPrivateAddress } from '../../src/provider-http/origins.js'
import { ask, failure, json, openDoor, startProvider, startTcp } from './provider.js'

describe('the origins of a request', () => {
  const allows = (url: string, ...origins: string[]) => isAllowedOrigin(new URL(url), origins)

  it('are exact', () => {
    expect(allows('https://slack.com/api', 'https://slack.com')).toBe(true)
    expect(allows('https://SLACK.com:443/api', 'https://slack.com')).toBe(true)
    for (const url of [
      'http://slack.com/',
      'https://slack.com:8443/',
      'https://slack.com.evil.example/',
      'https://evil.example/slack.com',
      'https://evil.example/?https://slack.com',
      'https://slack.com./',
      'https://api.slack.com/',
      'https://user@slack.com/',
      'https://:secret@slack.com/',
      'https://slack.com@evil.example/',
      'https://slack.com%2f@evil.example/',
      'https://slаck.com/', // a Cyrillic а
      'ws://slack.com/',
      'data:text/plain,slack.com',
    ])
      expect(allows(url, 'https://slack.com'), url).toBe(false)
  })

  it('let a wildcard stand for one label', () => {
    const shops = 'https://*.myshopify.com'
    expect(allows('https://my-shop.myshopify.com/admin', shops)).toBe(true)
    expect(allows('https://xn--bcher-kva.myshopify.com/', shops)).toBe(true)
    for (const url of [
      'https://myshopify.com/',
      'https://.myshopify.com/',
      'https://a.b.myshopify.com/',
      'https://evil.com/.myshopify.com',
      'https://evil.com#.myshopify.com',
      'https://evil.com?.myshopify.com',
      'https://evil.com\\.myshopify.com',
      'https://evil.com:443/.myshopify.com',
      'https://evilmyshopify.com/',
      'https://shop.myshopify.com.evil.com/',
      'https://shop.myshopify.com:444/',
      'https://x@shop.myshopify.com/',
      'https://-shop.myshopify.com/',
      'http://shop.myshopify.com/',
    ])
      expect(URL.canParse(url) && allows(url, shops), url).toBe(false)
  })

  it('take no pattern that would let anything through', () => {
    for (const pattern of [
      'https://*',
      'https://*.com',
      'https://*.*.com',
      'https://a*.example.com',
      '*',
      'http://*.a.b',
    ])
      expect(allows('https://evil.com/', pattern), pattern).toBe(false)
    expect(allows('https://a.evil.com/', 'https://*.*.com')).toBe(false)
    expect(allows('https://eu.app.example:8443/', 'https://*.app.example:8443')).toBe(true)
  })

  it('refuse any other before a byte leaves', async () => {
    const provider = await startProvider((_seen, response) => json(response, {}))
    const door = openDoor(provider.url, { origins: { 'https://other.example': provider.url } })
    for (const url of [
      'https://other.example/',
      'http://api.acme.example/',
      'https://x:y@api.acme.example/',
      '/relative',
    ])
      expect(await failure(door.request({ ...ask(), url }))).toMatchObject({
        code: 'PROVIDER_ORIGIN_REFUSED',
        sent: 'no',
      })
    expect(provider.seen).toEqual([])
  })
})

describe('a private address', () => {
  it.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:a9fe:a9fe',
    '::ffff:0:7f00:1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '2001:db8::1',
    '2002:7f00:1::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    'no address',
  ])('is %s', (address) => expect(isPrivateAddress(address)).toBe(true))

  it.each([
    '1.1.1.1',
    '172.32.0.1',
    '100.128.0.1',
    '193.0.0.1',
    '2606:4700::1111',
    '::ffff:1.1.1.1',
    '::ffff:101:101',
  ])('is not %s', (address) => expect(isPrivateAddress(address)).toBe(false))

  it('is refused as the host of a URL, however it is written', async () => {
    let connections = 0
    const port = new URL(await startTcp(() => connections++)).port
    const door = openDoor('https://unused.example')
    for (const host of [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '127.0.0.1.',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[0:0:0:0:0:ffff:127.0.0.1]',
      '169.254.169.254',
      '[fd00:ec2::254]',
    ]) {
      const { href: url, origin } = new URL(`https://${host}:${port}/`)
      const error = await failure(door.request({ ...ask(), url, origins: [origin] }))
      expect(error, host).toMatchObject({ code: 'PROVIDER_ORIGIN_REFUSED', sent: 'no' })
    }
    expect(connections).toBe(0)
  })

  it('is refused at the moment of connecting where a name leads to it', async () => {
    expect(isPrivateAddress((await lookup('localhost')).address)).toBe(true)
    let connections = 0
    const port = new URL(await startTcp(() => connections++)).port
    const origin = `https://localhost:${port}`
    for (const method of ['request', 'stream'] as const) {
      const error = await failure(
        openDoor('https://unused.example')[method]({ ...ask(), url: origin, origins: [origin] }),
      )
      expect(error).toMatchObject({ code: 'PROVIDER_ORIGIN_REFUSED', sent: 'no' })
      expect(error.message).toContain('private address')
    }
    expect(connections).toBe(0)
  })

  it('is reached where the operator mapped an origin to it', async () => {
    const provider = await startProvider((_seen, response) => json(response, { here: true }))
    const origins = { 'https://gitlab.internal.example': provider.url.replace('127.0.0.1', 'localhost') }
    const request = { ...ask(), url: 'https://gitlab.internal.example/x', origins: ['https://gitlab.internal.example'] }
    expect((await openDoor(provider.url, { origins }).request(request)).body).toEqual({ here: true })
  })
})

describe('the option origins', () => {
  it('leads server and browser to where they belong', async () => {
    const provider = await startProvider((_seen, response) => json(response, {}))
    const door = openDoor(provider.url, {
      origins: {
        'https://acme.example': { browser: 'http://localhost:3000', server: provider.url },
        'https://*.shops.example': provider.url,
        'https://*.both.example': { browser: 'https://sandbox.example', server: provider.url },
      },
    })
    expect(door.browserURL('https://acme.example/authorize?a=b#c')).toBe('http://localhost:3000/authorize?a=b#c')
    expect(door.browserURL('https://one.shops.example/a')).toBe(`${provider.url}/a`)
    expect(door.browserURL('https://one.both.example/')).toBe('https://sandbox.example/')
    expect(door.browserURL('https://elsewhere.example/a')).toBe('https://elsewhere.example/a')
    expect(door.browserURL('https://a.b.shops.example/')).toBe('https://a.b.shops.example/')
    await door.request({ ...ask(), url: 'https://one.shops.example/x', origins: ['https://*.shops.example'] })
    expect(provider.seen[0]).toMatchObject({ path: '/x', headers: { 'x-forwarded-host': 'one.shops.example' } })
  })

  it.each<[string, OriginMap, RegExp]>([
    ['a key that is no origin', { 'slack.com': 'https://a.example' }, /"slack.com" must be an https origin/],
    ['a key with a path', { 'https://slack.com/api': 'https://a.example' }, /must be an https origin/],
    ['a plain http key', { 'http://slack.com': 'https://a.example' }, /must be an https origin/],
    ['a wildcard over everything', { 'https://*': 'https://a.example' }, /must be an https origin/],
    ['a wildcard over a top level', { 'https://*.com': 'https://a.example' }, /must be an https origin/],
    ['two wildcards', { 'https://*.*.example.com': 'https://a.example' }, /must be an https origin/],
    ['plain http to another machine', { 'https://slack.com': 'http://10.0.0.1' }, /plain http only on this machine/],
    ['plain http to a name', { 'https://slack.com': 'http://proxy.example' }, /"https:\/\/slack.com".*this machine/],
    ['a name that only begins like loopback', { 'https://slack.com': 'http://127.0.0.1.evil.example' }, /this machine/],
    ['a target with a path', { 'https://slack.com': 'https://a.example/b' }, /must be an origin such as/],
    ['a target with a password', { 'https://slack.com': 'https://:x@a.example' }, /must be an origin such as/],
    ['a target that is no URL', { 'https://slack.com': 'a' }, /must be an origin such as/],
    ['a target of another kind', { 'https://slack.com': 'file:///etc' }, /must be an origin such as/],
    ['half a target', { 'https://slack.com': { browser: 'https://a.example' } as never }, /must be an origin such as/],
    ['no target', { 'https://slack.com': null as never }, /must be an origin such as/],
  ])('refuses %s, naming itself and the cure', (_what, origins, message) => {
    expect(() => createProviderHttp({ origins })).toThrow(TypeError)
    expect(() => createProviderHttp({ origins })).toThrow(/^option "origins":/)
    expect(() => createProviderHttp({ origins })).toThrow(message)
  })

  it('takes loopback in all its ways of writing', async () => {
    for (const target of ['http://127.0.0.1:1', 'http://localhost:1', 'http://[::1]:1', 'https://elsewhere.example'])
      await createProviderHttp({ origins: { 'https://slack.com': target } }).close()
  })
})
