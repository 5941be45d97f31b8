import { describe, expect, it } from 'vitest'
import { googleCalendar } from '../../src/strategies/google-calendar.js'
import { refusal } from './refusal.js'

const error = (code: number, reason: string, more: object = {}) => ({
  error: { code, message: 'No.', errors: [{ domain: 'global', reason, message: 'No.', ...more }] },
})

describe("Google Calendar's refusals", () => {
  it.each([
    [401, error(401, 'authError'), 'expired'],
    [403, error(403, 'rateLimitExceeded'), 'rate_limited'],
    [403, error(403, 'userRateLimitExceeded'), 'rate_limited'],
    [403, error(403, 'quotaExceeded'), 'rate_limited'],
    [403, error(403, 'insufficientPermissions'), 'scope'],
    [403, error(403, 'accessNotConfigured'), 'client'],
    [403, error(403, 'forbidden'), 'permission'],
    [404, error(404, 'notFound'), 'not_found'],
    [410, error(410, 'fullSyncRequired', { location: 'syncToken' }), 'cursor_expired'],
    [410, error(410, 'updatedMinTooLongAgo', { location: 'updatedMin' }), 'cursor_expired'],
    [400, error(400, 'invalid', { locationType: 'parameter', location: 'pageToken' }), 'cursor_expired'],
    [400, error(400, 'badRequest', { locationType: 'parameter', location: 'timeMin' }), 'invalid'],
    [503, '<html><body>Try again in 30 seconds.</body></html>', 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(googleCalendar.api.errors, { status, body })).toMatchObject({ fault })
  })
})

describe('the pages of events', () => {
  const events = googleCalendar.resources.find(({ name }) => name === 'events')
  if (events?.pagination.style !== 'custom') throw new Error('Events have pages of their own.')
  const { request, pagination } = events
  const window = { from: new Date(0), to: new Date(1) }
  const following = (body: object, state?: unknown) =>
    pagination.next({ body, state, headers: {}, items: [], window })?.state

  it('follow page tokens inside the window', () => {
    const state = following({ items: [], nextPageToken: 'p2' })
    expect(pagination.apply(request, state).query).toEqual({ ...request.query, pageToken: 'p2' })
  })

  it('end with what changed meanwhile: the sync token without the time bounds, to its own last page', () => {
    const changes = following({ items: [], nextSyncToken: 's1' }, { pageToken: 'p2', syncToken: null })
    const query = { singleEvents: 'true', maxResults: '2500', syncToken: 's1' }
    expect(pagination.apply(request, changes).query).toEqual(query)
    const further = following({ items: [], nextPageToken: 'p9' }, changes)
    expect(pagination.apply(request, further).query).toEqual({ ...query, pageToken: 'p9' })
    expect(following({ items: [], nextSyncToken: 's2' }, further)).toBeUndefined()
  })

  it('end without a sync token where Google gives none', () => {
    expect(following({ items: [] })).toBeUndefined()
  })
})
