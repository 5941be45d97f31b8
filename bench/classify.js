/** What recognising an answer costs beyond parsing it: a JSON answer of 1 MiB, against `JSON.parse(buffer.toString())`. */
import { classifyResponse } from '../dist/provider-http/index.js'
import { median } from './measure.js'

const ROUNDS = 20

export async function bench() {
  const item = {
    id: 'item-0001',
    name: 'Grüße aus Köln',
    tags: ['a', 'b'],
    nested: { at: '2026-11-21T00:00:00Z', ok: true, n: 12345.678 },
  }
  const count = Math.ceil(2 ** 20 / JSON.stringify(item).length)
  const body = Buffer.from(
    JSON.stringify({ items: Array.from({ length: count }, (_, index) => ({ ...item, id: `item-${index}` })) }),
  )
  const headers = { 'content-type': 'application/json' }
  const time = (work) => {
    const start = performance.now()
    for (let round = 0; round < ROUNDS; round++) work()
    return (performance.now() - start) / ROUNDS
  }
  const ours = () => time(() => classifyResponse({ status: 200, headers, body }))
  const peer = () => time(() => JSON.parse(body.toString()))
  ours()
  peer()
  const pairs = Array.from({ length: 11 }, () => [ours(), peer()])
  const ratios = pairs.map(([a, b]) => a / b).sort((a, b) => a - b)
  const ratio = median(ratios)
  return [
    {
      name: `classifyResponse, ${(body.length / 2 ** 20).toFixed(1)} MiB of JSON`,
      ours: `${median(pairs.map(([a]) => a)).toFixed(2)} ms`,
      peer: `JSON.parse: ${median(pairs.map(([, b]) => b)).toFixed(2)} ms`,
      ratio,
      spread: [ratios[0], ratios.at(-1)],
      target: '≤ 1.2 × the time',
      met: ratio <= 1.2,
    },
  ]
}
