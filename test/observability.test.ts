import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { IntegrationError } from '../src/errors.js'
import { loadTelemetry, redactingLogger, telemetry } from '../src/observability.js'
import { type Acme, startAcme } from './tokens/acme.js'
import { createKit, type Kit, storePlace } from './tokens/kit.js'

describe('telemetry', () => {
  const spans = new InMemorySpanExporter()
  let acme: Acme
  let place: Awaited<ReturnType<typeof storePlace>>
  let kit: Kit
  beforeAll(async () => {
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))
    acme = await startAcme()
    place = await storePlace('sqlite')
    kit = await createKit(acme, place)
  })
  afterAll(async () => {
    trace.disable()
    await kit.close()
    await acme.close()
    place.remove()
  })

  it('runs the work as it is, and once the package is loaded, makes a span per refresh, with no secret', async () => {
    expect(await telemetry.span('before', {}, async () => 7)).toBe(7)
    telemetry.count('before', {})
    expect(spans.getFinishedSpans()).toEqual([])

    await loadTelemetry()
    const { id } = await kit.connect()
    acme.refreshFaults.push({ kind: 'answer', status: 500, body: '{}' })
    await kit.tokens.accessToken('tenant-1', id).catch(() => {})
    await kit.tokens.accessToken('tenant-1', id)
    const [failed, done] = spans.getFinishedSpans()
    expect(failed).toMatchObject({ name: 'atom.refresh', status: { code: 2 } })
    expect(failed?.attributes).toEqual({ provider: 'acme', connection: id, 'atom.error.code': 'PROVIDER_UNAVAILABLE' })
    expect(done?.attributes).toEqual({ provider: 'acme', connection: id })
  })
})

describe('redactingLogger', () => {
  it('blanks what is named like a secret, shortens errors, and survives a logger that throws', () => {
    const seen: unknown[] = []
    const throwing = () => {
      throw new Error('disk full')
    }
    const logger = redactingLogger({ info: throwing, warn: (fields) => seen.push(fields), error: throwing })
    const error = Object.assign(new Error('token=access-1-secret failed'), { code: 'X', response: 'access-1-secret' })
    logger.warn({ id: 1, nested: { refreshToken: 'refresh-1-secret', list: [{ Authorization: 'x' }] }, error }, 'text')
    expect(seen).toEqual([
      {
        id: 1,
        nested: { refreshToken: '[redacted]', list: [{ Authorization: '[redacted]' }] },
        error: {
          name: 'Error',
          code: 'X',
          message: 'token=[redacted] failed',
          stack: expect.arrayContaining([expect.stringContaining('observability.test.ts')]),
        },
      },
    ])
    expect(() => logger.error({}, 'text')).not.toThrow()
    expect(JSON.stringify(seen)).not.toContain('-1-secret')
  })

  it('keeps the words of our own errors, and a bounded chain of causes without what hangs on them', () => {
    const seen: { error: Record<string, unknown> }[] = []
    const write = (fields: object) => void seen.push(fields as never)
    const logger = redactingLogger({ info: write, warn: write, error: write })
    const detail = `Acme: the address ${'x'.repeat(60)} answered 500`
    const cause = Object.assign(new Error('Authorization: Bearer abc.def\n    at secret (line)'), {
      code: 'ECONNRESET',
    })
    cause.cause = cause
    const error = new IntegrationError('PROVIDER_UNAVAILABLE', detail, { cause, providerStatus: 500 })
    logger.error({ error }, 'text')
    expect(seen[0]?.error).toMatchObject({
      name: 'IntegrationError',
      code: 'PROVIDER_UNAVAILABLE',
      message: detail,
      reference: error.reference,
      providerStatus: 500,
      cause: { name: 'Error', code: 'ECONNRESET', message: 'Authorization: [redacted]     at secret (line)' },
    })
    const chain = JSON.stringify(seen)
    expect(chain.match(/ECONNRESET/g)).toHaveLength(4)
    expect(chain).not.toContain('abc.def')
    logger.error({ error: { message: 'password: hunter2', response: 'hunter2', name: 'Odd' } }, 'text')
    logger.error({ error: 'https://ada:hunter2@acme.example' }, 'text')
    logger.error({ error: null }, 'text')
    expect(seen.slice(1)).toEqual([
      { error: { name: 'Odd', message: 'password: [redacted]' } },
      { error: 'https://[redacted]@acme.example' },
      { error: null },
    ])
  })

  it('shows nothing of what lies too deep to be looked through', () => {
    const seen: unknown[] = []
    const write = (fields: object) => void seen.push(fields)
    const deep = { a: { b: { c: { d: { e: { password: 'hunter2' } } } } } }
    redactingLogger({ info: write, warn: write, error: write }).info(deep, 'text')
    expect(seen).toEqual([{ a: { b: { c: { d: { e: '[…]' } } } } }])
  })
})
