/**
 * The store port. Two adapters (sqlite, mongo) pass one contract suite (test/contract/store.contract.ts).
 *
 * All methods reject with `IntegrationError` `STORE_UNAVAILABLE` when the database cannot be reached or refuses, having written
 * nothing or everything. Times are milliseconds since 1970. Ids and keys are bounded, non-empty strings, checked by the caller.
 * Secrets arrive here sealed: an adapter sees no plaintext. Tenant is part of every query: `tenantId: null` means across tenants
 * (operators only).
 */

/** How long a transaction is kept past its end, so that `used` and `expired` can be told from `unknown`. */
export const TRANSACTION_KEPT_MS = 3_600_000
/** Listener groups unseen for longer get no new events. */
export const GROUP_LIFE_MS = 7 * 86_400_000

export type ConnectionStatus = 'active' | 'degraded' | 'needs_reauth' | 'disconnected'
/** Why a connection needs its user (`needs_reauth`), or what is wrong (`degraded`: `outage`). */
export type ConnectionCause = 'revoked' | 'expired' | 'rotation_lost' | 'scope' | 'admin' | 'account_gone' | 'outage'

export interface StoredToken {
  /** Output of `Sealer.seal`: JSON of `Credential`. */
  sealed: string
  /** End of the access token; null: not known or never. */
  expiresAt: number | null
  /** End of the refresh token; null: not known or never. */
  refreshExpiresAt: number | null
  /** +1 with every write of this token; compare-and-set goes by it. */
  version: number
}

export interface RefreshLease {
  owner: string
  until: number
  /** Grows with every lease of this token; a write with an older one is refused. */
  fencing: number
}

export interface ConnectionDocument {
  id: string
  tenantId: string
  userId: string
  provider: string
  /** Issuer + account (+ person); unique per tenant and provider. */
  accountKey: string
  account: { id: string; name: string; email?: string }
  scopes: string[]
  status: ConnectionStatus
  cause: ConnectionCause | null
  /** Since when degraded, and when to try next. */
  degradedSince: number | null
  nextTryAt: number | null
  /** Non-secret values that later requests need: shop, instance_url. */
  params: Record<string, string>
  /** By name: `default`, or `user` and `bot`. Empty after a disconnect. */
  tokens: Record<string, StoredToken>
  /** For grants that exist once per account and client: client + account. Null otherwise. */
  grantKey: string | null
  connectedAt: number
  updatedAt: number
  /** +1 with every reconnect: what belongs to an earlier grant is refused (a refresh under way during a reconnect). */
  generation: number
}

export type DurableEventType =
  | 'connected'
  | 'reconnected'
  | 'needs_reauth'
  | 'degraded'
  | 'recovered'
  | 'token.refreshed'
  | 'disconnected'
  | 'backfill.started'
  | 'backfill.completed'
  | 'backfill.failed'

/** An event to be written together with the change that it reports: one pending delivery per listener group. */
export interface NewEvent {
  id: string
  type: DurableEventType
  occurredAt: number
  backfillId?: string
  /** Groups that this process knows of; the store adds those registered by other processes. */
  groups: readonly string[]
  /** Deliveries that are claimed by the one who writes the event, as their first attempt. */
  claim?: DeliveryClaim
}

/** What `claimDeliveries` would do, done with the write of the event. */
export interface DeliveryClaim {
  owner: string
  until: number
  /** Some of the event's `groups`. */
  groups: readonly string[]
}

/** One event for one group, claimed by one process. */
export interface Delivery {
  eventId: string
  type: DurableEventType
  occurredAt: number
  group: string
  connectionId: string
  tenantId: string
  backfillId?: string
  /** Attempts so far, this one included. */
  attempts: number
}

export interface ParkedDelivery extends Delivery {
  parkedAt: number
  /** Code or class of the last error. Never its text. */
  reason: string
}

export interface Transaction {
  /** SHA-256 of the state, hex. */
  stateHash: string
  provider: string
  /** Callback path segment. */
  client: string
  tenantId: string
  userId: string
  /** SHA-256 of the binding cookie's value for this transaction, hex. */
  browserHash: string
  mode: 'redirect' | 'popup' | 'spa'
  returnTo: string | null
  params: Record<string, string>
  /** Sealed JSON: PKCE verifier, request token secret, link token, secret parameters. */
  sealed: string | null
  /** The connection that is to be repaired: another account is refused. */
  expectedConnectionId: string | null
  createdAt: number
  expiresAt: number
}

export type ClaimOutcome = 'claimed' | 'used' | 'expired' | 'unknown'

export interface SaveConnection {
  /** Id to use when the connection is new. */
  newId: string
  tenantId: string
  userId: string
  provider: string
  accountKey: string
  account: ConnectionDocument['account']
  scopes: string[]
  params: Record<string, string>
  grantKey: string | null
  /** Several tenants may hold this `grantKey`: it is only counted, so that revoking waits for the last. Default false. */
  grantShared?: boolean
  now: number
  /**
   * Seals for the id that the connection really gets (an existing one keeps its id, and the AAD names it). Called before the write,
   * perhaps twice.
   */
  tokensFor: (connectionId: string) => Record<string, Omit<StoredToken, 'version'>>
  eventId: string
  groups: readonly string[]
  claim?: DeliveryClaim
}

export type SaveOutcome =
  | { outcome: 'connected' | 'reconnected'; connection: ConnectionDocument }
  /** `grantKey` is held by another tenant. Nothing was written. */
  | { outcome: 'grant_taken' }

export interface ListQuery {
  tenantId: string | null
  provider?: string
  userId?: string
  /** `next` of the page before. */
  after?: string
  /** 1 to 200. */
  limit: number
}
export interface Page<T> {
  items: T[]
  next: string | null
}

export interface ResourceProgress {
  resource: string
  status: 'pending' | 'running' | 'completed' | 'skipped' | 'failed'
  pages: number
  records: number
  /** What was really covered, ISO 8601; null: nothing yet. */
  coveredFrom: string | null
  coveredTo: string | null
  /** A sentence for people: why it was skipped, cut or failed. */
  reason?: string
  /** Where to go on; null: at the start. Opaque JSON of the runner, small (ids and cursors, never tokens). */
  checkpoint: unknown
}

export interface BackfillDocument {
  id: string
  connectionId: string
  tenantId: string
  provider: string
  status: 'queued' | 'running' | 'completed' | 'failed'
  window: { from: number; to: number }
  resources: ResourceProgress[]
  /** Code of the error that ended it. */
  failure: { code: string; reference: string } | null
  attempts: number
  /** When a worker may take it next. */
  dueAt: number
  lease: RefreshLease | null
  createdAt: number
  startedAt: number | null
  finishedAt: number | null
}

export interface StoredRecord {
  resource: string
  id: string
  /** ISO 8601; null where the provider tells none. */
  timestamp: string | null
  /** As the provider sent it, key by key. */
  data: unknown
  /** Id of the parent record in its resource. */
  parentId: string | null
}

export interface Store {
  readonly kind: 'sqlite' | 'mongo'
  /** Connects, migrates. Safe to call twice. `STORE_SCHEMA_NEWER` when a newer version wrote the data. */
  open(): Promise<void>
  close(): Promise<void>
  /** One cheap round trip. */
  ping(): Promise<void>
  /** The clock of the database server, in milliseconds since 1970; of this machine where there is no server. */
  serverTime(): Promise<number>

  // Transactions
  /** Resolves to `false`, writing nothing, when this user has `maxOpen` unexpired, unclaimed ones already. */
  createTransaction(transaction: Transaction, maxOpen: number): Promise<boolean>
  /** Marks it used, once: of any number of callers exactly one gets `claimed`. Kept for an hour after its end, so that `used` and `expired` can be told. */
  claimTransaction(stateHash: string, now: number): Promise<ClaimOutcome>
  /** Reads without claiming (bounce, chooser, Plaid's page). */
  getTransaction(stateHash: string): Promise<Transaction | undefined>

  // Connections and tokens
  /** Token, metadata and pending event in one atomic write. A known account (tenant, provider, account key) keeps its id, version and generation grow, and the event is `reconnected`. */
  saveConnection(input: SaveConnection): Promise<SaveOutcome>
  getConnection(tenantId: string | null, id: string): Promise<ConnectionDocument | undefined>
  /** Stable order (connectedAt is not it): by id. */
  listConnections(query: ListQuery): Promise<Page<ConnectionDocument>>
  /** Status change with its event, only where `generation` is still the same and the status differs. Resolves to the new document, or `undefined` when the condition did not hold. Also `degraded` where it is `degraded` already: then only `nextTryAt` moves, and no event is written. */
  updateStatus(
    id: string,
    generation: number,
    change: {
      status: ConnectionStatus
      cause: ConnectionCause | null
      degradedSince?: number | null
      nextTryAt?: number | null
      now: number
    },
    event: NewEvent | null,
  ): Promise<ConnectionDocument | undefined>
  /**
   * Ends a connection: tokens removed, status `disconnected`, grant key freed, event pending, queued backfills cancelled (status `failed`), all in one step where the store can and in a safe order where not. A revocation to retry later is kept sealed.
   * `deleteRecords`: notes that its records are to go, so that they do even if nobody comes to call `deleteRecords()`.
   */
  disconnect(
    id: string,
    generation: number,
    input: { now: number; event: NewEvent; pendingRevocation: PendingRevocation | null; deleteRecords?: boolean },
  ): Promise<ConnectionDocument | undefined>
  /** How many other live connections hold the grant of this account (`grantKey`), in any tenant. */
  countGrantHolders(grantKey: string, exceptId: string): Promise<number>

  // Refresh (design §8)
  /** Conditional: same generation, token version still `version`, and no unexpired lease. `takenOver`: the lease before was never released. */
  acquireRefreshLease(input: {
    connectionId: string
    token: string
    generation: number
    version: number
    owner: string
    now: number
    ttlMs: number
  }): Promise<{ fencing: number; takenOver: boolean } | undefined>
  /** Compare-and-set on generation, version, owner and fencing. Releases the lease, makes status `active`, writes the event. `undefined`: somebody else was there, nothing was written. */
  commitRefresh(input: {
    connectionId: string
    token: string
    generation: number
    version: number
    owner: string
    fencing: number
    next: Omit<StoredToken, 'version'>
    scopes?: string[]
    params?: Record<string, string>
    now: number
    event: NewEvent | null
    /** Written besides `event` (`recovered` beside `token.refreshed`). */
    alsoEvent?: NewEvent | null
  }): Promise<ConnectionDocument | undefined>
  /**
   * Gives the lease back without a change. Does nothing when it is no longer ours. `uncertain`: a refresh may have reached the
   * provider and its answer was lost: the lease ends (`until` 0), but stays on record, so that the next one is told `takenOver`.
   */
  releaseRefreshLease(input: {
    connectionId: string
    token: string
    owner: string
    fencing: number
    uncertain?: boolean
  }): Promise<void>
  /** Replaces sealed values in place for `reseal`, compare-and-set on version (which stays). `false`: changed meanwhile. */
  replaceSealed(connectionId: string, token: string, version: number, sealed: string): Promise<boolean>
  /** Active and degraded connections whose refresh token ends before `before`, soonest first. */
  listRefreshDue(before: number, limit: number): Promise<ConnectionDocument[]>

  // Revocations to be retried
  claimRevocation(now: number, leaseMs: number): Promise<PendingRevocation | undefined>
  finishRevocation(id: string): Promise<void>
  deferRevocation(id: string, dueAt: number): Promise<void>
  saveRevocation(revocation: PendingRevocation): Promise<void>
  /** All of them, for `reseal`. */
  listRevocations(query: { after?: string; limit: number }): Promise<Page<PendingRevocation>>
  /** Replaces `sealed`, where the revocation is still pending. */
  resealRevocation(id: string, sealed: Record<string, string>): Promise<void>

  // Events
  /** Makes a listener group known to all processes and refreshes its last-seen time. Groups unseen for 7 days get no new events. */
  registerGroups(groups: readonly string[], now: number): Promise<void>
  /** Takes up to `limit` due deliveries of these groups for `leaseMs`; each is claimed by one process only. */
  claimDeliveries(
    groups: readonly string[],
    owner: string,
    now: number,
    leaseMs: number,
    limit: number,
  ): Promise<Delivery[]>
  ackDelivery(delivery: Delivery, owner: string): Promise<void>
  /** Not delivered: due again at `dueAt`, or parked when `dueAt` is null. */
  failDelivery(delivery: Delivery, owner: string, dueAt: number | null, reason: string, now: number): Promise<void>
  listParked(query: { tenantId: string | null; after?: string; limit: number }): Promise<Page<ParkedDelivery>>
  /** Makes parked deliveries due again. Resolves to how many. */
  retryParked(tenantId: string | null, group: string, now: number): Promise<number>

  // Backfills
  /** Inserts, or leaves the one with the same id as it is. */
  createBackfill(backfill: BackfillDocument): Promise<{ created: boolean; backfill: BackfillDocument }>
  getBackfill(tenantId: string | null, id: string): Promise<BackfillDocument | undefined>
  /** Newest first. */
  listBackfills(query: {
    tenantId: string | null
    connectionId?: string
    after?: string
    limit: number
  }): Promise<Page<BackfillDocument>>
  /** Takes one due job (or the named one) whose lease is free: status `running`, lease set, attempts + 1, `backfill.started` pending when it starts the first time. */
  claimBackfill(input: {
    owner: string
    now: number
    leaseMs: number
    id?: string
    /** Event id to use for `backfill.started`, with its groups. */
    event: NewEvent
  }): Promise<BackfillDocument | undefined>
  /** Writes one page: records upserted (by connection, resource, id), deletions applied, then progress saved and lease prolonged, with the fencing number checked: `false` when the lease is no longer ours (records of a page may then be written, never the checkpoint). */
  savePage(input: {
    backfillId: string
    connectionId: string
    tenantId: string
    provider: string
    owner: string
    fencing: number
    now: number
    leaseMs: number
    records: readonly StoredRecord[]
    deletes: readonly { resource: string; id: string }[]
    progress: ResourceProgress
  }): Promise<boolean>
  /** Ends or defers a run, releasing the lease. `queued` with `dueAt` defers. Checked by fencing. */
  finishBackfill(input: {
    id: string
    owner: string
    fencing: number
    status: 'completed' | 'failed' | 'queued'
    dueAt?: number
    failure: BackfillDocument['failure']
    now: number
    event: NewEvent | null
  }): Promise<BackfillDocument | undefined>
  /** Sends a failed job back to the queue with its checkpoints. `undefined` when it is not failed. */
  requeueBackfill(id: string, now: number): Promise<BackfillDocument | undefined>
  /** When the next queued or abandoned job becomes due; null: none. */
  nextBackfillDueAt(): Promise<number | null>

  // Records
  /**
   * In the order they were first written: a page read while records are added goes on with the added ones. Without `resource`,
   * resource after resource.
   */
  listRecords(query: {
    tenantId: string | null
    connectionId: string
    resource?: string
    /** Only those that this backfill was the last to write (`savePage`): the parents that a run has seen itself. */
    backfillId?: string
    after?: string
    limit: number
  }): Promise<Page<StoredRecord>>
  /** One record by its key; the runner reads the parent of a parent with it. */
  getRecord(connectionId: string, resource: string, id: string): Promise<StoredRecord | undefined>
  /** All records of a connection that has ended. Does nothing where it was connected again meanwhile. */
  deleteRecords(connectionId: string): Promise<void>

  /**
   * Removes what has served its time: transactions an hour past their end, finished deliveries, and what an interrupted deletion of
   * records left behind. Called now and then by one caller.
   */
  prune(now: number): Promise<void>
}

export interface PendingRevocation {
  id: string
  connectionId: string
  tenantId: string
  provider: string
  params: Record<string, string>
  /** Sealed JSON of the credentials to revoke, by the connection's key. */
  sealed: Record<string, string>
  /** `grantKey` that the connection had: while another live connection holds it, nothing is revoked. */
  grantKey?: string | null
  attempts: number
  dueAt: number
}
