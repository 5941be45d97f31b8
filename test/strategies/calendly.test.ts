import { describe, expect, it } from 'vitest'
import { calendly } from '../../src/strategies/calendly.js'
import { refusal } from './refusal.js'

const error = (title: string, message: string, details?: object[]) => ({ title, message, ...(details && { details }) })

describe("Calendly's refusals", () => {
  it.each([
    [401, error('Unauthenticated', 'The access token is invalid'), 'expired'],
    [401, error('Unauthenticated', 'The access token expired'), 'expired'],
    [403, error('Permission Denied', 'The token is missing the required scope: event_types:read'), 'scope'],
    [403, error('Permission Denied', 'You do not have permission to access this resource.'), 'permission'],
    [404, error('Resource Not Found', 'The server could not find the requested resource.'), 'not_found'],
    [
      400,
      error('Invalid Argument', 'The supplied parameters are invalid.', [
        { parameter: 'min_start_time', message: 'is invalid' },
      ]),
      'invalid',
    ],
    [
      400,
      error('Invalid Argument', 'The supplied parameters are invalid.', [
        { parameter: 'page_token', message: 'is invalid' },
      ]),
      'cursor_expired',
    ],
    [500, error('Internal Server Error', 'The server encountered an unexpected condition.'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(calendly.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of too many requests wait for the seconds that stand in x-ratelimit-reset', async () => {
    const answer = {
      status: 429,
      headers: { 'x-ratelimit-limit': '50', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '42' },
      body: error('Too Many Requests', 'The user has sent too many requests in a given amount of time.'),
    }
    expect(await refusal(calendly.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 42 })
  })
})

describe("Calendly's meetings", () => {
  const meetings = calendly.resources.find(({ name }) => name === 'scheduled_events')

  it('get the id that requests for their invitees are made with', () => {
    const uri = 'https://api.calendly.com/scheduled_events/GBGBDCAADAEDCRZ2'
    expect(meetings?.unfold?.({ uri, name: 'Intro' })).toEqual({ uri, name: 'Intro', uuid: 'GBGBDCAADAEDCRZ2' })
  })

  it('stay as they are without an address', () => {
    expect(meetings?.unfold?.({ name: 'Intro' })).toEqual({ name: 'Intro' })
  })
})
