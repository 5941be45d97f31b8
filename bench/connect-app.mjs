/** One of the apps that bench/connect.js compares: `node connect-app.mjs atom|passport-oauth2|grant <provider url>`. */
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'

const [kind, provider] = process.argv.slice(2)
const require = createRequire(import.meta.url)
const app = express()
const server = createServer(app)
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const base = `http://127.0.0.1:${server.address().port}`

const apps = {
  async atom() {
    const { atomIntegrations, defineProvider } = await import('../dist/index.js')
    const bench = defineProvider({
      id: 'bench',
      name: 'Bench',
      category: 'test',
      auth: {
        kind: 'oauth2',
        authorizationURL: 'https://bench.example/authorize',
        tokenURL: 'https://bench.example/token',
        clientAuth: 'body',
        pkce: 'always',
        scopes: [{ scope: 'read', why: 'reading' }],
        refreshToken: 'static',
        tokens: { default: { accessToken: 'access_token', refreshToken: 'refresh_token', expiresIn: 'expires_in' } },
      },
      identity: {
        request: { method: 'GET', url: 'https://bench.example/me' },
        accountId: 'id',
        accountName: 'name',
        email: 'email',
      },
      api: { baseURL: 'https://bench.example' },
      resources: [],
      guide: { setup: [], sources: [] },
    })
    let user = 0
    const integrations = atomIntegrations({
      baseUrl: base,
      secret: 's'.repeat(32),
      encryptionKeys: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
      // A user of their own per flow, as the peers have a session of their own; kept in a cookie by the host.
      identify: (req) => {
        const known = /user=(\d+)/.exec(req.headers.cookie ?? '')?.[1]
        return { tenantId: 'bench', userId: known ?? req.benchUser ?? 'nobody' }
      },
      store: { kind: 'sqlite', path: join(mkdtempSync(join(tmpdir(), 'atom-bench-')), 'atom.sqlite') },
      providers: { bench: { definition: bench, clientId: 'id', clientSecret: 'secret' } },
      origins: { 'https://bench.example': { browser: 'https://bench.example', server: provider } },
      sync: false,
      logger: false,
    })
    integrations.on('connected', () => {})
    app.use((req, res, next) => {
      if (req.url === '/integrations/bench/connect') {
        req.benchUser = String(++user)
        res.append('set-cookie', `user=${user}`)
      }
      next()
    })
    app.use(integrations)
    await integrations.ready()
  },
  async 'passport-oauth2'() {
    const session = (await import('express-session')).default
    const passport = (await import('passport')).default
    const { Strategy } = require('passport-oauth2')
    class Bench extends Strategy {
      userProfile(token, done) {
        this._oauth2.get(`${provider}/me`, token, (error, body) => {
          if (error) return done(error)
          done(null, JSON.parse(body))
        })
      }
    }
    passport.use(
      'bench',
      new Bench(
        {
          authorizationURL: 'https://bench.example/authorize',
          tokenURL: `${provider}/token`,
          clientID: 'id',
          clientSecret: 'secret',
          callbackURL: `${base}/callback`,
          scope: 'read',
          state: true,
          pkce: true,
        },
        (_access, _refresh, profile, done) => done(null, profile),
      ),
    )
    app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
    app.get('/start', passport.authenticate('bench', { session: false }))
    app.get('/callback', passport.authenticate('bench', { session: false }), (_req, res) => res.redirect(303, '/done'))
  },
  async grant() {
    const session = (await import('express-session')).default
    const grant = require('grant').express()
    app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
    app.use(
      grant({
        defaults: { origin: base, transport: 'session', state: true, pkce: true, callback: '/done' },
        bench: {
          key: 'id',
          secret: 'secret',
          authorize_url: 'https://bench.example/authorize',
          access_url: `${provider}/token`,
          profile_url: `${provider}/me`,
          oauth: 2,
          scope: ['read'],
          response: ['tokens', 'profile'],
        },
      }),
    )
    app.get('/done', (_req, res) => res.end('ok'))
  },
}
process.on('SIGINT', () => process.exit(0))
await apps[kind]()
process.send(server.address().port)
