import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { buildOAuthState, parseOAuthState } from '../../src/middleware/oauth-state.js'

const secret = 'a secret of at least thirty-two bytes'

describe('buildOAuthState and parseOAuthState', () => {
  afterEach(() => void vi.useRealTimers())

  it('gives the payload back', () => {
    const state = buildOAuthState({ provider: 'slack', plan: 'pro' }, secret)
    expect(parseOAuthState(state, secret)).toEqual({ provider: 'slack', plan: 'pro' })
    expect(parseOAuthState(state, secret).expiresAt).toBeGreaterThan(Date.now())
  })

  it('refuses a state that was changed, whatever the change', () => {
    const state = buildOAuthState({ provider: 'slack' }, secret)
    fc.assert(
      fc.property(fc.nat(state.length - 1), fc.constantFrom(...'Aa0_-.'), (index, character) => {
        fc.pre(state[index] !== character)
        const forged = state.slice(0, index) + character + state.slice(index + 1)
        // The last base64url character of the signature carries unused bits; only a change of bits counts.
        fc.pre(index !== state.length - 1)
        expect(() => parseOAuthState(forged, secret)).toThrow(expect.objectContaining({ code: 'AUTH_STATE_UNKNOWN' }))
      }),
    )
  })

  it('refuses a state made with another secret', () => {
    const state = buildOAuthState({}, secret)
    expect(() => parseOAuthState(state, `${secret}!`)).toThrow(expect.objectContaining({ code: 'AUTH_STATE_UNKNOWN' }))
  })

  it('refuses a state after ten minutes', () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const state = buildOAuthState({ provider: 'slack' }, secret)
    vi.setSystemTime(Date.now() + 10 * 60_000 + 1)
    expect(() => parseOAuthState(state, secret)).toThrow(expect.objectContaining({ code: 'AUTH_STATE_EXPIRED' }))
  })

  it('refuses another provider and another browser when told which to expect', () => {
    const state = buildOAuthState({ provider: 'slack', browser: 'session-1' }, secret)
    expect(parseOAuthState(state, secret, { provider: 'slack', browser: 'session-1' })).toEqual({ provider: 'slack' })
    expect(() => parseOAuthState(state, secret, { provider: 'gmail' })).toThrow(
      expect.objectContaining({ code: 'AUTH_PROVIDER_MISMATCH' }),
    )
    expect(() => parseOAuthState(state, secret, { browser: 'session-2' })).toThrow(
      expect.objectContaining({ code: 'AUTH_BROWSER_MISMATCH' }),
    )
  })

  it('does not show what binds it to the browser', () => {
    const state = buildOAuthState({ browser: 'session-1' }, secret)
    expect(Buffer.from(state.split('.')[0] ?? '', 'base64url').toString()).not.toContain('session-1')
  })

  it('refuses what is not a string, is missing or is huge', () => {
    for (const value of [undefined, null, ''])
      expect(() => parseOAuthState(value, secret)).toThrow(expect.objectContaining({ code: 'AUTH_STATE_MISSING' }))
    for (const value of [['a'], { $ne: 'x' }, 'x'.repeat(1_000_000), '.', 'a.b'])
      expect(() => parseOAuthState(value, secret)).toThrow(expect.objectContaining({ code: 'AUTH_STATE_UNKNOWN' }))
  })

  it('refuses a short secret with a TypeError', () => {
    expect(() => buildOAuthState({}, 'short')).toThrow(TypeError)
  })
})
