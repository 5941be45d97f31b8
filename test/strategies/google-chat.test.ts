import { describe, expect, it } from 'vitest'
import type { Resource } from '../../src/strategies/define-provider.js'
import { googleChat } from '../../src/strategies/google-chat.js'
import { refusal } from './refusal.js'

const error = (code: number, status: string, reason?: string, message = 'No.') => ({
  error: { code, message, status, ...(reason && { details: [{ '@type': 'ErrorInfo', reason }] }) },
})

describe("Google Chat's refusals", () => {
  it.each([
    [401, error(401, 'UNAUTHENTICATED', 'ACCESS_TOKEN_EXPIRED'), 'expired'],
    [403, error(403, 'PERMISSION_DENIED', 'ACCESS_TOKEN_SCOPE_INSUFFICIENT'), 'scope'],
    [403, error(403, 'PERMISSION_DENIED', 'SERVICE_DISABLED'), 'client'],
    [403, error(403, 'PERMISSION_DENIED'), 'permission'],
    [404, error(404, 'NOT_FOUND'), 'not_found'],
    [400, error(400, 'INVALID_ARGUMENT', undefined, 'Invalid filter.'), 'invalid'],
    [400, error(400, 'INVALID_ARGUMENT', undefined, 'Invalid page_token.'), 'cursor_expired'],
    [429, error(429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED'), 'rate_limited'],
    [503, error(503, 'UNAVAILABLE'), 'unavailable'],
    // The app is not configured on the page of the Chat API: nothing that the person who connected can do.
    [
      404,
      error(
        404,
        'NOT_FOUND',
        undefined,
        'Google Chat app not found. To create a Chat app, you must turn on the Chat API and configure the app in the Google Cloud console.',
      ),
      'client',
    ],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(googleChat.api.errors, { status, body })).toMatchObject({ fault })
  })
})

describe("Google Chat's resources", () => {
  const resources: readonly Resource[] = googleChat.resources

  it('take an answer without a list for an empty one', () => {
    expect(resources.map(({ emptyWhenMissing }) => emptyWhenMissing)).toEqual([true, true, true])
  })

  it('keep the slash in the name of a space', () => {
    const messages = resources.find(({ name }) => name === 'messages')
    expect(messages?.request.url).toBe('https://chat.googleapis.com/v1/{+parent.name}/messages')
  })
})
