import { describe, expect, it } from 'vitest'
import { airtable } from '../../src/strategies/airtable.js'
import { refusal } from './refusal.js'

const error = (type: string) => ({ error: { type, message: 'No.' } })
const limit = (code: string) => ({ errors: [{ error: code, message: 'No.' }] })

describe("Airtable's refusals", () => {
  it.each([
    [401, error('AUTHENTICATION_REQUIRED'), 'expired'],
    [403, error('INVALID_PERMISSIONS'), 'permission'],
    [403, error('INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND'), 'permission'],
    [404, { error: 'NOT_FOUND' }, 'not_found'],
    [404, error('TABLE_NOT_FOUND'), 'not_found'],
    [422, error('LIST_RECORDS_ITERATOR_NOT_AVAILABLE'), 'cursor_expired'],
    [422, error('INVALID_OFFSET_VALUE'), 'cursor_expired'],
    [422, error('INVALID_FILTER_BY_FORMULA'), 'invalid'],
    [503, error('SERVICE_UNAVAILABLE'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(airtable.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    ['RATE_LIMIT_REACHED', {}, 30],
    ['RATE_LIMIT_REACHED', { 'retry-after': '7' }, 7],
    ['PUBLIC_API_BILLING_LIMIT_EXCEEDED', {}, 86_400],
  ])('for too many calls (%s, %j) wait %i seconds', async (code, headers, seconds) => {
    expect(await refusal(airtable.api.errors, { status: 429, headers, body: limit(code) })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: seconds,
    })
  })
})

describe("Airtable's other refusals", () => {
  it.each([
    [403, error('INVALID_PERMISSIONS')],
    [404, { error: 'NOT_FOUND' }],
  ])('do not tell anybody to wait: %i %j', async (status, body) => {
    expect((await refusal(airtable.api.errors, { status, body }))?.retryAfterSeconds).toBeUndefined()
  })

  it('from the network in front can be limits without a code', async () => {
    const answer = { status: 429, body: 'Too Many Requests' }
    expect(await refusal(airtable.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 30 })
  })
})

describe('what Airtable is asked for', () => {
  const resource = (name: string) => airtable.resources.find((one) => one.name === name)

  it('leaves out bases without access and records without comments', () => {
    expect(resource('tables')?.parentFilter?.({ id: 'appA', permissionLevel: 'none' })).toBe(false)
    expect(resource('tables')?.parentFilter?.({ id: 'appA', permissionLevel: 'read' })).toBe(true)
    expect(resource('comments')?.parentFilter?.({ id: 'recA', commentCount: 0 })).toBe(false)
    expect(resource('comments')?.parentFilter?.({ id: 'recA', commentCount: 3 })).toBe(true)
  })
})
