import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { IntegrationError } from '../../src/errors.js'
import type { RequestInfo } from '../../src/provider-http/client.js'
import { redactText, redactURL } from '../../src/provider-http/redact.js'
import { ask, failure, json, nobody, openDoor, startProvider, startTcp } from './provider.js'

const TOKEN = 'tok/en+with=odd&parts'
const request = ask(`/v1/${encodeURIComponent(TOKEN)}/me?key=${encodeURIComponent(TOKEN)}`, {
  method: 'POST',
  headers: { authorization: `Bearer ${TOKEN}` },
  body: `client_secret=${TOKEN}`,
  secrets: [TOKEN],
  errors: { code: ['error'] },
})
const forms = [TOKEN, encodeURIComponent(TOKEN), Buffer.from(TOKEN).toString('base64')]

/** Everything that a logger could print of an error. */
function printed(error: IntegrationError): string {
  return [
    inspect(error, { depth: 20, showHidden: true, getters: true }),
    JSON.stringify(error),
    JSON.stringify({ ...error }),
    String(error),
    error.stack,
    JSON.stringify(error.cause, Object.getOwnPropertyNames((error.cause as object) ?? {})),
  ].join('\n')
}

describe('no secret stands in an error', () => {
  const echo = {
    error: `bad key ${TOKEN} and ${encodeURIComponent(TOKEN)}`,
    request: { headers: { authorization: TOKEN } },
  }
  const cases: [string, () => Promise<string>][] = [
    ['a refusal that repeats it', async () => (await startProvider((_s, r) => json(r, echo, 400))).url],
    ['a web page that repeats it', async () => (await startProvider((_s, r) => r.end(`<html><title>${TOKEN}`))).url],
    ['JSON that is cut', async () => (await startProvider((_s, r) => r.end(`{"a":"${TOKEN}`))).url],
    ['what is no HTTP', () => startTcp((socket) => socket.once('data', () => socket.end(`${TOKEN}\r\n\r\n`)))],
    [
      'a cut answer',
      () => startTcp((s) => s.once('data', () => s.end(`HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n${TOKEN}`))),
    ],
    [
      'a redirect elsewhere',
      async () =>
        (await startProvider((_s, r) => r.writeHead(302, { location: `https://evil.example/${TOKEN}` }).end())).url,
    ],
    ['a timeout', async () => (await startProvider(() => {})).url],
    ['nobody there', nobody],
    [
      'a type that repeats it',
      async () => (await startProvider((_s, r) => r.writeHead(200, { 'content-type': 'x/y; a=<b>' }).end('?'))).url,
    ],
  ]
  it.each(cases)('%s', async (_what, start) => {
    const error = await failure(openDoor(await start(), { timeoutMs: 100 }).request(request))
    const text = printed(error)
    for (const form of forms) expect(text).not.toContain(form)
    expect(text).not.toContain('client_secret')
    expect(text).not.toContain('<b>')
  })

  it('after a redirect that a read follows', async () => {
    const provider = await startProvider((_seen, response) =>
      response.writeHead(302, { location: `https://${TOKEN.replaceAll(/\W/g, '')}.example/?t=${TOKEN}` }).end(),
    )
    const secrets = [TOKEN, TOKEN.replaceAll(/\W/g, '')]
    const error = await failure(openDoor(provider.url).request({ ...request, method: 'GET', body: '', secrets }))
    expect(error.code).toBe('PROVIDER_ORIGIN_REFUSED')
    for (const secret of secrets) expect(printed(error)).not.toContain(secret)
  })
})

it('reports requests without query and secrets', async () => {
  const infos: RequestInfo[] = []
  const provider = await startProvider((_seen, response) => json(response, {}))
  await openDoor(provider.url, { onRequest: (info) => infos.push(info) }).request(request)
  const door = openDoor(await nobody(), { onRequest: (info) => infos.push(info) })
  await failure(door.request(request))
  expect(infos).toEqual([
    {
      provider: 'Acme',
      endpoint: 'api',
      method: 'POST',
      url: 'https://api.acme.example/v1/[redacted]/me',
      milliseconds: expect.any(Number),
      status: 200,
    },
    expect.objectContaining({ code: 'PROVIDER_UNAVAILABLE', url: 'https://api.acme.example/v1/[redacted]/me' }),
  ])
})

describe('redactText', () => {
  it('takes out what looks like a credential, though nobody named it', () => {
    expect(redactText('Incorrect API key provided: sk-proj-abcdef123456. You can')).toBe(
      'Incorrect API key provided: [redacted] You can',
    )
    expect(redactText(`token ${'a1'.repeat(25)} is old`)).toBe('token [redacted] is old')
    expect(redactText('eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln')).toBe('[redacted]')
  })

  it('keeps 200 characters, and none that could write into a log or a page', () => {
    expect(redactText('a\r\nb\u001b[31m\u202ec<script>')).toBe('a b [31m c script')
    expect(redactText('word '.repeat(1000)).length).toBeLessThanOrEqual(200)
  })

  it('leaves no half of a secret at the cut', () => {
    const text = `${'sk-aaaaaaaaaaaaaaaa '.repeat(199)}${'x'.repeat(15)} my-own-secret-value`
    for (let shift = 0; shift < 24; shift++)
      expect(redactText('x'.repeat(shift) + text, ['my-own-secret-value'])).not.toMatch(/my-o/)
  })

  it('does not take ordinary words apart for a short secret', () => {
    expect(redactText('a plain text', ['a', ''])).toBe('a plain text')
  })
})

it('redactURL leaves out query, fragment, user and what is no URL', () => {
  expect(redactURL('https://u:p@api.example/a/b?token=c#d')).toBe('https://api.example/a/b')
  expect(redactURL('nothing')).toBe('[not a URL]')
})
