import { describe, expect, it } from 'vitest'
import { type FaultKind, IntegrationError } from '../../src/errors.js'
import type { PageAnswer } from '../../src/strategies/define-provider.js'
import { normalizeParams } from '../../src/strategies/flow.js'
import { sendgrid } from '../../src/strategies/sendgrid.js'
import { buildRequest } from '../../src/strategies/template.js'
import { refusal } from './refusal.js'

const error = (message: string) => ({ errors: [{ message, field: null, help: null }] })

describe("SendGrid's refusals", () => {
  it.each([
    [401, error('The provided authorization grant is invalid, expired, or revoked'), 'revoked'],
    [401, error('Permission denied, wrong credentials'), 'revoked'],
    [401, error('authorization required'), 'permission'],
    [403, error('access forbidden'), 'permission'],
    [404, error('not found'), 'not_found'],
    [400, error('start_date is required'), 'invalid'],
    [429, error('too many requests'), 'rate_limited'],
    [500, error('internal error'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(sendgrid.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    ['in Unix seconds', () => String(Math.floor(Date.now() / 1000) + 40)],
    ['in seconds from now', () => '40'],
  ])('of the rate limit wait for its reset %s', async (_form, reset) => {
    const answer = { status: 429, headers: { 'x-ratelimit-reset': reset() }, body: error('too many requests') }
    const seconds = (await refusal(sendgrid.api.errors, answer))?.retryAfterSeconds
    expect(seconds).toBeGreaterThan(35)
    expect(seconds).toBeLessThanOrEqual(41)
  })
})

describe("SendGrid's parameters", () => {
  const [, region, subuser] = sendgrid.params
  const key = (id: number, secret: number) => `SG.${'a'.repeat(id)}.${'b'.repeat(secret)}`
  it('take a whole key, and no part of one', () => {
    expect(normalizeParams(sendgrid, { apiKey: ` ${key(22, 43)}\n` }).secrets).toEqual({ apiKey: key(22, 43) })
    for (const wrong of [key(22, 42), key(21, 43), `${key(22, 43)}\r\nx: y`, '']) {
      expect(() => normalizeParams(sendgrid, { apiKey: wrong })).toThrow(/apiKey/)
    }
  })

  it.each([
    ['global', 'https://api.sendgrid.com/v3/scopes'],
    ['eu', 'https://api.eu.sendgrid.com/v3/scopes'],
  ])('make the host of the region %s', (value, url) => {
    expect(value).toMatch(region.pattern)
    const params = { region: value, ...sendgrid.derive({ region: value }) }
    expect(buildRequest(sendgrid.identity.request, { params }).url).toBe(url)
  })

  it('name a subuser without room for another header', () => {
    expect('news.team-1@example.com').toMatch(subuser.pattern)
    expect('news\r\nx: y').not.toMatch(subuser.pattern)
  })
})

describe('the account behind a SendGrid key', () => {
  const refused = (fault: FaultKind) => new IntegrationError('PROVIDER_FORBIDDEN', 'refused', { fault })
  const resolve = (scopes: string[] | undefined, params: Record<string, string> = {}, user: unknown = {}) =>
    sendgrid.identity.resolve({
      body: { scopes },
      token: undefined,
      params: { region: 'global', ...params },
      keyHint: 'SG.…x7Qz',
      call: async () => {
        if (user instanceof Error) throw user
        return user
      },
    })

  it('is the user where the key may ask', async () => {
    const found = await resolve(['stats.read', 'user.username.read'], {}, { user_id: 7, username: 'ada' })
    expect(found).toMatchObject({ id: '7', name: 'ada', keyParts: [''] })
  })

  it('is named by the key where it may not', async () => {
    for (const scopes of [['stats.read'], undefined]) {
      expect(await resolve(scopes, {}, refused('permission'))).toMatchObject({ name: 'SendGrid, key SG.…x7Qz' })
    }
    await expect(resolve(undefined, {}, refused('unavailable'))).rejects.toMatchObject({ fault: 'unavailable' })
  })

  it('is another one for each subuser', async () => {
    const found = await resolve(['stats.read'], { subuser: 'news' })
    expect(found).toMatchObject({ name: 'news (SendGrid, key SG.…x7Qz)', keyParts: ['news'] })
  })

  it.each([
    [['stats.global.read'], 'stats.read'],
    [['suppression.bounces.read'], 'suppression.read'],
    [['email_activity.read'], 'messages.read'],
  ])('may with %j what is listed as %s', async (scopes, name) => {
    expect((await resolve(scopes)).scopes).toContain(name)
  })

  it('has no email activity in the EU, whatever the key may', async () => {
    const { scopes } = await resolve(['stats.read', 'messages.read'], { region: 'eu' })
    expect(scopes).toEqual(['stats.read'])
  })

  it('is refused to a key that reads nothing of it', async () => {
    await expect(resolve(['mail.send', 'stats.update'])).rejects.toMatchObject({ fault: 'scope' })
  })
})

describe("SendGrid's email activity", () => {
  const activity = sendgrid.resources[3]
  const { pagination } = activity
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString().replace('.000Z', 'Z')
  const window = { from: new Date(at(0)), to: new Date(at(86_400)) }

  /** Reads all that a server gives which shows any 1000 messages of a span; resolves to ids and the number of requests. */
  function read(times: readonly number[]) {
    const messages = times.map((seconds, index) => ({ msg_id: `m${index}`, last_event_time: at(seconds) }))
    const ids: string[] = []
    let state: unknown
    for (let requests = 1; ; requests++) {
      const request = state === undefined ? activity.request : pagination.apply(activity.request, state)
      const { url } = buildRequest(request, {
        params: { api_host: 'api.sendgrid.com' },
        since: window.from,
        now: window.to,
      })
      const query = new URL(url).searchParams.get('query') ?? ''
      const [, from = '', to = ''] =
        /^last_event_time BETWEEN TIMESTAMP "([^"]+)" AND TIMESTAMP "([^"]+)"$/.exec(query) ?? []
      const found = messages.filter(({ last_event_time: time }) => time >= from && time <= to).slice(0, 1000)
      const body = { messages: found }
      const items = activity.toItems(body) as typeof messages
      ids.push(...items.map(({ msg_id }) => msg_id))
      const answer: PageAnswer = { body, headers: {}, items, state, window }
      const next = pagination.next(answer)
      if (!next) return { ids, requests }
      state = structuredClone(next.state)
    }
  }

  it('is one request where it fits into one answer', () => {
    expect(read(Array.from({ length: 999 }, (_, i) => i))).toMatchObject({ requests: 1 })
  })

  it('is cut into halves until every answer is whole, and no message is read twice', () => {
    const times = Array.from({ length: 5_000 }, (_, i) => (i * 7) % 86_401)
    const { ids } = read(times)
    expect(ids).toHaveLength(5_000)
    expect(new Set(ids).size).toBe(5_000)
  })

  it('keeps what one second shows where that is more than one answer', () => {
    const { ids } = read([...Array.from({ length: 1_500 }, () => 43_200), 1, 86_400])
    expect(new Set(ids).size).toBe(1_002)
  })

  it('is nothing where the answer has no list', () => {
    expect(activity.toItems({ errors: [] })).toBeUndefined()
  })
})
