import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createProviderLab, type ProviderLab } from '../../src/testing/index.js'
import {
  acmeCode,
  acmeExchange,
  acmeRefresh,
  acmeTokens,
  basic,
  bearer,
  form,
  json,
  oauth1Header,
  REDIRECT,
  send,
} from './client.js'
import { acme, bank, boards, mailer, shopfront } from './definitions.js'

let lab: ProviderLab
let time: number
beforeEach(async () => {
  time = Date.now()
  lab = await createProviderLab({
    providers: [acme, shopfront, boards, bank, mailer],
    recordsPerResource: 10,
    now: () => time,
  })
})
afterEach(() => lab.close())

const me = (token: string) => send(lab, 'https://api.acme.example/v1/me', { headers: bearer(token) })

describe('consent page of the lab', () => {
  it('shows a form with both accounts and sends an approving person back with code, state and issuer', async () => {
    const { query } = await acmeCode(lab)
    const page = await send(lab, `https://acme.example/oauth/authorize?${query}`)
    expect(page.headers.get('content-type')).toContain('text/html')
    const html = await page.text()
    expect(html).toContain('Acme Workshop')
    expect(html).toContain('Globex Studio')
    const decided = await send(lab, `https://acme.example/oauth/authorize?${query}&lab_account=b&lab=approve`)
    expect(decided.status).toBe(302)
    const callback = new URL(decided.headers.get('location') ?? '')
    expect(callback.origin + callback.pathname).toBe(REDIRECT)
    expect(Object.fromEntries(callback.searchParams)).toEqual({
      code: expect.any(String),
      state: 's-1',
      iss: 'https://acme.example',
    })
  })

  it('approves at once for a script that accepts JSON', async () => {
    const { query } = await acmeCode(lab)
    const answer = await send(lab, `https://acme.example/oauth/authorize?${query}`, {
      headers: { accept: 'application/json' },
    })
    expect(answer.headers.get('location')).toContain('code=')
  })

  it('sends a denying person back with access_denied and the state', async () => {
    const { query } = await acmeCode(lab)
    const denied = new URL((await lab.consent(`https://acme.example/oauth/authorize?${query}`, { deny: true })) ?? '')
    expect(denied.searchParams.get('error')).toBe('access_denied')
    expect(denied.searchParams.get('state')).toBe('s-1')
  })

  it.each([
    ['client_id', 'other', 'client_id'],
    ['redirect_uri', 'nowhere', 'redirect_uri'],
    ['response_type', 'token', 'response_type'],
    ['code_challenge', undefined, 'code_challenge'],
    ['code_challenge_method', 'plain', 'S256'],
  ])('shows its own page instead of redirecting when %s is %s', async (name, value, text) => {
    const { query } = await acmeCode(lab)
    if (value === undefined) query.delete(name)
    else query.set(name, value)
    const answer = await send(lab, `https://acme.example/oauth/authorize?${query}&lab=approve`)
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain(text)
  })

  it('escapes what the app sent', async () => {
    const { query } = await acmeCode(lab)
    query.set('state', '"><script>alert(1)</script>')
    const page = await send(lab, `https://acme.example/oauth/authorize?${query}`)
    expect(await page.text()).not.toContain('<script>')
  })
})

describe('token endpoint of the lab', () => {
  it('answers at the paths of the definition, and the token opens identity with the chosen account', async () => {
    const { code, verifier } = await acmeCode(lab, { account: 'b' })
    const body = (await (await acmeExchange(lab, code, verifier)).json()) as Record<string, Record<string, unknown>>
    expect(body.data).toEqual({
      access_token: expect.any(String),
      refresh_token: expect.any(String),
      expires_in: 3600,
      scope: 'things.read vault.read',
    })
    expect(body.org).toEqual({ id: expect.any(String) })
    const account = lab.account('acme', 'b')
    expect(await (await me(String(body.data?.access_token))).json()).toEqual({
      organisation: { id: account.id, name: 'Globex Studio' },
      user: { id: account.personId, email: 'grace@globex.example' },
    })
  })

  it('refuses a code that was used before, and ends what it brought', async () => {
    const { code, verifier } = await acmeCode(lab)
    const first = (await (await acmeExchange(lab, code, verifier)).json()) as { data: { access_token: string } }
    const second = await acmeExchange(lab, code, verifier)
    expect(second.status).toBe(400)
    expect(await second.json()).toMatchObject({ error: 'invalid_grant' })
    expect((await me(first.data.access_token)).status).toBe(401)
  })

  it('refuses a code after 60 seconds', async () => {
    const { code, verifier } = await acmeCode(lab)
    time += 60_001
    expect(await (await acmeExchange(lab, code, verifier)).json()).toMatchObject({ error: 'invalid_grant' })
  })

  it('refuses a wrong or missing PKCE verifier and another redirect_uri', async () => {
    const wrong: Record<string, string>[] = [
      { code_verifier: 'x'.repeat(43) },
      { code_verifier: '' },
      { redirect_uri: `${REDIRECT}/` },
    ]
    for (const changes of wrong) {
      const { code, verifier } = await acmeCode(lab)
      const answer = await acmeExchange(lab, code, verifier, changes)
      expect(await answer.json()).toMatchObject({ error: 'invalid_grant' })
    }
  })

  it('takes the client only as the definition says', async () => {
    const client = {
      client_id: lab.credentials.acme?.clientId ?? '',
      client_secret: lab.credentials.acme?.clientSecret ?? '',
    }
    const attempts: RequestInit[] = [
      form({ grant_type: 'authorization_code', code: 'x', ...client }),
      {
        ...form({ grant_type: 'authorization_code', code: 'x', client_secret: 'y' }),
        headers: basic(lab.credentials.acme ?? {}),
      },
      {
        ...form({ grant_type: 'authorization_code', code: 'x' }),
        headers: basic({ clientId: client.client_id, clientSecret: 'no' }),
      },
    ]
    for (const attempt of attempts) {
      const answer = await send(lab, 'https://acme.example/oauth/token', attempt)
      expect(answer.status).toBe(401)
      expect(await answer.json()).toMatchObject({ error: 'invalid_client' })
    }
  })

  it('rotates refresh tokens and ends the family when one comes a second time', async () => {
    const first = await acmeTokens(lab)
    const second = await acmeRefresh(lab, first.refresh_token)
    expect(second.status).toBe(200)
    expect(second.tokens.refresh_token).not.toBe(first.refresh_token)
    expect((await me(second.tokens.access_token)).status).toBe(200)
    expect(await acmeRefresh(lab, first.refresh_token)).toMatchObject({ status: 400, error: 'invalid_grant' })
    expect((await me(second.tokens.access_token)).status).toBe(401)
    expect(await acmeRefresh(lab, second.tokens.refresh_token)).toMatchObject({ error: 'invalid_grant' })
  })

  it('ends access tokens after their time, and at once on demand', async () => {
    const { access_token, refresh_token } = await acmeTokens(lab)
    time += 3_600_000
    const ended = await me(access_token)
    expect(ended.status).toBe(401)
    expect(await ended.json()).toMatchObject({ error: { code: 'token_dead' } })
    const fresh = await acmeRefresh(lab, refresh_token)
    expect((await me(fresh.tokens.access_token)).status).toBe(200)
    lab.expireTokens('acme')
    expect((await me(fresh.tokens.access_token)).status).toBe(401)
  })

  it('revokes with client authentication, and with the user withdrawing', async () => {
    const { access_token, refresh_token } = await acmeTokens(lab)
    const url = 'https://acme.example/oauth/revoke'
    expect((await send(lab, url, form({ token: refresh_token }))).status).toBe(401)
    expect((await me(access_token)).status).toBe(200)
    await send(lab, url, { ...form({ token: refresh_token }), headers: basic(lab.credentials.acme ?? {}) })
    expect((await me(access_token)).status).toBe(401)
    const other = await acmeTokens(lab)
    lab.revokeGrants('acme')
    expect(await acmeRefresh(lab, other.refresh_token)).toMatchObject({ error: 'invalid_grant' })
  })
})

describe('a provider with a host per connection', () => {
  const authorize = (shop = 'my-shop.shopfront.example', scope = '') =>
    `https://${shop}/oauth/authorize?${new URLSearchParams({
      client_id: lab.credentials.shopfront?.clientId ?? '',
      redirect_uri: REDIRECT,
      response_type: 'code',
      state: 's-2',
      user_scope: 'orders',
      ...(scope && { scope }),
    })}`
  const exchange = (code: string, shop = 'my-shop.shopfront.example', changes: Record<string, unknown> = {}) =>
    send(
      lab,
      `https://${shop}/oauth/token`,
      json({
        grant_type: 'authorization_code',
        code,
        redirect_uri: REDIRECT,
        client_id: lab.credentials.shopfront?.clientId,
        client_secret: lab.credentials.shopfront?.clientSecret,
        expiring: '1',
        ...changes,
      }),
    )
  const code = async (...args: Parameters<typeof authorize>) =>
    new URL((await lab.consent(authorize(...args), { params: { shop: args[0] ?? 'my-shop.shopfront.example' } })) ?? '')
      .searchParams

  it('signs the callback and names the shop', async () => {
    const query = await code('other-shop.shopfront.example')
    expect(Object.fromEntries(query)).toMatchObject({
      shop: 'other-shop.shopfront.example',
      timestamp: String(Math.floor(time / 1000)),
      hmac: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  })

  it('asks for the shop on the consent page, because a redirected browser does not name it', async () => {
    const target = String(lab.origins['https://*.shopfront.example'])
    const page = await fetch(authorize().replace('https://my-shop.shopfront.example', target))
    expect(await page.text()).toContain('value="my-shop.shopfront.example"')
  })

  it('answers a refusal with status 200 in the shape of the definition', async () => {
    const { status, body } = await exchange('nonsense').then(async (r) => ({ status: r.status, body: await r.json() }))
    expect(status).toBe(200)
    expect(body).toMatchObject({ ok: false, error: 'invalid_code' })
    const wrong = await exchange('nonsense', undefined, { client_secret: 'no' })
    expect(await wrong.json()).toMatchObject({ ok: false, error: 'bad_client_secret' })
  })

  it('gives the second token only when scopes for it were asked for', async () => {
    const one = (await (await exchange((await code()).get('code') ?? '')).json()) as Record<string, unknown>
    expect(one).toMatchObject({ ok: true, user: { token: expect.any(String), scope: 'orders' } })
    expect(one.access_token).toBeUndefined()
    const both = await (await exchange((await code(undefined, 'chat:write')).get('code') ?? '')).json()
    expect(both).toMatchObject({ access_token: expect.any(String), user: { token: expect.any(String) } })
  })

  it('refuses a code and a token of one shop at another, and the first pair after a second connect', async () => {
    const shop = (token: string, host = 'my-shop') =>
      send(lab, `https://${host}.shopfront.example/api/shop`, { headers: { 'x-token': token } }).then((r) => r.json())
    const stolen = await exchange((await code()).get('code') ?? '', 'evil.shopfront.example')
    expect(await stolen.json()).toMatchObject({ ok: false })
    const tokenOf = async () =>
      ((await (await exchange((await code()).get('code') ?? '')).json()) as { user: { token: string } }).user.token
    const first = await tokenOf()
    expect(await shop(first)).toMatchObject({ ok: true, id: lab.account('shopfront').id })
    expect(await shop(first, 'evil')).toMatchObject({ ok: false, error: 'token_expired' })
    await tokenOf()
    expect(await shop(first)).toMatchObject({ ok: false, error: 'token_expired' })
  })

  it('tells GraphQL requests to one address apart by their query', async () => {
    const answer = (await (await exchange((await code()).get('code') ?? '')).json()) as { user: { token: string } }
    const ask = async (query: string) => {
      const init = json({ query }, { 'x-token': answer.user.token })
      return (await send(lab, 'https://my-shop.shopfront.example/api/graphql', init)).json()
    }
    expect(await ask('query Orders { orders }')).toMatchObject({ data: { orders: lab.data.shopfront?.orders } })
    expect(await ask('query Customers { customers }')).toMatchObject({
      data: { customers: lab.data.shopfront?.customers },
    })
    expect(await ask('query Other { other }')).toMatchObject({ ok: false, error: 'missing' })
  })
})

describe('OAuth 1.0a in the lab', () => {
  const key = () => ({
    consumerKey: lab.credentials.boards?.clientId ?? '',
    consumerSecret: lab.credentials.boards?.clientSecret ?? '',
  })
  const post = (
    url: string,
    params: Record<string, string>,
    more: { tokenSecret?: string; consumerSecret?: string } = {},
  ) =>
    send(lab, url, {
      method: 'POST',
      headers: { authorization: oauth1Header({ method: 'POST', url, ...key(), params, ...more }) },
    })

  it('goes from request token to an API call, with signatures over the original address', async () => {
    const requested = new URLSearchParams(
      await (await post('https://boards.example/1/request', { oauth_callback: REDIRECT })).text(),
    )
    expect(requested.get('oauth_callback_confirmed')).toBe('true')
    const token = requested.get('oauth_token') ?? ''
    const callback = new URL((await lab.consent(`https://boards.example/1/authorize?oauth_token=${token}`)) ?? '')
    const verifier = callback.searchParams.get('oauth_verifier') ?? ''
    const params = { oauth_token: token, oauth_verifier: verifier }
    const tokenSecret = requested.get('oauth_token_secret') ?? ''
    const access = new URLSearchParams(
      await (await post('https://boards.example/1/access', params, { tokenSecret })).text(),
    )
    const authorization = `OAuth oauth_consumer_key="${key().consumerKey}", oauth_token="${access.get('oauth_token')}"`
    const me = await send(lab, 'https://api.boards.example/1/me', { headers: { authorization } })
    expect(await me.json()).toMatchObject({ id: lab.account('boards').id })
    expect((await post('https://boards.example/1/access', params, { tokenSecret })).status).toBe(401)
  })

  it('refuses a wrong signature, an old request token and a token that was not approved', async () => {
    const url = 'https://boards.example/1/request'
    expect((await post(url, { oauth_callback: REDIRECT }, { consumerSecret: 'no' })).status).toBe(401)
    const requested = new URLSearchParams(await (await post(url, { oauth_callback: REDIRECT })).text())
    const params = { oauth_token: requested.get('oauth_token') ?? '', oauth_verifier: 'x' }
    const tokenSecret = requested.get('oauth_token_secret') ?? ''
    expect((await post('https://boards.example/1/access', params, { tokenSecret })).status).toBe(401)
  })
})

describe('link tokens and keys in the lab', () => {
  const client = () => ({
    'x-client': lab.credentials.bank?.clientId ?? '',
    'x-secret': lab.credentials.bank?.clientSecret ?? '',
  })
  const post = async (path: string, body: unknown, headers = client()) => {
    const answer = await send(lab, `https://bank.example${path}`, json(body, headers))
    return { status: answer.status, body: (await answer.json()) as Record<string, Record<string, string> & string> }
  }

  it('goes from link token over the hosted page to an API call', async () => {
    const made = await post('/link/create', { user: { id: 'u-1' }, redirect: REDIRECT })
    const link = made.body.link as Record<string, string>
    expect(await post('/link/get', { link_token: link.token })).toMatchObject({ body: { tokens: [] } })
    expect(await lab.consent(link.url ?? '', { account: 'b' })).toBe(REDIRECT)
    const { body } = await post('/link/get', { link_token: link.token })
    const publicToken = (body as unknown as { tokens: string[] }).tokens[0]
    const exchanged = await post('/link/exchange', { public_token: publicToken })
    expect(await post('/item', { access_token: exchanged.body.access_token }, {} as never)).toMatchObject({
      body: { item: { id: lab.account('bank', 'b').id, name: 'Globex Studio' } },
    })
    expect((await post('/link/exchange', { public_token: publicToken })).status).toBe(401)
  })

  it('refuses a link token without the client', async () => {
    expect((await post('/link/create', { user: { id: 'u-1' } }, { 'x-client': 'x', 'x-secret': 'y' })).status).toBe(401)
    expect((await post('/link/create', { user: { id: 'u-1' } }, {} as never)).status).toBe(401)
  })

  it('knows one key per account, a weak one, and no other', async () => {
    const who = (key: string) =>
      send(lab, 'https://api.mailer.example/whoami', { headers: { authorization: `Bearer ${key}` } })
    const key = lab.apiKey('mailer')
    expect(key).toMatch(mailer.params?.[0]?.pattern ?? /never/)
    expect(lab.apiKey('mailer')).toBe(key)
    expect(await (await who(key)).json()).toEqual({ mail: 'ada@acme.example' })
    expect(await (await who(lab.apiKey('mailer', { account: 'b' }))).json()).toEqual({ mail: 'grace@globex.example' })
    expect((await who(lab.apiKey('mailer', { weak: true }))).status).toBe(403)
    expect((await who('ML.aaaaaaaaaaaaaaaaaaaa.test')).status).toBe(401)
    lab.revokeGrants('mailer')
    expect((await who(key)).status).toBe(401)
    expect((await who(lab.apiKey('mailer'))).status).toBe(200)
  })
})
