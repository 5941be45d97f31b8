import { fromCursor, toCursor } from '../cursor.js'
import { fromKeyText, toKeyText } from '../key-text.js'
import type { Delivery, DurableEventType, NewEvent, ParkedDelivery, Store } from '../store.js'
import { GROUP_LIFE_MS } from '../store.js'
import type { Row, SqliteDatabase } from './database.js'

type Methods = Pick<
  Store,
  'registerGroups' | 'claimDeliveries' | 'ackDelivery' | 'failDelivery' | 'listParked' | 'retryParked'
>

/** Runs inside the write of the change that the event reports. */
export function addEvent(
  db: SqliteDatabase,
  event: NewEvent,
  { connectionId, tenantId }: { connectionId: string; tenantId: string },
): void {
  db.run(
    `INSERT INTO deliveries (event_id, listener_group, tenant_id, type, occurred_at, connection_id, backfill_id, due_at, owner, attempts)
     SELECT ?1, name, ?2, ?3, ?4, ?5, ?6, iif(claimed.value IS NULL, ?4, ?9), iif(claimed.value IS NULL, NULL, ?10), claimed.value IS NOT NULL
     FROM (SELECT name FROM listener_groups WHERE seen_at > ?7 UNION SELECT value FROM json_each(?8))
       LEFT JOIN json_each(?11) AS claimed ON claimed.value = name`,
    event.id,
    toKeyText(tenantId),
    event.type,
    event.occurredAt,
    connectionId,
    event.backfillId ?? null,
    event.occurredAt - GROUP_LIFE_MS,
    JSON.stringify(event.groups.map(toKeyText)),
    event.claim?.until ?? null,
    event.claim?.owner ?? null,
    JSON.stringify(event.claim?.groups.map(toKeyText) ?? []),
  )
}

export function deliveryMethods(db: SqliteDatabase): Methods {
  const due = (group: string, now: number, limit: number) =>
    db.all(
      'SELECT * FROM deliveries WHERE listener_group = ? AND due_at <= ? ORDER BY due_at, event_id LIMIT ?',
      toKeyText(group),
      now,
      limit,
    )

  /** As it was found: whoever else takes it moves `due_at` and `attempts`. */
  const claim = (row: Row, owner: string, until: number) =>
    db.run(
      `UPDATE deliveries SET owner = ?, due_at = ?, attempts = attempts + 1
       WHERE event_id = ? AND listener_group = ? AND due_at = ? AND attempts = ?`,
      owner,
      until,
      row.event_id ?? null,
      row.listener_group ?? null,
      row.due_at ?? null,
      row.attempts ?? null,
    ) === 1

  return {
    registerGroups(groups, now) {
      return db.write(() => {
        for (const group of groups) {
          db.run(
            'INSERT INTO listener_groups VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seen_at = max(seen_at, excluded.seen_at)',
            toKeyText(group),
            now,
          )
        }
      })
    },

    // Claims and acknowledgements may be lost in a power cut: an event is then delivered once more.
    async claimDeliveries(groups, owner, now, leaseMs, limit) {
      for (;;) {
        // Asked often and mostly in vain: only something due is worth a write.
        const rows = await db.read(() =>
          groups
            .flatMap((group) => due(group, now, limit))
            .sort((a, b) => Number(a.due_at) - Number(b.due_at))
            .slice(0, limit),
        )
        if (rows.length === 0) return []
        const claimed = await db.write(() => rows.filter((row) => claim(row, owner, now + leaseMs)), { durable: false })
        // Another process was faster with all of them: there may be others.
        if (claimed.length > 0) return claimed.map((row) => toDelivery(row, Number(row.attempts) + 1))
      }
    },

    async ackDelivery({ eventId, group }, owner) {
      const key = toKeyText(group)
      const remove = 'DELETE FROM deliveries WHERE event_id = ? AND listener_group = ? AND owner = ?'
      await db.write(() => db.run(remove, eventId, key, owner), { durable: false })
    },

    async failDelivery({ eventId, group, attempts }, owner, dueAt, reason, now) {
      await db.write(
        () =>
          db.run(
            `UPDATE deliveries SET owner = NULL, due_at = ?, parked_at = ?, reason = ?
             WHERE event_id = ? AND listener_group = ? AND owner = ? AND attempts = ?`,
            dueAt,
            dueAt === null ? now : null,
            toKeyText(reason),
            eventId,
            toKeyText(group),
            owner,
            attempts,
          ),
        { durable: dueAt === null },
      )
    },

    listParked({ tenantId, after, limit }) {
      return db.read(() => {
        const [parkedAt, eventId, group] = after ? fromCursor(after, 'number', 'string', 'string') : [-1, '', '']
        const tenant = tenantId === null ? null : toKeyText(tenantId)
        const rows = db.all(
          `SELECT * FROM deliveries WHERE parked_at IS NOT NULL AND (?1 IS NULL OR tenant_id = ?1)
             AND (parked_at, event_id, listener_group) > (?2, ?3, ?4)
           ORDER BY parked_at, event_id, listener_group LIMIT ?5`,
          tenant,
          parkedAt,
          eventId,
          toKeyText(group),
          limit + 1,
        )
        const items = rows.slice(0, limit).map(
          (row): ParkedDelivery => ({
            ...toDelivery(row, Number(row.attempts)),
            parkedAt: Number(row.parked_at),
            reason: fromKeyText(String(row.reason)),
          }),
        )
        const last = items.at(-1)
        return { items, next: rows.length > limit && last ? toCursor(last.parkedAt, last.eventId, last.group) : null }
      })
    },

    retryParked(tenantId, group, now) {
      return db.write(() =>
        db.run(
          `UPDATE deliveries SET parked_at = NULL, reason = NULL, attempts = 0, due_at = ?1
           WHERE parked_at IS NOT NULL AND listener_group = ?2 AND (?3 IS NULL OR tenant_id = ?3)`,
          now,
          toKeyText(group),
          tenantId === null ? null : toKeyText(tenantId),
        ),
      )
    },
  }
}

function toDelivery(row: Row, attempts: number): Delivery {
  return {
    eventId: String(row.event_id),
    type: row.type as DurableEventType,
    occurredAt: Number(row.occurred_at),
    group: fromKeyText(String(row.listener_group)),
    connectionId: String(row.connection_id),
    tenantId: fromKeyText(String(row.tenant_id)),
    ...(row.backfill_id != null && { backfillId: String(row.backfill_id) }),
    attempts,
  }
}
