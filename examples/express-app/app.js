/**
 * A small host app: two users in two organisations, a page of its own, the integrations mounted, a listener that does something
 * visible. Everything about integrations is between the two lines that say so.
 */
import { randomBytes } from 'node:crypto'
import { atomIntegrations, integrationErrorHandler } from 'atom-integrations'
import express from 'express'
import session from 'express-session'
import { homePage, loginPage, recordsPage, style } from './pages.js'

const USERS = [
  { id: 'ada', name: 'Ada', orgId: 'org_acme', orgName: 'Acme' },
  { id: 'grace', name: 'Grace', orgId: 'org_globex', orgName: 'Globex' },
]

/**
 * @param {Omit<import('atom-integrations').AtomOptions, 'identify'>} options - Everything for atomIntegrations but `identify`.
 * @returns The Express app and its integrations.
 */
export async function createApp(options) {
  const app = express()
  app.disable('x-powered-by')
  app.use(session(await sessionOptions()))
  app.use((req, _res, next) => {
    req.user = USERS.find((user) => user.id === req.session.userId)
    next()
  })

  // ── integrations ──
  const integrations = atomIntegrations({
    ...options,
    loginUrl: '/login',
    identify: (req) => req.user && { tenantId: req.user.orgId, userId: req.user.id },
  })
  app.use(integrations)

  /** What happened lately, newest first, per organisation. A real app would write to its own database. */
  const activity = new Map()
  const note = (tenantId, text, at) =>
    activity.set(tenantId, [{ text, at }, ...(activity.get(tenantId) ?? [])].slice(0, 20))
  integrations.on(
    'connected',
    ({ connection, occurredAt }) =>
      note(
        connection.tenantId,
        `${connection.account.name} (${connection.provider}) was connected by ${connection.userId}`,
        occurredAt,
      ),
    { group: 'activity' },
  )
  integrations.on(
    'backfill.completed',
    ({ connection, occurredAt }) =>
      note(
        connection.tenantId,
        `The last months of ${connection.account.name} (${connection.provider}) have arrived`,
        occurredAt,
      ),
    { group: 'activity' },
  )
  // ── end of integrations ──

  app.get('/style.css', (_req, res) => res.type('css').send(style))
  app.get('/login', (_req, res) => res.send(loginPage(USERS)))
  app.post('/login', express.urlencoded({ extended: false }), (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error)
      req.session.userId = req.body.user
      res.redirect(303, '/')
    })
  })
  app.post('/logout', (req, res, next) =>
    req.session.destroy((error) => (error ? next(error) : res.redirect(303, '/login'))),
  )

  app.use((req, res, next) => (req.user ? next() : res.redirect(303, '/login')))
  app.get('/', async (req, res) => {
    const { items } = await integrations.forTenant(req.user.orgId).connections.list({ limit: 200 })
    const connections = items.filter((connection) => connection.status !== 'disconnected')
    res.send(homePage({ user: req.user, connections, activity: activity.get(req.user.orgId) ?? [] }))
  })
  app.get('/records', async (req, res) => {
    const tenant = integrations.forTenant(req.user.orgId)
    const { items: connections } = await tenant.connections.list({ limit: 200 })
    const selected = connections.find((connection) => connection.id === req.query.connection) ?? connections[0]
    const resource =
      typeof req.query.resource === 'string' && req.query.resource !== '' ? req.query.resource : undefined
    const after = typeof req.query.after === 'string' && req.query.after !== '' ? req.query.after : undefined
    const page = selected && (await tenant.records.list({ connectionId: selected.id, resource, after, limit: 50 }))
    res.send(recordsPage({ user: req.user, connections, selected, resource, page }))
  })

  app.use(integrationErrorHandler())
  return { app, integrations }
}

async function sessionOptions() {
  const options = {
    name: 'tidepool',
    secret: process.env.SESSION_SECRET ?? randomBytes(32).toString('hex'),
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: 'lax', secure: 'auto' },
  }
  if (!process.env.REDIS_URL) return options
  const [{ RedisStore }, { Redis }] = await Promise.all([import('connect-redis'), import('ioredis')])
  return { ...options, store: new RedisStore({ client: new Redis(process.env.REDIS_URL), prefix: 'tidepool:' }) }
}
