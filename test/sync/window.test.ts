import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { monthsBefore, parseTimestamp, sliceWindow, windowBefore } from '../../src/sync/window.js'

const at = (text: string) => Date.parse(text)
const times = fc.integer({ min: at('2000-01-01T00:00:00Z'), max: at('2100-01-01T00:00:00Z') })

describe('windowBefore', () => {
  it('reaches back calendar months, to the minute', () => {
    expect(windowBefore(at('2026-11-21T04:39:19.500Z'), 3)).toEqual({
      from: at('2026-08-21T04:39:00Z'),
      to: at('2026-11-21T04:39:00Z'),
    })
  })

  it('takes the last day of a month that is too short', () => {
    expect(monthsBefore(at('2026-05-31T10:00:00Z'), 3)).toBe(at('2026-02-28T10:00:00Z'))
    expect(monthsBefore(at('2024-03-31T10:00:00Z'), 1)).toBe(at('2024-02-29T10:00:00Z'))
    expect(monthsBefore(at('2026-01-15T00:00:00Z'), 1)).toBe(at('2025-12-15T00:00:00Z'))
  })

  it('is the same for all moments of a minute', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 36 }), fc.integer({ min: 0, max: 59_999 }), (time, months, late) => {
        const minute = Math.floor(time / 60_000) * 60_000
        expect(windowBefore(minute + late, months)).toEqual(windowBefore(minute, months))
      }),
    )
  })

  it('never reaches less than the days of the shortest months, nor more than those of the longest', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 36 }), (time, months) => {
        const { from, to } = windowBefore(time, months)
        const days = (to - from) / 86_400_000
        expect(days).toBeGreaterThanOrEqual(months * 28)
        expect(days).toBeLessThanOrEqual(months * 31)
      }),
    )
  })
})

describe('sliceWindow', () => {
  it('covers the window without gaps, each piece within the bound', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 90 }), (from, length, days) => {
        const to = from + length * 3_600_000 * 7
        const slices = sliceWindow({ from, to }, days)
        expect(slices[0]?.from).toBe(from)
        expect(slices.at(-1)?.to).toBe(to)
        for (const [index, slice] of slices.entries()) {
          expect(slice.to - slice.from).toBeLessThanOrEqual(days * 86_400_000)
          expect(slice.to).toBeGreaterThan(slice.from)
          if (index > 0) expect(slice.from).toBe(slices[index - 1]?.to)
        }
      }),
    )
  })

  it('names every day of the window once where requests name days', () => {
    const day = (time: number) => Math.floor(time / 86_400_000)
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 90 }), (from, length, days) => {
        const to = from + length * 3_600_000 * 7
        const slices = sliceWindow({ from, to }, days, true)
        expect(slices[0]?.from).toBe(from)
        expect(slices.at(-1)?.to).toBe(to)
        for (const [index, slice] of slices.entries()) {
          expect(slice.to).toBeGreaterThanOrEqual(slice.from)
          if (slices.length > 1) expect(day(slice.to) - day(slice.from)).toBeLessThan(days)
          const before = slices[index - 1]
          if (before) expect([slice.from, day(slice.from)]).toEqual([before.to + 1, day(before.to) + 1])
        }
      }),
    )
  })
})

describe('parseTimestamp', () => {
  it('reads what providers send', () => {
    expect(parseTimestamp('2026-08-22T10:15:00.000+0200', 'iso8601')).toBe(at('2026-08-22T08:15:00Z'))
    expect(parseTimestamp('2026-08-22T10:15:00Z', 'iso8601')).toBe(at('2026-08-22T10:15:00Z'))
    expect(parseTimestamp('2026-08-22T10:15:00.123456789Z', 'iso8601')).toBe(at('2026-08-22T10:15:00.123Z'))
    expect(parseTimestamp('2026-08-22', 'date')).toBe(at('2026-08-22T00:00:00Z'))
    expect(parseTimestamp('1690000000.000200', 'unix')).toBe(1_690_000_000_000)
    expect(parseTimestamp(1_690_000_000, 'unix')).toBe(1_690_000_000_000)
    expect(parseTimestamp('1690000000123', 'unix_ms')).toBe(1_690_000_000_123)
  })

  it('takes a time without zone as UTC, wherever the server runs', () => {
    expect(parseTimestamp('2026-08-22T10:15:00', 'iso8601')).toBe(at('2026-08-22T10:15:00Z'))
    expect(parseTimestamp('2026-08-22 10:15', 'iso8601')).toBe(at('2026-08-22T10:15:00Z'))
  })

  it('answers undefined for what is no time', () => {
    const formats = fc.constantFrom('iso8601', 'unix', 'unix_ms', 'date')
    for (const value of [null, undefined, '', ' ', 'soon', {}, [], Number.NaN, '9'.repeat(40)])
      for (const format of ['iso8601', 'unix', 'unix_ms', 'date'] as const)
        expect(parseTimestamp(value, format)).toBeUndefined()
    fc.assert(
      fc.property(fc.anything(), formats, (value, format) => {
        const time = parseTimestamp(value, format as 'unix')
        expect(time === undefined || Number.isFinite(new Date(time).getTime())).toBe(true)
      }),
    )
  })
})
