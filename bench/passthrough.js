/** What a route of the host pays for the kit being mounted: nanoseconds and bytes per request that is not ours. */
import { atomIntegrations } from '../dist/index.js'
import { median } from './measure.js'

const CALLS = 2_000_000

export async function bench() {
  const kit = atomIntegrations({
    baseUrl: 'https://app.example.com',
    secret: 's'.repeat(32),
    encryptionKeys: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
    identify: () => null,
    store: { kind: 'sqlite', path: ':memory:' },
    logger: false,
  })
  await kit.ready()
  const empty = (_req, _res, next) => next()
  const req = { url: '/api/orders/7?page=2', method: 'GET', headers: {} }
  let calls = 0
  const next = () => {
    calls++
  }
  const nanoseconds = (handler) => {
    const start = process.hrtime.bigint()
    for (let call = 0; call < CALLS; call++) handler(req, undefined, next)
    return Number(process.hrtime.bigint() - start) / CALLS
  }
  const pairs = []
  for (let run = 0; run < 9; run++) pairs.push([nanoseconds(kit), nanoseconds(empty)])
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  nanoseconds(kit)
  const bytes = (process.memoryUsage().heapUsed - before) / CALLS
  const added = pairs.map(([ours, peer]) => ours - peer).sort((a, b) => a - b)
  const ratios = pairs.map(([ours, peer]) => ours / peer).sort((a, b) => a - b)
  await kit.close()
  if (calls === 0) throw new Error('the requests did not pass')
  return [
    {
      name: 'a request that is not ours',
      ours: `${median(added).toFixed(1)} ns added, ${Math.max(0, bytes).toFixed(2)} bytes`,
      peer: `an empty middleware: ${median(pairs.map(([, peer]) => peer)).toFixed(1)} ns`,
      ratio: median(ratios),
      spread: [ratios[0], ratios.at(-1)],
      target: '≤ 2,000 ns added',
      met: median(added) <= 2000,
    },
  ]
}
