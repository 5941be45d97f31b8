import { describe, expect, it } from 'vitest'
import type { Pagination, Resource } from '../../src/strategies/define-provider.js'
import { normalizeParams } from '../../src/strategies/flow.js'
import { gitlab } from '../../src/strategies/gitlab.js'
import { allowedOrigins } from '../../src/strategies/template.js'
import { refusal } from './refusal.js'

describe("GitLab's refusals", () => {
  it.each([
    [401, { error: 'invalid_token', error_description: 'Token is expired.' }, 'expired'],
    [401, { error: 'invalid_token', error_description: 'Token was revoked.' }, 'expired'],
    [401, { message: '401 Unauthorized' }, 'expired'],
    [403, { error: 'insufficient_scope', scope: 'api read_api' }, 'scope'],
    [403, { message: '403 Forbidden' }, 'permission'],
    [403, { message: '403 Forbidden - Your account has been blocked.' }, 'account_gone'],
    [404, { message: '404 Project Not Found' }, 'not_found'],
    [400, { message: { per_page: ['is invalid'] } }, 'invalid'],
    [503, { message: 'Service Unavailable' }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(gitlab.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('of a limit are a line of text, and the header says how long', async () => {
    const answer = { status: 429, headers: { 'retry-after': '37' }, body: 'Retry later\n' }
    expect(await refusal(gitlab.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 37 })
  })
})

describe('the GitLab instance', () => {
  const { pattern } = gitlab.params[0]

  it.each([
    'https://gitlab.com',
    'https://git.example.com:8443',
    'https://example.com/gitlab',
    'https://GitLab.Example.com',
  ])('may be %s', (address) => expect(address).toMatch(pattern))

  it.each([
    'http://gitlab.com',
    'https://gitlab.com/',
    'https://user@example.com',
    'https://example.com?x=1',
    'https://example.com#x',
    'https://example.com\n',
    'https://{env.X}',
  ])('may not be %j', (address) => expect(address).not.toMatch(pattern))

  it('is not for the user to name: the client secret goes there', () => {
    const { params } = normalizeParams(gitlab, { base_url: 'https://evil.example' })
    expect(params).toEqual({})
  })

  it('is the only place that requests leave for', () => {
    const params = { base_url: 'https://example.com:8443/gitlab' }
    expect(allowedOrigins(gitlab, { params })).toEqual(['https://example.com:8443'])
  })
})

describe("a GitLab project's issues and merge requests", () => {
  const list = gitlab.resources.find(({ name }) => name === 'issues') as Resource
  const pagination = list.pagination as Extract<Pagination, { style: 'custom' }>
  const link = (page: number) =>
    `<https://gitlab.com/api/v4/projects/1/issues?order_by=updated_at&page=${page}&per_page=100&sort=desc>; rel="next", <https://gitlab.com/x?page=1>; rel="first"`
  const further = (header: string | undefined) =>
    pagination.next({
      body: [],
      headers: header === undefined ? {} : { link: header },
      items: [{ updated_at: '2026-10-02T00:00:00.000Z' }, { updated_at: '2026-10-01T00:00:00.000Z' }],
      state: undefined,
      window: { from: new Date(0), to: new Date(1) },
    })
  const asked = (header: string) => pagination.apply(list.request, further(header)?.state).query

  it('are read newest first, so that a change meanwhile lets nothing slip through', () => {
    expect(list).toMatchObject({ order: 'desc', request: { query: { sort: 'desc' } } })
  })

  it('go on where the header says, and end where it says nothing', () => {
    expect(asked(link(2))).toMatchObject({ page: '2', state: 'all', order_by: 'updated_at', per_page: '100' })
    expect(asked(link(500))).toMatchObject({ page: '500' })
    expect(further('<https://gitlab.com/x?page=1>; rel="first"')).toBeUndefined()
    expect(further(undefined)).toBeUndefined()
  })

  it('begin again at the last change read, behind the last page that is shown', () => {
    const query = asked(link(501))
    expect(query).toMatchObject({ updated_before: '2026-10-01T00:00:00.000Z', sort: 'desc' })
    expect(query).not.toHaveProperty('page')
  })
})

describe('the end of a GitLab connection', () => {
  it('is asked for by its refresh token: an access token that is over would leave that one alive', () => {
    expect(gitlab.auth.revocation).toMatchObject({ token: 'refresh' })
  })
})
