import { once } from 'node:events'
import { type AddressInfo, connect as connectSocket, createServer } from 'node:net'
import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createMongoStore, type Store } from '../../src/persistence/index.js'
import { MongoDatabase } from '../../src/persistence/mongo/database.js'
import { backfill, connect, connected, event, NOW, record, running, transaction } from '../contract/store/samples.js'
import { startMongo } from '../support/mongo-server.js'

describe('the mongo store', () => {
  let server: Awaited<ReturnType<typeof startMongo>>
  let host: mongoose.Connection
  let store: Store
  beforeAll(async () => {
    server = await startMongo()
    host = await mongoose.createConnection(server.url, { monitorCommands: true }).asPromise()
  })
  afterAll(async () => {
    await host?.close()
    await server?.stop()
  })
  beforeEach(async () => {
    await host.dropDatabase()
    store = createMongoStore({ connection: host })
    await store.open()
  })
  afterEach(() => store.close())

  const collection = (name: string) => {
    if (!host.db) throw new Error('not connected')
    return host.db.collection<{ _id: string; [field: string]: unknown }>(name)
  }

  it("uses the host's connection and leaves it open", async () => {
    const { id } = await connected(store)
    await store.close()
    await expect(store.getConnection(null, id)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(host.readyState).toBe(1)
    expect(await collection('atom_connections').countDocuments()).toBe(1)
  })

  it("waits for a host's connection that is still connecting, and says so when none comes", {
    timeout: 20_000,
  }, async () => {
    const connecting = mongoose.createConnection(server.url)
    const early = createMongoStore({ connection: connecting })
    await early.open()
    await early.ping()
    await connecting.close()
    const never = createMongoStore({ connection: mongoose.createConnection() })
    await expect(never.open()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })

  it("asks for w: 'majority' and j: true with every write, and for no session feature, on the host's connection, too", async () => {
    const commands: { name: string; command: Record<string, unknown> }[] = []
    const listen = ({ commandName: name, command }: { commandName: string; command: Record<string, unknown> }) =>
      void commands.push({ name, command })
    host.getClient().on('commandStarted', listen)
    const one = transaction()
    await store.createTransaction(one, 3)
    await store.claimTransaction(one.stateHash, NOW)
    const { id } = await connected(store, { grantKey: 'shop' })
    const savePage = await running(store, backfill({ connectionId: id }))
    await savePage([record('1')], { deletes: [{ resource: 'messages', id: 'x' }] })
    for (const delivery of await store.claimDeliveries(['default'], 'me', NOW, 1000, 10))
      await store.ackDelivery(delivery, 'me')
    await store.disconnect(id, 1, { now: NOW, event: event('disconnected'), pendingRevocation: null })
    await store.deleteRecords(id)
    await store.registerGroups(['a'], NOW)
    await store.prune(NOW)
    host.getClient().off('commandStarted', listen)
    const writes = commands.filter(({ name }) => ['insert', 'update', 'delete', 'findAndModify'].includes(name))
    expect(new Set(writes.map(({ name }) => name)).size).toBe(4)
    for (const { command } of writes) {
      expect(command.writeConcern).toMatchObject({ w: 'majority', j: true })
      expect(command).not.toHaveProperty('startTransaction')
      for (const { u } of (command.updates ?? []) as { u: unknown }[]) expect(Array.isArray(u)).toBe(false)
    }
  })

  it('finds records that a killed process left behind after they had been deleted, for a day', async () => {
    const { id } = await connected(store)
    await store.disconnect(id, 1, {
      now: NOW,
      event: event('disconnected'),
      pendingRevocation: null,
      deleteRecords: true,
    })
    const leave = () => collection('atom_records').insertOne({ _id: 'late', connectionId: id })
    const left = () => collection('atom_records').countDocuments()
    const day = 24 * 3_600_000
    for (const after of [day / 2, day]) {
      await leave()
      await store.prune(NOW + after)
      expect(await left()).toBe(0)
    }
    await leave()
    await store.prune(NOW + 2 * day)
    expect(await left()).toBe(1)
  })

  it('keeps a connection, its sealed token and its pending event in one document', async () => {
    const { id } = await connected(store, { groups: ['crm'] })
    expect(await collection('atom_connections').findOne({ _id: id })).toMatchObject({
      tenantId: 'tenant-1',
      status: 'active',
      tokens: [{ name: 'default', token: { sealed: `sealed for ${id}`, version: 1 } }],
      outbox: [{ type: 'connected', group: 'crm', attempts: 0 }],
    })
  })

  it('refuses a database of a newer version', async () => {
    await collection('atom_meta').updateOne({ _id: 'schema' }, { $set: { version: 99 } })
    const older = createMongoStore({ connection: host })
    await expect(older.open()).rejects.toMatchObject({
      code: 'STORE_SCHEMA_NEWER',
      message: expect.stringContaining('99'),
    })
  })

  it('rejects with STORE_UNAVAILABLE when no server is there, and opens once it is', { timeout: 20_000 }, async () => {
    const nobody = createMongoStore({ url: 'mongodb://127.0.0.1:1/app?serverSelectionTimeoutMS=200' })
    await expect(nobody.open()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', status: 503 })
    await expect(nobody.saveConnection(connect())).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await nobody.close()
    const own = createMongoStore({ url: server.url })
    await own.open()
    await own.ping()
    await own.close()
  })

  it('rejects with STORE_UNAVAILABLE when the server goes away in between', { timeout: 20_000 }, async () => {
    const short = await startMongo()
    const own = createMongoStore({ url: `${short.url}?serverSelectionTimeoutMS=300` })
    await own.open()
    await short.stop()
    // With TEST_MONGODB_URL the server stays, and so does the store.
    if (!process.env.TEST_MONGODB_URL)
      await expect(own.saveConnection(connect())).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await own.close()
  })

  it('rejects with STORE_UNAVAILABLE when a socket ends under a write: the driver passes such errors on as they are', async () => {
    const hangsUp = createServer((socket) => socket.end())
    await once(hangsUp.listen(0, '127.0.0.1'), 'listening')
    const socket = connectSocket((hangsUp.address() as AddressInfo).port, '127.0.0.1').resume()
    socket.on('error', () => {})
    await once(socket, 'end')
    const error = await new Promise((resolve) => setImmediate(() => socket.write('x', resolve)))
    hangsUp.close()
    expect(error).toMatchObject({ name: 'Error', code: 'EPIPE' })
    const database = new MongoDatabase({ connection: host })
    await database.open()
    await expect(database.use(() => Promise.reject(error))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      cause: error,
    })
    const own = new TypeError('thrown by the caller')
    await expect(database.use(() => Promise.reject(own))).rejects.toBe(own)
    await database.close()
  })

  it('shows no password of its URL in an error', async () => {
    const secret = createMongoStore({
      url: 'mongodb://user:hunter2@127.0.0.1:1/app?serverSelectionTimeoutMS=100',
    })
    const error: unknown = await secret.open().catch((thrown: unknown) => thrown)
    const { message, stack, cause } = error as Error
    expect(`${message} ${stack} ${cause} ${JSON.stringify(error)}`).not.toContain('hunter2')
  })

  describe('a grant that exists once', () => {
    const holders = async () =>
      (await collection('atom_grants').findOne({ _id: 'shop' }))?.holders as unknown[] | undefined

    it('does not stay taken by a save that died before its connection was written', async () => {
      const dead = { connectionId: 'c_never', generation: 1, at: NOW }
      await collection('atom_grants').insertOne({ _id: 'shop', tenantId: 'tenant-1', holders: [dead] })
      const other = (now: number) => store.saveConnection(connect({ tenantId: 'tenant-2', grantKey: 'shop', now }))
      // At first it may be one that is under way.
      expect(await other(NOW + 1000)).toEqual({ outcome: 'grant_taken' })
      expect(await other(NOW + 200_000)).toMatchObject({ outcome: 'connected' })
    })

    it('does not stay taken by a disconnect that died before the grant was given back', async () => {
      const { id } = await connected(store, { grantKey: 'shop' })
      const before = await collection('atom_grants').findOne({ _id: 'shop' })
      await store.disconnect(id, 1, { now: NOW, event: event('disconnected'), pendingRevocation: null })
      if (before) await collection('atom_grants').insertOne(before)
      expect(await store.saveConnection(connect({ tenantId: 'tenant-2', grantKey: 'shop' }))).toMatchObject({
        outcome: 'connected',
      })
    })

    it('leaves nothing behind after connects, reconnects and disconnects', async () => {
      const { id, accountKey } = await connected(store, { grantKey: 'shop' })
      for (let i = 0; i < 3; i++) await connected(store, { accountKey, grantKey: 'shop' })
      expect(await holders()).toHaveLength(1)
      await store.disconnect(id, 4, { now: NOW, event: event('disconnected'), pendingRevocation: null })
      expect(await holders()).toBeUndefined()
    })
  })

  it('finds its documents by an index, each with a name', async () => {
    for (const name of ['atom_connections', 'atom_backfills', 'atom_records', 'atom_transactions']) {
      const indexes = await collection(name).indexes()
      expect(indexes.map((index) => index.name).filter((index) => index !== '_id_')).not.toEqual([])
      for (const index of indexes) expect(index.name).toMatch(/^(_id_|atom_)/)
    }
  })
})
