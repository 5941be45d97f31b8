import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../../src/persistence/store.js'
import type { Stage } from '../store.contract.js'
import { allPages, backfill, connected, event, HOUR, NOW, ODD_TEXTS, record, running } from './samples.js'

export function recordContract(stage: () => Stage): void {
  const read = (connectionId: string, query: { resource?: string; backfillId?: string; limit?: number } = {}) =>
    allPages((after) => stage().store.listRecords({ tenantId: 'tenant-1', connectionId, limit: 3, ...query, after }))

  describe('records', () => {
    it('come back as they were, whatever keys and texts the provider uses', async () => {
      const savePage = await running(stage().store, backfill())
      const text = `{"$ref":"#/a","a.b":1,"$set":{"x":[]},"__proto__":{"admin":true},"constructor":{"prototype":null},"":"","nul\\u0000":"\\u0000\\ud800","n":[null,true,1.5e300,-1,0.1]}`
      const data: unknown[] = [JSON.parse(text), null, 'text', 0, [], ['$in'], { a: { b: { c: {} } } }]
      const written = [
        ...data.map((value, i) => record(`d${i}`, { data: value, timestamp: null, parentId: 'p.1' })),
        ...ODD_TEXTS.map((odd) => record(odd, { parentId: odd, timestamp: odd })),
        ...ODD_TEXTS.map((odd) => record('same id', { resource: odd })),
      ]
      expect(await savePage(written)).toBe(true)
      const stored = await read('c_1')
      expect(stored).toHaveLength(written.length)
      const found = stored.find(({ id }) => id === 'd0')
      expect(JSON.stringify(found?.data)).toBe(JSON.stringify(data[0]))
      expect(Object.getPrototypeOf(found?.data)).toBe(Object.prototype)
      for (const one of written) {
        expect(stored).toContainEqual(one)
        expect(await stage().store.getRecord('c_1', one.resource, one.id)).toEqual(one)
      }
      expect(await stage().store.getRecord('c_1', 'messages', 'nul')).toBeUndefined()
    })

    it('come back as they were: any JSON, any id', { timeout: 60_000 }, async () => {
      const { store } = stage()
      let round = 0
      const anyId = fc.string({ unit: 'binary', minLength: 1, maxLength: 60 })
      const anyRecord = fc.record({
        resource: fc.constantFrom('a', 'b.c', '$d'),
        id: anyId,
        timestamp: fc.option(fc.string(), { nil: null }),
        parentId: fc.option(anyId, { nil: null }),
        data: fc.json({ stringUnit: 'binary' }).map((text) => JSON.parse(text) as unknown),
      })
      const pages = fc.uniqueArray(anyRecord, {
        selector: ({ resource, id }) => JSON.stringify([resource, id]),
        maxLength: 12,
      })
      await fc.assert(
        fc.asyncProperty(pages, async (written) => {
          const connectionId = `c_round_${round++}`
          const savePage = await running(store, backfill({ connectionId }))
          expect(await savePage(written)).toBe(true)
          const stored = await read(connectionId)
          const sorted = (records: StoredRecord[]) => records.map((one) => JSON.stringify(one)).sort()
          const asKept = written.map(({ resource, id, timestamp, data, parentId }) => ({
            resource,
            id,
            timestamp,
            data,
            parentId,
          }))
          expect(sorted(stored)).toEqual(sorted(asKept))
        }),
        { numRuns: 60 },
      )
    })

    it('are written once, however often their page is', async () => {
      const savePage = await running(stage().store, backfill())
      await savePage([record('1'), record('2')])
      await savePage([record('2', { data: { v: 2 } }), record('3')], { now: NOW + 1 })
      const stored = await read('c_1')
      expect(stored.map(({ id }) => id)).toEqual(['1', '2', '3'])
      expect(stored[1]?.data).toEqual({ v: 2 })
    })

    it('takes the last of two with one id in a page', async () => {
      const savePage = await running(stage().store, backfill())
      await savePage([record('1', { data: 1 }), record('1', { data: 2 })])
      expect(await read('c_1')).toMatchObject([{ id: '1', data: 2 }])
    })

    it('are listed in the order of their first writing, with those that were added meanwhile', async () => {
      const { store } = stage()
      const savePage = await running(store, backfill())
      await savePage(['9', '1', '5', '3'].map((id) => record(id)))
      const query = { tenantId: 'tenant-1', connectionId: 'c_1', resource: 'messages', limit: 2 }
      const first = await store.listRecords(query)
      await savePage([record('2'), record('9')], { now: NOW + 1 })
      const rest = await allPages((after) => store.listRecords({ ...query, after: after ?? first.next ?? undefined }))
      expect([...first.items, ...rest].map(({ id }) => id)).toEqual(['9', '1', '5', '3', '2'])
    })

    it('are found by resource, and by the backfill that wrote them last', async () => {
      const { store } = stage()
      const [one, two] = [backfill(), backfill()]
      const first = await running(store, one)
      await first([record('1'), record('2'), record('u', { resource: 'users' })])
      const second = await running(store, two)
      await second([record('2'), record('3')], { now: NOW + 1 })
      expect((await read('c_1', { resource: 'users' })).map(({ id }) => id)).toEqual(['u'])
      expect((await read('c_1', { resource: 'messages', limit: 1 })).map(({ id }) => id)).toEqual(['1', '2', '3'])
      expect((await read('c_1', { resource: 'messages', backfillId: two.id })).map(({ id }) => id)).toEqual(['2', '3'])
      expect((await read('c_1', { resource: 'none' })).length).toBe(0)
    })

    it('are seen by their tenant and connection only', async () => {
      const { store } = stage()
      const savePage = await running(store, backfill())
      await savePage([record('1')])
      const query = { connectionId: 'c_1', limit: 10 }
      expect((await store.listRecords({ ...query, tenantId: 'tenant-2' })).items).toEqual([])
      expect((await store.listRecords({ ...query, tenantId: null })).items).toHaveLength(1)
      expect((await store.listRecords({ ...query, tenantId: 'tenant-1', connectionId: 'c_2' })).items).toEqual([])
      expect(await store.getRecord('c_2', 'messages', '1')).toBeUndefined()
    })

    it('are deleted when the provider says so, and all of them with their connection', async () => {
      const { store } = stage()
      const savePage = await running(store, backfill())
      const other = await running(store, backfill({ connectionId: 'c_2' }))
      await savePage(Array.from({ length: 2_100 }, (_, i) => record(`r${i}`)))
      await other([record('mine')])
      await savePage([], {
        deletes: [
          { resource: 'messages', id: 'r0' },
          { resource: 'users', id: 'r1' },
        ],
      })
      expect(await store.getRecord('c_1', 'messages', 'r0')).toBeUndefined()
      expect(await store.getRecord('c_1', 'messages', 'r1')).toBeDefined()
      await store.deleteRecords('c_1')
      expect(await read('c_1')).toEqual([])
      expect(await read('c_2')).toHaveLength(1)
    })

    it('do not come back through a page that was under way when they were deleted', async () => {
      const { store, other } = stage()
      const { id } = await connected(store)
      const savePage = await running(store, backfill({ connectionId: id }))
      await savePage([record('0')])
      const page = Array.from({ length: 300 }, (_, i) => record(`late-${i}`))
      const ending = async () => {
        await other.disconnect(id, 1, { now: NOW, event: event('disconnected'), pendingRevocation: null })
        await other.deleteRecords(id)
      }
      await Promise.all([savePage(page), ending()])
      expect(await read(id)).toEqual([])
    })

    it('go, too, when the process that was to delete them is gone', async () => {
      const { store, other } = stage()
      const { id } = await connected(store)
      const savePage = await running(store, backfill({ connectionId: id }))
      await savePage([record('1'), record('2')])
      const ending = { now: NOW, event: event('disconnected'), pendingRevocation: null, deleteRecords: true }
      await store.disconnect(id, 1, ending)
      await other.prune(NOW + HOUR)
      expect(await read(id)).toEqual([])
    })

    it('stay when the connection is back before they were deleted', async () => {
      const { store, other } = stage()
      const { id } = await connected(store, { accountKey: 'back' })
      const ending = { now: NOW, event: event('disconnected'), pendingRevocation: null, deleteRecords: true }
      await store.disconnect(id, 1, ending)
      expect(await connected(other, { accountKey: 'back' })).toMatchObject({ id })
      const savePage = await running(other, backfill({ connectionId: id }))
      await savePage([record('new')])
      await store.deleteRecords(id)
      await store.prune(NOW + HOUR)
      expect(await read(id)).toHaveLength(1)
    })

    it('may be large', async () => {
      const savePage = await running(stage().store, backfill())
      const data = { text: 'ä'.repeat(1_000_000) }
      await savePage([record('big', { data }), record('small')])
      expect((await read('c_1')).map((one) => one.data)).toEqual([data, { id: 'small' }])
    })
  })
}
