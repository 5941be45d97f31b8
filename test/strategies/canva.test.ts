import { describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import { canva } from '../../src/strategies/canva.js'
import type { Resource } from '../../src/strategies/define-provider.js'
import { skipsParent } from '../../src/sync/failures.js'
import { refusal } from './refusal.js'

const error = (code: string, message = 'No.') => ({ code, message })

describe("Canva's refusals", () => {
  it.each([
    [401, error('invalid_access_token', 'Access token is invalid'), 'expired'],
    [401, error('revoked_access_token', 'Access token has been revoked'), 'expired'],
    [403, error('missing_scope', "Missing scopes: ['folder:read']"), 'scope'],
    [403, error('permission_denied', 'Not allowed to access this folder'), 'permission'],
    [404, error('not_found', 'Folder not found'), 'not_found'],
    [400, error('bad_request_params', 'limit must be at most 100'), 'invalid'],
    [400, error('bad_query_params', 'Invalid continuation token'), 'cursor_expired'],
    [500, error('internal_error'), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(canva.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [400, error('invalid_grant', 'Refresh token is invalid'), 'revoked'],
    [429, error('too_many_requests'), 'rate_limited'],
    [429, { error: 'too_many_requests' }, 'rate_limited'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(canva.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [{}, 60],
    [{ 'retry-after': '7' }, 7],
  ])('of too many requests with %j wait %i seconds', async (headers, retryAfterSeconds) => {
    const answer = { status: 429, headers, body: error('too_many_requests') }
    expect(await refusal(canva.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds })
  })
})

describe('the Canva account', () => {
  const body = { team_user: { user_id: 'oU1', team_id: 'oT1' } }
  const resolve = (call: () => Promise<unknown>) => canva.identity.resolve({ body, token: {}, params: {}, call })
  const refuse = (fault: 'scope' | 'unavailable') => () =>
    Promise.reject(new IntegrationError('PROVIDER_FORBIDDEN', 'No.', { fault }))

  it('has the name of its profile', async () => {
    expect(await resolve(async () => ({ profile: { display_name: 'Ada' } }))).toEqual({ id: 'oU1', name: 'Ada' })
  })

  it('goes by its id where the profile may not be read', async () => {
    expect(await resolve(refuse('scope'))).toEqual({ id: 'oU1', name: 'User oU1' })
  })

  it('is not settled while Canva cannot be asked', async () => {
    await expect(resolve(refuse('unavailable'))).rejects.toMatchObject({ fault: 'unavailable' })
  })
})

describe("what lies in Canva's folders", () => {
  const contents = canva.resources.find(({ name }) => name === 'folder_items')
  const folders = canva.resources.find(({ name }) => name === 'folders')

  it('gets the id that stands below its type', () => {
    const design = { type: 'design', design: { id: 'DAFa', title: 'Deck' } }
    const image = { type: 'image', image: { id: 'Msd1', name: 'Photo' } }
    expect(contents?.unfold?.(design)).toEqual({ ...design, id: 'DAFa' })
    expect(contents?.unfold?.(image)).toEqual({ ...image, id: 'Msd1' })
    const folder = { type: 'folder', folder: { id: 'FAF1', name: 'Q3' } }
    expect(folders?.unfold?.(folder)).toEqual({ ...folder, id: 'FAF1' })
    expect(contents?.unfold?.({ type: 'video' })).toEqual({ type: 'video' })
  })
})

describe("Canva's uploads", () => {
  it('are passed over where Canva does not list them like a folder', async () => {
    const contents = canva.resources.find(({ name }) => name === 'folder_items') as Resource
    const answer = { status: 400, body: { code: 'bad_request_params', message: 'Invalid folder.' } }
    expect(skipsParent(contents, await refusal(canva.api.errors, answer))).toBe(true)
  })
})
