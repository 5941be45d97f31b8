import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
// @ts-expect-error plain JavaScript, run by people as `npm run docs`
import { makeDocs } from '../scripts/docs.js'

const root = new URL('..', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')

describe('what is made from the definitions', () => {
  const files = makeDocs() as Record<string, string>

  it.each(Object.keys(files))('%s is up to date (npm run docs)', (path) => {
    expect(read(path)).toBe(files[path])
  })

  it('has no guide left over', () => {
    const guides = readdirSync(new URL('docs/providers/', root)).map((name) => `docs/providers/${name}`)
    expect(guides.filter((path) => !(path in files))).toEqual([])
  })
})

describe('what can be set and heard', () => {
  const interfaceKeys = (file: string, name: string) => {
    const [, body = ''] = new RegExp(`export interface ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(read(file)) ?? []
    return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, key]) => key as string)
  }

  it('has every option in docs/options.md, and nothing else', () => {
    const [options = '', provider = ''] = read('docs/options.md').split('## One provider')
    const rows = (text: string) =>
      [...text.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell = '']) => cell.match(/\w+/g) ?? [])
    expect(rows(options).sort()).toEqual(interfaceKeys('src/options.ts', 'AtomOptions').sort())
    expect(rows(provider).sort()).toEqual(interfaceKeys('src/provider-settings.ts', 'ProviderOptions').sort())
  })

  it('has every event in docs/events.md', () => {
    const [, names = ''] = /const NAMES: readonly EventName\[\] = \[([\s\S]*?)\]/.exec(read('src/events.ts')) ?? []
    const events = (names.match(/[\w.]+/g) ?? []).sort()
    expect(events.length).toBeGreaterThan(10)
    expect([...read('docs/events.md').matchAll(/^\| `([\w.]+)` \|/gm)].map(([, name]) => name).sort()).toEqual(events)
  })
})

describe('the README', () => {
  it('fits on a few screens', () => {
    expect(read('README.md').split('\n').length).toBeLessThan(200)
  })

  it('links only to files that exist', () => {
    const missing: string[] = []
    for (const page of [
      'README.md',
      ...readdirSync(new URL('docs/', root))
        .filter((name) => name.endsWith('.md'))
        .map((name) => `docs/${name}`),
    ]) {
      for (const [, target = ''] of read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        try {
          read(new URL(target, new URL(page, root)).href)
        } catch {
          missing.push(`${page}: ${target}`)
        }
      }
    }
    expect(missing).toEqual([])
  })
})
