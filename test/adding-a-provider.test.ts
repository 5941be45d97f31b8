import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { IntegrationEvent } from '../src/events.js'
import type { ProviderDefinition } from '../src/strategies/index.js'
import { type Host, startHost } from './support/host-app.js'

/* docs/adding-a-provider.md, followed to the letter: its example is a provider that connects, refreshes and is read. */

const page = await readFile(new URL('../docs/adding-a-provider.md', import.meta.url), 'utf8')
let folder: string
let acme: ProviderDefinition
let host: Host

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atom-adding-'))
  const example = /```js\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const definition = /const acme = defineProvider\([\s\S]*?\n\}\)\n/.exec(example)?.[0]
  const index = new URL('../dist/index.js', import.meta.url).href
  const file = join(folder, 'acme.mjs')
  await writeFile(file, `import { defineProvider } from ${JSON.stringify(index)}\nexport ${definition}`)
  acme = (await import(pathToFileURL(file).href)).acme
  host = await startHost({ sync: { months: 3 } }, undefined, [acme])
})
afterAll(async () => {
  await host?.close()
  await rm(folder, { recursive: true, force: true })
})

it('connects, stays alive and is read, from nothing but what the page says', async () => {
  const completed = new Promise<IntegrationEvent>((resolve) => host.integrations.on('backfill.completed', resolve))
  const { connection } = (await host.browser().connect('acme')).body
  expect(connection).toMatchObject({ provider: 'acme', status: 'active', scopes: ['contacts.read'] })
  await completed
  const { items } = await host.integrations.admin.records.list({ connectionId: connection.id, resource: 'contacts' })
  expect(items.map(({ id }) => id).sort()).toEqual(host.lab.data.acme?.contacts?.map(({ id }) => id).sort())
  const first = await host.integrations.admin.accessToken(connection.id)
  host.lab.expireTokens('acme')
  await host.integrations.admin.fetch(connection.id, '/contacts?limit=1')
  expect(await host.integrations.admin.accessToken(connection.id)).not.toBe(first)
})

it('names every field of a definition that the page tells to look up', () => {
  for (const [, name] of page.matchAll(/^\| [^|]+ \| .*?`([a-zA-Z.]+)/gm)) {
    const field = (name as string).split('.').at(-1) as string
    expect(definitionSource).toMatch(new RegExp(`\\b${field}\\??:`))
  }
})

const definitionSource = await readFile(new URL('../src/strategies/define-provider.ts', import.meta.url), 'utf8')
