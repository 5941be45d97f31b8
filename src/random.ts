import { randomFillSync } from 'node:crypto'

/** Asking the system for a few bytes at a time costs more than the bytes; nothing of the pool is used twice. */
const pool = Buffer.allocUnsafe(8192)
let used = pool.length

/** Random bytes of the system as base64url text. `bytes`: at most 64. */
export function randomText(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const text = pool.toString('base64url', used, used + bytes)
  pool.fill(0, used, used + bytes)
  used += bytes
  return text
}
