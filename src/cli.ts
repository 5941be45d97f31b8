#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { diagnose } from './operations/doctor.js'
import { reseal } from './operations/reseal.js'
import { isProduction, resolveKeys, resolveStore, setVariables } from './options.js'
import { createStore, type StoreChoice } from './persistence/create-store.js'
import { createSealer } from './persistence/sealing.js'
import { catalogue } from './strategies/index.js'

const HELP = `atom-integrations: looks after an app that uses the library.

  npx atom-integrations doctor    looks at environment, keys, store, queue, redirect URIs, and says what to do
  npx atom-integrations reseal    seals all stored credentials with the first of ATOM_ENCRYPTION_KEYS

Both read the environment that the app reads. What the app sets in its code is said here:

  --env-file FILE     variables from a file
  --sqlite FILE       the store of the app, when not ATOM_DATA_DIR or MONGODB_URL
  --mongodb URL
  --base-url URL      the public address of the app, when not ATOM_BASE_URL (doctor)
  --path PATH         where the routes are mounted (doctor; default /integrations)
  --providers A,B     ids to look at (doctor; default: all that are configured)
`

class UsageError extends Error {}

const options = {
  'env-file': { type: 'string' },
  sqlite: { type: 'string' },
  mongodb: { type: 'string' },
  'base-url': { type: 'string' },
  path: { type: 'string' },
  providers: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parse(args)
  if (values.help || positionals.length === 0) {
    process.stdout.write(HELP)
    return values.help ? 0 : 2
  }
  const envFile = values['env-file']
  if (envFile !== undefined) {
    if (!existsSync(envFile)) throw new UsageError(`--env-file: there is no ${envFile}`)
    process.loadEnvFile(envFile)
  }
  if (values.sqlite !== undefined && values.mongodb !== undefined) throw new UsageError('one store, please')
  const store: StoreChoice = values.sqlite
    ? { kind: 'sqlite', path: values.sqlite }
    : values.mongodb
      ? { kind: 'mongo', url: values.mongodb }
      : resolveStore({}, setVariables(process.env))
  const [command, ...more] = positionals
  if (more.length > 0) throw new UsageError(`unexpected: ${more.join(' ')}`)
  if (command === 'doctor') return runDoctor(store, values)
  if (command === 'reseal') return runReseal(store)
  throw new UsageError(`unknown command: ${command}`)
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function runDoctor(
  store: StoreChoice,
  { 'base-url': baseUrl, path, providers }: { 'base-url'?: string; path?: string; providers?: string },
): Promise<number> {
  let failed = 0
  const findings = diagnose({
    env: setVariables(process.env),
    catalogue,
    store,
    ...(baseUrl !== undefined && { baseUrl }),
    ...(path !== undefined && { path }),
    ...(providers !== undefined && { providers: providers.split(',').map((id) => id.trim()) }),
  })
  for await (const { level, subject, text, cure } of findings) {
    if (level === 'fail') failed++
    console.log(`${level.padEnd(4)}  ${subject}: ${text}`)
    if (cure !== undefined) console.log(`      → ${cure}`)
  }
  console.log(failed === 0 ? '\nNothing stands in the way.' : `\n${failed} to mend.`)
  return failed === 0 ? 0 : 1
}

async function runReseal(choice: StoreChoice): Promise<number> {
  const keys = resolveKeys({}, setVariables(process.env), choice, isProduction(process.env), [])
  const sealer = createSealer(keys)
  if (choice.kind === 'sqlite' && !existsSync(choice.path ?? ''))
    throw new UsageError(`there is no store at ${choice.path}; name it with --sqlite or --mongodb`)
  const store = createStore(choice)
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  await store.open()
  try {
    let shown = 0
    const result = await reseal(
      store,
      sealer,
      ({ connections, resealed }) => {
        if (connections - shown < 1_000) return
        shown = connections
        console.log(`${connections} connections looked at, ${resealed} credentials sealed with "${sealer.firstKeyId}"`)
      },
      stop.signal,
    )
    const failed = Object.entries(result.failed)
    console.log(
      `${result.connections} connections: ${result.resealed} credentials sealed with "${sealer.firstKeyId}" now, ${result.current} were already.`,
    )
    for (const [keyId, count] of failed)
      console.log(
        `${count} sealed with "${keyId}" do not open and were left as they are: put that key back and run again.`,
      )
    if (failed.length === 0)
      console.log(
        `If every process had "${sealer.firstKeyId}" first before this run, older keys may go from ATOM_ENCRYPTION_KEYS. If not, run it again then.`,
      )
    return failed.length === 0 ? 0 : 1
  } catch (error) {
    if (!stop.signal.aborted) throw error
    console.log('Stopped. Run it again to go on from here.')
    return 1
  } finally {
    await store.close()
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    // Written by us, without secrets; what is not is told by its kind.
    console.error(`atom-integrations: ${(error as Error).message.replace(/^atomIntegrations: /, '')}`)
    if (error instanceof UsageError) console.error(HELP)
    process.exitCode = error instanceof UsageError ? 2 : 1
  },
)
