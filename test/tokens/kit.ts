import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { createMongoStore } from '../../src/persistence/mongo/mongo-store.js'
import { createSealer } from '../../src/persistence/sealing.js'
import { createSqliteStore } from '../../src/persistence/sqlite/sqlite-store.js'
import type { Delivery, Store } from '../../src/persistence/store.js'
import { createProviderHttp } from '../../src/provider-http/client.js'
import type { Credential } from '../../src/strategies/grant.js'
import { createTokens, type Tokens, type TokensOptions } from '../../src/tokens/access-token.js'
import { openCredential, sealCredential } from '../../src/tokens/credential.js'
import type { ProviderEntry } from '../../src/tokens/open-token.js'
import { startMongo } from '../support/mongo-server.js'
import { type Acme, acmeEntry } from './acme.js'

export const KEYS = `k1:${randomBytes(32).toString('base64')}`
export const GROUP = 'test'

/** Where a store of the tests lives, so that another process can open the same. */
export type StorePlace = { kind: 'sqlite'; path: string } | { kind: 'mongo'; url: string }

let mongo: ReturnType<typeof startMongo> | undefined
afterAll(async () => {
  await (await mongo)?.stop()
})

export async function storePlace(kind: 'sqlite' | 'mongo'): Promise<StorePlace & { remove: () => void }> {
  if (kind === 'mongo') {
    // One server for the file, a database for each place.
    mongo ??= startMongo()
    const url = new URL((await mongo).url)
    url.pathname += `_${randomUUID().slice(0, 8)}`
    return { kind, url: url.href, remove: () => {} }
  }
  const folder = mkdtempSync(join(tmpdir(), 'atom-tokens-'))
  return { kind, path: join(folder, 'atom.sqlite'), remove: () => rmSync(folder, { recursive: true, force: true }) }
}

export function openStore(place: StorePlace): Store {
  return place.kind === 'sqlite' ? createSqliteStore({ path: place.path }) : createMongoStore({ url: place.url })
}

export interface Kit {
  store: Store
  tokens: Tokens
  acme: Acme
  /** Waits that were asked for, in milliseconds. */
  waits: number[]
  logs: string[]
  /** Saves a connection whose access token ends `endsInMs` from now (null: not told). */
  connect(input?: {
    endsInMs?: number | null
    tenantId?: string
    account?: string
    credential?: Partial<Credential>
    grantKey?: string | null
    grantShared?: boolean
    refreshEndsInMs?: number | null
    tokens?: Record<string, Credential>
  }): Promise<{ id: string; credential: Credential }>
  credentialOf(id: string, token?: string): Promise<Credential>
  /** Types of the events written since the last call. */
  events(): Promise<string[]>
  /** A second instance on the same store, as another process would have one. */
  another(options?: Partial<TokensOptions>): Tokens
  clock: { now: number }
  close(): Promise<void>
}

export async function createKit(
  acme: Acme,
  place: StorePlace,
  { entry = acmeEntry(), ...options }: Partial<TokensOptions> & { entry?: ProviderEntry } = {},
): Promise<Kit> {
  const store = openStore(place)
  await store.open()
  const clock = { now: Date.now() }
  const sealer = createSealer(KEYS)
  const http = createProviderHttp({ origins: acme.origins })
  const waits: number[] = []
  const logs: string[] = []
  const log = (fields: object, message: string) => void logs.push(`${message} ${JSON.stringify(fields)}`)
  const make = (more: Partial<TokensOptions> = {}) =>
    createTokens({
      store,
      sealer,
      http,
      providers: (id) => (id === entry.definition.id ? entry : undefined),
      groups: () => [GROUP],
      onEvent: () => {},
      now: () => clock.now,
      logger: { info: log, warn: log, error: log },
      sleep: (milliseconds) => {
        waits.push(milliseconds)
        return new Promise((resolve) => setTimeout(resolve, Math.min(milliseconds, 20)))
      },
      ...options,
      ...more,
    })
  const all = [make()]
  await store.registerGroups([GROUP], clock.now)

  async function events(): Promise<string[]> {
    const found: Delivery[] = []
    for (;;) {
      const some = await store.claimDeliveries([GROUP], 'test', clock.now + 1000, 60_000, 50)
      if (some.length === 0) break
      for (const delivery of some) await store.ackDelivery(delivery, 'test')
      found.push(...some)
    }
    return found.sort((a, b) => a.occurredAt - b.occurredAt).map(({ type }) => type)
  }

  return {
    store,
    tokens: all[0] as Tokens,
    acme,
    waits,
    logs,
    clock,
    async connect({
      endsInMs = -1000,
      tenantId = 'tenant-1',
      account = randomUUID(),
      credential: more,
      grantKey = null,
      grantShared = false,
      refreshEndsInMs = null,
      tokens,
    } = {}) {
      const credential: Credential = { ...acme.grant(), ...more }
      const newId = randomUUID()
      const outcome = await store.saveConnection({
        newId,
        tenantId,
        userId: 'user-1',
        provider: entry.definition.id,
        accountKey: account,
        account: { id: account, name: 'Account' },
        scopes: ['read'],
        params: {},
        grantKey,
        grantShared,
        now: clock.now,
        tokensFor: (id) =>
          Object.fromEntries(
            Object.entries(tokens ?? { default: credential }).map(([name, one]) => [
              name,
              {
                sealed: sealCredential(sealer, { tenantId, provider: entry.definition.id, id }, name, one),
                expiresAt: endsInMs === null ? null : clock.now + endsInMs,
                refreshExpiresAt: refreshEndsInMs === null ? null : clock.now + refreshEndsInMs,
              },
            ]),
          ),
        eventId: randomUUID(),
        groups: [],
      })
      if (outcome.outcome === 'grant_taken') throw new Error('grant taken')
      await events()
      return { id: outcome.connection.id, credential }
    },
    async credentialOf(id, token = 'default') {
      const document = await store.getConnection(null, id)
      const stored = document?.tokens[token]
      if (!document || !stored) throw new Error('no such token')
      return openCredential(sealer, document, token, stored.sealed)
    },
    events,
    another(more) {
      const tokens = make(more)
      all.push(tokens)
      return tokens
    },
    async close() {
      await Promise.all(all.map((tokens) => tokens.close()))
      await http.close()
      await store.close()
    },
  }
}
