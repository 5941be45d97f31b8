import { describe, expect, it } from 'vitest'
import type { Resource } from '../../src/strategies/define-provider.js'
import { googleDrive } from '../../src/strategies/google-drive.js'
import { refusal } from './refusal.js'

const error = (code: number, reason: string, more: object = {}) => ({
  error: { code, message: 'No.', errors: [{ domain: 'global', reason, message: 'No.', ...more }] },
})
const rpcError = (code: number, status: string, reason?: string, service = 'drive.googleapis.com') => ({
  error: {
    code,
    message: 'No.',
    status,
    ...(reason && { details: [{ '@type': 'x', reason, domain: 'googleapis.com', metadata: { service } }] }),
  },
})

describe("Google Drive's refusals", () => {
  it.each([
    [401, error(401, 'authError'), 'expired'],
    [403, error(403, 'userRateLimitExceeded'), 'rate_limited'],
    [403, error(403, 'insufficientPermissions'), 'scope'],
    [403, error(403, 'insufficientFilePermissions'), 'permission'],
    [403, error(403, 'appNotAuthorizedToFile'), 'permission'],
    [403, error(403, 'domainPolicy'), 'admin'],
    [404, error(404, 'notFound', { location: 'fileId' }), 'not_found'],
    [400, error(400, 'invalid', { locationType: 'parameter', location: 'pageToken' }), 'cursor_expired'],
    [400, error(400, 'invalid', { locationType: 'parameter', location: 'q' }), 'invalid'],
    [502, '<html><title>Error 502 (Server Error)!!1</title></html>', 'unavailable'],
    // The Activity API answers in the newer shape.
    [401, rpcError(401, 'UNAUTHENTICATED'), 'expired'],
    [403, rpcError(403, 'PERMISSION_DENIED', 'ACCESS_TOKEN_SCOPE_INSUFFICIENT'), 'scope'],
    [403, rpcError(403, 'PERMISSION_DENIED', 'SERVICE_DISABLED'), 'client'],
    // Not enabled beside Drive's own: only the activity is missing.
    [403, rpcError(403, 'PERMISSION_DENIED', 'SERVICE_DISABLED', 'driveactivity.googleapis.com'), 'permission'],
    [429, rpcError(429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED'), 'rate_limited'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(googleDrive.api.errors, { status, body })).toMatchObject({ fault })
  })
})

describe("Google Drive's resources", () => {
  const resources: readonly Resource[] = googleDrive.resources
  const named = (wanted: string) => resources.find(({ name }) => name === wanted)

  it('capture where the changes begin before the first page of files', () => {
    expect(resources.map(({ name }) => name).slice(0, 3)).toEqual(['start_page_token', 'files', 'changes'])
  })

  it('leave out changes of a shared drive itself, which have no file', () => {
    expect(named('changes')?.itemFilter?.({ changeType: 'drive', driveId: 'd1' })).toBe(false)
    expect(named('changes')?.itemFilter?.({ changeType: 'file', fileId: 'f1', removed: true })).toBe(true)
  })

  it('give an activity an id of its time, its action and its target', () => {
    const timeRange = { startTime: '2026-11-01T00:00:00Z', endTime: '2026-11-02T00:00:00Z' }
    const activities = [
      {
        timestamp: '2026-11-01T10:00:00Z',
        primaryActionDetail: { edit: {} },
        targets: [{ driveItem: { name: 'items/1' } }],
      },
      { timeRange, primaryActionDetail: { comment: {} }, targets: [{ fileComment: { parent: { name: 'items/2' } } }] },
      { timeRange, primaryActionDetail: { create: {} }, targets: [{ drive: { name: 'drives/3' } }] },
    ]
    const items = activities.map((activity) => named('drive_activity')?.unfold?.(activity)) as { id: string }[]
    expect(items.map(({ id }) => id)).toEqual([
      '2026-11-01T10:00:00Z:edit:items/1',
      '2026-11-02T00:00:00Z:comment:items/2',
      '2026-11-02T00:00:00Z:create:drives/3',
    ])
  })
})
