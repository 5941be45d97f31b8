import { afterEach, beforeEach, describe } from 'vitest'
import type { Store } from '../../src/persistence/store.js'
import { backfillContract } from './store/backfills.js'
import { connectionContract } from './store/connections.js'
import { crashContract } from './store/crashes.js'
import { deliveryContract } from './store/deliveries.js'
import { lifeContract } from './store/life.js'
import { recordContract } from './store/records.js'
import { refreshContract } from './store/refreshes.js'
import { transactionContract } from './store/transactions.js'

/** An empty database for one test. */
export interface Place {
  /** A further store on it. In memory there can be one only, and it is given again. */
  open(): Promise<Store>
  /** For other processes; undefined in memory. */
  where: { kind: 'sqlite'; path: string } | { kind: 'mongo'; url: string } | undefined
  remove(): Promise<void>
}

/** What the tests of one part get. `other` is a second store on the same database. */
export interface Stage {
  readonly store: Store
  readonly other: Store
  readonly place: Place
}

/** What every store does. Each test has a database of its own. */
export function storeContract(name: string, createPlace: () => Promise<Place>): void {
  describe(name, () => {
    let stage: Stage
    beforeEach(async () => {
      const place = await createPlace()
      stage = { place, store: await place.open(), other: await place.open() }
    })
    afterEach(async () => {
      await stage.other.close()
      await stage.store.close()
      await stage.place.remove()
    })
    const current = () => stage
    lifeContract(current)
    transactionContract(current)
    connectionContract(current)
    refreshContract(current)
    deliveryContract(current)
    backfillContract(current)
    recordContract(current)
    crashContract(current)
  })
}
