import { describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import type { Resource } from '../../src/strategies/define-provider.js'
import { jira } from '../../src/strategies/jira.js'
import type { ParentSource } from '../../src/sync/parents.js'
import { readResource } from '../../src/sync/reader.js'
import { parseTimestamp } from '../../src/sync/window.js'
import { refusal } from './refusal.js'

const jiraError = (message: string) => ({ errorMessages: [message], errors: {} })

describe("Jira's refusals", () => {
  it.each([
    [401, { code: 401, message: 'Unauthorized' }, 'expired'],
    [401, { code: 401, message: 'Unauthorized; scope does not match' }, 'scope'],
    [403, jiraError('You do not have permission to view this.'), 'permission'],
    [404, jiraError('Issue does not exist or you do not have permission to see it.'), 'not_found'],
    [400, jiraError("The value 'x' does not exist for the field 'project'."), 'invalid'],
    [400, jiraError('The provided next page token is invalid or expired.'), 'cursor_expired'],
    [503, { code: 503, message: 'Service Unavailable' }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(jira.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [403, { error: 'unauthorized_client', error_description: 'refresh_token is invalid' }, 'revoked'],
    [401, { error: 'access_denied', error_description: 'Unauthorized' }, 'client'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(jira.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it("keep OAuth's own code for a refresh token that ended, whatever the status", async () => {
    const body = { error: 'invalid_grant', error_description: 'Unknown or invalid refresh token.' }
    expect(await refusal(jira.auth.errors, { status: 403, body })).toMatchObject({ providerCode: 'invalid_grant' })
  })

  it('of a limit say how long in seconds, or until when', async () => {
    const limit = (headers: Record<string, string>) =>
      refusal(jira.api.errors, { status: 429, headers, body: jiraError('Rate limit exceeded.') })
    expect(await limit({ 'retry-after': '12', 'ratelimit-reason': 'jira-burst-based' })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: 12,
    })
    const reset = new Date(Date.now() + 300_000).toISOString()
    const refused = await limit({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset })
    expect(refused?.retryAfterSeconds).toBeGreaterThan(270)
    expect(refused?.retryAfterSeconds).toBeLessThanOrEqual(300)
  })
})

describe('the Jira account', () => {
  const resolve = (params: Record<string, string>) =>
    jira.identity.resolve({
      body: { accountId: '5b10', displayName: 'Ada', emailAddress: 'ada@example.com' },
      token: {},
      params,
      call: () => Promise.reject(new Error('no call')),
    })

  it('is a person at a site: the same person at another site is another connection', async () => {
    expect(await resolve({ cloudId: 'c-1', siteName: 'Acme' })).toEqual({
      id: '5b10',
      name: 'Ada, Acme',
      email: 'ada@example.com',
      keyParts: ['c-1'],
    })
    expect(await resolve({ cloudId: 'c-2', siteName: 'Other' })).toMatchObject({ id: '5b10', keyParts: ['c-2'] })
  })

  it('can be at sites with scopes of Jira only, not at the same site as Confluence lists it', () => {
    expect(jira.choices.itemFilter({ scopes: ['read:jira-work'] })).toBe(true)
    expect(jira.choices.itemFilter({ scopes: ['read:issue:jira'] })).toBe(true)
    expect(jira.choices.itemFilter({ scopes: ['read:confluence-content.all'] })).toBe(false)
    expect(jira.choices.itemFilter({})).toBe(false)
  })
})

describe("Jira's backfill", () => {
  it('reads times with a zone that has no colon', () => {
    expect(parseTimestamp('2026-08-22T10:15:00.000+0200', 'iso8601')).toBe(Date.parse('2026-08-22T08:15:00Z'))
  })

  it('asks for worklogs where time was logged, or where the field is hidden', () => {
    const filter = jira.resources.find(({ name }) => name === 'worklogs')?.parentFilter
    expect(filter?.({ id: '1', fields: { timespent: 3600 } })).toBe(true)
    expect(filter?.({ id: '1', fields: {} })).toBe(true)
    expect(filter?.({ id: '1', fields: { timespent: null } })).toBe(false)
  })
})

describe("Jira's issues", () => {
  it('begin again a day before the window when their cursor is lost: times in a query are those of another zone', async () => {
    const issues = jira.resources.find(({ name }) => name === 'issues') as Resource
    const window = { from: Date.UTC(2026, 7, 20), to: Date.UTC(2026, 10, 20) }
    const asked: string[] = []
    const answers = [
      { issues: [{ id: '1', fields: { updated: '2026-10-01T10:00:00.000+0000' } }], nextPageToken: 'lost' },
      new IntegrationError('PROVIDER_REFUSED', 'No.', { fault: 'cursor_expired' }),
      { issues: [] },
    ]
    const nextPage = readResource({
      resource: issues,
      window,
      from: undefined,
      source: { store: {} as ParentSource['store'], connectionId: 'c', backfillId: 'b', resources: [issues] },
      call: async (_request, { since }) => {
        asked.push(since.toISOString())
        const answer = answers.shift()
        if (answer instanceof Error) throw answer
        return { headers: {}, body: answer, url: 'https://api.atlassian.com/' }
      },
      concurrency: 1,
      skipsParent: () => false,
    })
    while (await nextPage());
    expect(asked).toEqual(Array(3).fill('2026-08-19T00:00:00.000Z'))
  })
})
