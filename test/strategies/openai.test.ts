import { describe, expect, it } from 'vitest'
import { type FaultKind, IntegrationError } from '../../src/errors.js'
import type { RequestTemplate } from '../../src/strategies/define-provider.js'
import { normalizeParams } from '../../src/strategies/flow.js'
import { openai } from '../../src/strategies/openai.js'
import { buildRequest } from '../../src/strategies/template.js'
import { refusal } from './refusal.js'

const error = (fields: object) => ({
  error: { message: 'No.', type: 'invalid_request_error', param: null, code: null, ...fields },
})
const missingScope = error({
  message: 'You have insufficient permissions for this operation. Missing scopes: api.usage.read.',
})

describe("OpenAI's refusals", () => {
  it.each([
    [401, error({ message: 'Incorrect API key provided: sk-…', code: 'invalid_api_key' }), 'revoked'],
    [401, missingScope, 'scope'],
    [401, error({ message: "You didn't provide an API key." }), 'revoked'],
    [401, error({ code: 'account_deactivated' }), 'account_gone'],
    [401, error({ code: 'ip_not_authorized' }), 'permission'],
    [403, error({ code: 'unsupported_country_region_territory' }), 'permission'],
    [404, error({ message: 'Not found.' }), 'not_found'],
    [429, error({ type: 'requests', code: 'rate_limit_exceeded' }), 'rate_limited'],
    [429, error({ type: 'insufficient_quota', code: 'insufficient_quota' }), 'permission'],
    [400, error({ param: 'start_time' }), 'invalid'],
    [500, error({ type: 'server_error' }), 'unavailable'],
    [502, error({ type: 'cf_bad_gateway' }), 'unavailable'],
  ] as const)('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(openai.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    ['1s', 1],
    ['6m0s', 360],
    ['1h2m3s', 3723],
    ['120ms', 1],
  ])('of the rate limit wait for a reset in %s: %i seconds', async (reset, seconds) => {
    const answer = { status: 429, headers: { 'x-ratelimit-reset-requests': reset }, body: error({}) }
    expect(await refusal(openai.api.errors, answer)).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: seconds,
    })
  })
})

describe("OpenAI's keys", () => {
  it.each([`sk-admin-${'a'.repeat(40)}`, `sk-proj-${'b_'.repeat(30)}`, ` sk-${'c'.repeat(48)}\n`])('take %j', (key) => {
    expect(normalizeParams(openai, { apiKey: key }).secrets).toEqual({ apiKey: key.trim() })
  })
  it.each(['sk-short', `pk-${'a'.repeat(40)}`, `sk-${'a'.repeat(40)}\r\nx: y`, ''])('refuse %j', (key) => {
    expect(() => normalizeParams(openai, { apiKey: key })).toThrow(/apiKey/)
  })
})

describe('what an OpenAI key is for', () => {
  const refused = (fault: FaultKind) => new IntegrationError('PROVIDER_FORBIDDEN', 'refused', { fault })
  const me = { orgs: { data: [{ id: 'org-1', title: 'Acme' }] } }
  /** Answers by the last part of the path. */
  const resolve = (answers: Record<'costs' | 'batches' | 'me', unknown>) =>
    openai.identity.resolve({
      body: undefined,
      token: undefined,
      params: {},
      keyHint: 'sk-…x7Qz',
      call: async ({ url }: RequestTemplate) => {
        const answer = answers[url.split('/').at(-1) as keyof typeof answers]
        if (answer instanceof Error) throw answer
        return answer
      },
    })

  it('is the organization for an Admin key, which may not read batches', async () => {
    expect(await resolve({ costs: {}, batches: refused('scope'), me })).toEqual({
      id: 'org-1',
      name: 'Acme',
      scopes: [openai.auth.scopes[0].scope, openai.auth.scopes[1].scope],
    })
  })

  it('is one project for an ordinary key: another project of the organization is another connection', async () => {
    expect(await resolve({ costs: refused('scope'), batches: {}, me })).toEqual({
      name: 'Acme, key sk-…x7Qz',
      scopes: [openai.auth.scopes[2].scope],
    })
  })

  it.each([
    refused('revoked'),
    refused('not_found'),
    { orgs: { data: [{ id: 'org-1' }, { id: 'org-2' }] } },
  ])('is named by the key where no single organization is: %j', async (answer) => {
    const found = await resolve({ costs: {}, batches: refused('revoked'), me: answer })
    expect(found.id).toBeUndefined()
    expect(found).toMatchObject({ name: 'OpenAI, key sk-…x7Qz' })
  })

  it('is nothing when both are refused; a missing permission says more than an unknown key', async () => {
    const scope = resolve({ costs: refused('revoked'), batches: refused('scope'), me })
    await expect(scope).rejects.toMatchObject({ fault: 'scope' })
    const unknown = resolve({ costs: refused('revoked'), batches: refused('revoked'), me })
    await expect(unknown).rejects.toMatchObject({ fault: 'revoked' })
  })

  it('is not guessed at while OpenAI is out of order', async () => {
    const answers = { costs: {}, batches: {}, me }
    for (const name of ['costs', 'batches', 'me'] as const)
      await expect(resolve({ ...answers, [name]: refused('unavailable') })).rejects.toMatchObject({
        fault: 'unavailable',
      })
  })
})

describe("OpenAI's sums per day", () => {
  it('are asked for from midnight on: the first day would be cut, and count again beside the whole one', () => {
    const scope = { params: {}, since: new Date('2026-08-21T07:32:00Z'), now: new Date('2026-11-21T07:32:00Z') }
    for (const { request } of openai.resources.slice(0, 2)) {
      const { searchParams } = new URL(buildRequest(request, scope).url)
      expect(Number(searchParams.get('start_time'))).toBe(Date.parse('2026-08-21T00:00:00Z') / 1000)
      expect(Number(searchParams.get('end_time'))).toBe(Date.parse('2026-11-21T07:32:00Z') / 1000)
    }
  })

  it('become one record per day and group', () => {
    const [costs] = openai.resources
    const day = { object: 'bucket', start_time: 1, end_time: 2 }
    expect(costs.unfold?.({ ...day, results: [] })).toEqual([])
    expect(costs.unfold?.({ ...day, results: [{ project_id: 'p1' }, { project_id: null }] })).toEqual([
      { ...day, project_id: 'p1' },
      { ...day, project_id: null },
    ])
  })
})
