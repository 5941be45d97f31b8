import { describe, expect, it } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import type { RequestTemplate } from '../../src/strategies/define-provider.js'
import { linkedin } from '../../src/strategies/linkedin.js'
import { buildRequest } from '../../src/strategies/template.js'
import { refusal } from './refusal.js'

const error = (status: number, fields: object) => ({ status, message: 'No.', ...fields })
const resource = (name: string) => {
  const found = linkedin.resources.find((one) => one.name === name)
  if (!found) throw new Error(`no resource ${name}`)
  return found
}

describe("LinkedIn's refusals", () => {
  it.each([
    [401, error(401, { code: 'EXPIRED_ACCESS_TOKEN', serviceErrorCode: 65602 }), 'expired'],
    [401, error(401, { code: 'REVOKED_ACCESS_TOKEN', serviceErrorCode: 65601 }), 'revoked'],
    [401, error(401, { serviceErrorCode: 65601 }), 'revoked'],
    [401, error(401, { serviceErrorCode: 65600 }), 'expired'],
    [401, error(401, { message: 'Empty oauth2_access_token', serviceErrorCode: 401 }), 'expired'],
    [
      403,
      error(403, {
        code: 'ACCESS_DENIED',
        serviceErrorCode: 100,
        message: 'Not enough permissions to access: posts.FINDER-author.20260701',
      }),
      'scope',
    ],
    [403, error(403, { code: 'ACCESS_DENIED', message: 'Viewer does not administer this page' }), 'permission'],
    [404, error(404, { code: 'NOT_FOUND' }), 'not_found'],
    [426, error(426, { code: 'NONEXISTENT_VERSION', message: 'Requested version is not active' }), 'client'],
    [999, 'Request denied', 'unavailable'],
    [500, error(500, {}), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(linkedin.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [
      400,
      { error: 'invalid_request', error_description: 'Unable to retrieve access token: authorization code not found' },
      'revoked',
    ],
    [400, { error: 'invalid_request', error_description: 'The provided token has expired' }, 'revoked'],
    [400, { error: 'invalid_request', error_description: 'A required parameter "redirect_uri" is missing' }, 'invalid'],
    [400, { error: 'invalid_redirect_uri', error_description: 'No.' }, 'client'],
    [401, { error: 'invalid_client_id', error_description: 'No.' }, 'client'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(linkedin.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it('of too many requests last until midnight UTC', async () => {
    const body = error(429, { message: 'Resource level throttle APPLICATION_AND_MEMBER DAY limit is reached.' })
    const refused = await refusal(linkedin.api.errors, { status: 429, body })
    const end = Date.now() / 1000 + (refused?.retryAfterSeconds ?? 0)
    expect(refused).toMatchObject({ fault: 'rate_limited' })
    // A few seconds to either side of a whole day.
    expect((end + 30) % 86_400).toBeLessThan(60)
  })
})

describe('the LinkedIn account', () => {
  const resolve = (answers: Record<string, unknown>, fault: 'scope' | 'expired' = 'scope') =>
    linkedin.identity.resolve({
      body: undefined,
      token: {},
      params: {},
      call: async ({ url }: RequestTemplate) => {
        const path = new URL(url).pathname
        if (path in answers) return answers[path]
        throw new IntegrationError('PROVIDER_FORBIDDEN', 'No.', { fault })
      },
    })

  it('is the one that signed in', async () => {
    expect(await resolve({ '/v2/userinfo': { sub: 'a1', name: 'Ada', email: 'ada@acme.example' } })).toEqual({
      id: 'a1',
      name: 'Ada',
      email: 'ada@acme.example',
    })
  })

  it('is asked for in another way where the app has no sign-in product', async () => {
    const me = { id: 'a1', localizedFirstName: 'Ada', localizedLastName: 'Lovelace' }
    expect(await resolve({ '/v2/me': me })).toEqual({ id: 'a1', name: 'Ada Lovelace' })
    const elements = [{ memberComplianceAuthorizationKey: { member: 'urn:li:person:a1' } }]
    expect(await resolve({ '/rest/memberAuthorizations': { elements } })).toEqual({ id: 'a1', name: 'Member a1' })
    expect(await resolve({})).toEqual({ name: 'LinkedIn member' })
  })

  it('is not guessed when the token has ended', async () => {
    await expect(resolve({}, 'expired')).rejects.toMatchObject({ fault: 'expired' })
  })
})

describe("LinkedIn's pages", () => {
  const { pagination } = resource('organization_posts')
  if (pagination.style !== 'custom') throw new Error('not custom')
  const window = { from: new Date(0), to: new Date(1) }
  const next = (count: number, links: unknown, state?: unknown) => {
    const elements = Array.from({ length: count }, () => ({}))
    return pagination.next({ body: { elements, paging: { links } }, headers: {}, items: elements, state, window })
  }
  const link = (start: number) => [{ rel: 'next', href: `/rest/posts?author=x&start=${start}&count=100` }]

  it('go on where the link says, after a short page too', () => {
    expect(next(98, link(100))).toEqual({ state: 100 })
    expect(next(100, [{ rel: 'prev', href: '/rest/posts?start=0' }], 100)).toEqual({ state: 200 })
  })

  it('end without a link on a short page, and with nothing on a page', () => {
    expect(next(98, [])).toBeUndefined()
    expect(next(0, link(300), 200)).toBeUndefined()
    expect(next(5, link(100), 100)).toBeUndefined()
  })
})

describe("LinkedIn's requests", () => {
  const scope = {
    params: linkedin.derive({}),
    since: new Date(1_700_000_000_000),
    now: new Date(1_700_086_400_000),
    parent: { organization: 'urn:li:organization:7' },
  }

  it('ask with the day before the window for no more than a year', () => {
    const { reach, overlapSeconds } = resource('organization_share_statistics')
    expect((reach?.days ?? 0) * 86_400 + (overlapSeconds ?? 0)).toBe(365 * 86_400)
  })

  it('leave the structure of a query as it is, and encode the URN in it', () => {
    const { url } = buildRequest(resource('organization_share_statistics').request, scope)
    expect(url).toBe(
      'https://api.linkedin.com/rest/organizationalEntityShareStatistics?timeIntervals=(timeRange:(start:1700000000000,end:1700086400000),timeGranularityType:DAY)&q=organizationalEntity&organizationalEntity=urn%3Ali%3Aorganization%3A7',
    )
    expect(new URL(url).href).toBe(url)
  })

  it("name the operator's version of the API, or the known one", () => {
    expect(linkedin.derive({})).toEqual({ api_version: '202607' })
    expect(linkedin.derive({ apiVersion: '202611' })).toEqual({ api_version: '202611' })
  })
})

describe("LinkedIn's snapshots", () => {
  const rows = (elements: Record<string, unknown>[]) =>
    elements.flatMap((element) => resource('member_snapshot').unfold?.(element)) as Record<string, unknown>[]

  it('are unfolded into rows with an id and the time that stands in them', () => {
    const [post, contact, profile] = rows([
      { snapshotDomain: 'MEMBER_SHARE_INFO', snapshotData: [{ Date: '2026-11-20 12:00:00', ShareLink: 'x' }] },
      { snapshotDomain: 'CONNECTIONS', snapshotData: [{ 'First Name': 'Ada', 'Connected On': '20 Nov 2026' }] },
      { snapshotDomain: 'PROFILE', snapshotData: { 'First Name': 'Ada' } },
    ])
    expect(post).toMatchObject({ at: '2026-11-20T12:00:00.000Z', row: { ShareLink: 'x' } })
    expect(post?.id).toMatch(/^MEMBER_SHARE_INFO:[\w-]{22}$/)
    expect(contact).toMatchObject({ snapshotDomain: 'CONNECTIONS', at: '2026-11-20T00:00:00.000Z' })
    expect(profile).not.toHaveProperty('at')
  })

  it('give the same row the same id', () => {
    const element = { snapshotDomain: 'INBOX', snapshotData: [{ DATE: '2026-11-20 12:00:00 UTC', CONTENT: 'Hi' }] }
    expect(rows([element])).toEqual(rows([element]))
    expect(rows([element])[0]).toMatchObject({ at: '2026-11-20T12:00:00.000Z' })
  })
})
