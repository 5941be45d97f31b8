import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createProviderHttp } from '../../src/provider-http/client.js'
import { type ClientConfig, callProvider } from '../../src/strategies/call.js'
import { discord } from '../../src/strategies/discord.js'
import { grantKeyOf } from '../../src/tokens/grant-key.js'
import { refusal } from './refusal.js'

describe("Discord's refusals", () => {
  it.each([
    [401, { message: '401: Unauthorized', code: 0 }, 'expired'],
    [401, { message: 'Invalid OAuth2 access token', code: 50025 }, 'expired'],
    [403, { message: 'Missing required OAuth2 scope', code: 50026 }, 'scope'],
    [403, { message: 'Missing Access', code: 50001 }, 'permission'],
    [403, { message: 'Missing Permissions', code: 50013 }, 'permission'],
    [404, { message: 'Unknown Channel', code: 10003 }, 'not_found'],
    [404, { message: 'Unknown Guild', code: 10004 }, 'account_gone'],
    [
      400,
      { message: 'Invalid Form Body', code: 50035, errors: { limit: { _errors: [{ code: 'NUMBER_TYPE_MAX' }] } } },
      'invalid',
    ],
    [202, { message: 'Index not yet available. Try again later', code: 110000, retry_after: 2 }, 'not_ready'],
    [503, { message: 'API resource is currently overloaded. Try again a little later', code: 130000 }, 'unavailable'],
  ])('with status %i and %j mean %s', async (status, body, fault) => {
    expect(await refusal(discord.api.errors, { status, body })).toMatchObject({ fault })
  })

  it.each([
    [{ 'retry-after': '65' }, 64.57, 65],
    [{}, 1.337, 2],
  ])('of too many requests with %j and retry_after %d wait %i seconds', async (headers, retry_after, seconds) => {
    const body = { message: 'You are being rate limited.', retry_after, global: false }
    expect(await refusal(discord.api.errors, { status: 429, headers, body })).toMatchObject({
      fault: 'rate_limited',
      retryAfterSeconds: seconds,
    })
  })

  it.each([
    ['invalid_request', 'Invalid "refresh_token" in request.', 'revoked'],
    ['invalid_request', 'Invalid "code" in request.', 'revoked'],
    ['invalid_request', 'Invalid "redirect_uri" in request.', 'client'],
    ['invalid_request', 'Missing "grant_type" in request.', 'invalid'],
  ])('at the token endpoint with %s, %s mean %s', async (error, error_description, fault) => {
    const body = { error, error_description }
    expect(await refusal(discord.auth.errors, { status: 400, body })).toMatchObject({ fault })
  })
})

describe('the server of a Discord connection', () => {
  const afterToken = (token: unknown) =>
    discord.afterToken({
      token,
      body: undefined,
      params: { guildId: '1' },
      call: () => Promise.reject(new Error('no call')),
    })

  it('is the one that the token answer names', async () => {
    expect(await afterToken({ guild: { id: '197038439483310086', name: 'Acme' } })).toEqual({
      guildId: '197038439483310086',
    })
  })

  it.each([{}, { guild: null }, { guild: { id: '1/../../users' } }])('cannot be read from %j', async (token) => {
    await expect(afterToken(token)).rejects.toMatchObject({ code: 'PROVIDER_BAD_RESPONSE' })
  })

  it('shares its grant with every other server of the same person', () => {
    const client: ClientConfig = { clientId: 'c', clientSecret: 's', env: {}, params: {}, redirectURI: '', appName: '' }
    const entry = { definition: discord, client, configured: true, missing: [] }
    const one = grantKeyOf(entry, { id: 'ada', key: '|ada|1' })
    expect(one).toEqual(grantKeyOf(entry, { id: 'ada', key: '|ada|2' }))
    expect(one).not.toEqual(grantKeyOf(entry, { id: 'grace', key: '|grace|1' }))
    expect(one.grantShared).toBe(true)
  })
})

describe('the bot of a Discord connection', () => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })

  /** What the backfill's first request and the identity call send, and what they make of a 401. */
  async function ask(request: Parameters<typeof callProvider>[3]['request']) {
    const seen: (string | undefined)[] = []
    const server = createServer(({ url, headers }, res) => {
      seen.push(url, headers.authorization, headers['user-agent'])
      res.writeHead(401, { 'content-type': 'application/json' }).end('{"message":"401: Unauthorized","code":0}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const http = createProviderHttp({ origins: { 'https://discord.com': `http://127.0.0.1:${port}` } })
    closing.push(
      () => http.close(),
      () => new Promise((resolve) => server.close(resolve)),
    )
    const error: unknown = await callProvider(
      http,
      discord,
      {
        clientId: 'c',
        clientSecret: 's',
        env: { DISCORD_BOT_TOKEN: 'made-up-bot' },
        params: {},
        redirectURI: '',
        appName: '',
      },
      {
        request,
        endpoint: 'api',
        params: { guildId: '42' },
        credential: { accessToken: 'made-up-person', issuedAt: 0 },
        retries: 0,
      },
    ).catch((reason) => reason)
    return { seen, error }
  }

  it("reads with its own token, and a refusal of it is the operator's matter, not the user's", async () => {
    const { seen, error } = await ask(discord.resources[0]?.request as never)
    expect(seen).toEqual([
      '/api/v10/guilds/42/channels',
      'Bot made-up-bot',
      expect.stringMatching(/^DiscordBot \(https:\/\/.+, [\d.]+\)$/),
    ])
    expect(error).toMatchObject({ fault: 'client' })
  })

  it('stays out of the calls that are made as the person', async () => {
    const { seen, error } = await ask(discord.identity.request)
    expect(seen).toEqual(['/api/v10/users/@me', 'Bearer made-up-person', expect.stringMatching(/^DiscordBot /)])
    expect(error).toMatchObject({ fault: 'expired' })
  })
})

describe("Discord's channels", () => {
  const filterOf = (name: string) => discord.resources.find((resource) => resource.name === name)?.parentFilter

  it.each([
    [0, true, true],
    [2, true, false],
    [4, false, false],
    [5, true, true],
    [13, true, false],
    [15, false, true],
    [16, false, true],
  ])('of type %i have messages: %s, and threads: %s', (type, messages, threads) => {
    expect(filterOf('messages')?.({ type })).toBe(messages)
    expect(filterOf('archived_threads')?.({ type })).toBe(threads)
  })
})
