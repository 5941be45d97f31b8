import { describe, expect, it } from 'vitest'
import { dropbox } from '../../src/strategies/dropbox.js'
import { readPage } from '../../src/sync/page.js'
import { refusal } from './refusal.js'

const error = (summary: string, fields: object = {}) => ({
  error_summary: `${summary}/...`,
  error: { '.tag': summary.split('/')[0], ...fields },
})
const malformed = 'Error in call to API function "files/list_folder": request body: path: expected string'
const appLacksScope =
  'Error in call to API function "files/list_folder": Your app (ID: 1) is not permitted to access this endpoint because it does not have the required scope \'files.metadata.read\'.'

describe("Dropbox's refusals", () => {
  it.each([
    [401, error('expired_access_token'), 'expired'],
    [401, error('invalid_access_token'), 'expired'],
    [401, error('missing_scope', { required_scope: 'sharing.read' }), 'scope'],
    [401, error('user_suspended'), 'account_gone'],
    [401, error('route_access_denied'), 'permission'],
    [403, error('invalid_account_type/endpoint'), 'permission'],
    [409, error('path/not_found'), 'not_found'],
    [409, error('path/restricted_content'), 'permission'],
    [409, error('user_error/email_unverified'), 'permission'],
    [409, error('email_not_verified'), 'permission'],
    [409, error('reset'), 'cursor_expired'],
    [409, error('invalid_cursor'), 'cursor_expired'],
    [409, error('path/malformed_path'), 'invalid'],
    [422, error('invalid_root'), 'account_gone'],
    [400, malformed, 'invalid'],
    [400, appLacksScope, 'scope'],
    [429, 'too_many_requests', 'rate_limited'],
    [500, '', 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(dropbox.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [{}, 300],
    [{ 'retry-after': '7' }, 7],
  ])('of too many requests with %j wait %i seconds', async (headers, retryAfterSeconds) => {
    const body = {
      error_summary: 'too_many_requests/..',
      error: { reason: { '.tag': 'too_many_requests' }, retry_after: 300 },
    }
    expect(await refusal(dropbox.api.errors, { status: 429, headers, body })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds,
    })
  })
})

describe('the files of a Dropbox', () => {
  const files = dropbox.resources.find(({ name }) => name === 'files')
  const entry = (tag: string, more: object) => ({ '.tag': tag, name: 'a', path_lower: '/a', ...more })
  const read = (...entries: object[]) =>
    files && readPage(files, { entries, cursor: 'c', has_more: true }, undefined, 0)

  it('leave out what was deleted while they were read, be it a whole page', () => {
    const page = read(entry('deleted', {}), entry('file', { id: 'id:1' }), entry('folder', { id: 'id:2' }))
    expect(page).toMatchObject({ records: [{ id: 'id:1' }, { id: 'id:2' }], unreadable: 0 })
    expect(read(entry('deleted', {}))).toMatchObject({ records: [], unreadable: 0 })
  })
})

describe('the root of a Dropbox', () => {
  it('is named in calls once the account has told it', () => {
    expect(dropbox.derive({ root_namespace_id: '3235641' })).toEqual({ path_root: '{".tag":"root","root":"3235641"}' })
    expect(dropbox.derive({})).toEqual({})
  })
})
