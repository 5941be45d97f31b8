import { describe, expect, it } from 'vitest'
import { linear } from '../../src/strategies/linear.js'
import { refusal } from './refusal.js'

const error = (code: string, message = 'No.', more: object = {}) => ({
  errors: [{ message, extensions: { code, type: code.toLowerCase(), userError: true }, ...more }],
})
const inSeconds = (seconds: number) => String(Date.now() + seconds * 1000)

describe("Linear's refusals", () => {
  it.each([
    [400, error('AUTHENTICATION_ERROR', 'Authentication required, not authenticated'), 'expired'],
    [401, { errors: [{ message: 'No.', extensions: { type: 'authentication error' } }] }, 'expired'],
    [401, { error: 'unauthorized' }, 'expired'],
    [200, error('FORBIDDEN'), 'permission'],
    [200, error('FORBIDDEN', 'Invalid scope: `read` required'), 'scope'],
    [400, error('FEATURE_NOT_ACCESSIBLE'), 'permission'],
    [400, error('GRAPHQL_VALIDATION_FAILED'), 'invalid'],
    [200, { data: null, ...error('INTERNAL_SERVER_ERROR') }, 'unavailable'],
    [500, error('SOMETHING_NEW'), 'unavailable'],
    [400, error('RATELIMITED'), 'rate_limited'],
    [200, { data: { issues: null }, ...error('RATELIMITED') }, 'rate_limited'],
    [429, 'Too many requests', 'rate_limited'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(linear.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of one field of one item leave the page whole', async () => {
    const path = ['issues', 'nodes', 3, 'project']
    const body = { data: { issues: { nodes: [] } }, ...error('FORBIDDEN', 'No.', { path }) }
    expect(await refusal(linear.api.errors, { body })).toBeUndefined()
    const whole = { data: { issues: null }, ...error('FORBIDDEN', 'No.', { path: ['issues'] }) }
    expect(await refusal(linear.api.errors, { body: whole })).toMatchObject({ fault: 'permission' })
  })

  it.each([
    [{ 'retry-after': '7' }, 7],
    [{ 'x-ratelimit-requests-remaining': '0', 'x-ratelimit-requests-reset': inSeconds(120) }, 120],
    [
      {
        'x-ratelimit-requests-remaining': '900',
        'x-ratelimit-requests-reset': inSeconds(3000),
        'x-ratelimit-complexity-remaining': '0',
        'x-ratelimit-complexity-reset': inSeconds(240),
      },
      240,
    ],
    [{}, 60],
  ])('of a budget with %j wait about %i seconds', async (headers, seconds) => {
    const refused = await refusal(linear.api.errors, { status: 400, headers, body: error('RATELIMITED') })
    expect(refused?.retryAfterSeconds).toBeGreaterThan(seconds - 30)
    expect(refused?.retryAfterSeconds).toBeLessThanOrEqual(seconds)
  })
})
