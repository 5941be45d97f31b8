import type { Connection, mongo } from 'mongoose'
import { IntegrationError } from '../../errors.js'
import type { ConnectionState, TokenGuard } from '../connection-changes.js'
import type { BackfillDocument, DurableEventType, ResourceProgress, StoredToken } from '../store.js'
import { unavailable } from '../unavailable.js'
import type { MongoStoreOptions } from './mongo-options.js'
import { INDEXES, SCHEMA_VERSION } from './schema.js'

/** A pending delivery, kept in the document whose change it reports. */
export interface OutboxEntry {
  eventId: string
  group: string
  type: DurableEventType
  occurredAt: number
  backfillId: string | null
  attempts: number
  /** Null while parked. */
  dueAt: number | null
  owner: string | null
  parkedAt: number | null
  reason: string | null
}

export interface TransactionRow {
  _id: string
  tenantId: string
  userId: string
  expiresAt: number
  claimedAt: number | null
  /** JSON of the transaction. */
  body: string
}

/** The open attempts of one user, in one document: so that their number can be bounded without a transaction. */
export interface OpenAttemptsRow {
  _id: string
  open: { stateHash: string; expiresAt: number }[]
  lastExpiresAt: number
}

type State = Omit<ConnectionState, 'id' | 'tokens' | 'guards' | 'account' | 'scopes' | 'params'>

export interface ConnectionRow extends State {
  _id: string
  /** JSON of account, scopes and params: what the provider said, back as it was. */
  details: string
  /** A list, so that no name becomes a path. Entries without `token` remember the last version and lease of a token that is gone. */
  tokens: { name: string; token: StoredToken | null; guard: TokenGuard }[]
  refreshDueAt: number | null
  /** +1 with every change but those of the outbox; changes are compare-and-set on it. */
  revision: number
  outbox: OutboxEntry[]
  revocations: RevocationEntry[]
  /** Set before the records are deleted: a worker that was writing a page then deletes it again. */
  recordsDeletedAt?: number
  /** Until then, records are looked for again: who deletes them, or still wrote some, may have been killed. */
  recordsSweptUntil?: number
}

/** Kept in the connection that it revokes, so that `disconnect` is one write; alone, in a collection of their own. */
export interface RevocationEntry {
  id: string
  dueAt: number
  attempts: number
  /** JSON of the rest. */
  body: string
}
export interface RevocationRow extends Omit<RevocationEntry, 'id'> {
  _id: string
}

export interface BackfillRow extends Omit<BackfillDocument, 'id' | 'resources'> {
  _id: string
  fencing: number
  resources: (Omit<ResourceProgress, 'checkpoint'> & { checkpoint: string })[]
  revision: number
  outbox: OutboxEntry[]
}

export interface RecordRow {
  /** JSON of connection, resource and id. */
  _id: string
  connectionId: string
  resource: string
  tenantId: string
  backfillId: string
  /** Microseconds since 1970 of the first write; ties go by `_id`. */
  sequence: number
  timestamp: string | null
  parentId: string | null
  /** JSON as the provider sent it. */
  data: string
}

/** Who holds a grant that exists once. Written before its connection, removed after. */
export interface GrantRow {
  _id: string
  tenantId: string
  holders: { connectionId: string; generation: number; at: number }[]
}

export interface GroupRow {
  _id: string
  seenAt: number
}

interface MetaRow {
  _id: string
  version: number
}

export interface Collections {
  transactions: mongo.Collection<TransactionRow>
  attempts: mongo.Collection<OpenAttemptsRow>
  connections: mongo.Collection<ConnectionRow>
  grants: mongo.Collection<GrantRow>
  revocations: mongo.Collection<RevocationRow>
  groups: mongo.Collection<GroupRow>
  backfills: mongo.Collection<BackfillRow>
  records: mongo.Collection<RecordRow>
  meta: mongo.Collection<MetaRow>
}

const CONNECT_TIMEOUT_MS = 5_000
const SOCKET_TIMEOUT_MS = 20_000

/** The connection to MongoDB, and the door that every call goes through. */
export class MongoDatabase {
  private readonly options: MongoStoreOptions
  private own: Connection | undefined
  private opened: Collections | undefined
  private database: mongo.Db | undefined
  private opening: Promise<void> | undefined

  constructor(options: MongoStoreOptions) {
    this.options = options
  }

  open(): Promise<void> {
    if (this.opened) return Promise.resolve()
    this.opening ??= this.connect().finally(() => {
      this.opening = undefined
    })
    return this.opening
  }

  private async connect(): Promise<void> {
    try {
      const connection =
        'url' in this.options ? await this.connectTo(this.options.url) : (this.options.connection as Connection)
      const db = await readyDatabase(connection)
      const collections = collectionsOf(db)
      await migrate(db, collections)
      this.opened = collections
      this.database = db
    } catch (error) {
      await this.disconnect()
      throw error instanceof IntegrationError || error instanceof TypeError
        ? error
        : unavailable('mongo: cannot open the database', error)
    }
  }

  private async connectTo(url: string): Promise<Connection> {
    const mongoose = await import('mongoose').catch((cause: unknown) => {
      throw new TypeError('The store "mongo" needs mongoose 9: npm install mongoose', { cause })
    })
    const defaults = {
      serverSelectionTimeoutMS: CONNECT_TIMEOUT_MS,
      connectTimeoutMS: CONNECT_TIMEOUT_MS,
      socketTimeoutMS: SOCKET_TIMEOUT_MS,
      appName: 'atom-integrations',
    }
    // What the URL says goes before our defaults.
    const said = url.toLowerCase()
    const options = Object.fromEntries(
      Object.entries(defaults).filter(([name]) => !said.includes(`${name.toLowerCase()}=`)),
    )
    this.own = mongoose.default.createConnection(url, options)
    return this.own.asPromise()
  }

  async close(): Promise<void> {
    await this.opening?.catch(() => {})
    this.opened = undefined
    await this.disconnect()
  }

  private async disconnect(): Promise<void> {
    const own = this.own
    this.own = undefined
    await own?.close().catch(() => {})
  }

  serverTime(): Promise<number> {
    return this.use(async () => {
      // The older name of `hello`: every server knows it, 4.4.0 too.
      const answer = await this.database?.command({ isMaster: 1 })
      return answer?.localTime instanceof Date ? answer.localTime.getTime() : Date.now()
    })
  }

  /** Errors of the driver become `STORE_UNAVAILABLE`; what `work` throws itself passes. */
  async use<T>(work: (collections: Collections) => Promise<T>): Promise<T> {
    if (!this.opened) throw unavailable('mongo: the store is not open')
    try {
      return await work(this.opened)
    } catch (error) {
      throw isDriverError(error) ? unavailable(`mongo: ${(error as Error).name}`, error) : error
    }
  }
}

async function readyDatabase(connection: Connection): Promise<mongo.Db> {
  await connection.asPromise()
  if (connection.readyState !== 1) {
    // The host may be connecting still, or has not begun to.
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        connection.off('connected', ready)
        reject(unavailable('mongo: the given mongoose connection is not connected'))
      }, CONNECT_TIMEOUT_MS)
      const ready = () => {
        clearTimeout(timer)
        resolve()
      }
      connection.once('connected', ready)
    })
  }
  if (!connection.db) throw unavailable('mongo: the given mongoose connection has no database')
  return connection.db
}

function collectionsOf(db: mongo.Db): Collections {
  // Said here and not left to the connection, which may be the host's own.
  const options = {
    readPreference: 'primary',
    writeConcern: { w: 'majority', j: true },
    ignoreUndefined: false,
  } as const
  return {
    transactions: db.collection('atom_transactions', options),
    attempts: db.collection('atom_open_attempts', options),
    connections: db.collection('atom_connections', options),
    grants: db.collection('atom_grants', options),
    revocations: db.collection('atom_revocations', options),
    groups: db.collection('atom_listener_groups', options),
    backfills: db.collection('atom_backfills', options),
    records: db.collection('atom_records', options),
    meta: db.collection('atom_meta', options),
  }
}

async function migrate(db: mongo.Db, { meta }: Collections): Promise<void> {
  const found = await meta.findOne({ _id: 'schema' })
  if (found && found.version > SCHEMA_VERSION) {
    throw new IntegrationError(
      'STORE_SCHEMA_NEWER',
      `the database has schema version ${found.version}; this version of atom-integrations knows ${SCHEMA_VERSION}`,
    )
  }
  // Making an index that is there does nothing; two processes may do it at once.
  for (const [collection, indexes] of Object.entries(INDEXES))
    await db.collection(collection).createIndexes([...indexes])
  await orAgain(() => meta.updateOne({ _id: 'schema' }, { $max: { version: SCHEMA_VERSION } }, { upsert: true }))
}

/** MongoDB may answer "duplicate key" to one of two upserts of the same moment: the second try finds the document. */
export async function orAgain<T>(upsert: () => Promise<T>): Promise<T> {
  try {
    return await upsert()
  } catch (error) {
    if (!isDuplicate(error)) throw error
    return upsert()
  }
}

/** @param index - Name of the index. Old servers tell it in the message only. */
export function isDuplicate(error: unknown, index?: string): boolean {
  if (!(error instanceof Error) || (error as { code?: unknown }).code !== 11000) return false
  return index === undefined || error.message.includes(index)
}

/** Among them what sockets and streams say under a write, which the driver passes on as it is (`EPIPE`, `ERR_STREAM_DESTROYED`). */
function isDriverError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (
    /^(Mongo|BSON)/.test(error.name) ||
    /^(E[A-Z]+|ERR_(STREAM|SOCKET)_\w+)$/.test(String((error as { code?: unknown }).code))
  )
}
