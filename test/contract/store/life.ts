import { describe, expect, it } from 'vitest'
import { IntegrationError } from '../../../src/errors.js'
import type { Stage } from '../store.contract.js'
import { connect, connected, NOW } from './samples.js'

export function lifeContract(stage: () => Stage): void {
  describe('opening and closing', () => {
    it('opens twice, and by two at once, without harm', async () => {
      const { store, place } = stage()
      await store.open()
      const { id } = await connected(store)
      const more = await Promise.all([place.open(), place.open(), place.open()])
      for (const one of more) expect(await one.getConnection(null, id)).toMatchObject({ id })
      if (place.where) await Promise.all(more.map((one) => one.close()))
    })

    it('answers a ping', async () => {
      await expect(stage().store.ping()).resolves.toBeUndefined()
    })

    it('refuses every call after it was closed, and opens again', async () => {
      const { store } = stage()
      await store.close()
      await expect(store.ping()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', status: 503 })
      await expect(store.saveConnection(connect())).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
      await expect(store.claimDeliveries(['default'], 'me', NOW, 1000, 1)).rejects.toBeInstanceOf(IntegrationError)
      await store.open()
      await expect(store.ping()).resolves.toBeUndefined()
    })

    it('refuses a cursor that no list gave', async () => {
      const { store } = stage()
      for (const after of ['x', 'eyJhIjoxfQ', Buffer.from('[1,2,3,4]').toString('base64url')]) {
        const refused = { code: 'REQUEST_INVALID', fields: { after: expect.any(String) } }
        await expect(store.listConnections({ tenantId: null, limit: 1, after })).rejects.toMatchObject(refused)
        await expect(store.listBackfills({ tenantId: null, limit: 1, after })).rejects.toMatchObject(refused)
        await expect(store.listParked({ tenantId: null, limit: 1, after })).rejects.toMatchObject(refused)
        await expect(store.listRecords({ tenantId: null, connectionId: 'c', limit: 1, after })).rejects.toMatchObject(
          refused,
        )
      }
    })

    it('passes on what the caller itself throws while sealing, with nothing written', async () => {
      const { store } = stage()
      const input = connect({
        tokensFor: () => {
          throw new RangeError('no key')
        },
      })
      await expect(store.saveConnection(input)).rejects.toThrow(RangeError)
      expect((await store.listConnections({ tenantId: null, limit: 10 })).items).toEqual([])
    })
  })
}
