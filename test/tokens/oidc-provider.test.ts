import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Acme, acmeDefinition, acmeEntry, startAcme } from './acme.js'
import { createKit, type Kit, type StorePlace, storePlace } from './kit.js'

const LIFE_S = 3600
// It publishes no types.
const { default: Provider } = await import('oidc-provider' as string)

for (const kind of ['sqlite', 'mongo'] as const) {
  describe(`oidc-provider with rotation on, as a foreign server, on ${kind}`, () => {
    let acme: Acme
    let place: StorePlace & { remove: () => void }
    let kit: Kit
    let op: Awaited<ReturnType<typeof startOidcProvider>>
    beforeAll(async () => {
      op = await startOidcProvider()
      acme = await startAcme()
      place = await storePlace(kind)
      const entry = acmeEntry(
        acmeDefinition({ tokenURL: 'https://auth.acme.example/token', revocation: undefined as never }),
      )
      const foreign = { ...acme, origins: { 'https://auth.acme.example': op.url } }
      kit = await createKit(foreign, place, { entry })
    })
    afterAll(async () => {
      await kit.close()
      await acme.close()
      await op.close()
      place.remove()
    })

    it('refreshes 1,000 times in a row', { timeout: 120_000 }, async () => {
      const { id } = await kit.connect({ credential: { refreshToken: await op.refreshToken() } })
      const seen = new Set<string>()
      const before = op.refreshes()
      for (let i = 0; i < 1000; i++) {
        seen.add(await kit.tokens.accessToken('tenant-1', id))
        kit.clock.now += (LIFE_S + 1) * 1000
      }
      expect(seen.size).toBe(1000)
      expect(op.refreshes() - before).toBe(1000)
      expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'active' })
    })

    it('refreshes once per storm', { timeout: 120_000 }, async () => {
      const { id } = await kit.connect({ credential: { refreshToken: await op.refreshToken() } })
      const instances = [kit.tokens, kit.another(), kit.another()]
      const before = op.refreshes()
      for (let round = 0; round < 20; round++) {
        const answers = await Promise.all(
          Array.from({ length: 300 }, (_, i) => instances[i % instances.length]?.accessToken('tenant-1', id)),
        )
        expect(new Set(answers).size).toBe(1)
        kit.clock.now += (LIFE_S + 1) * 1000
      }
      expect(op.refreshes() - before).toBe(20)
    })
  })
}

/** A server of other authors; a used refresh token ends its whole grant. */
async function startOidcProvider() {
  let refreshes = 0
  const server: Server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(url, {
    clients: [
      {
        client_id: 'client-id',
        client_secret: 'client-secret',
        redirect_uris: ['https://app.example/callback'],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    rotateRefreshToken: true,
    ttl: { AccessToken: LIFE_S, RefreshToken: 86_400, Grant: 86_400 },
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
  })
  provider.on('grant.success', () => refreshes++)
  server.on('request', provider.callback())
  return {
    url,
    refreshes: () => refreshes,
    /** A grant as the code exchange would have made it. */
    async refreshToken(): Promise<string> {
      const client = await provider.Client.find('client-id')
      if (!client) throw new Error('no such client')
      const grant = new provider.Grant({ accountId: 'ada', clientId: 'client-id' })
      grant.addOIDCScope('openid offline_access')
      const grantId = await grant.save()
      const token = new provider.RefreshToken({
        accountId: 'ada',
        client,
        grantId,
        gty: 'authorization_code',
        scope: 'openid offline_access',
      })
      return token.save()
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
