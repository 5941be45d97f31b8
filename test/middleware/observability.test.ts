import { type Attributes, metrics, trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Host, startHost } from '../support/host-app.js'

const spans = new InMemorySpanExporter()
const counted: [name: string, attributes: Attributes | undefined][] = []
let host: Host

/** What a metrics SDK registers: every instrument notes what it is told. */
const meter = {
  createCounter: (name: string) => ({
    add: (_value: number, attributes?: Attributes) => counted.push([name, attributes]),
  }),
  createHistogram: (name: string) => ({
    record: (_value: number, attributes?: Attributes) => counted.push([name, attributes]),
  }),
}

beforeAll(async () => {
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))
  metrics.setGlobalMeterProvider({ getMeter: () => meter } as never)
  host = await startHost({ sync: { months: 1 } })
})
afterAll(async () => {
  trace.disable()
  metrics.disable()
  await host.close()
})

it('counts connects by outcome, provider errors by class and backfill pages, without a secret', async () => {
  const completed = new Promise((resolve) => host.integrations.on('backfill.completed', resolve))
  await host.browser().connect('notion')
  host.lab.fault({ provider: 'notion', endpoint: 'token', kind: 'html-503', times: 1 })
  await host.browser().connect('notion')
  await completed
  expect(counted).toContainEqual(['atom.connects', { provider: 'notion', outcome: 'connected' }])
  expect(counted).toContainEqual(['atom.connects', { provider: 'notion', outcome: 'PROVIDER_HTML_RESPONSE' }])
  expect(counted).toContainEqual([
    'atom.provider.errors',
    { provider: 'notion', endpoint: 'token', code: 'PROVIDER_HTML_RESPONSE' },
  ])
  expect(counted).toContainEqual(['atom.provider.request.duration', { provider: 'notion', endpoint: 'api' }])
  expect(
    counted.some(([name, attributes]) => name === 'atom.backfill.pages' && attributes?.provider === 'notion'),
  ).toBe(true)
  const [connect, failed] = spans.getFinishedSpans().filter(({ name }) => name === 'atom.connect')
  expect(connect?.attributes).toEqual({ provider: 'notion' })
  expect(failed?.attributes).toEqual({ provider: 'notion', 'atom.error.code': 'PROVIDER_HTML_RESPONSE' })
})
