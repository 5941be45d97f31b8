import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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

  it('runs the work as it is before the package was looked for', async () => {
    expect(await telemetry.span('before', {}, async () => 7)).toBe(7)
    telemetry.count('before', {})
    expect(spans.getFinishedSpans()).toEqual([])
  })

  it('makes a span per refresh, with the error code where it failed, and no secret', async () => {
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
    const error = Object.assign(new Error('with access-1-secret'), { code: 'X', response: 'access-1-secret' })
    logger.warn({ id: 1, nested: { refreshToken: 'refresh-1-secret', list: [{ Authorization: 'x' }] }, error }, 'text')
    expect(seen).toEqual([
      {
        id: 1,
        nested: { refreshToken: '[redacted]', list: [{ Authorization: '[redacted]' }] },
        error: { name: 'Error', code: 'X', reference: undefined, providerStatus: undefined, providerCode: undefined },
      },
    ])
    expect(() => logger.error({}, 'text')).not.toThrow()
  })
})
