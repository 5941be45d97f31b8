import { describe, expect, it } from 'vitest'
import type { Resource } from '../../src/strategies/define-provider.js'
import { plaid } from '../../src/strategies/plaid.js'
import { readPage } from '../../src/sync/page.js'
import { refusal } from './refusal.js'

const error = (error_type: string, error_code: string) => ({
  error_type,
  error_code,
  error_message: 'No.',
  display_message: null,
  request_id: 'abc',
})

describe("Plaid's refusals", () => {
  it.each([
    [400, error('ITEM_ERROR', 'ITEM_LOGIN_REQUIRED'), 'revoked'],
    [400, error('ITEM_ERROR', 'USER_PERMISSION_REVOKED'), 'revoked'],
    [400, error('INVALID_INPUT', 'INVALID_ACCESS_TOKEN'), 'revoked'],
    [400, error('ITEM_ERROR', 'ACCESS_NOT_GRANTED'), 'scope'],
    [400, error('INVALID_INPUT', 'ADDITIONAL_CONSENT_REQUIRED'), 'scope'],
    [400, error('INVALID_INPUT', 'INVALID_API_KEYS'), 'client'],
    [400, error('ITEM_ERROR', 'PRODUCT_NOT_READY'), 'not_ready'],
    [400, error('TRANSACTIONS_ERROR', 'TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION'), 'cursor_expired'],
    [400, error('INSTITUTION_ERROR', 'INSTITUTION_DOWN'), 'unavailable'],
    [400, error('INSTITUTION_ERROR', 'INSTITUTION_NEW_TROUBLE'), 'unavailable'],
    [400, error('INSTITUTION_ERROR', 'PRODUCTS_NOT_SUPPORTED'), 'permission'],
    [500, error('API_ERROR', 'INTERNAL_SERVER_ERROR'), 'unavailable'],
    [400, error('INVALID_REQUEST', 'UNKNOWN_FIELDS'), 'invalid'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(plaid.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of the rate limit wait a minute, whatever the status', async () => {
    const body = error('RATE_LIMIT_EXCEEDED', 'TRANSACTIONS_SYNC_LIMIT')
    for (const status of [429, 400]) {
      expect(await refusal(plaid.api.errors, { status, body })).toMatchObject({
        fault: 'rate_limited',
        retryAfterSeconds: 60,
      })
    }
  })

  it.each([
    'NOT_READY',
    'INITIAL_UPDATE_COMPLETE',
  ])('include a synchronisation that says %s: the history is not there yet', async (status) => {
    const body = {
      added: [],
      modified: [],
      removed: [],
      has_more: false,
      next_cursor: '',
      transactions_update_status: status,
    }
    expect(await refusal(plaid.api.errors, { body })).toMatchObject({ fault: 'not_ready' })
  })

  it('do not include a synchronisation whose history is complete', async () => {
    const body = { added: [], has_more: false, transactions_update_status: 'HISTORICAL_UPDATE_COMPLETE' }
    expect(await refusal(plaid.api.errors, { body })).toBeUndefined()
  })
})

describe('the public tokens of a link token', () => {
  const { publicTokens } = plaid.auth.confirm

  it('are found once, in results and in the older on_success', () => {
    const body = {
      link_sessions: [
        { on_success: { public_token: 'public-1' }, results: { item_add_results: [{ public_token: 'public-1' }] } },
        { results: { item_add_results: [{ public_token: 'public-2' }, { public_token: 'public-3' }] } },
        { on_success: null, exit: {} },
      ],
    }
    expect(publicTokens(body)).toEqual(['public-1', 'public-2', 'public-3'])
  })

  it.each([
    {},
    { link_sessions: null },
    { link_sessions: [null, 'x', { results: { item_add_results: 'x' } }] },
    null,
    'x',
  ])('are none in %j', (body) => {
    expect(publicTokens(body)).toEqual([])
  })
})

describe("Plaid's definition", () => {
  it('keeps the environment to the two that exist', () => {
    const [{ pattern }] = plaid.params
    expect(['sandbox', 'production'].every((name) => pattern.test(name))).toBe(true)
    expect(['development', 'evil.com/', 'sandbox.evil', ''].some((name) => pattern.test(name))).toBe(false)
  })

  it.each([
    'transactions',
    'transactions_by_date',
  ])('keeps what a bank posts late: %s of the days before the window', (name) => {
    const resource = plaid.resources.find((one) => one.name === name) as Resource
    const edge = Date.parse('2026-08-20T12:00:00Z') - (resource.overlapSeconds ?? 0) * 1000
    const items = [
      { transaction_id: 'first-day', date: '2026-08-20' },
      { transaction_id: 'late', date: '2026-08-12' },
    ]
    const { records } = readPage(resource, { added: items, transactions: items }, undefined, edge)
    expect(records.map(({ id }) => id)).toEqual(['first-day', 'late'])
    expect(resource.overlapSeconds).toBe(1_209_600)
  })

  it('asks for a history as deep as any window', () => {
    expect(plaid.auth.create.json).toMatchObject({ transactions: { days_requested: 730 } })
  })
})
