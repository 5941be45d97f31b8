import { pick } from '../strategies/template.js'

/** Writes a value at a dotted path, making objects and, for numeric segments, arrays on the way. `''` cannot be written to. */
export function writeAt(target: Record<string, unknown>, path: string, value: unknown): void {
  // A key such as `@odata.nextLink` is one, dots and all.
  if (!path.includes('.') || path.startsWith('@')) {
    target[path] = value
    return
  }
  const segments = path.split('.')
  let at: Record<string, unknown> = target
  for (const [i, segment] of segments.entries()) {
    if (i === segments.length - 1) {
      at[segment] = value
      return
    }
    const inner = at[segment]
    if (typeof inner !== 'object' || inner === null) at[segment] = /^\d+$/.test(segments[i + 1] as string) ? [] : {}
    at = at[segment] as Record<string, unknown>
  }
}

/** The same, but leaves what is there already. */
export function writeMissing(target: Record<string, unknown>, path: string, value: unknown): void {
  if (pick(target, path) === undefined) writeAt(target, path, value)
}

export function list<T>(value: T | readonly T[] | undefined): readonly T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value as T]
}
