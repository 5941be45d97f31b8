import { fromCursor, toCursor } from '../cursor.js'
import { fromKeyText, toKeyText } from '../key-text.js'
import type { ConnectionDocument, Store, StoredRecord } from '../store.js'
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

/** Runs inside the write that ends the connection: its records go from then on, whatever happens to this process. */
export function markUnwanted(db: SqliteDatabase, connectionId: string): void {
  db.run('INSERT OR IGNORE INTO unwanted_records VALUES (?)', toKeyText(connectionId))
}

/** Runs inside the write that brings the connection back. */
export function keepRecords(db: SqliteDatabase, connectionId: string): void {
  db.run('DELETE FROM unwanted_records WHERE connection_id = ?', toKeyText(connectionId))
}

/** What is unwanted of all connections. */
export async function removeUnwanted(db: SqliteDatabase): Promise<void> {
  const all = await db.read(() => db.all('SELECT connection_id FROM unwanted_records'))
  for (const row of all) await removeRecords(db, fromKeyText(String(row.connection_id)))
}

async function removeRecords(db: SqliteDatabase, connectionId: string): Promise<void> {
  const connection = toKeyText(connectionId)
  const removeSome = () => {
    const isUnwanted = db.get('SELECT 1 FROM unwanted_records WHERE connection_id = ?', connection)
    const removed = isUnwanted
      ? db.run(
          'DELETE FROM records WHERE sequence IN (SELECT sequence FROM records WHERE connection_id = ? LIMIT ?)',
          connection,
          DELETE_AT_ONCE,
        )
      : 0
    if (removed < DELETE_AT_ONCE) keepRecords(db, connectionId)
    return removed
  }
  while ((await db.write(removeSome)) === DELETE_AT_ONCE);
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
      await db.write(() => {
        const row = db.get('SELECT body FROM connections WHERE id = ?', toKeyText(connectionId))
        const isOver = !row || (JSON.parse(String(row.body)) as ConnectionDocument).status === 'disconnected'
        if (isOver) markUnwanted(db, connectionId)
      })
      await removeRecords(db, connectionId)
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
