/** Avalanche of two 32-bit numbers: cheap, and the same everywhere. */
export function mix(a: number, b: number): number {
  let hash = (a ^ Math.imul(b, 0x9e3779b1)) >>> 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** FNV-1a. */
export function hashText(text: string, seed = 0): number {
  let hash = mix(0x811c9dc5, seed)
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return mix(hash, text.length)
}

/** So many digits, the first not a zero. */
export function digits(seed: number, length: number): string {
  let text = String(1 + (mix(seed, 1) % 9))
  for (let i = 1; i < length; i++) text += String(mix(seed, i + 1) % 10)
  return text
}

/**
 * A text that a simple pattern matches: literals, groups with alternatives, character classes, the usual escapes and quantifiers.
 * `undefined` where the pattern is not simple.
 */
export function sampleOf(pattern: RegExp, seed: number): string | undefined {
  const source = pattern.source
  let position = 0
  let drawn = 0
  const draw = (below: number) => mix(seed, ++drawn) % below

  function alternatives(): string {
    const texts = [sequence()]
    while (source[position] === '|') {
      position++
      texts.push(sequence())
    }
    // The first alternative: what a definition names first is the ordinary case.
    return texts[0] as string
  }
  function sequence(): string {
    let text = ''
    while (position < source.length && source[position] !== '|' && source[position] !== ')') {
      const start = position
      const one = atom()
      const [least, most] = quantifier()
      const times = least === most ? least : Math.min(most, Math.max(least, 1) + (most - least > 8 ? 8 : 0))
      const end = position
      text += times > 0 ? one : ''
      for (let i = 1; i < times; i++) {
        position = start
        text += atom()
      }
      position = end
    }
    return text
  }
  function atom(): string {
    const character = source[position++] as string
    if (character === '^' || character === '$') return ''
    if (character === '.') return 'x'
    if (character === '[') return choose(characterClass())
    if (character === '(') {
      if (source.startsWith('?:', position)) position += 2
      else if (source[position] === '?') {
        const name = /^\?<[A-Za-z]\w*>/.exec(source.slice(position))
        if (!name) throw new NotSimple()
        position += name[0].length
      }
      const text = alternatives()
      if (source[position++] !== ')') throw new NotSimple()
      return text
    }
    if (character === '\\') return choose(escapeClass(source[position++] as string))
    return character
  }
  function characterClass(): string {
    if (source[position] === '^') throw new NotSimple()
    let members = ''
    while (source[position] !== ']') {
      if (position >= source.length) throw new NotSimple()
      let character = source[position++] as string
      if (character === '\\') {
        const escaped = escapeClass(source[position++] as string)
        if (escaped.length > 1) {
          members += escaped
          continue
        }
        character = escaped
      }
      if (source[position] === '-' && source[position + 1] !== ']') {
        const last = source.charCodeAt(position + 1)
        for (let code = character.charCodeAt(0); code <= last; code++) members += String.fromCharCode(code)
        position += 2
      } else members += character
    }
    position++
    return members
  }
  function escapeClass(character: string): string {
    if (character === 'd') return '0123456789'
    if (character === 'w') return 'abcdefghijklmnopqrstuvwxyz0123456789'
    if (/[a-zA-Z0-9]/.test(character)) throw new NotSimple()
    return character
  }
  function choose(members: string): string {
    return members[draw(members.length)] as string
  }
  function quantifier(): [number, number] {
    const rest = source.slice(position)
    const found = /^(?:[?*+]|\{(\d+)(,(\d*))?\})\??/.exec(rest)
    if (!found) return [1, 1]
    position += found[0].length
    if (found[0][0] === '?') return [0, 1]
    if (found[0][0] === '*') return [0, 64]
    if (found[0][0] === '+') return [1, 64]
    const least = Number(found[1])
    return [least, found[2] === undefined ? least : found[3] ? Number(found[3]) : 64 + least]
  }

  try {
    const text = alternatives()
    return pattern.test(text) ? text : undefined
  } catch (error) {
    if (error instanceof NotSimple) return undefined
    throw error
  }
}
class NotSimple extends Error {}
