import { brotliDecompressSync, constants, gunzipSync, inflateSync } from 'node:zlib'
import { type HeaderSource, header } from './headers.js'

/** A body that grows over the bound when it is unpacked. */
export const TOO_LARGE = Symbol('too large')

/** A gateway that compresses what was compressed makes two layers; nobody makes three. */
const MAX_LAYERS = 2

/**
 * Takes compression off. gzip shows by its first bytes, whatever the header says; brotli and deflate only by the header.
 *
 * What only claims to be compressed comes back as it is.
 */
export function unpack(bytes: Buffer, headers: HeaderSource, maxBytes: number): Buffer | typeof TOO_LARGE {
  // A gateway that cuts an answer leaves a broken end: what can be read of it is enough to tell what it is.
  const tolerant = { maxOutputLength: maxBytes, finishFlush: constants.Z_SYNC_FLUSH }
  try {
    let plain = bytes
    for (let layer = 0; layer < MAX_LAYERS && isGzip(plain); layer++) plain = gunzipSync(plain, tolerant)
    if (plain !== bytes || bytes.length === 0) return plain
    const encoding = header(headers, 'content-encoding')
    if (encoding === 'br')
      return brotliDecompressSync(bytes, { maxOutputLength: maxBytes, finishFlush: constants.BROTLI_OPERATION_FLUSH })
    return encoding === 'deflate' ? inflateSync(bytes, tolerant) : bytes
  } catch (error) {
    return (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE' ? TOO_LARGE : bytes
  }
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 8
}

/** Longer ones are no answers that anybody reads; V8 cannot hold much longer texts. */
const MAX_TEXT = 256 * 1024 * 1024

/** UTF-8, or UTF-16 where its byte order mark, or a zero beside the first ASCII character, shows it. */
export function decodeText(bytes: Buffer): string {
  const whole = bytes.length > MAX_TEXT ? bytes.subarray(0, MAX_TEXT) : bytes
  const [first, second] = whole
  if (first === undefined || second === undefined) return whole.toString('utf8')
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return whole.toString('utf16le')
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0))
    return Buffer.from(whole.subarray(0, whole.length & ~1))
      .swap16()
      .toString('utf16le')
  return whole.toString('utf8')
}
