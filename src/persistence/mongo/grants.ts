import type { ConnectionState } from '../connection-changes.js'
import { toKeyText } from '../key-text.js'
import { type Collections, type GrantRow, isDuplicate, orAgain } from './database.js'

/*
 * A grant that exists once is claimed before its connection is written and given back after that ended, each entry naming the
 * connection and the generation it stands for. A crash between leaves an entry that stands for nothing; the next tenant who meets it
 * finds that out and removes it.
 */

/** A claim whose connection is not there may be one that is just being written. Longer than any write takes. */
const PENDING_MS = 120_000

/** `false`: held by another tenant. */
export async function claimGrant(collections: Collections, state: ConnectionState): Promise<boolean> {
  if (state.grantKey === null) return true
  const _id = toKeyText(state.grantKey)
  const tenantId = toKeyText(state.tenantId)
  const holder = { connectionId: toKeyText(state.id), generation: state.generation, at: state.updatedAt }
  const take = async () => {
    try {
      await orAgain(() =>
        collections.grants.updateOne({ _id, tenantId }, { $addToSet: { holders: holder } }, { upsert: true }),
      )
      return true
    } catch (error) {
      // The upsert met the claim of another tenant.
      if (isDuplicate(error)) return false
      throw error
    }
  }
  if (await take()) return true
  await removeStale(collections, _id, state.updatedAt)
  return take()
}

/** After the connection has ended, or holds the grant by a later generation. */
export async function releaseGrant({ grants }: Collections, ended: ConnectionState): Promise<void> {
  if (ended.grantKey === null) return
  const _id = toKeyText(ended.grantKey)
  const { id, generation } = ended
  await grants.updateOne(
    { _id },
    { $pull: { holders: { connectionId: { $eq: toKeyText(id) }, generation: { $lte: generation } } } },
  )
  await grants.deleteOne({ _id, holders: { $size: 0 } })
}

async function removeStale({ grants, connections }: Collections, _id: string, now: number): Promise<void> {
  const claim = await grants.findOne({ _id })
  for (const holder of claim?.holders ?? []) {
    const row = await connections.findOne(
      { _id: holder.connectionId },
      { projection: { generation: 1, status: 1, grantKey: 1 } },
    )
    const { connectionId, generation } = holder
    if (isStale(holder, _id, row, now))
      await grants.updateOne({ _id }, { $pull: { holders: { connectionId, generation } } })
  }
  await grants.deleteOne({ _id, holders: { $size: 0 } })
}

function isStale(
  { generation, at }: GrantRow['holders'][number],
  grantKey: string,
  row: { generation: number; grantKey: string | null } | null,
  now: number,
): boolean {
  const written = row !== null && row.generation >= generation
  if (!written) return at < now - PENDING_MS
  return row.generation > generation || row.grantKey !== grantKey
}
