import { describe, expect, it } from 'vitest'
import { monday } from '../../src/strategies/monday.js'
import { refusal } from './refusal.js'

const failed = (code: string, more: { message?: string; extensions?: object } = {}) => ({
  data: [],
  errors: [
    { message: more.message ?? 'No.', path: ['boards'], extensions: { code, error_data: {}, ...more.extensions } },
  ],
  account_id: 123456,
})

describe("monday.com's refusals", () => {
  it.each([
    [401, { errors: ['Not Authenticated'] }, 'expired'],
    [200, failed('UserUnauthorizedException', { extensions: { status_code: 403 } }), 'permission'],
    [200, failed('missingRequiredPermissions'), 'scope'],
    [200, failed('ResourceNotFoundException', { extensions: { status_code: 404 } }), 'not_found'],
    [200, failed('CursorExpiredError'), 'cursor_expired'],
    [200, failed('SomethingNew', { extensions: { status_code: 403 } }), 'permission'],
    [200, failed('SomethingNew', { extensions: { status_code: 423 } }), 'unavailable'],
    [200, failed('argumentLiteralsIncompatible'), 'invalid'],
    [400, { errors: [{ message: 'Parse error on ")"' }], account_id: 123456 }, 'invalid'],
    [200, { error_message: 'Internal server error', status_code: 500 }, 'unavailable'],
    [500, { error_message: 'Internal server error', status_code: 500 }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(monday.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [200, {}, failed('ComplexityException', { message: 'Complexity budget exhausted, reset in 37 seconds' }), 37],
    [429, {}, failed('COMPLEXITY_BUDGET_EXHAUSTED', { extensions: { retry_in_seconds: 12 } }), 12],
    [429, { 'retry-after': '5' }, failed('maxConcurrencyExceeded'), 5],
  ])('for too many calls (%i, %j, %j) wait %i seconds', async (status, headers, body, seconds) => {
    expect(await refusal(monday.api.errors, { status, headers, body })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: seconds,
    })
  })

  it('for the calls of a day wait until midnight UTC at most', async () => {
    const error = await refusal(monday.api.errors, { status: 429, body: failed('DAILY_LIMIT_EXCEEDED') })
    expect(error).toMatchObject({ fault: 'rate_limited' })
    const end = Date.now() / 1000 + (error?.retryAfterSeconds ?? 0)
    expect(Math.abs(Math.round(end / 86_400) * 86_400 - end)).toBeLessThan(5)
  })

  it('leave a page alone when they are about a field of one item', async () => {
    const path = ['boards', 0, 'items_page', 'items', 3, 'column_values', 2]
    const errors = [{ message: 'Photo unavailable.', path, extensions: { code: 'ASSET_UNAVAILABLE' } }]
    const data = { boards: [{ id: '1', items_page: { cursor: null, items: [] } }] }
    expect(await refusal(monday.api.errors, { body: { data, errors } })).toBeUndefined()
    const whole = [{ ...errors[0], path: ['boards', 0, 'items_page'] }]
    expect(await refusal(monday.api.errors, { body: { data, errors: whole } })).toBeDefined()
  })

  it.each([
    [401, { error: 'invalid_token' }, 'revoked'],
    [429, { error: 'too_many_requests' }, 'rate_limited'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(monday.auth.errors, { status, body })).toMatchObject({ fault })
  })
})

describe('the lists of a monday.com board', () => {
  it.each([
    'items',
    'activity_logs',
  ])('%s: are empty when the board is gone, and missed when the answer is another', (name) => {
    const toItems = monday.resources.find((one) => one.name === name)?.toItems
    expect(toItems?.({ data: { boards: [] } })).toEqual([])
    expect(toItems?.({ data: { boards: [null] } })).toEqual([])
    expect(toItems?.({ data: { boards: [{ id: '1' }] } })).toBeUndefined()
    expect(toItems?.({ data: null })).toBeUndefined()
  })

  it('do not send the filter again beside a cursor', () => {
    const pagination = monday.resources.find((one) => one.name === 'items')?.pagination
    expect(pagination).toMatchObject({ style: 'cursor', param: 'variables.cursor' })
    expect(JSON.stringify(pagination)).not.toMatch(/params/)
  })
})
