import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/*
 * What npm would publish, in a folder of its own, with nothing beside it but what an app has after
 * `npm install atom-integrations express` (and the types of express and Node): no mongoose, bullmq, ioredis.
 */

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const paths = Object.keys(manifest.exports).map((path) => manifest.name + path.slice(1))
const readme = await readFile(join(root, 'README.md'), 'utf8')
const tsc = join(root, 'node_modules/typescript/bin/tsc')
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atom-package-'))
  const modules = join(folder, 'node_modules')
  const pack = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { cwd: root })
  const { filename } = JSON.parse(pack.stdout)[0]
  await mkdir(modules)
  await run('tar', ['-xzf', join(folder, filename), '-C', modules])
  await run('mv', [join(modules, 'package'), join(modules, manifest.name)])
  for (const name of [...Object.keys(manifest.dependencies), 'express', '@types/express', '@types/node']) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const node = async (file: string, source: string) => {
  await writeFile(join(folder, file), source)
  return run(process.execPath, [file], { cwd: folder, env: { PATH: process.env.PATH, NODE_ENV: 'development' } })
}

describe('the package', () => {
  it.each(['import', 'require'])('gives something at every path to %s', async (how) => {
    const load =
      how === 'require'
        ? 'const load = (path) => require(path)'
        : 'const load = (path) => import(path, path.endsWith("json") ? { with: { type: "json" } } : {})'
    const { stdout } = await node(
      `exports-${how}.cjs`,
      `${load}
       Promise.all(${JSON.stringify(paths)}.map(async (path) => [path, Object.keys(await load(path)).length > 0]))
         .then((found) => console.log(JSON.stringify(found)))`,
    )
    expect(JSON.parse(stdout)).toEqual(paths.map((path) => [path, true]))
  })

  it.each(['import', 'require'])('runs the example of the README as it stands, by %s', async (how) => {
    const example = /## Use\n\n```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
    const started = `const server = app.listen(0, async () => {
      const answer = await fetch(\`http://localhost:\${server.address().port}/integrations\`, { headers: { accept: 'application/json' } })
      console.log(JSON.stringify(await answer.json()))
      server.close()
      await integrations.close()
    })`
    const source = example.replace('app.listen(3000)', started)
    const { stdout } = await node(
      how === 'import' ? 'app.mjs' : 'app.cjs',
      how === 'import' ? source : source.replace(/^import (.+) from ('.+')$/gm, 'const $1 = require($2)'),
    )
    const { providers } = JSON.parse(stdout.split('\n').at(-2) ?? '')
    expect(providers.map(({ id, configured }: { id: string; configured: boolean }) => [id, configured])).toEqual([
      ['slack', true],
      ['stripe', true],
    ])
  })

  it.each([
    ['nodenext', 'nodenext'],
    ['bundler', 'esnext'],
  ])('has types at every path, complete without the optional packages (%s)', async (resolution, module) => {
    const file = `types-${resolution}.mts`
    const named = paths.filter((path) => !path.endsWith('.json'))
    await writeFile(
      join(folder, file),
      `${named.map((path, i) => `import * as part${i} from '${path}'`).join('\n')}
       import { type AtomOptions, atomIntegrations } from 'atom-integrations'
       import { SlackStrategy } from 'atom-integrations/strategies'
       const options: AtomOptions = { identify: () => ({ tenantId: 'a', userId: 'b' }), providers: { slack: { env: {} } } }
       atomIntegrations(options).on('connected', ({ connection }) => console.log(connection.account.name.length))
       export const { name } = new SlackStrategy({ clientID: 'a', clientSecret: 'b', callbackURL: 'https://a.example/cb' },
         (_req, accessToken, _refreshToken, account, done) => done(null, { id: account.id, length: accessToken.length }))
       export const length: number = name?.length ?? 0
       export default [${named.map((_, i) => `part${i}`).join(', ')}]
      `,
    )
    const flags = '--noEmit --strict --skipLibCheck false --target es2023 --types node'.split(' ')
    const { stdout } = await run(tsc, [...flags, '--moduleResolution', resolution, '--module', module, file], {
      cwd: folder,
    }).catch((error: { stdout: string }) => error)
    expect(stdout).toBe('')
  })

  it('has a command that helps', async () => {
    const { stdout } = await run(process.execPath, [
      join(folder, 'node_modules', manifest.name, manifest.bin[manifest.name]),
      '--help',
    ])
    expect(stdout).toContain('npx atom-integrations doctor')
  })

  it('satisfies publint', async () => {
    const { messages } = await publint({
      pkgDir: join(folder, 'node_modules', manifest.name),
      strict: true,
      pack: false,
    })
    expect(messages.map((message) => formatMessage(message, manifest))).toEqual([])
  })
})
