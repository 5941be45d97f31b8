import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { reseal } from '../../src/operations/reseal.js'
import { createStore, type StoreChoice } from '../../src/persistence/create-store.js'
import { createSealer } from '../../src/persistence/sealing.js'
import type { Store } from '../../src/persistence/store.js'
import { openCredential, sealCredential } from '../../src/tokens/credential.js'
import { connect, revocation } from '../contract/store/samples.js'
import { startMongo } from '../support/mongo-server.js'

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
const OLD = key('k1', 1)
const NEW = key('k2', 2)
const secret = 'a secret of at least thirty-two bytes'

let folder: string
let mongo: Awaited<ReturnType<typeof startMongo>>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atom-cli-'))
  mongo = await startMongo()
})
afterAll(async () => {
  await mongo?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** The command as it is installed, with nothing in its environment but what is given. */
function run(args: string[], env: Record<string, string> = {}): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [CLI, ...args],
      { cwd: folder, env: { PATH: process.env.PATH ?? '', ...env } },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

const choices: [string, () => { choice: StoreChoice; flag: string[] }][] = [
  [
    'sqlite',
    () => {
      const path = join(folder, `${randomBytes(4).toString('hex')}.sqlite`)
      return { choice: { kind: 'sqlite', path }, flag: ['--sqlite', path] }
    },
  ],
  [
    'mongo',
    () => {
      const url = mongo.url.replace(/(atom_test_[0-9a-f]+)/, `$1_${randomBytes(4).toString('hex')}`)
      return { choice: { kind: 'mongo', url }, flag: ['--mongodb', url] }
    },
  ],
]

/** So many connections of three tenants, each with a credential of its own. */
async function fill(store: Store, keys: string, count: number, from = 0): Promise<void> {
  const sealer = createSealer(keys)
  for (let index = from; index < from + count; index++) {
    const tenantId = `tenant-${index % 3}`
    const tokensFor = (id: string) => ({
      default: {
        sealed: sealCredential(sealer, { tenantId, provider: 'acme', id }, 'default', {
          accessToken: `access-${index}`,
        }),
        expiresAt: null,
        refreshExpiresAt: null,
      },
    })
    await store.saveConnection(connect({ tenantId, accountKey: `account-${index}`, tokensFor }))
  }
}

async function allConnections(store: Store) {
  const found = []
  for (let after: string | null | undefined; after !== null; ) {
    const page = await store.listConnections({ tenantId: null, limit: 200, ...(after && { after }) })
    found.push(...page.items)
    after = page.next
  }
  return found
}

describe.each(choices)('reseal on %s', (_kind, make) => {
  it('leaves nothing that needs the old key, revocations included, and says so', async () => {
    const { choice, flag } = make()
    const store = createStore(choice)
    await store.open()
    await fill(store, OLD, 230)
    await fill(store, `${NEW},${OLD}`, 1, 230)
    const owner = { tenantId: 'tenant-1', provider: 'acme', id: 'gone' }
    const sealed = { default: sealCredential(createSealer(OLD), owner, 'default', { accessToken: 'to-revoke' }) }
    await store.saveRevocation(revocation({ connectionId: 'gone', sealed }))

    const first = await run(['reseal', ...flag], { ATOM_ENCRYPTION_KEYS: `${NEW},${OLD}` })
    expect(first).toMatchObject({ code: 0, err: '' })
    const onlyNew = createSealer(NEW)
    const connections = await allConnections(store)
    const tokens = connections.map(
      (one) => openCredential(onlyNew, one, 'default', one.tokens.default?.sealed ?? '').accessToken,
    )
    expect(new Set(tokens).size).toBe(231)
    expect(connections.every((one) => one.tokens.default?.version === 1)).toBe(true)
    const pending = (await store.listRevocations({ limit: 10 })).items
    expect(pending.map((one) => openCredential(onlyNew, owner, 'default', one.sealed.default ?? ''))).toEqual([
      { accessToken: 'to-revoke' },
    ])
    expect(first.out + first.err).not.toMatch(/access-|to-revoke|AQEB|AgIC/)

    const again = await run(['reseal', ...flag], { ATOM_ENCRYPTION_KEYS: NEW })
    expect(again.code).toBe(0)
    expect(again.out).toMatch(/: 0 credentials sealed with "k2" now, 232 were already/)
    await store.close()
  })

  it('goes on where it was stopped', async () => {
    const { choice } = make()
    const store = createStore(choice)
    await store.open()
    await fill(store, OLD, 150)
    const sealer = createSealer(`${NEW},${OLD}`)
    const stop = new AbortController()
    await expect(reseal(store, sealer, () => stop.abort(), stop.signal)).rejects.toThrow()
    const reports: number[] = []
    const rest = await reseal(store, sealer, ({ connections }) => reports.push(connections))
    expect(rest).toEqual({ connections: 150, resealed: 50, current: 100, failed: {} })
    expect(reports).toEqual([100, 150, 150])
    await store.close()
  })

  it('never undoes a refresh that happens beside it', async () => {
    const { choice } = make()
    const [store, other] = [createStore(choice), createStore(choice)]
    await Promise.all([store.open(), other.open()])
    await fill(store, OLD, 1)
    const sealer = createSealer(`${NEW},${OLD}`)
    const [connection] = await allConnections(store)
    if (!connection) throw new Error('no connection')
    const racing: Store = {
      ...store,
      // Between reading and writing, another process saves a new token, again and again.
      async replaceSealed(id, name, version, sealed) {
        if (version < 8) {
          const held = { connectionId: id, token: name, generation: connection.generation, version, owner: 'other' }
          const lease = await other.acquireRefreshLease({ ...held, now: 1, ttlMs: 60_000 })
          const token = sealCredential(createSealer(OLD), connection, name, { accessToken: 'refreshed' })
          const next = { sealed: token, expiresAt: null, refreshExpiresAt: null }
          await other.commitRefresh({ ...held, fencing: lease?.fencing ?? 0, next, now: 2, event: null })
        }
        return store.replaceSealed(id, name, version, sealed)
      },
    }
    expect(await reseal(racing, sealer)).toMatchObject({ resealed: 1, failed: {} })
    const after = await store.getConnection(null, connection.id)
    expect(openCredential(createSealer(NEW), connection, 'default', after?.tokens.default?.sealed ?? '')).toMatchObject(
      {
        accessToken: 'refreshed',
      },
    )
    await Promise.all([store.close(), other.close()])
  })

  it('leaves what does not open as it is, and names the key', async () => {
    const { choice, flag } = make()
    const store = createStore(choice)
    await store.open()
    await fill(store, OLD, 2)
    const before = await allConnections(store)
    const { code, out } = await run(['reseal', ...flag], { ATOM_ENCRYPTION_KEYS: NEW })
    expect(code).toBe(1)
    expect(out).toContain('2 sealed with "k1" do not open')
    expect(await allConnections(store)).toEqual(before)
    await store.close()
  })
})

describe.each(choices)('doctor on %s', (_kind, make) => {
  it('finds nothing in the way of a good setup, and tells the redirect URIs', async () => {
    const { choice, flag } = make()
    const store = createStore(choice)
    await store.open()
    await fill(store, OLD, 1)
    await store.close()
    const health = createServer((_req, res) => res.end('{"status":"up"}'))
    await new Promise<void>((resolve) => health.listen(0, '127.0.0.1', resolve))
    const base = `http://127.0.0.1:${(health.address() as AddressInfo).port}`
    const { code, out } = await run(['doctor', ...flag], {
      NODE_ENV: 'production',
      ATOM_BASE_URL: base,
      ATOM_SECRET: secret,
      ATOM_ENCRYPTION_KEYS: OLD,
      SLACK_CLIENT_ID: 'client-of-slack',
      SLACK_CLIENT_SECRET: 'secret-of-slack',
    })
    health.close()
    expect(out).toContain(`slack: the redirect URI ${base}/integrations/slack/callback is not https`)
    expect(out).toContain('ok    stored tokens: 1 sealed with "k1"')
    expect(out).toContain('/integrations/health answers')
    expect(out).not.toContain('fail')
    expect(code).toBe(0)
    expect(out).not.toMatch(/AQEB|thirty-two|secret-of-slack/)
  })

  it('says what to do about a key that is missing or old', async () => {
    const { choice, flag } = make()
    const store = createStore(choice)
    await store.open()
    await fill(store, OLD, 2)
    await store.close()
    const env = { ATOM_BASE_URL: 'https://app.example.invalid', ATOM_SECRET: secret }
    const missing = await run(['doctor', ...flag], { ...env, ATOM_ENCRYPTION_KEYS: NEW })
    expect(missing.code).toBe(1)
    expect(missing.out).toMatch(
      /fail {2}stored tokens: 2 sealed with "k1".*\n.*→ Put the key that was called "k1" back/,
    )
    const old = await run(['doctor', ...flag], { ...env, ATOM_ENCRYPTION_KEYS: `${NEW},${OLD}` })
    expect(old.code).toBe(0)
    expect(old.out).toMatch(/warn {2}stored tokens: 2 sealed with "k1"\n.*→ .*npx atom-integrations reseal/)
  })
})

describe('doctor', () => {
  it('names everything that is missing at once', async () => {
    const { code, out } = await run(['doctor'], {
      NOTION_CLIENT_ID: 'half',
      HTTPS_PROXY: 'http://proxy.example:8080',
      SLACK_CLIENT_ID: 'a',
      SLACK_CLIENT_SECRET: 'b',
      SLACK_REDIRECT_URI: 'https://elsewhere.example/callback',
      ATOM_BASE_URL: 'https://app.example.invalid',
    })
    expect(code).toBe(1)
    expect(out).toContain('fail  encryption keys: ATOM_ENCRYPTION_KEYS is missing')
    expect(out).toContain('fail  secret:')
    expect(out).toContain('set NOTION_CLIENT_SECRET too')
    expect(out).toContain('warn  proxy:')
    expect(out).toMatch(/warn {2}slack: the redirect URI https:\/\/elsewhere.example\/callback does not lead to/)
    expect(out).toContain('made at the first start')
  })

  it('takes what the code of the app sets, and says so where it is missing', async () => {
    const development = { NODE_ENV: 'development' }
    const missing = await run(['doctor'], development)
    expect(missing.out).toMatch(/fail {2}base URL: .*"baseUrl" is missing.*\n.*→ .*--base-url URL/)
    const said = await run(['doctor', '--base-url', 'http://localhost:1'], development)
    expect(said.code).toBe(0)
    expect(said.out).toContain('ok    base URL: http://localhost:1/')
    expect(said.out).toContain('warn  providers: none is configured')
    const stripe = await run(['doctor', '--base-url', 'http://localhost:1', '--providers', 'stripe'], development)
    expect(stripe.out).toContain('ok    stripe: users bring a key of their own')
  })

  it('tells a store and a Redis that do not answer', async () => {
    const env = { ATOM_BASE_URL: 'https://app.example.invalid', ATOM_SECRET: secret, ATOM_ENCRYPTION_KEYS: OLD }
    const { code, out } = await run(['doctor'], {
      ...env,
      MONGODB_URL: 'mongodb://127.0.0.1:1/app?serverSelectionTimeoutMS=200',
      REDIS_URL: 'redis://127.0.0.1:1',
    })
    expect(code).toBe(1)
    expect(out).toMatch(/fail {2}store:/)
    expect(out).toMatch(/fail {2}queue: Redis does not answer/)
  })
})

describe('the command', () => {
  it('explains itself, and refuses what it does not know', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('doctor') })
    expect(await run(['dance'])).toMatchObject({ code: 2, err: expect.stringContaining('unknown command: dance') })
    expect(await run(['reseal', '--fast'])).toMatchObject({ code: 2 })
    const noKeys = await run(['reseal', '--sqlite', 'x.sqlite'])
    expect(noKeys).toMatchObject({ code: 1, err: expect.stringContaining('ATOM_ENCRYPTION_KEYS') })
    const noStore = await run(['reseal', '--sqlite', 'nowhere.sqlite'], { ATOM_ENCRYPTION_KEYS: OLD })
    expect(noStore).toMatchObject({ code: 2, err: expect.stringContaining('there is no store at nowhere.sqlite') })
  })
})
