import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { defineProvider, type OAuth2, type ProviderDefinition } from '../../src/strategies/define-provider.js'
import type { ProviderEntry } from '../../src/tokens/open-token.js'

/** One grant at the provider: its tokens, and whether a replay ended all of them. */
interface Family {
  refreshToken: string
  accessTokens: string[]
  revoked: boolean
}

export type Fault =
  /** An answer instead of the token. `rotate`: the provider acted on the request all the same. */
  | { kind: 'answer'; status: number; body: string; type?: string; headers?: Record<string, string>; rotate?: boolean }
  /** The connection is cut without an answer. */
  | { kind: 'cut'; rotate?: boolean }
  /** No answer until the client gives up. */
  | { kind: 'hang'; rotate?: boolean }

/**
 * A provider on loopback: rotating refresh tokens that end the whole family when one is used twice, an API that knows the access
 * tokens, a revocation endpoint, and faults on demand.
 */
export async function startAcme({
  port = 0,
  rotating = true,
  expiresIn = 3600 as number | undefined,
  replayable = false,
} = {}) {
  const families = new Set<Family>()
  const refreshes: string[] = []
  const apiRequests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = []
  const revoked: string[] = []
  const refreshFaults: Fault[] = []
  const apiFaults: Fault[] = []
  const revokeFaults: Fault[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const hanging = new Set<ServerResponse>()
  const control = {
    delayMs: 0,
    rotating,
    expiresIn,
    replayable,
    refreshRejects: undefined as string | undefined,
    gate: undefined as Promise<void> | undefined,
  }
  let serial = 0

  function grant(): { accessToken: string; refreshToken: string } {
    serial++
    const family: Family = {
      refreshToken: `refresh-${serial}-secret`,
      accessTokens: [`access-${serial}-secret`],
      revoked: false,
    }
    families.add(family)
    return { accessToken: `access-${serial}-secret`, refreshToken: family.refreshToken }
  }

  function rotate(family: Family): { accessToken: string; refreshToken: string } {
    serial++
    const accessToken = `access-${serial}-secret`
    family.accessTokens.push(accessToken)
    if (control.rotating) {
      family.accessTokens = [accessToken]
      used.set(family.refreshToken, family)
      family.refreshToken = `refresh-${serial}-secret`
    }
    return { accessToken, refreshToken: family.refreshToken }
  }
  const used = new Map<string, Family>()
  /** The last answer by refresh token, for providers that repeat it. */
  const answers = new Map<string, object>()

  async function token(form: URLSearchParams, res: ServerResponse): Promise<void> {
    const presented = form.get('refresh_token') ?? ''
    refreshes.push(presented)
    for (const waiter of waiting) if (refreshes.length >= waiter.count) waiter.resolve()
    const fault = refreshFaults.shift()
    const family = [...families].find((one) => one.refreshToken === presented && !one.revoked)
    if (fault) {
      if (fault.rotate && family) {
        const lost = rotate(family)
        answers.set(presented, answerOf(lost))
      }
      return play(fault, res)
    }
    await control.gate
    if (control.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, control.delayMs))
    if (control.refreshRejects) return json(res, 400, { error: control.refreshRejects })
    const before = answers.get(presented)
    if (before && control.replayable) return json(res, 200, before)
    if (!family) {
      const replayed = used.get(presented)
      if (replayed) replayed.revoked = true
      return json(res, 400, { error: 'invalid_grant' })
    }
    const answer = answerOf(rotate(family))
    answers.set(presented, answer)
    json(res, 200, answer)
  }

  function answerOf({ accessToken, refreshToken }: { accessToken: string; refreshToken: string }): object {
    return {
      access_token: accessToken,
      token_type: 'bearer',
      ...(control.rotating && { refresh_token: refreshToken }),
      ...(control.expiresIn !== undefined && { expires_in: control.expiresIn }),
    }
  }

  function play(fault: Fault, res: ServerResponse): void {
    if (fault.kind === 'cut') res.destroy()
    else if (fault.kind === 'hang') hanging.add(res)
    else {
      res.writeHead(fault.status, { 'content-type': fault.type ?? 'application/json', ...fault.headers })
      res.end(fault.body)
    }
  }

  const server = createServer(async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    const path = new URL(req.url ?? '/', 'http://acme').pathname
    if (path === '/oauth/token') return token(new URLSearchParams(body), res)
    if (path === '/oauth/revoke') {
      const fault = revokeFaults.shift()
      if (fault) return play(fault, res)
      const ended = new URLSearchParams(body).get('token') ?? ''
      revoked.push(ended)
      for (const family of families) if (family.refreshToken === ended) family.revoked = true
      return json(res, 200, {})
    }
    apiRequests.push({ method: req.method ?? '', url: req.url ?? '', headers: req.headers, body })
    const fault = apiFaults.shift()
    if (fault) return play(fault, res)
    const presented = req.headers.authorization?.replace('Bearer ', '') ?? ''
    const known = [...families].some((family) => !family.revoked && family.accessTokens.includes(presented))
    if (!known) return json(res, 401, { error: 'token_expired' })
    json(res, 200, { path: req.url, method: req.method, body })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  return {
    url,
    origins: { 'https://auth.acme.example': url, 'https://api.acme.example': url } as Record<string, string>,
    control,
    refreshes,
    apiRequests,
    revoked,
    refreshFaults,
    apiFaults,
    revokeFaults,
    grant,
    /** Ends an access token at the provider, without telling anybody. */
    expire(accessToken: string): void {
      for (const family of families) family.accessTokens = family.accessTokens.filter((one) => one !== accessToken)
    },
    /** The user withdraws the grant. */
    withdraw(refreshToken: string): void {
      for (const family of families) if (family.refreshToken === refreshToken) family.revoked = true
    },
    /** The newest refresh token of a living family that `refreshToken` belongs to. */
    isNewest: (refreshToken: string) =>
      [...families].some((family) => family.refreshToken === refreshToken && !family.revoked),
    /** Whether the provider still honours this access token. */
    isLive: (accessToken: string) =>
      [...families].some((family) => !family.revoked && family.accessTokens.includes(accessToken)),
    /** Resolves when so many refresh requests have arrived. */
    arrived: (count: number) =>
      new Promise<void>((resolve) => {
        if (refreshes.length >= count) resolve()
        else waiting.push({ count, resolve })
      }),
    async close(): Promise<void> {
      for (const res of hanging) res.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
export type Acme = Awaited<ReturnType<typeof startAcme>>

function json(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(JSON.stringify(body))
}

/** A provider of the tests' own, made like any host would make one. */
export function acmeDefinition(auth: Partial<OAuth2> = {}, rest: Partial<ProviderDefinition> = {}): ProviderDefinition {
  return defineProvider({
    id: 'acme',
    name: 'Acme',
    category: 'test',
    auth: {
      kind: 'oauth2',
      authorizationURL: 'https://auth.acme.example/oauth/authorize',
      tokenURL: 'https://auth.acme.example/oauth/token',
      clientAuth: 'body',
      pkce: 'always',
      scopes: [{ scope: 'read', why: 'to read' }],
      refreshToken: 'rotating',
      tokens: {
        default: {
          accessToken: 'access_token',
          refreshToken: 'refresh_token',
          expiresIn: 'expires_in',
          scope: 'scope',
        },
      },
      revocation: {
        method: 'POST',
        url: 'https://auth.acme.example/oauth/revoke',
        form: { token: '{token}' },
        auth: 'none',
        token: 'refresh',
      },
      ...auth,
    },
    identity: { request: { method: 'GET', url: 'https://api.acme.example/me' }, accountId: 'id', accountName: 'name' },
    api: {
      baseURL: 'https://api.acme.example/v1',
      errors: { code: ['error'], codes: { token_expired: 'expired', token_revoked: 'revoked', gone: 'account_gone' } },
    },
    resources: [],
    guide: { setup: ['None.'], sources: ['https://acme.example/docs'] },
    ...rest,
  })
}

export function acmeEntry(definition: ProviderDefinition = acmeDefinition()): ProviderEntry {
  return {
    definition,
    client: {
      clientId: 'client-id',
      clientSecret: 'client-secret',
      env: {},
      params: {},
      redirectURI: 'https://app.example/integrations/acme/callback',
      appName: 'Tests',
    },
  }
}
