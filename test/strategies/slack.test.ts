import { describe, expect, it } from 'vitest'
import type { Resource } from '../../src/strategies/define-provider.js'
import { slack } from '../../src/strategies/slack.js'
import { refusal } from './refusal.js'

const resource = (name: string) => slack.resources.find((one) => one.name === name) as Resource

describe("Slack's refusals", () => {
  it.each([
    ['token_expired', 'expired', 'PROVIDER_UNAUTHORIZED'],
    ['invalid_auth', 'expired', 'PROVIDER_UNAUTHORIZED'],
    ['token_revoked', 'revoked', 'PROVIDER_UNAUTHORIZED'],
    ['account_inactive', 'account_gone', 'PROVIDER_FORBIDDEN'],
    ['missing_scope', 'scope', 'PROVIDER_FORBIDDEN'],
    ['not_in_channel', 'permission', 'PROVIDER_FORBIDDEN'],
    ['channel_not_found', 'not_found', 'PROVIDER_NOT_FOUND'],
    ['org_login_required', 'admin', 'PROVIDER_FORBIDDEN'],
    ['invalid_cursor', 'cursor_expired', 'PROVIDER_REFUSED'],
    ['fatal_error', 'unavailable', 'PROVIDER_UNAVAILABLE'],
  ])('with status 200 and %s mean %s', async (error, fault, code) => {
    const body = { ok: false, error, needed: 'channels:history', provided: 'identify' }
    expect(await refusal(slack.api.errors, { body })).toMatchObject({ fault, code, providerCode: error })
  })

  it('with an error that nobody knows are refusals all the same', async () => {
    expect(await refusal(slack.api.errors, { body: { ok: false, error: 'brand_new' } })).toBeDefined()
  })

  it('wait as long as Retry-After says', async () => {
    const answer = { status: 429, headers: { 'retry-after': '30' }, body: { ok: false, error: 'ratelimited' } }
    expect(await refusal(slack.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 30 })
  })

  it('are none with ok: true', async () => {
    expect(await refusal(slack.api.errors, { body: { ok: true, messages: [] } })).toBeUndefined()
  })

  it.each([
    ['invalid_code', 'revoked'],
    ['code_already_used', 'revoked'],
    ['invalid_refresh_token', 'revoked'],
    ['token_expired', 'expired'],
    ['invalid_auth', 'expired'],
    ['bad_client_secret', 'client'],
    ['invalid_client_id', 'client'],
    ['bad_redirect_uri', 'client'],
  ])('at the token endpoint with %s mean %s', async (error, fault) => {
    expect(await refusal(slack.auth.errors, { body: { ok: false, error } })).toMatchObject({ fault })
  })
})

describe("Slack's thread replies", () => {
  const replies = resource('thread_replies')

  it('are asked for only where a message has some', () => {
    expect(replies.parentFilter?.({ ts: '1.1', thread_ts: '1.1', reply_count: 2 })).toBe(true)
    expect(replies.parentFilter?.({ ts: '1.1' })).toBe(false)
    expect(replies.parentFilter?.({ ts: '1.2', thread_ts: '1.1' })).toBe(false)
  })

  it('leave out the parent message that comes first again', () => {
    expect(replies.itemFilter?.({ ts: '1.1', thread_ts: '1.1' })).toBe(false)
    expect(replies.itemFilter?.({ ts: '1.2', thread_ts: '1.1' })).toBe(true)
  })

  it('are known by channel and time, as messages are', () => {
    expect(resource('messages').id).toEqual(['parent:id', 'ts'])
    expect(replies.id).toEqual(['parent:parent.id', 'ts'])
  })
})

describe("Slack's messages", () => {
  it('say how far back a workspace on the free plan can be read', () => {
    expect(resource('messages').limits).toContain('90 days')
    expect(slack.guide.limits.join(' ')).toContain('90 days')
  })
})

describe("Slack's bot", () => {
  it('is not ended with the connection of one person, as it is that of the whole workspace', () => {
    expect(Object.keys(slack.auth.tokens)).toEqual(['user', 'bot'])
    expect(slack.auth.revocation.only).toEqual(['user'])
  })
})
