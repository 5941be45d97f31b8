import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import { createEvents } from '../../src/events.js'
import type { Kit as MiddlewareKit, Visit } from '../../src/middleware/kit.js'
import { finish } from '../../src/middleware/save.js'
import { createSealer } from '../../src/persistence/sealing.js'
import { createProviderHttp } from '../../src/provider-http/client.js'
import type { CatalogueEntry } from '../../src/provider-settings.js'
import type { Grant } from '../../src/strategies/grant.js'
import { identify } from '../../src/strategies/identify.js'
import { grantKeyOf } from '../../src/tokens/grant-key.js'
import { type Acme, acmeDefinition, acmeEntry, startAcme } from './acme.js'
import { createKit, KEYS, type Kit, storePlace } from './kit.js'

let acme: Acme
let place: Awaited<ReturnType<typeof storePlace>>
let kit: Kit
const entry = acmeEntry(
  acmeDefinition(
    {},
    {
      grant: 'shared',
      identity: {
        request: { method: 'GET', url: 'https://api.acme.example/me' },
        accountId: 'path',
        accountName: 'path',
      },
    },
  ),
)
const held = grantKeyOf(entry, { key: 'account-1' })
beforeEach(async () => {
  acme = await startAcme()
  place = await storePlace('sqlite')
  kit = await createKit(acme, place, { entry })
})
afterEach(async () => {
  await kit.close()
  await acme.close()
  place.remove()
})

const granted = () => ({ tokens: { default: acme.grant() }, scopes: [], params: {} }) satisfies Grant

/** A store that does not say who holds a grant as long as it is down. All else is the real one. */
function failingStore({ store }: Kit) {
  const state = { down: true, asked: 0 }
  const proxy = new Proxy(store, {
    get(target, name, receiver) {
      if (name !== 'countGrantHolders') return Reflect.get(target, name, receiver)
      return async (grantKey: string, exceptId: string) => {
        state.asked++
        if (state.down) throw new IntegrationError('STORE_UNAVAILABLE', 'down')
        return target.countGrantHolders(grantKey, exceptId)
      }
    },
  })
  return { store: proxy, state }
}

describe('a grant that could not be saved, and that others may hold', () => {
  it('is taken back when the store can say again that nobody does', async () => {
    const { store, state } = failingStore(kit)
    const tokens = kit.another({ store })
    const grant = granted()
    expect(await tokens.revokeGrant('acme', grant, held.grantKey)).toBe(false)
    await expect.poll(() => state.asked).toBeGreaterThan(3)
    expect(acme.revoked).toEqual([])
    state.down = false
    await expect.poll(() => acme.revoked).toEqual([grant.tokens.default.refreshToken])
  })

  it('stays when a connection lives by it that was made meanwhile', async () => {
    const { store, state } = failingStore(kit)
    const tokens = kit.another({ store })
    await tokens.revokeGrant('acme', granted(), held.grantKey)
    await kit.connect({ ...held })
    state.down = false
    await tokens.close()
    expect(acme.revoked).toEqual([])
  })

  it('is given up with a word in the log when the store is down for longer than close() waits', async () => {
    const { store } = failingStore(kit)
    const tokens = kit.another({ store, refreshTimeoutMs: 50, leaseMs: 100 })
    await tokens.revokeGrant('acme', granted(), held.grantKey)
    await tokens.close()
    expect(kit.logs.filter((line) => line.includes('was not revoked either'))).toHaveLength(1)
    await tokens.revokeGrant('acme', granted(), held.grantKey)
    expect(kit.logs.filter((line) => line.includes('was not revoked either'))).toHaveLength(2)
    expect(acme.revoked).toEqual([])
  })
})

describe('a save that fails for another reason than the store', () => {
  it('gives the grant back as well', async () => {
    const http = createProviderHttp({ origins: acme.origins })
    const grant: Grant = granted()
    const account = await identify(http, entry.definition, entry.client, grant, undefined)
    // Sealing begins with JSON, which has no such number.
    Object.assign(grant.tokens.default as object, { issuedAt: 1n })
    const events = createEvents({ store: kit.store })
    const parts: Partial<MiddlewareKit> = {
      store: kit.store,
      sealer: createSealer(KEYS),
      tokens: kit.tokens,
      events,
      now: Date.now,
      path: '/integrations',
    }
    const visit = { kit: parts } as Visit
    const attempt = { mode: 'redirect', returnTo: null, expectedConnectionId: null } as const
    const user = { tenantId: 'tenant-1', userId: 'user-1' }
    await expect(finish(visit, entry as CatalogueEntry, user, attempt, account, true)).rejects.toThrow(/BigInt/)
    expect(acme.revoked).toEqual([grant.tokens.default?.refreshToken])
    expect((await kit.store.listConnections({ tenantId: null, limit: 1 })).items).toEqual([])
    await events.close()
    await http.close()
  })
})
