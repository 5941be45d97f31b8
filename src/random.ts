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
