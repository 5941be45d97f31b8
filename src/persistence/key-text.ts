/**
 * Text that is compared inside a database. SQLite's driver cuts texts at NUL, and UTF-8 has no lone surrogates: such texts, which
 * only a broken or hostile source sends, are kept as JSON behind a mark. Everything else stays readable as it is.
 */
const MARK = '\u0001'

const UNSAFE = /\0|\p{Surrogate}/u

export function toKeyText(text: string): string {
  return UNSAFE.test(text) || text.startsWith(MARK) ? MARK + JSON.stringify(text) : text
}

export function fromKeyText(text: string): string {
  return text.startsWith(MARK) ? (JSON.parse(text.slice(1)) as string) : text
}
