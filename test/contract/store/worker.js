// Another process on the database of a test. Plain JavaScript on the build, so that it runs what users run.
const dist = new URL(process.env.ATOM_DIST ?? '../../../dist/', import.meta.url)

function connection(id, accountKey, now) {
  return {
    newId: id,
    tenantId: 'tenant-1',
    userId: 'user-1',
    provider: 'acme',
    accountKey,
    account: { id: accountKey, name: 'Acme' },
    scopes: [],
    params: {},
    grantKey: null,
    now,
    tokensFor: (realId) => ({ default: { sealed: `sealed for ${realId}`, expiresAt: null, refreshExpiresAt: null } }),
    eventId: `e_${id}`,
    groups: ['default'],
  }
}

const tasks = {
  async share(store, { hashes, now, name }) {
    const claims = hashes.map(async (hash) => {
      const outcome = await store.claimTransaction(hash, now)
      return outcome === 'claimed' ? [hash] : []
    })
    const saves = Array.from({ length: 100 }, (_, i) =>
      store.saveConnection(connection(`${name}_${i}`, `${name}_${i}`, now)),
    )
    const again = Array.from({ length: 10 }, (_, i) =>
      store.saveConnection(connection(`s_${name}_${i}`, 'shared', now)),
    )
    const claimed = (await Promise.all(claims)).flat()
    await Promise.all([...saves, ...again])
    await store.close()
    return { claimed }
  },

  async 'save-until-killed'(store, { now, name }) {
    for (let i = 0; ; i += 8) {
      await Promise.all(
        Array.from({ length: 8 }, (_, j) =>
          store.saveConnection(connection(`${name}_${i + j}`, `${name}_${i + j}`, now)),
        ),
      )
      if (i >= 16) process.send({ saved: i })
    }
  },

  async 'page-until-killed'(store, { now, backfillId }) {
    const shared = { connectionId: 'c_1', tenantId: 'tenant-1', provider: 'acme' }
    const resource = { resource: 'messages', status: 'running', coveredFrom: null, coveredTo: null }
    await store.createBackfill({
      ...shared,
      id: backfillId,
      status: 'queued',
      window: { from: 0, to: now },
      resources: [{ ...resource, pages: 0, records: 0, checkpoint: null }],
      failure: null,
      attempts: 0,
      dueAt: now,
      lease: null,
      createdAt: now,
      startedAt: null,
      finishedAt: null,
    })
    const event = { id: 'e1', type: 'backfill.started', occurredAt: now, groups: [] }
    const { lease } = await store.claimBackfill({ owner: 'me', now, leaseMs: 1000, event })
    for (let page = 0; ; page++) {
      const records = Array.from({ length: 20 }, (_, i) => ({
        resource: 'messages',
        id: `${page}-${i}`,
        timestamp: null,
        data: { page, i },
        parentId: null,
      }))
      const progress = { ...resource, pages: page + 1, records: (page + 1) * 20, checkpoint: { page } }
      const place = { ...shared, backfillId, owner: 'me', fencing: lease.fencing, now, leaseMs: 1000 }
      await store.savePage({ ...place, records, deletes: [], progress })
      if (page >= 5) process.send({ page })
    }
  },
}

process.once('message', async ({ where, task, ...options }) => {
  const { createSqliteStore, createMongoStore } = await import(new URL('persistence/index.js', dist).href)
  const store = where.kind === 'sqlite' ? createSqliteStore({ path: where.path }) : createMongoStore({ url: where.url })
  try {
    await store.open()
    process.send(await tasks[task](store, options))
  } catch (error) {
    process.send({ claimed: [], error: `${error.stack} ${error.cause}` })
  }
  process.disconnect()
})
