import { randomUUID } from 'node:crypto'
import type {
  BackfillDocument,
  ConnectionDocument,
  NewEvent,
  PendingRevocation,
  ResourceProgress,
  SaveConnection,
  Store,
  StoredRecord,
  Transaction,
} from '../../../src/persistence/store.js'

export const NOW = 1_800_000_000_000
export const HOUR = 3_600_000

/** Strings that databases and drivers like to stumble over. */
export const ODD_TEXTS = [
  'a.b',
  '$ref',
  '$where',
  '__proto__',
  'constructor',
  'nul\0nul',
  '\u0001"x"',
  '\ud800',
  '😀',
  "'; --",
  '%_',
  'Ä',
]

export function transaction(change: Partial<Transaction> = {}): Transaction {
  return {
    stateHash: randomUUID(),
    provider: 'acme',
    client: 'acme',
    tenantId: 'tenant-1',
    userId: 'user-1',
    browserHash: 'b'.repeat(64),
    mode: 'redirect',
    returnTo: '/settings',
    params: { shop: 'my-shop' },
    sealed: 'v1.k1.sealed',
    expectedConnectionId: null,
    createdAt: NOW,
    expiresAt: NOW + 600_000,
    ...change,
  }
}

export function connect(change: Partial<SaveConnection> = {}): SaveConnection {
  const account = change.accountKey ?? randomUUID()
  return {
    newId: `c_${randomUUID()}`,
    tenantId: 'tenant-1',
    userId: 'user-1',
    provider: 'acme',
    accountKey: account,
    account: { id: account, name: 'Acme Inc', email: 'a@acme.example' },
    scopes: ['read'],
    params: { instance_url: 'https://acme.example' },
    grantKey: null,
    now: NOW,
    tokensFor: (id) => ({ default: { sealed: `sealed for ${id}`, expiresAt: NOW + HOUR, refreshExpiresAt: null } }),
    eventId: randomUUID(),
    groups: ['default'],
    ...change,
  }
}

export async function connected(store: Store, change: Partial<SaveConnection> = {}): Promise<ConnectionDocument> {
  const saved = await store.saveConnection(connect(change))
  if (saved.outcome === 'grant_taken') throw new Error('the grant is taken')
  return saved.connection
}

export function event(type: NewEvent['type'], change: Partial<NewEvent> = {}): NewEvent {
  return { id: randomUUID(), type, occurredAt: NOW, groups: ['default'], ...change }
}

export function progress(change: Partial<ResourceProgress> = {}): ResourceProgress {
  return {
    resource: 'messages',
    status: 'running',
    pages: 1,
    records: 2,
    coveredFrom: null,
    coveredTo: null,
    checkpoint: { cursor: 'c1' },
    ...change,
  }
}

export function backfill(change: Partial<BackfillDocument> = {}): BackfillDocument {
  return {
    id: `b_${randomUUID()}`,
    connectionId: 'c_1',
    tenantId: 'tenant-1',
    provider: 'acme',
    status: 'queued',
    window: { from: NOW - 90 * 24 * HOUR, to: NOW },
    resources: [
      progress({ status: 'pending', pages: 0, records: 0, checkpoint: null }),
      progress({ resource: 'users', status: 'pending', pages: 0, records: 0, checkpoint: null }),
    ],
    failure: null,
    attempts: 0,
    dueAt: NOW,
    lease: null,
    createdAt: NOW,
    startedAt: null,
    finishedAt: null,
    ...change,
  }
}

export function record(id: string, change: Partial<StoredRecord> = {}): StoredRecord {
  return { resource: 'messages', id, timestamp: '2027-01-15T08:00:00Z', data: { id }, parentId: null, ...change }
}

export function revocation(change: Partial<PendingRevocation> = {}): PendingRevocation {
  return {
    id: randomUUID(),
    connectionId: 'c_1',
    tenantId: 'tenant-1',
    provider: 'acme',
    params: { 'a.b': '$x' },
    sealed: { default: 'v1.k1.sealed' },
    grantKey: null,
    attempts: 0,
    dueAt: NOW,
    ...change,
  }
}

/** Claims the job, so that pages can be saved to it. */
export async function running(store: Store, job: BackfillDocument, owner = 'worker-1') {
  await store.createBackfill(job)
  const claimed = await store.claimBackfill({
    owner,
    now: NOW,
    leaseMs: 60_000,
    id: job.id,
    event: event('backfill.started'),
  })
  if (!claimed?.lease) throw new Error('the job was not claimed')
  const { lease } = claimed
  return (records: StoredRecord[], change: Partial<Parameters<Store['savePage']>[0]> = {}) =>
    store.savePage({
      backfillId: job.id,
      connectionId: job.connectionId,
      tenantId: job.tenantId,
      provider: job.provider,
      owner,
      fencing: lease.fencing,
      now: NOW,
      leaseMs: 60_000,
      records,
      deletes: [],
      progress: progress(),
      ...change,
    })
}

/** Calls `work` so many times at once. */
export function atOnce<T>(times: number, work: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: times }, (_, index) => work(index)))
}

/** All pages of a list, one after another. */
export async function allPages<T>(
  list: (after: string | undefined) => Promise<{ items: T[]; next: string | null }>,
): Promise<T[]> {
  const items: T[] = []
  let after: string | undefined
  for (let pages = 0; pages < 1000; pages++) {
    const page = await list(after)
    items.push(...page.items)
    if (page.next === null) return items
    after = page.next
  }
  throw new Error('the list does not end')
}
