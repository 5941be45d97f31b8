import { getEventListeners, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import { ask, failure, json, openDoor, startProvider } from './provider.js'

const any = { expect: 'any' } as const

describe('a streamed answer', () => {
  it('comes as it is, page or not, however large', async () => {
    const page = `<!doctype html>${'x'.repeat(3_000_000)}`
    const provider = await startProvider((_seen, response) =>
      response.writeHead(200, { 'content-type': 'text/html', 'x-a': 'b' }).end(page),
    )
    const response = await openDoor(provider.url, { maxBodyBytes: 1000 }).stream(ask('/f', any))
    expect(response.status).toBe(200)
    expect(response.headers.get('x-a')).toBe('b')
    expect(response.url).toBe('https://api.acme.example/f')
    expect(await response.text()).toBe(page)
    expect(provider.seen[0]?.headers.accept).toBe('*/*')
  })

  it('outlives the total timeout as long as it moves', async () => {
    const provider = await startProvider(async (_seen, response) => {
      response.writeHead(200)
      for (let part = 0; part < 8; part++) {
        response.write(String(part))
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      response.end()
    })
    const response = await openDoor(provider.url, { timeoutMs: 500, idleTimeoutMs: 5000 }).stream(ask('/', any))
    expect(await response.text()).toBe('01234567')
  })

  it('ends as a timeout when it falls silent', async () => {
    const provider = await startProvider((_seen, response) => response.writeHead(200).write('begin'))
    const response = await openDoor(provider.url, { idleTimeoutMs: 50 }).stream(ask('/', any))
    const error = await failure(response.text())
    expect(error).toMatchObject({ code: 'PROVIDER_TIMEOUT', provider: 'Acme', sent: 'maybe' })
    expect(error.message).toContain('50 ms')
  })

  it('ends as a timeout when it does not begin', async () => {
    const provider = await startProvider(() => {})
    expect(await failure(openDoor(provider.url, { timeoutMs: 50 }).stream(ask('/', any)))).toMatchObject({
      code: 'PROVIDER_TIMEOUT',
    })
  })

  it('says so when it is cut off', async () => {
    const provider = await startProvider((_seen, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('s3cret', () => response.destroy())
    })
    const response = await openDoor(provider.url).stream(ask('/', any))
    const error = await failure(response.text())
    expect(error).toMatchObject({ code: 'PROVIDER_UNAVAILABLE', sent: 'maybe' })
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cret')
  })

  it('waits for a slow reader, and does not take its slowness for silence', async () => {
    let answer: ServerResponse | undefined
    const total = 8 * 1024 * 1024
    const provider = await startProvider((_seen, response) => {
      answer = response
      response.writeHead(200, { 'content-length': String(total) }).write(Buffer.alloc(total))
    })
    const response = await openDoor(provider.url, { idleTimeoutMs: 500 }).stream(ask('/', any))
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    let size = (await reader.read()).value?.length ?? 0
    // Longer than the provider may be silent, on purpose: there is nothing to wait for but the clock.
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect(answer?.writableLength).toBeGreaterThan(0)
    for (let part = await reader.read(); !part.done; part = await reader.read()) size += part.value.length
    expect(size).toBe(total)
  })

  it('ends at the provider when its reader goes', async () => {
    const provider = await startProvider((_seen, response) => {
      response.writeHead(200).write('begin')
      closed = once(response, 'close')
    })
    let closed: Promise<unknown> | undefined
    const response = await openDoor(provider.url).stream(ask('/', any))
    await response.body?.cancel()
    await closed
  })

  it('ends with the reason of a caller that aborts, and leaves nothing on its signal', async () => {
    const provider = await startProvider((_seen, response) => response.writeHead(200).write('begin'))
    const stop = new AbortController()
    const response = await openDoor(provider.url).stream(ask('/', { ...any, signal: stop.signal }))
    const text = response.text()
    stop.abort(new Error('changed my mind'))
    await expect(text).rejects.toThrow('changed my mind')
    const whole = await startProvider((_seen, response) => response.end('all'))
    const { signal } = new AbortController()
    await (await openDoor(whole.url).stream(ask('/', { ...any, signal }))).text()
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('is unpacked where it comes compressed unasked', async () => {
    const provider = await startProvider((_seen, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('hello')),
    )
    const response = await openDoor(provider.url).stream(ask('/', any))
    expect(response.headers.get('content-encoding')).toBeNull()
    expect(await response.text()).toBe('hello')
  })

  it.each([204, 205])('may be nothing at all with %i', async (status) => {
    const provider = await startProvider((_seen, response) => response.writeHead(status).end())
    const response = await openDoor(provider.url).stream(ask('/', any))
    expect(response.status).toBe(status)
    expect(response.body).toBeNull()
  })

  it('is an error like any other where it is no success', async () => {
    const provider = await startProvider((_seen, response) => json(response, { error: 'gone' }, 404))
    const error = await failure(openDoor(provider.url).stream(ask('/', { ...any, errors: { code: ['error'] } })))
    expect(error).toMatchObject({ code: 'PROVIDER_NOT_FOUND', providerCode: 'gone' })
    expect(error).toBeInstanceOf(IntegrationError)
    const down = await startProvider((_seen, response) => response.writeHead(503).end('<html>'))
    expect(await failure(openDoor(down.url).stream(ask('/', any)))).toMatchObject({ code: 'PROVIDER_HTML_RESPONSE' })
  })
})
