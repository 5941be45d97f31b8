// One process of the storm: opens the store that the test names, and calls accessToken() as often as it is told. Plain JavaScript on
// the build, so that it starts fast and runs what users run.
import { setTimeout as delay } from 'node:timers/promises'

const dist = new URL(process.env.ATOM_DIST ?? '../../dist/', import.meta.url)
const load = (path) => import(new URL(path, dist).href)
const send = (message) => process.send?.(message)

process.once('message', async ({ place, keys, origins, definition, client, options, hold }) => {
  const [{ createTokens }, { createSealer }, { createProviderHttp }] = await Promise.all([
    load('tokens/access-token.js'),
    load('persistence/sealing.js'),
    load('provider-http/client.js'),
  ])
  const store =
    place.kind === 'sqlite'
      ? (await load('persistence/sqlite/sqlite-store.js')).createSqliteStore({ path: place.path })
      : (await load('persistence/mongo/mongo-store.js')).createMongoStore({ url: place.url })
  await store.open()
  const entry = { definition, client }
  const tokens = createTokens({
    // `hold`: the process stops between getting the lease and sending, which is where the test kills it.
    store: hold ? holdingAfterLease(store) : store,
    sealer: createSealer(keys),
    http: createProviderHttp({ origins }),
    providers: () => entry,
    groups: () => ['test'],
    onEvent: () => {},
    ...options,
  })

  process.on('message', async ({ tenantId, connectionId, callers, spreadMs }) => {
    const results = await Promise.allSettled(
      Array.from({ length: callers }, async () => {
        if (spreadMs > 0) await delay(Math.random() * spreadMs)
        return tokens.accessToken(tenantId, connectionId)
      }),
    )
    send({
      type: 'done',
      tokens: [...new Set(results.flatMap(({ status, value }) => (status === 'fulfilled' ? [value] : [])))],
      failures: results.flatMap(({ reason }) => (reason ? [`${reason.code}: ${reason.message}`] : [])),
    })
  })
  send({ type: 'ready' })
})

function holdingAfterLease(store) {
  return new Proxy(store, {
    get(target, name) {
      if (name !== 'acquireRefreshLease') return Reflect.get(target, name)
      return async (input) => {
        const lease = await target.acquireRefreshLease(input)
        if (!lease) return lease
        send({ type: 'leased' })
        return new Promise(() => {})
      }
    },
  })
}
