import { describe, expect, it } from 'vitest'
import { microsoftHomeTenant } from '../../src/strategies/microsoft.js'
import { outlook } from '../../src/strategies/outlook.js'
import { refusal } from './refusal.js'

const error = (code: string, message = 'No.') => ({
  error: { code, message, innerError: { date: '2026-11-20T10:00:00', 'request-id': 'r', 'client-request-id': 'c' } },
})
const tokenError = (name: string, number: number) => ({
  error: name,
  error_description: `AADSTS${number}: No. Trace ID: t`,
  error_codes: [number],
  timestamp: '2026-11-20 10:00:00Z',
  trace_id: 't',
  correlation_id: 'c',
})

describe("Microsoft Graph's refusals", () => {
  it.each([
    [401, error('InvalidAuthenticationToken', 'Lifetime validation failed, the token is expired.'), 'expired'],
    [403, error('ErrorAccessDenied', 'Access is denied. Check credentials and try again.'), 'scope'],
    [403, error('Authorization_RequestDenied', 'Insufficient privileges to complete the operation.'), 'scope'],
    [403, error('Forbidden'), 'permission'],
    [
      404,
      error('MailboxNotEnabledForRESTAPI', 'The mailbox is either inactive, soft-deleted, or on-premise.'),
      'permission',
    ],
    [403, error('ErrorAccountSuspend', 'Account suspended.'), 'account_gone'],
    [404, error('ErrorItemNotFound', 'The specified object was not found in the store.'), 'not_found'],
    [410, error('SyncStateNotFound', 'The sync state generation is not found.'), 'cursor_expired'],
    [410, error('resyncRequired'), 'cursor_expired'],
    [400, error('InefficientFilter', 'The restriction or sort order is too complex for this operation.'), 'invalid'],
    [503, '<html><body>Our services are not available right now</body></html>', 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(outlook.api.errors, { status, body })).toMatchObject({ fault })
  })

  it('wait as long as Retry-After says', async () => {
    const answer = { status: 429, headers: { 'retry-after': '17' }, body: error('ApplicationThrottled') }
    expect(await refusal(outlook.api.errors, answer)).toMatchObject({ fault: 'rate_limited', retryAfterSeconds: 17 })
  })

  it.each([
    [400, tokenError('interaction_required', 50076), 'revoked'],
    [400, tokenError('consent_required', 65001), 'revoked'],
    [400, tokenError('invalid_grant', 90094), 'admin'],
    [400, tokenError('invalid_grant', 50057), 'account_gone'],
    [401, tokenError('invalid_client', 7000222), 'client'],
  ])('at the token endpoint with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(outlook.auth.errors, { status, body })).toMatchObject({ fault })
  })

  it("keep OAuth's own code at the token endpoint where the number says no more", async () => {
    const answer = await refusal(outlook.auth.errors, { status: 400, body: tokenError('invalid_grant', 700082) })
    expect(answer).toMatchObject({ providerCode: 'invalid_grant' })
  })
})

describe('the tenant', () => {
  const [tenant] = outlook.params
  const normal = (input: string) => tenant.normalize?.(input) ?? input

  it.each(['common', 'Contoso.onmicrosoft.com', '9188040D-6C67-4C5B-B112-36A304B66DAD'])('can be %j', (input) => {
    expect(normal(input)).toMatch(tenant.pattern)
  })

  it.each(['contoso', 'contoso.com/oauth2', '../common', 'contoso.com?x=1', ''])('cannot be %j', (input) => {
    expect(normal(input)).not.toMatch(tenant.pattern)
  })

  it('of the account is kept from the id token', async () => {
    const tid = '9188040d-6c67-4c5b-b112-36a304b66dad'
    const idToken = (claims: object) =>
      ['e30', Buffer.from(JSON.stringify(claims)).toString('base64url'), 's'].join('.')
    const kept = (token: unknown) =>
      microsoftHomeTenant({ token, body: undefined, params: {}, call: () => Promise.reject(new Error('no call')) })
    expect(await kept({ id_token: idToken({ tid }) })).toEqual({ home_tenant_id: tid })
    for (const token of [undefined, {}, { id_token: 'x' }, { id_token: idToken({ tid: '../x' }) }])
      expect(await kept(token)).toEqual({})
  })
})

describe("Outlook's resources", () => {
  const named = (wanted: string) => outlook.resources.find(({ name }) => name === wanted)

  it('leave out events that are gone', () => {
    expect(named('events')?.itemFilter?.({ id: 'e1', '@removed': { reason: 'deleted' } })).toBe(false)
    expect(named('events')?.itemFilter?.({ id: 'e2' })).toBe(true)
  })

  it('look below folders that have folders', () => {
    expect(named('mail_folders')?.parentFilter?.({ id: 'f1', childFolderCount: 2 })).toBe(true)
    expect(named('mail_folders')?.parentFilter?.({ id: 'f2', childFolderCount: 0 })).toBe(false)
  })
})
