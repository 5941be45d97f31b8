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
