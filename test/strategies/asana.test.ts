import { describe, expect, it } from 'vitest'
import { asana } from '../../src/strategies/asana.js'
import { refusal } from './refusal.js'

const said = (message: string) => ({
  errors: [{ message, help: 'For more information on API status codes and how to handle them, read the docs.' }],
})

describe("Asana's refusals", () => {
  it.each([
    [401, said('Not Authorized'), 'expired'],
    [403, said('Forbidden: your token is missing the required scope tasks:read'), 'scope'],
    [403, said('You do not have access to this workspace'), 'permission'],
    [402, said('Payment Required'), 'permission'],
    [451, said('Unavailable For Legal Reasons'), 'permission'],
    [404, said('project: Unknown object: 12'), 'not_found'],
    [400, said('project: Not a recognized ID: abc'), 'invalid'],
    [400, said('offset: Your pagination token has expired.'), 'cursor_expired'],
    [412, said('Sync token invalid or too old'), 'cursor_expired'],
    [500, { errors: [{ message: 'Server Error', phrase: '6 sad squid snuggle softly' }] }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(asana.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('for too many calls wait as long as they say', async () => {
    const answer = { status: 429, headers: { 'retry-after': '30' }, body: said('You have made too many requests') }
    expect(await refusal(asana.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 30 })
  })

  it('at the token endpoint keep the code of OAuth', async () => {
    const body = { error: 'invalid_grant', error_description: 'The refresh token is not valid.' }
    expect(await refusal(asana.auth.errors, { status: 400, body })).toMatchObject({ providerCode: 'invalid_grant' })
  })
})

describe('the tasks in no project', () => {
  it('leave out what a project lists', () => {
    const keeps = asana.resources.find(({ name }) => name === 'tasks_without_project')?.itemFilter
    expect(keeps?.({ gid: '1', memberships: [] })).toBe(true)
    expect(keeps?.({ gid: '2', memberships: [{ project: { gid: '9' } }] })).toBe(false)
  })
})
