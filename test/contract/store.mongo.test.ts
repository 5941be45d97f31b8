import { randomBytes } from 'node:crypto'
import mongoose from 'mongoose'
import { afterAll, beforeAll } from 'vitest'
import { createMongoStore } from '../../src/persistence/index.js'
import { startMongo } from '../support/mongo-server.js'
import { storeContract } from './store.contract.js'

let server: Awaited<ReturnType<typeof startMongo>>
beforeAll(async () => {
  server = await startMongo()
})
afterAll(() => server?.stop())

storeContract('mongo', async () => {
  const url = server.url.replace(/(atom_test_[0-9a-f]+)/, `$1_${randomBytes(4).toString('hex')}`)
  return {
    where: { kind: 'mongo', url },
    async open() {
      const store = createMongoStore({ url })
      await store.open()
      return store
    },
    async remove() {
      const connection = await mongoose.createConnection(url).asPromise()
      await connection.dropDatabase()
      await connection.close()
    },
  }
})
