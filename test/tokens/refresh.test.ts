import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSealer } from '../../src/persistence/sealing.js'
import { createTokens } from '../../src/tokens/access-token.js'
import { type Acme, acmeDefinition, acmeEntry, type Fault, startAcme } from './acme.js'
import { createKit, GROUP, type Kit, storePlace } from './kit.js'

let acme: Acme
let place: Awaited<ReturnType<typeof storePlace>>
let kit: Kit

for (const kind of ['sqlite', 'mongo'] as const) {
  describe(`refresh on ${kind}`, () => {
    beforeEach(async () => {
      acme = await startAcme()
      place = await storePlace(kind)
      kit = await createKit(acme, place)
    })
    afterEach(async () => {
      await kit.close()
      await acme.close()
      place.remove()
    })

    it('hands out a valid token without asking the provider', async () => {
      const { id, credential } = await kit.connect({ endsInMs: 3_600_000 })
      expect(await kit.tokens.accessToken('tenant-1', id)).toBe(credential.accessToken)
      expect(acme.refreshes).toEqual([])
    })

    it('refreshes an expired token once for a thousand callers and stores the rotated refresh token', async () => {
      const { id, credential } = await kit.connect()
      const other = kit.another()
      const answers = await Promise.all(
        Array.from({ length: 1000 }, (_, i) => (i % 2 ? kit.tokens : other).accessToken('tenant-1', id)),
      )
      expect(new Set(answers).size).toBe(1)
      expect(acme.refreshes).toEqual([credential.refreshToken])
      const stored = await kit.credentialOf(id)
      expect(stored.accessToken).toBe(answers[0])
      expect(acme.isNewest(stored.refreshToken ?? '')).toBe(true)
      expect(await kit.events()).toEqual(['token.refreshed'])
    })

    it('refreshes before the end of the token, by the margin', async () => {
      const { id, credential } = await kit.connect({ endsInMs: 3_600_000, credential: { issuedAt: kit.clock.now } })
      kit.clock.now += 3_600_000 - 390_000
      expect(await kit.tokens.accessToken('tenant-1', id)).toBe(credential.accessToken)
      kit.clock.now += 390_000 - 200_000
      expect(await kit.tokens.accessToken('tenant-1', id)).not.toBe(credential.accessToken)
      expect(acme.refreshes).toHaveLength(1)
    })

    it('refreshes a token that is valid for less than the caller needs', async () => {
      const { id, credential } = await kit.connect({
        endsInMs: 1_800_000,
        credential: { issuedAt: kit.clock.now - 60_000 },
      })
      expect(await kit.tokens.accessToken('tenant-1', id, { minValiditySeconds: 1_000 })).toBe(credential.accessToken)
      const fresh = await kit.tokens.accessToken('tenant-1', id, { minValiditySeconds: 3_000 })
      expect(fresh).not.toBe(credential.accessToken)
      expect(await kit.tokens.accessToken('tenant-1', id, { minValiditySeconds: 3_000 })).toBe(fresh)
    })

    const outages: [string, Fault, string][] = [
      ['500', { kind: 'answer', status: 500, body: '{"error":"oops"}' }, 'PROVIDER_UNAVAILABLE'],
      [
        '502 as HTML',
        { kind: 'answer', status: 502, body: '<html><h1>Bad gateway</h1></html>', type: 'text/html' },
        'PROVIDER_HTML_RESPONSE',
      ],
      ['503', { kind: 'answer', status: 503, body: '', headers: { 'retry-after': '2' } }, 'PROVIDER_'],
      [
        '200 as HTML',
        { kind: 'answer', status: 200, body: '<!doctype html><title>Hi</title>' },
        'PROVIDER_HTML_RESPONSE',
      ],
      [
        '401 as HTML',
        { kind: 'answer', status: 401, body: '<html><title>Sign in</title></html>' },
        'PROVIDER_HTML_RESPONSE',
      ],
      ['200 without a token', { kind: 'answer', status: 200, body: '{}' }, 'PROVIDER_BAD_RESPONSE'],
      ['200 that is cut JSON', { kind: 'answer', status: 200, body: '{"access_token":' }, 'PROVIDER_BAD_RESPONSE'],
      [
        '429',
        { kind: 'answer', status: 429, body: '{"error":"slow_down"}', headers: { 'retry-after': '3' } },
        'PROVIDER_RATE_LIMITED',
      ],
      ['a cut connection, twice', { kind: 'cut' }, 'PROVIDER_UNAVAILABLE'],
      [
        'a token with 5 MB beside it',
        {
          kind: 'answer',
          status: 200,
          body: JSON.stringify({
            access_token: 'access-large-secret',
            token_type: 'bearer',
            more: 'x'.repeat(5_000_000),
          }),
        },
        'PROVIDER_TOO_LARGE',
      ],
    ]
    it.each(outages)('stays usable after %s: degraded, then recovered, with nothing lost', async (_, fault, code) => {
      const { id } = await kit.connect()
      acme.refreshFaults.push(fault, ...(fault.kind === 'cut' ? [fault] : []))
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({
        code: expect.stringContaining(code),
      })
      const document = await kit.store.getConnection('tenant-1', id)
      expect(document).toMatchObject({ status: 'degraded', cause: 'outage', degradedSince: kit.clock.now })
      expect(await kit.events()).toEqual(['degraded'])

      kit.clock.now = (document?.nextTryAt ?? 0) + 1
      const token = await kit.tokens.accessToken('tenant-1', id)
      expect(acme.isLive(token)).toBe(true)
      expect(await kit.store.getConnection('tenant-1', id)).toMatchObject({ status: 'active', cause: null })
      expect((await kit.events()).sort()).toEqual(['recovered', 'token.refreshed'])
      expect(acme.isNewest((await kit.credentialOf(id)).refreshToken ?? '')).toBe(true)
    })

    it('stays usable after a timeout', async () => {
      const { id } = await kit.connect()
      const tokens = kit.another({ refreshTimeoutMs: 600, leaseMs: 2_000 })
      acme.refreshFaults.push({ kind: 'hang' }, { kind: 'hang' })
      await expect(tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' })
      expect(await kit.store.getConnection('tenant-1', id)).toMatchObject({ status: 'degraded', cause: 'outage' })
      expect(acme.isLive(await tokens.accessToken('tenant-1', id))).toBe(true)
    })

    it('stays usable when the provider refuses to connect, and hands out the token as long as it is valid', async () => {
      const { id, credential } = await kit.connect({
        endsInMs: 30_000,
        credential: { issuedAt: kit.clock.now - 3_570_000 },
      })
      const port = new URL(acme.url).port
      await acme.close()
      expect(await kit.tokens.accessToken('tenant-1', id)).toBe(credential.accessToken)
      expect(await kit.store.getConnection('tenant-1', id)).toMatchObject({ status: 'degraded', cause: 'outage' })
      kit.clock.now += 31_000
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        sent: 'no',
      })
      expect(port).not.toBe('')
      expect((await kit.credentialOf(id)).refreshToken).toBe(credential.refreshToken)
    })

    it('waits longer the longer an outage lasts, and says until when', async () => {
      const { id } = await kit.connect()
      for (let i = 0; i < 6; i++) acme.refreshFaults.push({ kind: 'answer', status: 500, body: '{}' })
      const pauses: number[] = []
      for (let i = 0; i < 5; i++) {
        await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toThrow()
        const { nextTryAt } = (await kit.store.getConnection(null, id)) ?? {}
        pauses.push((nextTryAt ?? 0) - kit.clock.now)
        if ((nextTryAt ?? 0) > kit.clock.now) {
          const sent = acme.refreshes.length
          await expect(kit.another().accessToken('tenant-1', id)).rejects.toMatchObject({
            code: 'PROVIDER_UNAVAILABLE',
            retryAfterSeconds: Math.ceil(((nextTryAt ?? 0) - kit.clock.now) / 1000),
          })
          expect(acme.refreshes).toHaveLength(sent)
        }
        kit.clock.now = Math.max(nextTryAt ?? 0, kit.clock.now) + 10_000
      }
      expect(pauses[0]).toBe(0)
      expect(pauses.at(-1)).toBeGreaterThan(5_000)
      expect(await kit.events()).toEqual(['degraded'])
    })

    it('needs its user when the provider says invalid_grant, and names the path that connects again', async () => {
      const { id, credential } = await kit.connect()
      acme.withdraw(credential.refreshToken ?? '')
      const refused = await kit.tokens.accessToken('tenant-1', id).catch((error: unknown) => error)
      expect(refused).toMatchObject({
        code: 'CONNECTION_NEEDS_REAUTH',
        message: expect.stringContaining('/integrations/acme/connect'),
      })
      expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'needs_reauth', cause: 'revoked' })
      expect(await kit.events()).toEqual(['needs_reauth'])
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
      expect(acme.refreshes).toHaveLength(1)
    })

    it('tells a refresh token that ended from one that was revoked', async () => {
      const { id, credential } = await kit.connect({ refreshEndsInMs: -1 })
      acme.withdraw(credential.refreshToken ?? '')
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
      expect(await kit.store.getConnection(null, id)).toMatchObject({ cause: 'expired' })
    })

    it('calls it rotation_lost when the answer of a rotation was lost on the wire', async () => {
      const { id } = await kit.connect()
      acme.refreshFaults.push({ kind: 'cut', rotate: true })
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
      expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'needs_reauth', cause: 'rotation_lost' })
      expect(acme.refreshes).toHaveLength(2)
    })

    it('remembers across calls and processes that an answer was lost', async () => {
      const { id } = await kit.connect()
      acme.refreshFaults.push({ kind: 'answer', status: 502, body: '<html>gateway</html>', rotate: true })
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'PROVIDER_HTML_RESPONSE' })
      await expect(kit.another().accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
      expect(await kit.store.getConnection(null, id)).toMatchObject({ cause: 'rotation_lost' })
    })

    it('suspects nothing when the provider certainly did not get the request', async () => {
      const { id, credential } = await kit.connect()
      const port = Number(new URL(acme.url).port)
      await acme.close()
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ sent: 'no' })
      acme = await startAcme({ port })
      // The new server knows no refresh token at all: a refusal, and an honest one.
      kit.clock.now += 1000
      await expect(kit.tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
      expect(await kit.store.getConnection(null, id)).toMatchObject({ cause: 'revoked' })
      expect(acme.refreshes).toEqual([credential.refreshToken])
    })

    it('gets a lost rotation back where the provider repeats its answer', async () => {
      acme.control.replayable = true
      const entry = acmeEntry(acmeDefinition({ refreshReplaySeconds: 60 }))
      const tokens = kit.another({ providers: () => entry })
      const { id } = await kit.connect()
      acme.refreshFaults.push({ kind: 'cut', rotate: true })
      expect(acme.isLive(await tokens.accessToken('tenant-1', id))).toBe(true)
      expect(acme.isNewest((await kit.credentialOf(id)).refreshToken ?? '')).toBe(true)
    })

    it('keeps the old refresh token when the answer brings none', async () => {
      acme.control.rotating = false
      const entry = acmeEntry(acmeDefinition({ refreshToken: 'static' }))
      const tokens = kit.another({ providers: () => entry })
      const { id, credential } = await kit.connect()
      const fresh = await tokens.accessToken('tenant-1', id)
      expect(fresh).not.toBe(credential.accessToken)
      expect(await kit.credentialOf(id)).toMatchObject({ accessToken: fresh, refreshToken: credential.refreshToken })
    })

    it.each([
      ['a timeout', 'hang', 'PROVIDER_TIMEOUT'],
      ['a cut connection', 'cut', 'PROVIDER_UNAVAILABLE'],
    ] as const)('loses nothing by %s where refresh tokens do not rotate', async (_, fault, code) => {
      acme.control.rotating = false
      const entry = acmeEntry(acmeDefinition({ refreshToken: 'static' }))
      const tokens = kit.another({ providers: () => entry, refreshTimeoutMs: 600, leaseMs: 2_000 })
      const { id, credential } = await kit.connect()
      // The provider did its part both times; only its answers were lost.
      acme.refreshFaults.push({ kind: fault, rotate: true }, { kind: fault, rotate: true })
      await expect(tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code })
      expect(await kit.store.getConnection('tenant-1', id)).toMatchObject({ status: 'degraded', cause: 'outage' })
      expect(acme.isLive(await tokens.accessToken('tenant-1', id))).toBe(true)
      expect(await kit.store.getConnection('tenant-1', id)).toMatchObject({ status: 'active', cause: null })
      expect((await kit.credentialOf(id)).refreshToken).toBe(credential.refreshToken)
      expect((await kit.events()).sort()).toEqual(['degraded', 'recovered', 'token.refreshed'])
    })

    it('calls an invalid_grant after a lost answer revoked where refresh tokens do not rotate', async () => {
      acme.control.rotating = false
      const entry = acmeEntry(acmeDefinition({ refreshToken: 'static' }))
      const tokens = kit.another({ providers: () => entry })
      const { id, credential } = await kit.connect()
      acme.refreshFaults.push({ kind: 'cut' })
      acme.withdraw(credential.refreshToken ?? '')
      await expect(tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
      expect(await kit.store.getConnection(null, id)).toMatchObject({ cause: 'revoked' })
    })

    it('reads again before it believes an invalid_grant: another process may have been faster', async () => {
      const { id } = await kit.connect()
      acme.control.delayMs = 50
      // The lease of the slow one ends (by the clock of the other), and both send the same refresh token.
      acme.control.replayable = true
      const slow = kit.tokens.accessToken('tenant-1', id)
      await acme.arrived(1)
      acme.control.refreshRejects = undefined
      const ahead = kit.another({ now: () => kit.clock.now + 3_600_000 })
      const fast = ahead.accessToken('tenant-1', id)
      const [a, b] = await Promise.all([slow, fast])
      expect(a).toBe(b)
      expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'active' })
    })

    it('takes over from a process that died with the lease, once the lease ends', async () => {
      const { id } = await kit.connect()
      await kit.store.acquireRefreshLease({
        connectionId: id,
        token: 'default',
        generation: 1,
        version: 1,
        owner: 'dead',
        now: kit.clock.now,
        ttlMs: 30_000,
      })
      const waiting = kit.tokens.accessToken('tenant-1', id)
      while (kit.waits.length === 0) await new Promise((resolve) => setImmediate(resolve))
      expect(acme.refreshes).toEqual([])
      kit.clock.now += 30_001
      expect(acme.isLive(await waiting)).toBe(true)
      expect(acme.refreshes).toHaveLength(1)
    })

    it('does not wait for another process while the token is still valid', async () => {
      const { id, credential } = await kit.connect({
        endsInMs: 60_000,
        credential: { issuedAt: kit.clock.now - 3_540_000 },
      })
      await kit.store.acquireRefreshLease({
        connectionId: id,
        token: 'default',
        generation: 1,
        version: 1,
        owner: 'busy',
        now: kit.clock.now,
        ttlMs: 30_000,
      })
      expect(await kit.tokens.accessToken('tenant-1', id)).toBe(credential.accessToken)
      expect(acme.refreshes).toEqual([])
    })

    it('gives way to a reconnect that happens during a refresh', async () => {
      const account = 'same-account'
      const { id } = await kit.connect({ account })
      acme.control.delayMs = 30
      const refreshing = kit.tokens.accessToken('tenant-1', id)
      await acme.arrived(1)
      const again = await kit.connect({ account, endsInMs: 3_600_000 })
      expect(again.id).toBe(id)
      expect(await refreshing).toBe(again.credential.accessToken)
      expect(await kit.credentialOf(id)).toMatchObject(again.credential)
    })

    it('revokes a grant that arrives for a connection that was disconnected during the refresh', async () => {
      const { id } = await kit.connect()
      acme.control.delayMs = 50
      const refreshing = kit.tokens.accessToken('tenant-1', id).catch((error: unknown) => error)
      await acme.arrived(1)
      await kit.tokens.disconnect('tenant-1', id)
      expect(await refreshing).toMatchObject({ code: 'CONNECTION_DISCONNECTED' })
      expect(acme.revoked).toHaveLength(2)
      expect(acme.isNewest(acme.revoked[1] ?? '')).toBe(false)
      expect((await kit.store.getConnection(null, id))?.tokens).toEqual({})
    })

    it('refreshes bot and user tokens one by one', async () => {
      const entry = acmeEntry(
        acmeDefinition({
          tokens: { user: { accessToken: 'user.access_token' }, bot: { accessToken: 'access_token' } },
          refreshTokens: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in' },
        }),
      )
      const tokens = kit.another({ providers: () => entry })
      const [user, bot] = [acme.grant(), acme.grant()]
      const { id } = await kit.connect({ tokens: { user, bot } })
      const freshBot = await tokens.accessToken('tenant-1', id, { token: 'bot' })
      expect(acme.refreshes).toEqual([bot.refreshToken])
      expect(await kit.credentialOf(id, 'user')).toMatchObject(user)
      const freshUser = await tokens.accessToken('tenant-1', id)
      expect(acme.refreshes).toEqual([bot.refreshToken, user.refreshToken])
      expect(freshUser).not.toBe(freshBot)
      await expect(tokens.accessToken('tenant-1', id, { token: 'app' })).rejects.toMatchObject({
        code: 'REQUEST_INVALID',
      })
    })

    it('goes by the exp of a JSON Web Token where the provider names no end', async () => {
      const claims = Buffer.from(JSON.stringify({ exp: Math.floor(kit.clock.now / 1000) - 5 })).toString('base64url')
      const { id } = await kit.connect({ endsInMs: null, credential: { accessToken: `e30.${claims}.c2ln` } })
      expect(acme.isLive(await kit.tokens.accessToken('tenant-1', id))).toBe(true)
      expect(acme.refreshes).toHaveLength(1)
    })

    it('never hands out or logs a secret where it does not belong', async () => {
      const { id, credential } = await kit.connect()
      acme.refreshFaults.push({ kind: 'answer', status: 500, body: JSON.stringify({ error: credential.refreshToken }) })
      const error = await kit.tokens.accessToken('tenant-1', id).catch((thrown: Error) => thrown)
      const seen = `${JSON.stringify(error)} ${(error as Error).message} ${kit.logs.join('\n')}`
      expect(seen).not.toMatch(/-secret/)
    })

    it('names the key that is missing, and deletes nothing', async () => {
      const { id } = await kit.connect({ endsInMs: 3_600_000 })
      const sealer = createSealer(`k9:${randomBytes(32).toString('base64')}`)
      await expect(kit.another({ sealer }).accessToken('tenant-1', id)).rejects.toMatchObject({
        code: 'STORE_KEY_UNKNOWN',
        message: expect.stringContaining('k1'),
      })
      expect(acme.isLive(await kit.tokens.accessToken('tenant-1', id))).toBe(true)
    })

    it('finds no connection of another tenant, also not one that is in the cache', async () => {
      const { id } = await kit.connect({ endsInMs: 3_600_000 })
      await kit.tokens.accessToken('tenant-1', id)
      await kit.tokens.accessToken(null, id)
      for (const tenant of ['tenant-2', 'null', ''])
        await expect(kit.tokens.accessToken(tenant, id)).rejects.toMatchObject({ code: 'CONNECTION_NOT_FOUND' })
      await expect(kit.tokens.accessToken('tenant-1', 'nothing')).rejects.toMatchObject({
        code: 'CONNECTION_NOT_FOUND',
      })
    })

    it('keeps a rotated token that the store does not take at first', async () => {
      const { id } = await kit.connect()
      const { store, failing } = failingCommits(kit, 3)
      const tokens = kit.another({ store })
      const token = await tokens.accessToken('tenant-1', id)
      expect(failing.left).toBe(0)
      expect((await kit.credentialOf(id)).accessToken).toBe(token)
      expect(acme.refreshes).toHaveLength(1)
    })

    it('keeps on storing a rotated token after its callers were told that the store is down', async () => {
      const { id } = await kit.connect()
      const { store, failing } = failingCommits(kit, Number.POSITIVE_INFINITY)
      const tokens = kit.another({ store, refreshTimeoutMs: 600, leaseMs: 1_200 })
      await expect(tokens.accessToken('tenant-1', id)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
      failing.left = 0
      await tokens.close()
      expect(acme.isNewest((await kit.credentialOf(id)).refreshToken ?? '')).toBe(true)
    })
  })
}

/** A store whose commits fail, as they do while a database fails over. All else is the real one. */
function failingCommits({ store }: Kit, times: number) {
  const failing = { left: times }
  const proxy = new Proxy(store, {
    get(target, name, receiver) {
      if (name !== 'commitRefresh') return Reflect.get(target, name, receiver)
      return async (input: Parameters<Kit['store']['commitRefresh']>[0]) => {
        if (failing.left <= 0) return target.commitRefresh(input)
        failing.left--
        const { IntegrationError } = await import('../../src/errors.js')
        throw new IntegrationError('STORE_UNAVAILABLE', 'failing over')
      }
    },
  })
  return { store: proxy, failing }
}

describe('createTokens', () => {
  it('refuses a lease that is not longer than the request, and a cache older than ten seconds', () => {
    const parts = {
      store: {},
      sealer: {},
      http: {},
      providers: () => undefined,
      groups: () => [GROUP],
      onEvent: () => {},
    }
    const make = (options: object) => () => createTokens({ ...parts, ...options } as never)
    expect(make({ refreshTimeoutMs: 10_000, leaseMs: 10_000 })).toThrow(/leaseMs.*must be longer/)
    expect(make({ cacheMs: 10_001 })).toThrow(/cacheMs/)
    expect(make({ refreshTimeoutMs: Number.NaN })).toThrow(/refreshTimeoutMs/)
    expect(make({})).not.toThrow()
  })
})
