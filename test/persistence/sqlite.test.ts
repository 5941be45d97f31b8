import { createHook } from 'node:async_hooks'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'libsql'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSqliteStore, type Store } from '../../src/persistence/index.js'
import { SqliteDatabase } from '../../src/persistence/sqlite/database.js'
import { atOnce, connect, connected, NOW } from '../contract/store/samples.js'

describe('the sqlite store', () => {
  let folder: string
  let path: string
  let store: Store
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'atom-sqlite-'))
    path = join(folder, '.atom', 'atom.sqlite')
    store = createSqliteStore({ path, lockTimeoutMs: 1_000 })
    await store.open()
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('keeps its folder and files to their owner', async () => {
    await connected(store)
    expect(statSync(join(folder, '.atom')).mode & 0o777).toBe(0o700)
    for (const end of ['', '-wal', '-shm']) expect(statSync(path + end).mode & 0o777).toBe(0o600)
  })

  it('keeps everything over a restart', async () => {
    const { id } = await connected(store)
    await store.close()
    await store.open()
    expect(await store.getConnection(null, id)).toMatchObject({ id })
    expect(await store.claimDeliveries(['default'], 'me', NOW, 1000, 10)).toHaveLength(1)
  })

  it('commits the writes of one moment together', async () => {
    const frames = () => statSync(`${path}-wal`).size
    const start = frames()
    await atOnce(40, (i) => store.registerGroups(['one'], NOW + i))
    const together = frames() - start
    for (let i = 0; i < 40; i++) await store.registerGroups(['one'], NOW + 100 + i)
    expect(frames() - start - together).toBeGreaterThan(20 * together)
  })

  it('answers a write that must survive a power cut only after the disk has the log, and others at once', async () => {
    const database = new SqliteDatabase(join(folder, 'synced.sqlite'), 100)
    await database.open()
    const [NORMAL, FILE_OPERATION] = [1, 'FSREQCALLBACK']
    expect(database.get('PRAGMA synchronous')).toMatchObject({ synchronous: NORMAL })
    const steps: string[] = []
    const begun = new Set<number>()
    const hook = createHook({
      init(id, type) {
        if (type === FILE_OPERATION) begun.add(id)
      },
      before(id) {
        if (begun.has(id)) steps.push('synced')
      },
    }).enable()
    const insert = () => database.run('INSERT INTO listener_groups VALUES (?, 0)', String(steps.length + Math.random()))
    await database.write(insert, { durable: false })
    steps.push('quick')
    await database.write(insert)
    steps.push('durable')
    // One sync for all that was committed before it.
    await Promise.all([database.write(insert), database.write(insert), database.write(insert)])
    steps.push('three')
    hook.disable()
    expect(steps).toEqual(['quick', 'synced', 'durable', 'synced', 'three'])
    await database.close()
  })

  it('waits for the sync under way before it closes', async () => {
    const database = new SqliteDatabase(join(folder, 'closing.sqlite'), 100)
    await database.open()
    let answered = false
    const written = database
      .write(() => database.run("INSERT INTO listener_groups VALUES ('last', 0)"))
      .then(() => {
        answered = true
      })
    await database.close()
    expect(answered).toBe(true)
    await written
  })

  it('closes once for all who ask', async () => {
    const database = new SqliteDatabase(join(folder, 'twice.sqlite'), 100)
    await database.open()
    const written = database.write(() => database.run("INSERT INTO listener_groups VALUES ('last', 0)"))
    await Promise.all([database.close(), database.close(), written])
  })

  it('opens a file by a link to it, and syncs the log of the file', async () => {
    const link = join(folder, 'link.sqlite')
    symlinkSync(path, link)
    const linked = createSqliteStore({ path: link })
    await linked.open()
    const { id } = await connected(linked)
    expect(await store.getConnection(null, id)).toMatchObject({ id })
    await linked.close()
  })

  it('trusts no log that the disk once refused: it says so, and begins a new one', async () => {
    const file = join(folder, 'holed.sqlite')
    const database = new SqliteDatabase(file, 100)
    await database.open()
    const insert = (name: string) =>
      database.write(() => database.run('INSERT INTO listener_groups VALUES (?, 0)', name))
    const log = Reflect.get(database, 'log') as object
    const descriptor = Reflect.get(log, 'file') as number
    // No disk is behind this one, and a sync of it fails.
    const nowhere = openSync('/dev/null', 'r+')
    Reflect.set(log, 'file', nowhere)
    await expect(insert('a')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    Reflect.set(log, 'file', descriptor)
    closeSync(nowhere)
    // As long as somebody reads from it, it cannot go.
    const reader = new Database(file)
    reader.exec('BEGIN')
    reader.prepare('SELECT * FROM listener_groups').all()
    await expect(insert('b')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    reader.exec('COMMIT')
    reader.close()
    await insert('c')
    expect(statSync(`${file}-wal`).size).toBe(0)
    await insert('d')
    expect(statSync(`${file}-wal`).size).toBeGreaterThan(0)
    await database.close()
  })

  it('fails one write of a group by itself', async () => {
    const bad = connect({
      accountKey: 'known',
      tokensFor: (id) => {
        if (id !== bad.newId) throw new RangeError('cannot seal')
        return {}
      },
    })
    // Another connect of the account, queued before it, makes it seal again inside the group.
    const outcomes = await Promise.allSettled([
      store.saveConnection(connect({ accountKey: 'known' })),
      store.saveConnection(bad),
      store.saveConnection(connect()),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: expect.any(RangeError) })
    expect((await store.listConnections({ tenantId: null, limit: 10 })).items).toHaveLength(2)
    expect(await store.claimDeliveries(['default'], 'me', NOW, 1000, 10)).toHaveLength(2)
  })

  it('waits for the lock of another, without holding up the event loop', async () => {
    const other = new Database(path)
    other.exec('BEGIN IMMEDIATE')
    let turns = 0
    const timer = setInterval(() => {
      turns++
      if (turns === 10) other.exec('COMMIT')
    }, 5)
    const saved = await store.saveConnection(connect())
    clearInterval(timer)
    other.close()
    expect(saved.outcome).toBe('connected')
    expect(turns).toBeGreaterThanOrEqual(10)
  })

  it('refuses with STORE_UNAVAILABLE when the lock does not come free, has written nothing, and works again', async () => {
    const other = new Database(path)
    other.exec('BEGIN IMMEDIATE')
    const input = connect()
    await expect(store.saveConnection(input)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      retryAfterSeconds: expect.any(Number),
    })
    expect(await store.getConnection(null, input.newId)).toBeUndefined()
    other.exec('COMMIT')
    other.close()
    expect(await store.saveConnection(input)).toMatchObject({ outcome: 'connected' })
  })

  it('sees at once what another process wrote after a lock was waited for', async () => {
    const second = createSqliteStore({ path, lockTimeoutMs: 500 })
    await second.open()
    const other = new Database(path)
    other.exec('BEGIN IMMEDIATE')
    await expect(second.registerGroups(['x'], NOW)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    other.exec('COMMIT')
    other.close()
    const { id } = await connected(store)
    expect(await second.getConnection(null, id)).toMatchObject({ id })
    await second.close()
  })

  it('rejects what does not fit on a full disk, and keeps what it confirmed', async () => {
    const database = new SqliteDatabase(join(folder, 'full.sqlite'), 100)
    await database.open()
    const pages = Number(database.get('PRAGMA page_count')?.page_count)
    database.all(`PRAGMA max_page_count = ${pages + 3}`)
    const insert = (name: string) => () => database.run('INSERT INTO listener_groups VALUES (?, 1)', name)
    const outcomes = await Promise.allSettled([
      database.write(insert('small')),
      database.write(insert('x'.repeat(100_000))),
      database.write(insert('also small')),
    ])
    expect(outcomes[1]).toMatchObject({ status: 'rejected', reason: { code: 'STORE_UNAVAILABLE' } })
    const confirmed = outcomes.filter(({ status }) => status === 'fulfilled')
    expect(database.all('SELECT name FROM listener_groups')).toHaveLength(confirmed.length)
    await expect(database.write(insert('later'))).resolves.toBe(1)
    await database.close()
  })

  it('refuses a file of a newer version, and leaves it alone', async () => {
    await store.close()
    const file = new Database(path)
    file.exec('INSERT INTO schema_version VALUES (99)')
    file.close()
    await expect(store.open()).rejects.toMatchObject({
      code: 'STORE_SCHEMA_NEWER',
      message: expect.stringContaining('99'),
    })
    await expect(store.ping()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })

  it('rejects open() with STORE_UNAVAILABLE when the file is a folder, or no database', async () => {
    const junk = join(folder, 'junk.sqlite')
    writeFileSync(junk, 'x'.repeat(5000))
    for (const wrong of [folder, junk]) {
      const broken = createSqliteStore({ path: wrong })
      await expect(broken.open()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', cause: expect.anything() })
      await expect(broken.ping()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    }
    expect(readFileSync(junk, 'utf8')).toBe('x'.repeat(5000))
  })

  it('ends the writes that were begun before it closes', async () => {
    const saving = atOnce(20, () => store.registerGroups(['one'], NOW))
    await store.close()
    await saving
    await expect(store.registerGroups(['two'], NOW)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })
})
