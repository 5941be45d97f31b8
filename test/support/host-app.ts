import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express } from 'express'
import supertest from 'supertest'
import { type AtomIntegrations, atomIntegrations } from '../../src/atom-integrations.js'
import type { AtomOptions } from '../../src/options.js'
import { createProviderLab, type ProviderLab, type ProviderLabOptions } from '../../src/testing/index.js'

export interface User {
  tenantId: string
  userId: string
}
export const ada: User = { tenantId: 'org_acme', userId: 'ada' }
export const ben: User = { tenantId: 'org_acme', userId: 'ben' }
export const grace: User = { tenantId: 'org_globex', userId: 'grace' }

/** A host as hosts are: a real Express app, sessions told by a header, the lab as all providers. */
export interface Host {
  lab: ProviderLab
  integrations: AtomIntegrations
  app: Express
  /** Everything that was logged, as text. */
  log: string[]
  /** A browser with cookies, signed in as `user`. */
  browser(user?: User): Browser
  close(): Promise<void>
}

type Response = supertest.Response

export class Browser {
  private readonly agent: ReturnType<typeof supertest.agent>
  constructor(
    app: Express,
    private user: User | undefined,
    private readonly lab: ProviderLab,
    readonly origin: string,
  ) {
    this.agent = supertest.agent(app)
  }

  signIn(user: User | undefined): void {
    this.user = user
  }

  private headers(more: Record<string, string> = {}): Record<string, string> {
    return { accept: 'text/html', ...(this.user && { 'x-user': JSON.stringify(this.user) }), ...more }
  }

  get(path: string, headers?: Record<string, string>): Promise<Response> {
    return this.agent
      .get(path)
      .set(this.headers(headers))
      .then((response) => response)
  }

  post(path: string, body: object | string, headers?: Record<string, string>): Promise<Response> {
    return this.agent
      .post(path)
      .set(this.headers({ origin: this.origin, ...headers }))
      .send(body)
      .then((response) => response)
  }

  delete(path: string, headers?: Record<string, string>): Promise<Response> {
    return this.agent
      .delete(path)
      .set(this.headers({ origin: this.origin, ...headers }))
      .then((response) => response)
  }

  /** Presses Connect on our page; answers where the provider's consent page is. */
  async start(provider: string, query: Record<string, string> = {}): Promise<string> {
    const params = new URLSearchParams({ ...this.lab.params(provider), ...query })
    const response = await this.get(`/integrations/${provider}/connect?${params}`, { 'sec-fetch-site': 'same-origin' })
    if (!response.headers.location) throw new Error(`the start answered ${response.status}: ${response.text}`)
    return response.headers.location as string
  }

  /** Approves (or denies) at the provider; answers the path of the callback. */
  async consent(location: string, options: Parameters<ProviderLab['consent']>[1] = {}): Promise<string> {
    const url = new URL(String(await this.lab.consent(location, options)))
    return url.pathname + url.search
  }

  async connect(
    provider: string,
    options: Parameters<ProviderLab['consent']>[1] & { accept?: string } = {},
  ): Promise<Response> {
    const { accept = 'application/json', ...rest } = options
    const callback = await this.consent(await this.start(provider), { params: this.lab.params(provider), ...rest })
    return this.get(callback, { accept, 'sec-fetch-site': 'cross-site' })
  }
}

/**
 * @param options - Beyond those of a host with the lab; a function where they depend on it.
 * @param setUp - Further middleware before the library, such as a body parser.
 * @param providers - Default: the whole catalogue.
 */
export async function startHost(
  options: Partial<AtomOptions> | ((lab: ProviderLab) => Promise<Partial<AtomOptions>>) = {},
  setUp?: (app: Express) => void,
  providers?: ProviderLabOptions['providers'],
): Promise<Host> {
  const lab = await createProviderLab({ recordsPerResource: 6, ...(providers && { providers }) })
  const log: string[] = []
  const write = (fields: object, message: string) =>
    void log.push(
      `${message} ${JSON.stringify(fields, (_key, value) => (value instanceof Error ? `${value.message} ${JSON.stringify(value)}` : value))}`,
    )
  const integrations = atomIntegrations({
    baseUrl: 'http://127.0.0.1:3000',
    secret: 'a secret of at least thirty-two bytes',
    encryptionKeys: `k1:${Buffer.alloc(32, 7).toString('base64')}`,
    identify: (req) => {
      const user = req.headers['x-user']
      return typeof user === 'string' && JSON.parse(user)
    },
    store: { kind: 'sqlite', path: ':memory:' },
    queue: { kind: 'embedded' },
    providers: lab.credentials,
    origins: lab.origins,
    sync: false,
    logger: { info: write, warn: write, error: write },
    ...(typeof options === 'function' ? await options(lab) : options),
  })
  await integrations.ready()
  const app = express()
  setUp?.(app)
  app.use(integrations)
  app.use((_req, res) => void res.status(418).send('the host'))
  return {
    lab,
    integrations,
    app,
    log,
    browser: (user = ada) => new Browser(app, user, lab, 'http://127.0.0.1:3000'),
    async close() {
      await integrations.close()
      await lab.close()
    },
  }
}

/** The same on a real port, for browsers and event streams. */
export async function listen(app: Express): Promise<{ server: Server; url: string }> {
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
