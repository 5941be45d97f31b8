import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import mongoose from 'mongoose'

const STAND_IN = fileURLToPath(new URL('../../../shared/bin/mongo-server', import.meta.url))

/**
 * A MongoDB for one test file, with a database of its own: `TEST_MONGODB_URL` if set, else `mongod` on PATH, else the
 * stand-in of `../shared/bin`, else a download by mongodb-memory-server-core where that is installed. `url` names the
 * database; `stop` removes it.
 */
export async function startMongo(): Promise<{ url: string; stop(): Promise<void> }> {
  const database = `atom_test_${randomBytes(6).toString('hex')}`
  const given = process.env.TEST_MONGODB_URL
  if (given) return { url: inDatabase(given, database), stop: () => drop(inDatabase(given, database)) }

  const mongod = (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'mongod')))
  if (mongod) return startMongod(database)
  if (!existsSync(STAND_IN)) return download(database)
  const server = spawn(STAND_IN, ['--until-stdin-closes'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [url] = await Promise.race([
    firstLine(server, (line) => /^mongodb:\/\/\S+/.exec(line)),
    ended(server).then(() => {
      throw new Error('../shared/bin/mongo-server ended before it was ready. It needs a Java runtime, 17 or newer.')
    }),
  ])
  return {
    url: inDatabase(url, database),
    async stop() {
      server.stdin?.end()
      await ended(server)
    },
  }
}

/** The package is no dependency, because it downloads a server. */
async function download(database: string): Promise<{ url: string; stop(): Promise<void> }> {
  const name: string = 'mongodb-memory-server-core'
  const memory = await import(/* @vite-ignore */ name).catch((cause: unknown) => {
    const cure = `set TEST_MONGODB_URL, install mongod, put ../shared/bin/mongo-server in its place, or npm i --no-save ${name}`
    throw new Error(`No MongoDB for the tests: ${cure}.`, { cause })
  })
  const server = await memory.MongoMemoryServer.create()
  return { url: inDatabase(server.getUri(), database), stop: () => server.stop() }
}

async function startMongod(database: string): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-mongod-'))
  const port = await freePort()
  const server = spawn('mongod', ['--dbpath', folder, '--port', String(port), '--bind_ip', '127.0.0.1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const kill = () => server.kill()
  process.once('exit', kill)
  await firstLine(server, (line) => /waiting for connections/i.exec(line))
  return {
    url: inDatabase(`mongodb://127.0.0.1:${port}`, database),
    async stop() {
      process.off('exit', kill)
      kill()
      await ended(server)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function inDatabase(url: string, database: string): string {
  const parsed = new URL(url)
  // The user of the URL may be known to the database it names only.
  const before = parsed.pathname.slice(1)
  if (parsed.username && !parsed.searchParams.has('authSource'))
    parsed.searchParams.set('authSource', before || 'admin')
  parsed.pathname = `/${database}`
  return parsed.href
}

async function drop(url: string): Promise<void> {
  const connection = await mongoose.createConnection(url).asPromise()
  await connection.dropDatabase()
  await connection.close()
}

async function firstLine<T>(server: ChildProcess, match: (line: string) => T | null): Promise<T> {
  if (!server.stdout) throw new Error('no output to read')
  const lines = createInterface({ input: server.stdout })
  for await (const line of lines) {
    const found = match(line)
    if (!found) continue
    server.stdout.resume()
    return found
  }
  throw new Error('the MongoDB server ended before it was ready')
}

function ended(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return Promise.resolve()
  return new Promise((resolve, reject) => {
    server.once('exit', () => resolve())
    server.once('error', reject)
  })
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
