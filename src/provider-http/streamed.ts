import { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { Reply } from './exchange.js'

const UNPACKERS = new Map<string | undefined, () => NodeJS.ReadWriteStream>([
  ['gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
])

/** As `fetch` gives it: a body that came compressed, though nobody asked for it, is unpacked on the way. */
export function streamed({ status, headers, stream }: Reply, url: string): Response {
  const unpacker = stream && UNPACKERS.get(headers['content-encoding'])
  const kept = new Headers(headers)
  let body = stream as globalThis.ReadableStream | undefined
  if (stream && unpacker) {
    for (const name of ['content-encoding', 'content-length']) kept.delete(name)
    const source = Readable.fromWeb(stream)
    const plain = unpacker() as NodeJS.ReadWriteStream & Readable
    source.on('error', (error) => plain.destroy(error))
    plain.on('close', () => source.destroy())
    body = Readable.toWeb(source.pipe(plain)) as globalThis.ReadableStream
  }
  const response = new Response(body ?? null, { status, headers: kept })
  Object.defineProperty(response, 'url', { value: url })
  return response
}
