import { describe, expect, it } from 'vitest'
import type { DoorRequest } from '../../src/provider-http/client.js'
import { ask, failure, json, ORIGIN, openDoor, startProvider } from './provider.js'

const FILES = 'https://files.acme.example'

async function redirecting(location: string, status = 302) {
  const files = await startProvider((_seen, response) => json(response, { from: 'files' }))
  const provider = await startProvider((seen, response) =>
    seen.path.startsWith('/there')
      ? json(response, { from: 'api' })
      : response.writeHead(status, { location }).end('moved'),
  )
  const door = openDoor(provider.url, { origins: { [FILES]: files.url, 'https://evil.example': files.url } })
  return { door, provider, files }
}
const secret = { authorization: 'Bearer s3cret', 'X-Api-Key': 's3cret', cookie: 'a=s3cret', 'Plaid-Secret': 's3cret' }

describe('a redirect', () => {
  it.each([
    'token',
    'refresh',
    'request_token',
    'revoke',
    'link',
  ] as const)('is not followed at %s', async (endpoint) => {
    const { door, provider } = await redirecting('/there')
    for (const method of ['GET', 'POST']) {
      const error = await failure(door.request(ask('/', { endpoint, method })))
      expect(error).toMatchObject({ code: 'PROVIDER_BAD_RESPONSE', providerStatus: 302 })
      expect(error.fault).toBeUndefined()
    }
    expect(provider.seen).toHaveLength(2)
  })

  it('is not followed by what is no read', async () => {
    const { door, provider } = await redirecting('/there', 307)
    const error = await failure(door.request(ask('/', { method: 'POST', body: 'x', retries: 2 })))
    expect(error.code).toBe('PROVIDER_BAD_RESPONSE')
    expect(provider.seen).toHaveLength(1)
  })

  it.each([301, 302, 303, 307, 308])('of status %i is followed by a read, credentials with it', async (status) => {
    const { door, provider } = await redirecting('/there?x=1', status)
    const answer = await door.request(ask('/', { headers: secret }))
    expect(answer).toMatchObject({ body: { from: 'api' }, url: `${ORIGIN}/there?x=1` })
    expect(provider.seen[1]?.headers).toMatchObject({ authorization: 'Bearer s3cret', 'x-api-key': 's3cret' })
  })

  it('to another origin of the connection is followed without any credential', async () => {
    const { door, files } = await redirecting(`${FILES}/f`)
    const request: Partial<DoorRequest> = { headers: { ...secret, Accept: 'a/b', range: 'bytes=0-9' } }
    expect((await door.request(ask('/', { ...request, origins: [ORIGIN, FILES] }))).body).toEqual({ from: 'files' })
    expect(JSON.stringify(files.seen)).not.toContain('s3cret')
    expect(files.seen[0]?.headers).toMatchObject({ accept: 'a/b', range: 'bytes=0-9' })
  })

  it.each([
    'https://evil.example/',
    '//evil.example/',
    'http://api.acme.example/there',
    'https://x@api.acme.example/there',
    'https://127.0.0.1/',
    'javascript:alert(1)',
    'https://files.acme.example/',
  ])('to %s is refused', async (location) => {
    const { door, files, provider } = await redirecting(location)
    for (const method of ['request', 'stream'] as const) {
      const error = await failure(door[method](ask('/', { headers: secret, retries: 2 })))
      expect(error).toMatchObject({ code: 'PROVIDER_ORIGIN_REFUSED', sent: undefined })
    }
    expect(files.seen).toEqual([])
    expect(provider.seen).toHaveLength(2)
  })

  it('to nowhere is a bad answer', async () => {
    const { door } = await redirecting('https://')
    expect((await failure(door.request(ask()))).code).toBe('PROVIDER_BAD_RESPONSE')
  })

  it('in a circle ends', async () => {
    const { door, provider } = await redirecting('/again')
    expect((await failure(door.request(ask()))).code).toBe('PROVIDER_BAD_RESPONSE')
    expect(provider.seen).toHaveLength(4)
  })

  it('that shows a page to sign in is that page', async () => {
    const page = '<html><body>You are being <a href="/users/sign_in">redirected</a>.</body></html>'
    const provider = await startProvider((_seen, response) => response.writeHead(302, { location: '/' }).end(page))
    const error = await failure(openDoor(provider.url).request(ask('/', { method: 'POST', endpoint: 'token' })))
    expect(error).toMatchObject({ code: 'PROVIDER_HTML_RESPONSE', providerStatus: 302 })
    expect(error.message).toContain('login')
  })
})
