import { describe, expect, it } from 'vitest'
import type { Resource } from '../../src/strategies/define-provider.js'
import { defaultScopes } from '../../src/strategies/flow.js'
import { microsoftTeams } from '../../src/strategies/microsoft-teams.js'
import { refusal } from './refusal.js'

const error = (code: string, message = 'No.') => ({
  error: { code, message, innerError: { date: '2026-11-20T10:00:00', 'request-id': 'r', 'client-request-id': 'c' } },
})

describe("Microsoft Teams' refusals", () => {
  it.each([
    [401, error('InvalidAuthenticationToken', 'Access token has expired or is not yet valid.'), 'expired'],
    [
      403,
      error('Forbidden', "Missing scope permissions on the request. API requires one of 'ChannelMessage.Read.All'."),
      'scope',
    ],
    [403, error('Forbidden', 'The user is not a member of the team.'), 'permission'],
    // Seen for channel messages in microsoftgraph/microsoft-graph-docs-contrib#6318.
    [403, error('UnknownError', ''), 'permission'],
    [404, error('NotFound', 'No team found with that id.'), 'not_found'],
    [410, error('syncStateNotFound'), 'cursor_expired'],
    [429, error('TooManyRequests'), 'rate_limited'],
    [400, error('BadRequest', 'Invalid filter.'), 'invalid'],
    [504, error('UnknownError', ''), 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(microsoftTeams.api.errors, { status, body })).toMatchObject({ fault })
  })
})

describe('a connection to Microsoft Teams', () => {
  it('asks for nothing that an administrator has to consent to, unless the host says so', () => {
    expect(defaultScopes(microsoftTeams)).toContain('Chat.Read')
    expect(defaultScopes(microsoftTeams)).not.toContain('ChannelMessage.Read.All')
  })

  it('is for work and school accounts, unless a tenant is named', () => {
    expect(microsoftTeams.params[0]).toMatchObject({ optional: true, default: 'organizations' })
  })
})

describe("Microsoft Teams' resources", () => {
  const resources: readonly Resource[] = microsoftTeams.resources
  const named = (wanted: string) => resources.find(({ name }) => name === wanted)

  it('check the window of chat messages themselves: a filter can be passed over', () => {
    expect(named('chat_messages')).toMatchObject({ filter: 'client', order: 'desc' })
  })

  it('keep threads that began before the window: a reply changed', () => {
    expect(named('channel_messages')).toMatchObject({ filter: 'server' })
  })
})
