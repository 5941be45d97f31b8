import { describe, expect, it } from 'vitest'
import { notion } from '../../src/strategies/notion.js'
import { refusal } from './refusal.js'

const error = (status: number, code: string, message = 'No.') => ({
  object: 'error',
  status,
  code,
  message,
  request_id: 'abc',
})

describe("Notion's refusals", () => {
  it.each([
    [401, error(401, 'unauthorized'), 'expired'],
    [403, error(403, 'restricted_resource'), 'permission'],
    [404, error(404, 'object_not_found'), 'not_found'],
    [400, error(400, 'validation_error'), 'invalid'],
    [400, error(400, 'validation_error', 'The start_cursor provided is invalid: 4d49987c'), 'cursor_expired'],
    [409, error(409, 'conflict_error'), 'unavailable'],
    [529, error(529, 'service_overload'), 'unavailable'],
    [503, error(503, 'service_unavailable'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(notion.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [401, error(401, 'unauthorized'), 'client'],
    [401, { error: 'invalid_client' }, 'client'],
    [529, error(529, 'service_overload'), 'unavailable'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(notion.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it('wait as long as Retry-After says', async () => {
    const answer = { status: 429, headers: { 'retry-after': '7' }, body: error(429, 'rate_limited') }
    expect(await refusal(notion.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 7 })
  })
})

describe("Notion's resources", () => {
  it('ask a table again when the answer says that its results were cut', () => {
    const when = notion.resources.find(({ name }) => name === 'data_source_entries')?.restartAfter?.when
    expect(when?.({ request_status: { type: 'incomplete', incomplete_reason: 'query_result_limit_reached' } })).toBe(
      true,
    )
    expect(when?.({ request_status: { type: 'complete' } })).toBe(false)
    expect(when?.({})).toBe(false)
  })
})

describe("Notion's grant", () => {
  it('can be that of another connection of the same person, so it is revoked with the last of them', () => {
    expect(notion.grant).toBe('shared')
  })
})
