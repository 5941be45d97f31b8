/** What it costs to know that an answer is JSON: `classifyResponse` against `JSON.parse(buffer.toString())`, which knows nothing. */
import { fileURLToPath } from 'node:url'
import { classifyResponse } from '../dist/provider-http/index.js'
import { interleaved } from './measure.js'

const MIB = 1024 * 1024
const ROUNDS = 20

/** A list as APIs send it: nested, numbers, escapes, and texts of other alphabets where `words` has them. */
function listOf(bytes, words) {
  const items = []
  for (let size = 0, id = 1; size < bytes; id++) {
    const item = {
      id,
      uuid: `3f2b${id}-aa`,
      createdAt: '2026-11-20T10:00:00.000Z',
      amount: id * 1.25,
      isOpen: id % 2 === 0,
      subject: `${words} #${id}`,
      body: `<p>"${words}"</p>\n`.repeat(3),
      labels: ['a', 'b', null],
      author: { id: id * 7, name: words, url: `https://example.com/users/${id}?a=b&c=d` },
    }
    items.push(item)
    size += Buffer.byteLength(JSON.stringify(item)) + 1
  }
  return Buffer.from(JSON.stringify({ items, next: null }))
}

const milliseconds = (work) => () => {
  const start = performance.now()
  for (let round = 0; round < ROUNDS; round++) work()
  return (performance.now() - start) / ROUNDS
}

async function compare(name, body, headers, target) {
  const classify = () => {
    if (classifyResponse({ status: 200, headers, body }).kind !== 'json') throw new Error('not taken for JSON')
  }
  const { ours, peer, ratio, spread } = await interleaved(
    milliseconds(classify),
    milliseconds(() => JSON.parse(body.toString())),
    9,
  )
  return {
    name,
    ours: `${ours.toFixed(2)} ms`,
    peer: `JSON.parse(buffer.toString()): ${peer.toFixed(2)} ms`,
    ratio,
    spread,
    ...(target && { target: `≤ ${target.toFixed(1)}`, met: ratio <= target }),
  }
}

export async function bench() {
  const json = { 'content-type': 'application/json' }
  const plain = listOf(MIB, 'An ordinary subject')
  return [
    await compare('classifyResponse, 1 MiB of JSON', plain, json, 1.2),
    await compare('classifyResponse, 1 MiB of JSON called text/html', plain, { 'content-type': 'text/html' }, 1.2),
    await compare('classifyResponse, 1 MiB of JSON, not ASCII', listOf(MIB, 'Überschrift 見出し'), json, 1.2),
    await compare('classifyResponse, 2 KiB of JSON', listOf(2048, 'An ordinary subject'), json),
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await bench())
