/** A worker without backfills: `node worker.js <sqlite file>`. Says when it is ready, when a timer came that holds nobody, and its end. */
import { atomIntegrations } from '../../dist/index.js'

const integrations = atomIntegrations({
  baseUrl: 'http://127.0.0.1:3000',
  secret: 'a secret of at least thirty-two bytes',
  encryptionKeys: `k1:${Buffer.alloc(32, 7).toString('base64')}`,
  identify: () => undefined,
  store: { kind: 'sqlite', path: process.argv[2] },
  sync: false,
  role: 'worker',
  logger: false,
})
integrations.on('connected', () => {})
process.once('SIGTERM', async () => {
  await integrations.close()
  console.log('closed')
})
await integrations.ready()
console.log('ready')
setTimeout(() => console.log('later'), 200).unref()
