import { describe, expect, it } from 'vitest'
import { newId, randomText } from '../src/random.js'

describe('newId', () => {
  it('is a UUID of version 7 that carries its moment, and is never the same', () => {
    const before = Date.now()
    const ids = Array.from({ length: 5_000 }, newId)
    const after = Date.now()
    expect(new Set(ids).size).toBe(5_000)
    for (const id of ids) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      const time = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
      expect(time).toBeGreaterThanOrEqual(before)
      expect(time).toBeLessThanOrEqual(after)
    }
  })
})

describe('randomText', () => {
  it('gives no bytes twice, over many fillings of its pool', () => {
    const texts = Array.from({ length: 2_000 }, () => randomText(32))
    expect(new Set(texts).size).toBe(2_000)
    for (const text of texts) expect(text).toMatch(/^[\w-]{43}$/)
  })
})
