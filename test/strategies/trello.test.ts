import { describe, expect, it } from 'vitest'
import type { Resource } from '../../src/strategies/define-provider.js'
import { trello } from '../../src/strategies/trello.js'
import { refusal } from './refusal.js'

describe("Trello's refusals", () => {
  it.each([
    [401, 'invalid token', 'revoked'],
    [401, 'expired token', 'revoked'],
    [401, 'invalid key', 'client'],
    [401, 'unauthorized permission requested', 'permission'],
    [401, 'unauthorized card permission requested', 'permission'],
    [401, 'something new', 'revoked'],
    [400, 'invalid id', 'not_found'],
    [404, 'model not found', 'not_found'],
    [404, 'The requested resource was not found.', 'not_found'],
    [400, { message: 'invalid value for filter', error: 'ERROR' }, 'invalid'],
    [401, { message: 'invalid token', error: 'UNAUTHORIZED' }, 'revoked'],
    [500, 'model not found', 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(trello.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    'API_TOKEN_LIMIT_EXCEEDED',
    'API_KEY_LIMIT_EXCEEDED',
  ])('of %s wait for the window of ten seconds', async (error) => {
    const body = { error, message: 'Rate limit exceeded' }
    expect(await refusal(trello.api.errors, { status: 429, body })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 10,
    })
  })
})

describe("Trello's token steps", () => {
  it('leave an unknown 401 to the step: a signature that does not fit is about the app, not about a person', async () => {
    const answer = { status: 401, headers: {}, body: 'invalid signature' }
    expect(trello.auth.errors.classify?.(answer)).toBeUndefined()
    const error = await refusal(trello.auth.errors, { status: 404, body: 'model not found' })
    expect(error?.retryAfterSeconds).toBeUndefined()
  })

  it.each([
    ['invalid key', 'client'],
    ['invalid signature for request token', 'revoked'],
  ])('take %j as %s', async (body, fault) => {
    expect(await refusal(trello.auth.errors, { status: 401, body })).toMatchObject({ fault })
  })
})

describe("Trello's cards", () => {
  it('go on before the smallest id, since they are paged by creation', () => {
    const cards = trello.resources.find(({ name }) => name === 'cards') as Resource
    expect(cards.pagination).toMatchObject({ style: 'last_item', param: 'before', pick: 'min', pageSize: 1000 })
  })
})

describe("Trello's grant", () => {
  it('is one token for all connections of a person, so it is revoked with the last of them', () => {
    expect(trello.grant).toBe('shared')
  })
})
