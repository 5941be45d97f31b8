import { describe, expect, it } from 'vitest'
import { clickup, nextComments } from '../../src/strategies/clickup.js'
import { refusal } from './refusal.js'

describe("ClickUp's refusals", () => {
  it.each([
    [401, { err: 'Token invalid', ECODE: 'OAUTH_025' }, 'revoked'],
    [401, { err: 'Oauth token not found', ECODE: 'OAUTH_019' }, 'revoked'],
    [401, { err: 'Authorization header required', ECODE: 'OAUTH_017' }, 'revoked'],
    [401, { err: 'Team not authorized', ECODE: 'OAUTH_023' }, 'permission'],
    [401, { err: 'Team(s) not authorized', ECODE: 'OAUTH_027' }, 'permission'],
    [401, { err: 'You do not have access to this task', ECODE: 'ACCESS_083' }, 'permission'],
    [403, { err: 'Access denied', ECODE: 'ACCESS_003' }, 'permission'],
    [400, { err: 'Team not found', ECODE: 'TIMEENTRY_052' }, 'permission'],
    [400, { err: 'This feature is not available on your plan', ECODE: 'TEAM_110' }, 'permission'],
    [400, { err: 'Task ID invalid', ECODE: 'INPUT_005' }, 'invalid'],
    [404, { err: 'Task not found, deleted', ECODE: 'ITEM_013' }, 'not_found'],
    [500, { err: 'Internal server error', ECODE: 'ITEMV2_003' }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(clickup.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('for too many calls wait until the window opens again', async () => {
    const reset = String(Math.floor(Date.now() / 1000) + 42)
    const body = { err: 'Rate limit reached', ECODE: 'APP_002' }
    const error = await refusal(clickup.api.errors, { status: 429, headers: { 'x-ratelimit-reset': reset }, body })
    expect(error).toMatchObject({ fault: 'rate_limited' })
    expect(error?.retryAfterSeconds).toBeGreaterThan(35)
    expect(error?.retryAfterSeconds).toBeLessThanOrEqual(42)
  })

  it.each([
    [400, { err: 'Code already used', ECODE: 'OAUTH_014' }, 'revoked'],
    [401, { err: 'Client not found', ECODE: 'OAUTH_010' }, 'client'],
    [400, { err: 'Redirect URI not valid', ECODE: 'OAUTH_007' }, 'client'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(clickup.auth.errors, { status, body })).toMatchObject({ fault })
  })
})

describe("The pages of a task's comments", () => {
  const comments = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ id: 1000 - i, date: String(1_790_000_000_000 - i) }))

  it('go on from date and id of the oldest comment', () => {
    const next = nextComments({ items: comments(25) })
    expect(next).toEqual({ state: { start: '1789999999976', start_id: '976' } })
    const { pagination, request } = clickup.resources.find(({ name }) => name === 'comments') ?? {}
    expect(request && pagination?.style === 'custom' && pagination.apply(request, next?.state)).toMatchObject({
      url: 'https://api.clickup.com/api/v2/task/{parent.id}/comment',
      query: { start: '1789999999976', start_id: '976' },
    })
  })

  it('end with a page that is not full', () => {
    expect(nextComments({ items: comments(24) })).toBeUndefined()
    expect(nextComments({ items: [] })).toBeUndefined()
  })
})
