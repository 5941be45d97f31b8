/**
 * One step per schema version, run in order, each in a transaction with the version's own row. Never change one that was released:
 * add the next.
 *
 * Columns are what queries need; `body` is the whole document as JSON and the truth when reading. WITHOUT ROWID keeps a row
 * that is found by its key in one b-tree instead of two.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE transactions (
    -- In the order of writing: a state is random, and its row would lie anywhere.
    sequence INTEGER PRIMARY KEY,
    state_hash TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    claimed_at INTEGER,
    body TEXT NOT NULL
  );
  CREATE INDEX transactions_open ON transactions (tenant_id, user_id, expires_at) WHERE claimed_at IS NULL;
  CREATE INDEX transactions_end ON transactions (expires_at);

  CREATE TABLE connections (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    account_key TEXT NOT NULL,
    user_id TEXT NOT NULL,
    grant_key TEXT,
    refresh_due_at INTEGER,
    body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX connections_account ON connections (tenant_id, provider, account_key);
  CREATE INDEX connections_tenant ON connections (tenant_id, id);
  CREATE INDEX connections_grant ON connections (grant_key) WHERE grant_key IS NOT NULL;
  CREATE INDEX connections_refresh ON connections (refresh_due_at) WHERE refresh_due_at IS NOT NULL;

  CREATE TABLE revocations (
    id TEXT PRIMARY KEY,
    due_at INTEGER NOT NULL,
    body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX revocations_due ON revocations (due_at);

  CREATE TABLE listener_groups (
    name TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE deliveries (
    event_id TEXT NOT NULL,
    listener_group TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    type TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    connection_id TEXT NOT NULL,
    backfill_id TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,
    owner TEXT,
    parked_at INTEGER,
    reason TEXT,
    PRIMARY KEY (event_id, listener_group)
  ) WITHOUT ROWID;
  CREATE INDEX deliveries_due ON deliveries (listener_group, due_at) WHERE due_at IS NOT NULL;
  CREATE INDEX deliveries_parked ON deliveries (parked_at, event_id, listener_group) WHERE parked_at IS NOT NULL;

  CREATE TABLE backfills (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX backfills_due ON backfills (due_at) WHERE due_at IS NOT NULL;
  CREATE INDEX backfills_connection ON backfills (connection_id, created_at, id);
  CREATE INDEX backfills_tenant ON backfills (tenant_id, created_at, id);

  CREATE TABLE records (
    sequence INTEGER PRIMARY KEY,
    connection_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    backfill_id TEXT NOT NULL,
    timestamp TEXT,
    parent_id TEXT,
    data TEXT NOT NULL
  );
  CREATE UNIQUE INDEX records_id ON records (connection_id, resource, id);
  CREATE INDEX records_list ON records (connection_id, resource);

  CREATE TABLE unwanted_records (connection_id TEXT PRIMARY KEY) WITHOUT ROWID;
  `,
]
