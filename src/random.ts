import { randomFillSync } from 'node:crypto'

/** Asking the system for a few bytes at a time costs more than the bytes; nothing of the pool is used twice. */
const pool = Buffer.allocUnsafe(8192)
let used = pool.length

/** Random bytes of the system. `bytes`: at most 64. */
export function randomPart(bytes: number): Buffer {
  if (used + bytes > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const part = Buffer.from(pool.subarray(used, used + bytes))
  pool.fill(0, used, used + bytes)
  used += bytes
  return part
}

/** The same as base64url text. */
export function randomText(bytes: number): string {
  return randomPart(bytes).toString('base64url')
}

/**
 * A UUID of version 7 (RFC 9562 §5.7): ids of one moment stand together in an index, so that many writes touch few of its pages. The
 * 74 bits behind the time are random.
 */
export function newId(): string {
  const bytes = randomPart(16)
  bytes.writeUIntBE(Date.now(), 0, 6)
  bytes[6] = 0x70 | ((bytes[6] as number) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f)
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
