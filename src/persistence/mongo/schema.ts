import type { mongo } from 'mongoose'

/** +1 with every change that older code would get wrong. */
export const SCHEMA_VERSION = 1

export const ACCOUNT_INDEX = 'atom_account'

/** Named, because the answer to a duplicate tells which index it was by the name only. */
export const INDEXES: Readonly<Record<string, readonly mongo.IndexDescription[]>> = {
  atom_transactions: [{ name: 'atom_end', key: { expiresAt: 1 } }],
  atom_open_attempts: [{ name: 'atom_end', key: { lastExpiresAt: 1 } }],
  atom_connections: [
    { name: ACCOUNT_INDEX, key: { tenantId: 1, provider: 1, accountKey: 1 }, unique: true },
    { name: 'atom_tenant', key: { tenantId: 1, _id: 1 } },
    { name: 'atom_grant', key: { grantKey: 1 }, sparse: true },
    { name: 'atom_refresh', key: { refreshDueAt: 1 } },
    { name: 'atom_swept', key: { recordsSweptUntil: 1 }, sparse: true },
    { name: 'atom_outbox_due', key: { 'outbox.group': 1, 'outbox.dueAt': 1 } },
    { name: 'atom_outbox_parked', key: { 'outbox.parkedAt': 1 } },
    { name: 'atom_outbox_event', key: { 'outbox.eventId': 1 } },
    { name: 'atom_revocations_due', key: { 'revocations.dueAt': 1 } },
    { name: 'atom_revocations_id', key: { 'revocations.id': 1 } },
  ],
  atom_revocations: [{ name: 'atom_due', key: { dueAt: 1 } }],
  atom_backfills: [
    { name: 'atom_due', key: { status: 1, dueAt: 1 } },
    { name: 'atom_connection', key: { connectionId: 1, createdAt: -1, _id: -1 } },
    { name: 'atom_tenant', key: { tenantId: 1, createdAt: -1, _id: -1 } },
    { name: 'atom_outbox_due', key: { 'outbox.group': 1, 'outbox.dueAt': 1 } },
    { name: 'atom_outbox_parked', key: { 'outbox.parkedAt': 1 } },
    { name: 'atom_outbox_event', key: { 'outbox.eventId': 1 } },
  ],
  atom_records: [{ name: 'atom_list', key: { connectionId: 1, resource: 1, sequence: 1, _id: 1 } }],
}
