import type { TimestampFormat } from '../strategies/define-provider.js'

/** Milliseconds since 1970, both ends. */
export interface Window {
  from: number
  to: number
}

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** Most months that a backfill may reach back. */
export const MAX_MONTHS = 36

/** The last `months` calendar months (UTC) before `at`, cut to the minute, so that what asks twice within it asks for the same. */
export function windowBefore(at: number, months: number): Window {
  const to = cutToMinute(at)
  return { from: monthsBefore(to, months), to }
}

export function cutToMinute(at: number): number {
  return Math.floor(at / MINUTE) * MINUTE
}

/** The same time of day, so many calendar months earlier; a day that the month lacks (31 May - 3) becomes its last. */
export function monthsBefore(at: number, months: number): number {
  const date = new Date(at)
  const first = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - months, 1)
  const days = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - months + 1, 0)).getUTCDate()
  const timeOfDay = ((at % DAY) + DAY) % DAY
  return first + (Math.min(date.getUTCDate(), days) - 1) * DAY + timeOfDay
}

/**
 * The window in pieces of at most `days`, oldest first, without gaps; each begins where the one before ends.
 *
 * @param wholeDays - Requests name days only: pieces begin at midnight (UTC) and end before it, so that no day is asked for twice.
 */
export function sliceWindow({ from, to }: Window, days: number | undefined, wholeDays = false): Window[] {
  if (days === undefined || to - from <= days * DAY) return [{ from, to }]
  const slices: Window[] = []
  if (wholeDays) {
    for (let start = from; start <= to; ) {
      const next = (Math.floor(start / DAY) + days) * DAY
      slices.push({ from: start, to: Math.min(to, next - 1) })
      start = next
    }
    return slices
  }
  for (let start = from; start < to; start += days * DAY)
    slices.push({ from: start, to: Math.min(to, start + days * DAY) })
  return slices
}

const UNIT_MS = { unix: 1000, unix_ms: 1, unix_100ns: 1e-4 } as const

/** Milliseconds since 1970, or `undefined` for what is no time in this format. */
export function parseTimestamp(value: unknown, format: TimestampFormat): number | undefined {
  if (format === 'unix' || format === 'unix_ms' || format === 'unix_100ns') {
    if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === '')) return undefined
    return inRange(Math.floor(Number(value) * UNIT_MS[format]))
  }
  if (typeof value !== 'string') return undefined
  if (format === 'json_date')
    return inRange(Number(/^\/Date\((-?\d+)(?:[+-]\d{4})?\)\/$/.exec(value)?.[1] ?? Number.NaN))
  return inRange(Date.parse(toStrictISO(value.trim())))
}

/** Date.parse would read a time without zone as local time, and is not bound to know `+0200`. */
function toStrictISO(text: string): string {
  const found = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|z|[+-]\d\d:?\d\d)?)?$/.exec(text)
  if (!found) return text
  const [, date, time, zone = 'Z'] = found
  return time ? `${date}T${time}${zone.toUpperCase().replace(/^([+-]\d\d)(\d\d)$/, '$1:$2')}` : `${date}T00:00:00Z`
}

function inRange(milliseconds: number): number | undefined {
  return Math.abs(milliseconds) <= 8.64e15 ? milliseconds : undefined
}

export function toISO(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
