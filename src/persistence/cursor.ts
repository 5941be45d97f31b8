import { IntegrationError } from '../errors.js'

/** Where a page ended, as an opaque text for `after`. */
export function toCursor(...position: (string | number)[]): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}

/**
 * The position behind `after`, checked to have these types.
 *
 * @throws IntegrationError `REQUEST_INVALID` for a text that no list of this kind gave.
 */
export function fromCursor<T extends ('string' | 'number')[]>(
  after: string,
  ...types: T
): { [I in keyof T]: T[I] extends 'string' ? string : number } {
  let position: unknown
  try {
    position = JSON.parse(Buffer.from(after, 'base64url').toString())
  } catch {
    position = undefined
  }
  const fits =
    Array.isArray(position) && position.length === types.length && types.every((type, i) => typeof position[i] === type)
  if (!fits) {
    throw new IntegrationError('REQUEST_INVALID', 'the cursor does not come from this list', {
      fields: { after: 'Must be the "next" of a page before.' },
    })
  }
  return position as never
}
