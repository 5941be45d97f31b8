import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSqliteStore } from '../../src/persistence/index.js'
import { storeContract } from './store.contract.js'

storeContract('sqlite on disk', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atom-sqlite-'))
  const path = join(folder, 'data', 'atom.sqlite')
  return {
    where: { kind: 'sqlite', path },
    async open() {
      const store = createSqliteStore({ path })
      await store.open()
      return store
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
})

storeContract('sqlite in memory', async () => {
  const store = createSqliteStore({ path: ':memory:' })
  return {
    where: undefined,
    async open() {
      await store.open()
      return store
    },
    remove: async () => {},
  }
})
