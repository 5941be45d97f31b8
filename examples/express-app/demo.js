/**
 * The example with the provider lab behind it: no database, no credentials, no network.
 *
 *     npm run demo               starts it on http://localhost:3000 (or PORT) to click through
 *     npm run demo -- --script   does the clicking itself, prints what happened, and exits
 */
process.env.NODE_ENV ??= 'development'
const { createServer } = await import('node:http')
const { createProviderLab } = await import('atom-integrations/testing')
const { createApp } = await import('./app.js')

const scripted = process.argv.includes('--script')
const lab = await createProviderLab({ recordsPerResource: 40 })

// The port is needed for baseUrl before the app exists.
const server = createServer()
await new Promise((resolve, reject) => {
  server.once('error', reject)
  server.listen(scripted ? 0 : Number(process.env.PORT ?? 3000), scripted ? '127.0.0.1' : 'localhost', resolve)
}).catch((error) => {
  console.error(
    error.code === 'EADDRINUSE' ? `Port ${process.env.PORT ?? 3000} is taken: PORT=3001 npm run demo` : error,
  )
  process.exit(1)
})
const baseUrl = `http://${scripted ? '127.0.0.1' : 'localhost'}:${server.address().port}`

const { app, integrations } = await createApp({
  baseUrl,
  appName: 'Tidepool',
  secret: 'the secret of a demo on this machine',
  encryptionKeys: `demo:${Buffer.alloc(32, 'demo').toString('base64')}`,
  store: { kind: 'sqlite', path: ':memory:' },
  queue: { kind: 'embedded' },
  providers: lab.credentials,
  origins: lab.origins,
  ...(scripted && { logger: false }),
})
server.on('request', app)
await integrations.ready()

async function stop() {
  server.close()
  server.closeAllConnections()
  await integrations.close()
  await lab.close()
}

if (scripted) {
  const { runScript } = await import('./script.js')
  const failures = await runScript({ baseUrl, lab, integrations })
  await stop()
  process.exit(failures === 0 ? 0 : 1)
}

const keys = ['openai', 'sendgrid', 'stripe'].map((id) => `${id} ${lab.apiKey(id)}`)
console.log(`
  ${baseUrl}

  Sign in as Ada or Grace, open Integrations, and connect what you like. Every provider is played on this machine.
  Three ask for a key:
    ${keys.join('\n    ')}

  Shopify, Zendesk and others ask for an address: any will do; approve with the same one.

  Ctrl+C stops it.
`)
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop().then(() => process.exit(0)))
