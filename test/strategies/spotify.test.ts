import { describe, expect, it } from 'vitest'
import type { Resource } from '../../src/strategies/define-provider.js'
import { spotify } from '../../src/strategies/spotify.js'
import { readPage } from '../../src/sync/page.js'
import { refusal } from './refusal.js'

const error = (status: number, message: string, more = {}) => ({ error: { status, message, ...more } })

describe("Spotify's refusals", () => {
  it.each([
    [401, error(401, 'The access token expired'), 'expired'],
    [401, error(401, 'Invalid access token'), 'expired'],
    [403, error(403, 'Insufficient client scope'), 'scope'],
    [403, error(403, 'Player command failed: Premium required', { reason: 'PREMIUM_REQUIRED' }), 'permission'],
    [403, error(403, 'Forbidden'), 'permission'],
    [404, error(404, 'Resource not found'), 'not_found'],
    [400, error(400, 'Invalid limit'), 'invalid'],
    [502, error(502, 'Bad gateway.'), 'unavailable'],
    [503, 'upstream connect error', 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(spotify.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    'User not registered in the Developer Dashboard',
    'Check settings on developer.spotify.com/dashboard, the user may not be registered.',
    'Active premium subscription required for the owner of the app.',
  ])('in development mode are for the operator, though they are plain text: %s', async (body) => {
    expect(await refusal(spotify.api.errors, { status: 403, body })).toMatchObject({ fault: 'client' })
  })

  it('of too many requests wait as long as the header says', async () => {
    const answer = {
      status: 429,
      headers: { 'retry-after': '31' },
      body: error(429, 'API rate limit exceeded', { reason: 'QUOTA_EXCEEDED' }),
    }
    expect(await refusal(spotify.api.errors, answer)).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 31,
    })
  })
})

describe("Spotify's playlist entries", () => {
  const entries = spotify.resources.find(({ name }) => name === 'playlist_items')

  it('that are no longer available are left out', () => {
    expect(entries?.itemFilter?.({ added_at: '2026-10-01T00:00:00Z', item: null })).toBe(false)
    expect(entries?.itemFilter?.({ added_at: null, item: { uri: 'spotify:track:abc' } })).toBe(true)
  })
})

describe("Spotify's saved tracks", () => {
  it('are read to the end, since no page promises their order', () => {
    const tracks = spotify.resources.find(({ name }) => name === 'saved_tracks') as Resource
    const items = [{ added_at: '2020-01-01T00:00:00Z', track: { id: 'old' } }]
    expect(readPage(tracks, { items }, undefined, Date.parse('2026-08-20T00:00:00Z'))).toMatchObject({
      records: [],
      beyondEdge: false,
    })
  })
})
