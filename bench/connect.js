/**
 * Complete connect flows per second: start, callback, code exchange, profile, answer. 32 in flight, each app in a process of its own,
 * client and provider in this one.
 *
 * Ours seals the token and writes it with its event to sqlite on disk, synced (`fdatasync`), before it answers. The peers persist nothing:
 * bare passport-oauth2 and Grant, both with PKCE, state, profile and express-session's memory store.
 */
import { fork } from 'node:child_process'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { interleaved, perSecond } from './measure.js'

const IN_FLIGHT = 32
/** Short runs and many, since the speed of a shared machine changes from one second to the next. */
const FLOWS = 600
const RUNS = 25
const WARM_UPS = 8
const STARTS = { atom: '/integrations/bench/connect', 'passport-oauth2': '/start', grant: '/connect/bench' }

function provider() {
  let account = 0
  const token = JSON.stringify({
    access_token: 'a'.repeat(40),
    refresh_token: 'r'.repeat(40),
    token_type: 'bearer',
    expires_in: 3600,
  })
  const server = createServer((req, res) => {
    req.resume()
    res.setHeader('content-type', 'application/json')
    res.end(req.url.startsWith('/token') ? token : `{"id":"${++account}","name":"Ada","email":"ada@example.com"}`)
  })
  server.keepAliveTimeout = 60_000
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve({ server, url: `http://127.0.0.1:${server.address().port}` })),
  )
}

async function startApp(kind, providerUrl) {
  const child = fork(fileURLToPath(new URL('connect-app.mjs', import.meta.url)), [kind, providerUrl], {
    env: { ...process.env, NODE_ENV: 'test' },
    execArgv: [],
  })
  const port = await new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('exit', (code) => reject(new Error(`${kind} ended with ${code}`)))
  })
  return {
    child,
    start: STARTS[kind],
    pool: new Pool(`http://127.0.0.1:${port}`, { connections: IN_FLIGHT }),
  }
}

async function flow({ pool, start: path }) {
  const start = await pool.request({
    path,
    method: 'GET',
    headers: { 'sec-fetch-site': 'same-origin', accept: 'text/html' },
  })
  await start.body.dump()
  const location = new URL(start.headers.location)
  const cookies = [start.headers['set-cookie'] ?? []].flat().map((cookie) => cookie.split(';', 1)[0])
  const redirect = new URL(location.searchParams.get('redirect_uri'))
  const answer = await pool.request({
    path: `${redirect.pathname}?code=c&state=${encodeURIComponent(location.searchParams.get('state'))}`,
    method: 'GET',
    headers: { cookie: cookies.join('; '), accept: 'text/html', 'sec-fetch-site': 'cross-site' },
  })
  const text = await answer.body.text()
  if (answer.statusCode >= 400 || /error=/.test(answer.headers.location ?? ''))
    throw new Error(`flow failed: ${answer.statusCode} ${text.slice(0, 300)}`)
}

async function flowsPerSecond(app) {
  let left = FLOWS
  const start = performance.now()
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (left-- > 0) await flow(app)
    }),
  )
  return FLOWS / ((performance.now() - start) / 1000)
}

export async function bench() {
  const { server, url } = await provider()
  const rows = []
  const ours = await startApp('atom', url)
  for (const [peer, target] of [
    ['passport-oauth2', 1],
    ['grant', undefined],
  ]) {
    const other = await startApp(peer, url)
    const result = await interleaved(
      () => flowsPerSecond(ours),
      () => flowsPerSecond(other),
      RUNS,
      WARM_UPS,
    )
    rows.push({
      name: 'connect flows',
      ours: perSecond(result.ours),
      peer: `${peer}: ${perSecond(result.peer)}`,
      ratio: result.ratio,
      spread: result.spread,
      ...(target && { target: `≥ ${target.toFixed(1)}`, met: result.ratio >= target }),
      note: 'ours on disk and synced, sealed, with its event; the peer keeps nothing',
    })
    other.child.kill()
    await other.pool.destroy()
  }
  ours.child.kill()
  await ours.pool.destroy()
  server.close()
  return rows
}
