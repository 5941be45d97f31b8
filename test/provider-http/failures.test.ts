import { getEventListeners } from 'node:events'
import { Readable } from 'node:stream'
import { inspect } from 'node:util'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { ask, failure, json, nobody, openDoor, startProvider, startTcp } from './provider.js'

const MIB = 1024 * 1024
/** Per origin. */
const CONNECTIONS = 64

describe('a slow answer', () => {
  it('ends as a timeout while its headers are awaited', async () => {
    const provider = await startProvider(() => {})
    const error = await failure(openDoor(provider.url, { timeoutMs: 60 }).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_TIMEOUT', fault: 'unavailable', sent: 'maybe' })
    expect(error.message).toContain('60 ms')
  })

  it('ends as a timeout while its body drips', async () => {
    const provider = await startProvider((_seen, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const drip = setInterval(() => response.write(' '), 5)
      response.on('close', () => clearInterval(drip))
    })
    const error = await failure(openDoor(provider.url).request(ask('/', { timeoutMs: 80 })))
    expect(error).toMatchObject({ code: 'PROVIDER_TIMEOUT', sent: 'maybe' })
  })

  it('counts the redirects before it', async () => {
    let turn = 0
    const provider = await startProvider((_seen, response) => {
      const answer = () => response.writeHead(302, { location: `/${turn++}` }).end()
      setTimeout(answer, 45)
    })
    const error = await failure(openDoor(provider.url, { timeoutMs: 100 }).request(ask()))
    expect(error.code).toBe('PROVIDER_TIMEOUT')
    expect(turn).toBeLessThanOrEqual(2)
  })

  it('is known not to have been asked for where no connection came about', async () => {
    // Accepts the connection and never answers its TLS greeting.
    const silent = (await startTcp(() => {})).replace('http:', 'https:')
    expect(await failure(openDoor(silent, { timeoutMs: 50 }).request(ask()))).toMatchObject({
      code: 'PROVIDER_TIMEOUT',
      sent: 'no',
    })
    const connecting = openDoor(silent, { connectTimeoutMs: 50, timeoutMs: 20_000 })
    expect(await failure(connecting.request(ask()))).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', sent: 'no' })
  })

  it('is not sent once its time passed in the queue for a connection', async () => {
    const stops = Array.from({ length: CONNECTIONS }, () => new AbortController())
    let asked = 0
    let full: (() => void) | undefined
    const isFull = new Promise<void>((resolve) => {
      full = resolve
    })
    const provider = await startProvider(() => {
      if (++asked === CONNECTIONS) full?.()
    })
    const door = openDoor(provider.url)
    const held = stops.map(({ signal }) => door.request(ask('/', { signal })))
    const ends = Promise.allSettled(held)
    await isFull
    const late = await failure(door.request(ask('/late', { timeoutMs: 20 })))
    expect(late).toMatchObject({ code: 'PROVIDER_TIMEOUT', sent: 'no' })
    for (const stop of stops) stop.abort(new Error('enough'))
    await ends
    expect(provider.seen.map(({ path }) => path)).not.toContain('/late')
  })
})

describe('an answer that is cut off', () => {
  it.each([
    ['before its headers', 'HTTP/1.1 200 OK\r\nContent-Le'],
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"access_token":"s3cr'],
    ['in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"access_token":"s3cr'],
  ])('%s is an outage that may have had its effect', async (_what, bytes) => {
    const url = await startTcp((socket) => socket.once('data', () => socket.end(bytes)))
    const error = await failure(openDoor(url).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', fault: 'unavailable', sent: 'maybe' })
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cr')
  })

  it('without a length or a chunk shows as broken JSON', async () => {
    const bytes = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"access_token":"s3cr'
    const url = await startTcp((socket) => socket.once('data', () => socket.end(bytes)))
    const error = await failure(openDoor(url).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_BAD_RESPONSE', sent: undefined })
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cr')
  })

  it('by a reset is an outage', async () => {
    const url = await startTcp((socket) => socket.once('data', () => socket.resetAndDestroy()))
    expect(await failure(openDoor(url).request(ask()))).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', sent: 'maybe' })
  })

  it('and is no HTTP at all is a bad answer, and travels no further', async () => {
    const url = await startTcp((socket) => socket.once('data', () => socket.end('{"access_token":"s3cr"}\r\n\r\n')))
    const error = await failure(openDoor(url).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_BAD_RESPONSE', sent: 'maybe' })
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cr')
  })
})

describe('an answer that is too large', () => {
  const big = JSON.stringify({ text: 'x'.repeat(5 * MIB) })

  it('is read to its end below the cap', async () => {
    const provider = await startProvider((_seen, response) => response.end(big))
    expect((await openDoor(provider.url).request(ask())).text).toHaveLength(big.length)
  })

  it('is refused by its length before it is read', async () => {
    const provider = await startProvider((_seen, response) => {
      response.writeHead(200, { 'content-length': String(12 * MIB) }).write('{')
    })
    const error = await failure(openDoor(provider.url).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_TOO_LARGE', providerStatus: 200, sent: undefined })
  })

  it('is refused while it is read where it tells no length', async () => {
    let sent = 0
    const provider = await startProvider((_seen, response) => {
      const endless = new Readable({
        read() {
          sent += 65536
          this.push(' '.repeat(65536))
        },
      })
      endless.on('error', () => {})
      response.on('close', () => endless.destroy())
      endless.pipe(response)
    })
    const error = await failure(openDoor(provider.url, { maxBodyBytes: MIB }).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_TOO_LARGE', fault: undefined })
    expect(sent).toBeLessThan(32 * MIB)
  })

  it.each(['request_token', 'token', 'refresh', 'link'] as const)('would bring a token: %s', async (endpoint) => {
    const provider = await startProvider((_seen, response) => response.end(big))
    const error = await failure(openDoor(provider.url).request(ask('/', { endpoint })))
    expect(error.message).toContain('more than 1048576 bytes')
    const lower = await failure(openDoor(provider.url, { maxBodyBytes: 1000 }).request(ask('/', { endpoint })))
    expect(lower.message).toContain('more than 1000 bytes')
  })

  it.each([
    ['gzip, said', gzipSync, 'gzip'],
    ['gzip, not said', gzipSync, undefined],
    ['gzip in gzip', (body: Buffer) => gzipSync(gzipSync(body)), 'gzip'],
    ['brotli', brotliCompressSync, 'br'],
  ] as const)('is refused when it only grows as it is unpacked: %s', async (_what, compress, encoding) => {
    const bomb = compress(Buffer.alloc(20 * MIB, 0x20))
    expect(bomb.length).toBeLessThan(MIB)
    const provider = await startProvider((_seen, response) =>
      response.writeHead(200, encoding ? { 'content-encoding': encoding } : {}).end(bomb),
    )
    expect(await failure(openDoor(provider.url).request(ask()))).toMatchObject({ code: 'PROVIDER_TOO_LARGE' })
  })

  it('has too many headers', async () => {
    const url = await startTcp((socket) =>
      socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(100_000)}\r\n\r\n{}`)),
    )
    expect(await failure(openDoor(url).request(ask()))).toMatchObject({ code: 'PROVIDER_TOO_LARGE' })
  })

  it('says nothing about the answer to a HEAD', async () => {
    const provider = await startProvider((_seen, response) =>
      response.writeHead(200, { 'content-length': String(50 * MIB) }).end(),
    )
    expect(await openDoor(provider.url).request(ask('/', { method: 'HEAD' }))).toMatchObject({ status: 200 })
  })
})

describe('a connection that does not come about', () => {
  it('is an outage of which nothing was sent: refused', async () => {
    const error = await failure(openDoor(await nobody()).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', fault: 'unavailable', sent: 'no' })
    expect(error.message).toContain('ECONNREFUSED')
  })

  it('is an outage of which nothing was sent: no such name', async () => {
    // A label that is too long: no server has to be asked to know that it does not exist.
    const door = openDoor(`https://${'x'.repeat(64)}.example`)
    expect(await failure(door.request(ask()))).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', sent: 'no' })
  })

  it('is an outage of which nothing was sent: no TLS', async () => {
    const plain = await startProvider((_seen, response) => json(response, {}))
    const error = await failure(openDoor(plain.url.replace('http:', 'https:')).request(ask()))
    expect(error).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', sent: 'no' })
    expect(plain.seen).toEqual([])
  })
})

it('refuses a header that cannot be sent, and names no value', async () => {
  const provider = await startProvider((_seen, response) => json(response, {}))
  const request = ask('/', { headers: { authorization: 'Bearer s3cret\r\nx: y' }, retries: 2 })
  const error = await failure(openDoor(provider.url).request(request))
  expect(error).toMatchObject({ code: 'PROVIDER_REFUSED', fault: 'invalid', sent: 'no' })
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cret')
  expect(provider.seen).toEqual([])
})

describe('an abort by the caller', () => {
  it('ends the request with the reason of the caller', async () => {
    const stop = new AbortController()
    const provider = await startProvider(() => stop.abort(new Error('changed my mind')))
    await expect(openDoor(provider.url).request(ask('/', { signal: stop.signal }))).rejects.toThrow('changed my mind')
  })

  it('before the start sends nothing', async () => {
    const provider = await startProvider((_seen, response) => json(response, {}))
    const signal = AbortSignal.abort(new Error('too late'))
    await expect(openDoor(provider.url).request(ask('/', { signal }))).rejects.toThrow('too late')
    expect(provider.seen).toEqual([])
  })

  it('ends the wait before a retry', async () => {
    const stop = new AbortController()
    const provider = await startProvider((_seen, response) => json(response, {}, 503))
    const door = openDoor(provider.url, {
      sleep: (_milliseconds, signal) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new Error('of the sleep')))
          stop.abort(new Error('changed my mind'))
        }),
    })
    const request = door.request(ask('/', { signal: stop.signal, retries: 2 }))
    await expect(request).rejects.toThrow('changed my mind')
  })

  it('leaves nothing behind on its signal', async () => {
    const { signal } = new AbortController()
    const provider = await startProvider((_seen, response) => json(response, {}))
    const door = openDoor(provider.url)
    for (let turn = 0; turn < 3; turn++) await door.request(ask('/', { signal, limit: { key: 'a', rules: [] } }))
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

it('ends what is on its way when it is closed', async () => {
  let door: ReturnType<typeof openDoor> | undefined
  const provider = await startProvider(() => void door?.close())
  door = openDoor(provider.url)
  expect(await failure(door.request(ask()))).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', sent: 'maybe' })
})
