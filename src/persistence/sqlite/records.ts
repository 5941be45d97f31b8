import { fromCursor, toCursor } from '../cursor.js'
import { fromKeyText, toKeyText } from '../key-text.js'
import type { Store, StoredRecord } from '../store.js'
import type { Row, SqliteDatabase, Value } from './database.js'

type Methods = Pick<Store, 'listRecords' | 'getRecord' | 'deleteRecords'>

/** How many are deleted in one go, so that a large account does not hold up others. */
const DELETE_AT_ONCE = 2_000

/** Runs inside the write that saves the checkpoint. */
export function writeRecords(
  db: SqliteDatabase,
  { connectionId, tenantId, backfillId, records, deletes }: Parameters<Store['savePage']>[0],
): void {
  const connection = toKeyText(connectionId)
  const tenant = toKeyText(tenantId)
  const backfill = toKeyText(backfillId)
  for (const { resource, id, timestamp, parentId, data } of records) {
    db.run(
      `INSERT INTO records (connection_id, resource, id, tenant_id, backfill_id, timestamp, parent_id, data)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (connection_id, resource, id) DO UPDATE SET backfill_id = excluded.backfill_id,
         timestamp = excluded.timestamp, parent_id = excluded.parent_id, data = excluded.data`,
      connection,
      toKeyText(resource),
      toKeyText(id),
      tenant,
      backfill,
      timestamp === null ? null : toKeyText(timestamp),
      parentId === null ? null : toKeyText(parentId),
      JSON.stringify(data ?? null),
    )
  }
  for (const { resource, id } of deletes) {
    db.run(
      'DELETE FROM records WHERE connection_id = ? AND resource = ? AND id = ?',
      connection,
      toKeyText(resource),
      toKeyText(id),
    )
  }
}

export function recordMethods(db: SqliteDatabase): Methods {
  return {
    listRecords({ tenantId, connectionId, resource, backfillId, after, limit }) {
      return db.read(() => {
        const [afterResource, afterSequence] = after ? fromCursor(after, 'string', 'number') : ['', -1]
        const filters: [string, Value[]][] = [
          ['connection_id = ?', [toKeyText(connectionId)]],
          ['(resource, sequence) > (?, ?)', [toKeyText(afterResource), afterSequence]],
        ]
        if (resource !== undefined) filters.push(['resource = ?', [toKeyText(resource)]])
        if (backfillId !== undefined) filters.push(['backfill_id = ?', [toKeyText(backfillId)]])
        if (tenantId !== null) filters.push(['tenant_id = ?', [toKeyText(tenantId)]])
        const rows = db.all(
          `SELECT sequence, resource, id, timestamp, parent_id, data FROM records
           WHERE ${filters.map(([sql]) => sql).join(' AND ')} ORDER BY resource, sequence LIMIT ?`,
          ...filters.flatMap(([, values]) => values),
          limit + 1,
        )
        const last = rows.length > limit ? rows[limit - 1] : undefined
        return {
          items: rows.slice(0, limit).map(toRecord),
          next: last ? toCursor(fromKeyText(String(last.resource)), Number(last.sequence)) : null,
        }
      })
    },

    getRecord(connectionId, resource, id) {
      return db.read(() => {
        const row = db.get(
          'SELECT resource, id, timestamp, parent_id, data FROM records WHERE connection_id = ? AND resource = ? AND id = ?',
          ...[connectionId, resource, id].map(toKeyText),
        )
        return row && toRecord(row)
      })
    },

    async deleteRecords(connectionId) {
      const connection = toKeyText(connectionId)
      const deleteSome = () =>
        db.run(
          'DELETE FROM records WHERE sequence IN (SELECT sequence FROM records WHERE connection_id = ? LIMIT ?)',
          connection,
          DELETE_AT_ONCE,
        )
      while ((await db.write(deleteSome)) === DELETE_AT_ONCE);
    },
  }
}

function toRecord(row: Row): StoredRecord {
  return {
    resource: fromKeyText(String(row.resource)),
    id: fromKeyText(String(row.id)),
    timestamp: row.timestamp == null ? null : fromKeyText(String(row.timestamp)),
    data: JSON.parse(String(row.data)),
    parentId: row.parent_id == null ? null : fromKeyText(String(row.parent_id)),
  }
}
