import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { OAuth2 } from '../../src/strategies/define-provider.js'
import { grantKeyOf } from '../../src/tokens/grant-key.js'
import { type Acme, acmeDefinition, acmeEntry, startAcme } from './acme.js'
import { createKit, type Kit, storePlace } from './kit.js'

let acme: Acme
let place: Awaited<ReturnType<typeof storePlace>>
let kit: Kit

beforeEach(async () => {
  acme = await startAcme()
  place = await storePlace('sqlite')
  kit = await createKit(acme, place)
})
afterEach(async () => {
  await kit.close()
  await acme.close()
  place.remove()
})

const valid = { endsInMs: 3_600_000 }

describe('fetch', () => {
  it('appends a path to the API base and adds the token', async () => {
    const { id, credential } = await kit.connect(valid)
    const response = await kit.tokens.fetch('tenant-1', id, '/things?limit=1', { headers: { 'x-own': 'yes' } })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ path: '/v1/things?limit=1', method: 'GET' })
    expect(acme.apiRequests[0]?.headers).toMatchObject({
      authorization: `Bearer ${credential.accessToken}`,
      'x-own': 'yes',
    })
  })

  it.each([
    ['a string', '{"a":1}', undefined, '{"a":1}'],
    ['a form', new URLSearchParams({ a: '1' }), 'application/x-www-form-urlencoded;charset=UTF-8', 'a=1'],
    ['bytes', new TextEncoder().encode('abc'), undefined, 'abc'],
  ])('sends %s', async (_, body, type, expected) => {
    const { id } = await kit.connect(valid)
    await kit.tokens.fetch('tenant-1', id, '/things', { method: 'POST', body })
    expect(acme.apiRequests[0]).toMatchObject({ method: 'POST', body: expected })
    if (type) expect(acme.apiRequests[0]?.headers['content-type']).toBe(type)
  })

  it('takes absolute URLs of the provider', async () => {
    const { id } = await kit.connect(valid)
    const response = await kit.tokens.fetch('tenant-1', id, 'https://api.acme.example/v2/x')
    expect(await response.json()).toMatchObject({ path: '/v2/x' })
  })

  it.each([
    'https://evil.example/x',
    'http://api.acme.example/x',
    '//evil.example/x',
    '/\\evil.example/x',

    'https://api.acme.example@evil.example/x',
    'https://user:pass@api.acme.example/x',
    'https://api.acme.example.evil.example/x',
    'https://api.acme.example:8443/x',
    'javascript:alert(1)',
    'file:///etc/passwd',
    'ht\ntps://evil.example/x',
  ])('refuses %s before a token is read', async (url) => {
    // An expired token: were it looked at, a refresh would leave.
    const { id } = await kit.connect()
    const error = await kit.tokens.fetch('tenant-1', id, url).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'PROVIDER_ORIGIN_REFUSED' })
    expect(acme.refreshes).toEqual([])
    expect(acme.apiRequests).toEqual([])
  })

  it('refuses an Authorization header of the caller', async () => {
    const { id } = await kit.connect(valid)
    for (const name of ['Authorization', 'cookie', 'Host'])
      await expect(kit.tokens.fetch('tenant-1', id, '/x', { headers: { [name]: 'x' } })).rejects.toMatchObject({
        code: 'REQUEST_INVALID',
      })
    expect(acme.apiRequests).toEqual([])
  })

  it('refreshes once after a 401 and sends the request again', async () => {
    const { id, credential } = await kit.connect(valid)
    acme.expire(credential.accessToken)
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => kit.tokens.fetch('tenant-1', id, '/x', { method: 'POST', body: 'again' })),
    )
    expect(await answers[0]?.json()).toMatchObject({ body: 'again' })
    expect(acme.refreshes).toHaveLength(1)
  })

  it('does not refresh again and again for a 401 that a new token does not cure', async () => {
    const { id } = await kit.connect(valid)
    const always = { kind: 'answer', status: 401, body: '{"error":"token_expired"}' } as const
    acme.apiFaults.push(always, always, always, always)
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toMatchObject({ code: 'PROVIDER_UNAUTHORIZED' })
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toMatchObject({ code: 'PROVIDER_UNAUTHORIZED' })
    expect(acme.refreshes).toHaveLength(1)
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'active' })
  })

  it('needs its user after a 401 where there is nothing to refresh with and the identity call says the same', async () => {
    const { id, credential } = await kit.connect({ endsInMs: null, credential: { refreshToken: undefined as never } })
    acme.expire(credential.accessToken)
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'needs_reauth', cause: 'revoked' })
    expect(await kit.events()).toEqual(['needs_reauth'])
  })

  it('keeps a connection whose token one resource refuses and the identity call accepts', async () => {
    const { id } = await kit.connect({ endsInMs: null, credential: { refreshToken: undefined as never } })
    acme.apiFaults.push({ kind: 'answer', status: 401, body: '{"error":"token_expired"}' })
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toMatchObject({ code: 'PROVIDER_UNAUTHORIZED' })
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'active' })
  })

  it('needs its user when the provider says that the account is gone', async () => {
    const { id } = await kit.connect(valid)
    acme.apiFaults.push({ kind: 'answer', status: 403, body: '{"error":"gone"}' })
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toMatchObject({ code: 'CONNECTION_NEEDS_REAUTH' })
    expect(await kit.store.getConnection(null, id)).toMatchObject({ cause: 'account_gone' })
  })

  it('types HTML and provider errors, and leaves the connection as it is', async () => {
    const { id } = await kit.connect(valid)
    const html = { kind: 'answer', status: 200, body: '<html><title>Maintenance</title></html>' } as const
    acme.apiFaults.push(html, html, html)
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toMatchObject({ code: 'PROVIDER_HTML_RESPONSE' })
    acme.apiFaults.length = 0
    acme.apiFaults.push({ kind: 'answer', status: 404, body: '{"error":"no_such_thing"}' })
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toMatchObject({ code: 'PROVIDER_NOT_FOUND' })
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'active' })
  })

  it('gives the body as it was sent, also numbers that JavaScript cannot hold', async () => {
    const { id } = await kit.connect(valid)
    acme.apiFaults.push({ kind: 'answer', status: 200, body: '{ "id": 12345678901234567890 }' })
    expect(await (await kit.tokens.fetch('tenant-1', id, '/x')).text()).toBe('{ "id": 12345678901234567890 }')
  })

  it('takes an answer without content, and refuses one that is no JSON', async () => {
    const { id } = await kit.connect(valid)
    acme.apiFaults.push({ kind: 'answer', status: 204, body: '' })
    expect((await kit.tokens.fetch('tenant-1', id, '/x', { method: 'POST', body: '{}' })).status).toBe(204)
    acme.apiFaults.push({ kind: 'answer', status: 200, body: 'plain', type: 'text/plain' })
    await expect(kit.tokens.fetch('tenant-1', id, '/x', { method: 'POST', body: '{}' })).rejects.toMatchObject({
      code: 'PROVIDER_BAD_RESPONSE',
    })
  })

  it('streams what is no JSON when the caller expects anything', async () => {
    const { id } = await kit.connect(valid)
    acme.apiFaults.push({ kind: 'answer', status: 200, body: '%PDF-1.7', type: 'application/pdf' })
    const response = await kit.tokens.fetch('tenant-1', id, '/file', { expect: 'any' })
    expect(response.headers.get('content-type')).toBe('application/pdf')
    expect(await response.text()).toBe('%PDF-1.7')
  })

  it('stops when the caller aborts', async () => {
    const { id } = await kit.connect(valid)
    acme.apiFaults.push({ kind: 'hang' })
    const controller = new AbortController()
    const waiting = kit.tokens.fetch('tenant-1', id, '/x', { signal: controller.signal })
    while (acme.apiRequests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    await expect(waiting).rejects.toThrow()
  })

  it('never sends the token on to another host that the provider redirects to', async () => {
    const { id } = await kit.connect(valid)
    const other = await startAcme()
    acme.apiFaults.push({ kind: 'answer', status: 302, body: '', headers: { location: `${other.url}/steal` } })
    await expect(kit.tokens.fetch('tenant-1', id, '/x')).rejects.toThrow()
    expect(other.apiRequests).toEqual([])
    await other.close()
  })

  it('finds nothing for another tenant', async () => {
    const { id } = await kit.connect(valid)
    await expect(kit.tokens.fetch('tenant-2', id, '/x')).rejects.toMatchObject({ code: 'CONNECTION_NOT_FOUND' })
  })
})

describe('call', () => {
  it('refreshes once when the provider says that the token ended', async () => {
    const { id, credential } = await kit.connect(valid)
    acme.expire(credential.accessToken)
    const answer = await kit.tokens.call(id, { method: 'GET', url: 'https://api.acme.example/v1/things' })
    expect(answer.body).toMatchObject({ path: '/v1/things' })
    expect(acme.refreshes).toHaveLength(1)
  })
})

describe('disconnect', () => {
  it('revokes at the provider, forgets the token and says so', async () => {
    const { id, credential } = await kit.connect(valid)
    await kit.tokens.accessToken('tenant-1', id)
    await kit.tokens.disconnect('tenant-1', id)
    expect(acme.revoked).toEqual([credential.refreshToken])
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'disconnected', tokens: {} })
    expect(await kit.events()).toEqual(['disconnected'])
    const refused = await kit.tokens.accessToken('tenant-1', id).catch((error: unknown) => error)
    expect(refused).toMatchObject({
      code: 'CONNECTION_DISCONNECTED',
      message: expect.stringContaining('/integrations/acme/connect'),
    })
    await kit.tokens.disconnect('tenant-1', id)
    expect(acme.revoked).toHaveLength(1)
  })

  it('succeeds here while the provider is down, and revokes later', async () => {
    const { id, credential } = await kit.connect(valid)
    acme.revokeFaults.push({ kind: 'answer', status: 503, body: '{}' }, { kind: 'cut' })
    await kit.tokens.disconnect('tenant-1', id)
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'disconnected' })
    expect(await kit.tokens.retryRevocations()).toBe(0)
    kit.clock.now += 300_000
    expect(await kit.tokens.retryRevocations()).toBe(0)
    kit.clock.now += 3_600_000
    expect(await kit.tokens.retryRevocations()).toBe(1)
    expect(acme.revoked).toEqual([credential.refreshToken])
    kit.clock.now += 86_400_000
    expect(await kit.tokens.retryRevocations()).toBe(0)
  })

  it('leaves a grant that another connection of the account lives by', async () => {
    const entry = acmeEntry(acmeDefinition({}, { grant: 'shared' }))
    const tokens = kit.another({ providers: () => entry })
    const { grantKey, grantShared } = grantKeyOf(entry, { key: 'account-1' })
    const first = await kit.connect({ ...valid, grantKey, grantShared })
    const second = await kit.connect({ ...valid, grantKey, grantShared, tenantId: 'tenant-2' })
    await tokens.disconnect('tenant-1', first.id)
    expect(acme.revoked).toEqual([])
    await tokens.disconnect('tenant-2', second.id)
    expect(acme.revoked).toEqual([second.credential.refreshToken])
  })

  it('leaves a token of the grant that is not its own', async () => {
    const { revocation } = acmeDefinition().auth as OAuth2
    const entry = acmeEntry(acmeDefinition({ revocation: { ...revocation, only: ['user'] } as OAuth2['revocation'] }))
    const tokens = kit.another({ providers: () => entry })
    const [user, bot] = [acme.grant(), acme.grant()]
    const { id } = await kit.connect({ ...valid, tokens: { user, bot } })
    await tokens.disconnect('tenant-1', id)
    expect(acme.revoked).toEqual([user.refreshToken])
    const unsaved = { tokens: { user: acme.grant(), bot: acme.grant() }, scopes: [], params: {} }
    expect(await tokens.revokeGrant('acme', unsaved)).toBe(true)
    expect(acme.revoked).toEqual([user.refreshToken, unsaved.tokens.user.refreshToken])
  })

  it('does not revoke later what was connected again meanwhile', async () => {
    const entry = acmeEntry(acmeDefinition({}, { grant: 'exclusive' }))
    const tokens = kit.another({ providers: () => entry })
    const account = { ...valid, account: 'account-1', ...grantKeyOf(entry, { key: 'account-1' }) }
    const { id } = await kit.connect(account)
    acme.revokeFaults.push({ kind: 'answer', status: 503, body: '{}' })
    await tokens.disconnect('tenant-1', id)
    expect(await kit.connect(account)).toMatchObject({ id })
    kit.clock.now += 3_600_000
    expect(await tokens.retryRevocations()).toBe(1)
    expect(acme.revoked).toEqual([])
  })

  it('deletes the records when asked to, and only then', async () => {
    const { id } = await kit.connect(valid)
    const kept = await kit.connect(valid)
    for (const connectionId of [id, kept.id]) await saveRecord(connectionId)
    await kit.tokens.disconnect('tenant-1', id, { records: 'delete' })
    await kit.tokens.disconnect('tenant-1', kept.id)
    const list = (connectionId: string) => kit.store.listRecords({ tenantId: null, connectionId, limit: 10 })
    expect((await list(id)).items).toEqual([])
    expect((await list(kept.id)).items).toHaveLength(1)
  })

  it('finds nothing for another tenant', async () => {
    const { id } = await kit.connect(valid)
    await expect(kit.tokens.disconnect('tenant-2', id)).rejects.toMatchObject({ code: 'CONNECTION_NOT_FOUND' })
    expect(acme.revoked).toEqual([])
  })

  it('gives back a grant that could not be saved', async () => {
    const { accessToken, refreshToken } = acme.grant()
    const grant = { tokens: { default: { accessToken, refreshToken } }, scopes: [], params: {} }
    expect(await kit.tokens.revokeGrant('acme', grant)).toBe(true)
    expect(acme.revoked).toEqual([refreshToken])
    acme.revokeFaults.push({ kind: 'cut' })
    expect(await kit.tokens.revokeGrant('acme', grant)).toBe(false)
  })

  async function saveRecord(connectionId: string): Promise<void> {
    const [backfillId, now] = [`backfill-${connectionId}`, kit.clock.now]
    const scope = { connectionId, tenantId: 'tenant-1', provider: 'acme' }
    await kit.store.createBackfill({
      ...scope,
      id: backfillId,
      status: 'queued',
      window: { from: 0, to: now },
      resources: [],
      failure: null,
      attempts: 0,
      dueAt: now,
      lease: null,
      createdAt: now,
      startedAt: null,
      finishedAt: null,
    })
    const event = { id: `started-${connectionId}`, type: 'backfill.started', occurredAt: now, groups: [] } as const
    const claimed = await kit.store.claimBackfill({ owner: 'test', now, leaseMs: 60_000, id: backfillId, event })
    await kit.store.savePage({
      ...scope,
      backfillId,
      owner: 'test',
      fencing: claimed?.lease?.fencing ?? 0,
      now,
      leaseMs: 60_000,
      records: [{ resource: 'things', id: '1', timestamp: null, data: { a: 1 }, parentId: null }],
      deletes: [],
      progress: {
        resource: 'things',
        status: 'running',
        pages: 1,
        records: 1,
        coveredFrom: null,
        coveredTo: null,
        checkpoint: null,
      },
    })
  }
})

describe('background refresh', () => {
  it('refreshes what would end by inactivity, each connection at its own time', async () => {
    const day = 86_400_000
    const entry = acmeEntry(acmeDefinition({ refreshIdleSeconds: 90 * 86_400 }))
    const tokens = kit.another({ providers: () => entry })
    const count = 30
    for (let i = 0; i < count; i++) await kit.connect({ endsInMs: 3_600_000, refreshEndsInMs: 90 * day })
    expect(await tokens.refreshDue()).toBe(0)
    const perDay: number[] = []
    for (let age = 82; age < 90; age++) {
      kit.clock.now += age === 82 ? 82 * day : day
      perDay.push(await tokens.refreshDue())
    }
    expect(perDay.reduce((sum, refreshed) => sum + refreshed, 0)).toBe(count)
    expect(Math.max(...perDay)).toBeLessThan(count * 0.7)
    expect(perDay.slice(-2)).toEqual([0, 0])
    expect(acme.refreshes).toHaveLength(count)
  })

  it('goes on after an outage, and not before the time of the next try', async () => {
    const day = 86_400_000
    const entry = acmeEntry(acmeDefinition({ refreshIdleSeconds: 90 * 86_400 }))
    const tokens = kit.another({ providers: () => entry })
    const { id } = await kit.connect({ endsInMs: 3_600_000, refreshEndsInMs: 90 * day })
    kit.clock.now += 88 * day
    acme.refreshFaults.push({ kind: 'answer', status: 503, body: '', headers: { 'retry-after': '120' } })
    expect(await tokens.refreshDue()).toBe(0)
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'degraded', cause: 'outage' })
    expect(await tokens.refreshDue()).toBe(0)
    expect(acme.refreshes).toHaveLength(1)
    kit.clock.now += 121_000
    expect(await tokens.refreshDue()).toBe(1)
    expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'active', cause: null })
  })
})
