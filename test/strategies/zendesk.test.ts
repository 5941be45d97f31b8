import { describe, expect, it } from 'vitest'
import type { PageAnswer } from '../../src/strategies/define-provider.js'
import { readToken } from '../../src/strategies/token-endpoint.js'
import { normalizeSubdomain, zendesk } from '../../src/strategies/zendesk.js'
import { refusal } from './refusal.js'

const forbidden = {
  error: {
    title: 'Forbidden',
    message:
      'You do not have access to this page. Please contact the account owner of this help desk for further help.',
  },
}

describe("Zendesk's refusals", () => {
  it.each([
    [401, { error: 'invalid_token', error_description: 'The access token provided is expired.' }, 'expired'],
    [401, { error: "Couldn't authenticate you" }, 'expired'],
    [200, { user: { id: null, name: 'Anonymous user', role: 'end-user' } }, 'expired'],
    [403, forbidden, 'permission'],
    [403, { error: 'Forbidden', description: 'Missing required scope (one of): read, tickets:read' }, 'scope'],
    [403, { error: { title: 'Forbidden', message: 'This account is suspended.' } }, 'account_gone'],
    [404, { error: { title: 'No help desk at acme.zendesk.com', message: 'There is no help desk.' } }, 'account_gone'],
    [404, { error: 'RecordNotFound', description: 'Not found' }, 'not_found'],
    [422, { error: 'RecordInvalid', description: 'Record validation errors', details: {} }, 'invalid'],
    [409, { error: 'DatabaseConflict' }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(zendesk.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of too many requests can be a plain text, and tell the delay', async () => {
    const answer = { status: 429, headers: { 'retry-after': '52' }, body: 'Number of allowed API requests exceeded' }
    expect(await refusal(zendesk.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 52 })
  })

  it('are no answer about a person who has an id', async () => {
    expect(await refusal(zendesk.api.errors, { body: { user: { id: 42, name: 'Ada' } } })).toBeUndefined()
  })

  it('at the token endpoint say when there is no such Zendesk', async () => {
    const body = { error: { title: 'No help desk at acme.zendesk.com' } }
    expect(await refusal(zendesk.auth.errors, { status: 404, body })).toMatchObject({ fault: 'account_gone' })
  })
})

describe('a Zendesk subdomain', () => {
  const { pattern } = zendesk.params[0]

  it.each([
    'acme',
    ' Acme ',
    'acme.zendesk.com',
    'https://acme.zendesk.com',
    'https://acme.zendesk.com/agent/home?x=1',
  ])('is found in "%s"', (input) => {
    expect(normalizeSubdomain(input)).toBe('acme')
  })

  it.each([
    'acme.zendesk.com.evil.com',
    'evil.com/acme.zendesk.com',
    'user@acme',
    'acme.zendesk.com:8080',
    '-',
    '',
  ])('is not "%s"', (input) => {
    expect(normalizeSubdomain(input)).not.toMatch(pattern)
  })
})

describe('a Zendesk token', () => {
  it('has no end when an older client answers without one', () => {
    const body = { access_token: 'made-up-token', token_type: 'bearer', scope: 'read' }
    expect(readToken(body, zendesk.auth.tokens.default, zendesk.auth, 1000)).toEqual({
      accessToken: 'made-up-token',
      issuedAt: 1000,
    })
  })
})

describe("Zendesk's exports", () => {
  const answer = (body: unknown): PageAnswer => ({
    body,
    headers: {},
    items: [],
    state: undefined,
    window: { from: new Date(0), to: new Date() },
  })
  const paging = (name: string) => {
    const resource = zendesk.resources.find((one) => one.name === name)
    if (resource?.pagination.style !== 'custom') throw new Error(`${name} has no custom pagination`)
    return { request: resource.request, ...resource.pagination }
  }

  it('go on with the cursor alone, and end when the stream does although a cursor is there', () => {
    const { request, next, apply } = paging('tickets')
    const state = next(answer({ after_cursor: 'MTU4MDc1Mzc5OC4w', end_of_stream: false }))?.state
    expect(apply(request, state).query).toEqual({ per_page: '1000', cursor: 'MTU4MDc1Mzc5OC4w' })
    expect(next(answer({ after_cursor: 'MTU4MDc1Mzc5OC4w', end_of_stream: true }))).toBeUndefined()
  })

  it('by time go on with the parameters of the next address, never at another host', () => {
    const { request, next, apply } = paging('ticket_events')
    const address = 'https://other.example/api/v2/incremental/ticket_events.json?include=comment_events&start_time=99'
    const state = next(answer({ next_page: address, count: 1000, end_of_stream: false }))?.state
    expect(apply(request, state)).toEqual({
      ...request,
      query: { include: 'comment_events', start_time: '99' },
    })
  })

  it.each([
    [{ next_page: 'https://acme.zendesk.com/?start_time=99', count: 7, end_of_stream: true }],
    [{ next_page: 'https://acme.zendesk.com/?start_time=99', count: 999 }],
    [{ next_page: null, count: 1000, end_of_stream: false }],
  ])('by time end at %j', (body) => {
    expect(paging('organizations').next(answer(body))).toBeUndefined()
  })

  it('by time go on at a full page that does not say whether it is the last', () => {
    const body = { next_page: 'https://acme.zendesk.com/?start_time=99', count: 1000 }
    expect(paging('organizations').next(answer(body))?.state).toEqual({ start_time: '99' })
  })
})
