import { describe, expect, it } from 'vitest'
import { type FaultKind, IntegrationError } from '../../src/errors.js'
import type { RequestTemplate } from '../../src/strategies/define-provider.js'
import { buildRequest } from '../../src/strategies/template.js'
import { whatsapp } from '../../src/strategies/whatsapp.js'
import { refusal } from './refusal.js'

const error = (code: number, fields: object = {}) => ({
  error: { message: 'No.', type: 'OAuthException', code, fbtrace_id: 'abc', ...fields },
})
const hidden = {
  message: "Unsupported get request. Object with ID '1' does not exist, cannot be loaded due to missing permissions",
  error_subcode: 33,
}

describe("WhatsApp's refusals", () => {
  it.each([
    [401, error(190, { error_subcode: 463 }), 'revoked'],
    [400, error(190, { error_subcode: 458 }), 'revoked'],
    [403, error(10), 'permission'],
    [403, error(200, { message: 'Requires Advanced Access' }), 'permission'],
    [400, error(299), 'permission'],
    [400, error(100, hidden), 'not_found'],
    [400, error(100, { message: 'Invalid parameter' }), 'invalid'],
    [400, error(100, { message: 'API calls from the server require an appsecret_proof argument' }), 'client'],
    [400, error(4), 'rate_limited'],
    [400, error(17), 'rate_limited'],
    [400, error(80007), 'rate_limited'],
    [403, error(131031), 'permission'],
    [500, error(2), 'unavailable'],
    [500, error(1), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(whatsapp.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [error(100, { message: 'This authorization code has been used.' }), 'revoked'],
    [error(100, { message: 'Error validating verification code. Make sure your redirect_uri is identical' }), 'client'],
    [error(191), 'client'],
    [error(101), 'client'],
    [error(1), 'client'],
  ])('at the token endpoint with %j mean %s', async (body, fault) => {
    expect(await refusal(whatsapp.auth.errors, { status: 400, body })).toMatchObject({ fault })
  })

  it.each([
    [{ '102290129340398': [{ type: 'whatsapp_business_management', estimated_time_to_regain_access: 7 }] }, 420],
    [{ '1': [{ estimated_time_to_regain_access: 0 }], '2': [{ estimated_time_to_regain_access: 2 }] }, 120],
  ])('of the rate limit wait the minutes that %j tells', async (usage, seconds) => {
    const headers = { 'x-business-use-case-usage': JSON.stringify(usage) }
    expect(await refusal(whatsapp.api.errors, { status: 400, headers, body: error(80007) })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: seconds,
    })
  })

  it('of the rate limit stay one where the usage cannot be read', async () => {
    const headers = { 'x-business-use-case-usage': '{"1":[' }
    expect(await refusal(whatsapp.api.errors, { status: 400, headers, body: error(4) })).toMatchObject({
      fault: 'rate_limited',
    })
  })
})

describe('the WhatsApp Business accounts behind a token', () => {
  const debug = (scopes: object[]) => ({ data: { is_valid: true, data_access_expires_at: 7, granular_scopes: scopes } })
  const managed = (...ids: string[]) => ({ scope: 'whatsapp_business_management', target_ids: ids })
  /** Names by id; resolves to what there is to choose from, and the addresses asked. */
  const choices = async (body: unknown, names: Record<string, unknown> = {}) => {
    const urls: string[] = []
    const items = await whatsapp.choices.toItems(body, async ({ url }: RequestTemplate) => {
      urls.push(url)
      const answer = names[url.split('/').at(-1) ?? '']
      if (answer instanceof Error) throw answer
      return answer
    })
    return { items, urls }
  }
  const refused = (fault: FaultKind) => new IntegrationError('PROVIDER_FORBIDDEN', 'refused', { fault })

  it('are asked of debug_token with the token of the app, the user token being what is asked about', () => {
    const scope = { params: {}, clientId: '12', clientSecret: 'made-up', accessToken: 'user-token' }
    expect(buildRequest(whatsapp.choices.request, scope)).toMatchObject({
      url: 'https://graph.facebook.com/v26.0/debug_token?input_token=user-token',
      headers: { authorization: 'Bearer 12|made-up' },
    })
  })

  it('need no name where there is one', async () => {
    const { items, urls } = await choices(debug([{ scope: 'public_profile' }, managed('11111')]))
    expect(items).toMatchObject([{ id: '11111', data_access_expires_at: 7 }])
    expect(urls).toEqual([])
  })

  it('are offered by name where there are several, by id where one hides it', async () => {
    const names = { 11111: { name: 'Acme' }, 22222: refused('permission') }
    const { items } = await choices(debug([managed('11111', '22222')]), names)
    expect(items).toMatchObject([
      { id: '11111', name: 'Acme' },
      { id: '22222', name: 'WhatsApp Business account 22222' },
    ])
  })

  it('are not guessed at while Meta is out of order', async () => {
    const asked = choices(debug([managed('11111', '22222')]), { 11111: refused('unavailable') })
    await expect(asked).rejects.toMatchObject({ fault: 'unavailable' })
  })

  it('are those of the other permission where only that names them', async () => {
    const scopes = [
      { scope: 'whatsapp_business_management' },
      { ...managed('33333'), scope: 'whatsapp_business_messaging' },
    ]
    expect((await choices(debug(scopes))).items).toMatchObject([{ id: '33333' }])
  })

  it.each([
    ['another answer', {}],
    ['no shared account', debug([{ scope: 'public_profile' }])],
    ['an id that is none', debug([managed('../me', '1')])],
  ])('are none with %s', async (_what, body) => {
    expect((await choices(body)).items).toEqual([])
  })
})

describe("WhatsApp's requests", () => {
  it('leave the scope to the login configuration', () => {
    expect(whatsapp.auth.scopes.every((scope) => 'needsApproval' in scope || 'optional' in scope)).toBe(true)
    const { extras } = whatsapp.auth.authorizationParams
    expect(JSON.parse(extras)).toMatchObject({ sessionInfoVersion: '3' })
  })

  it('carry the window inside the fields', () => {
    const scope = { params: { wabaId: '11111' }, since: new Date(1_000_000), now: new Date(2_000_000) }
    const fields = (index: 0 | 1) =>
      new URL(buildRequest(whatsapp.resources[index].request, scope).url).searchParams.get('fields')
    expect(fields(0)).toBe('analytics.start(1000).end(2000).granularity(DAY)')
    expect(fields(1)).toContain('.dimensions(["PRICING_CATEGORY","PRICING_TYPE","COUNTRY","PHONE"])')
  })

  it('ask for a day more than the window, and together for less than a year', () => {
    for (const { reach, overlapSeconds } of [whatsapp.resources[0], whatsapp.resources[1]]) {
      expect(overlapSeconds).toBe(86_400)
      expect(reach.days * 86_400 + overlapSeconds).toBeLessThan(365 * 86_400)
    }
  })

  it('make one record of each data point of the costs', () => {
    const costs = whatsapp.resources[1]
    expect(costs.unfold({ data_points: [{ start: 1 }, { start: 2 }] })).toEqual([{ start: 1 }, { start: 2 }])
  })
})
