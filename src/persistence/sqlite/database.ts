import { closeSync, mkdirSync, openSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import type LibsqlDatabase from 'libsql'
import { IntegrationError } from '../../errors.js'
import { unavailable } from '../unavailable.js'
import { type Answer, DurableLog } from './durable-log.js'
import { MIGRATIONS } from './schema.js'

export type Value = string | number | null
export type Row = Record<string, Value>

/** How long SQLite itself may wait for another process's lock: it blocks the event loop meanwhile. */
const BUSY_TIMEOUT_MS = 5
/** A group of writes ends here, so that a flood of them does not hold the event loop. */
const GROUP_MAX_WRITES = 256
const GROUP_MAX_MS = 20
/** Writes of one moment: none came for so many turns of the event loop, or the first has waited so long. */
const QUIET_TURNS = 2
const GATHER_MAX_MS = 3

interface Statement {
  run(values: Value[]): { changes: number }
  get(values: Value[]): Row | undefined
  all(values: Value[]): Row[]
}

interface Write {
  work: () => unknown
  durable: boolean
  since: number
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
}

interface Done {
  write: Write
  value: unknown
}

/**
 * One SQLite file (or memory), used by libsql's synchronous API.
 *
 * Writes of one moment are committed together: each fails by itself, and resolves after the commit. Nothing is awaited inside a transaction.
 *
 * A commit of SQLite's own `synchronous=FULL` holds the event loop until the disk has answered, on a slow one for tens of milliseconds.
 * So commits are `NORMAL`, which leaves the write-ahead log to the system, and a durable write resolves only after `fdatasync` of that
 * log, in a thread of libuv's. The guarantee is the same: what was said to be stored survives a power cut. One sync covers all commits
 * before it.
 */
export class SqliteDatabase {
  private readonly path: string
  private readonly lockTimeoutMs: number
  private handle: LibsqlDatabase.Database | undefined
  private opening: Promise<void> | undefined
  private readonly statements = new Map<string, Statement>()
  private readonly queue: Write[] = []
  private flushing = false
  private closing = false
  private drained: (() => void)[] = []
  /** The write-ahead log, for syncing it; `undefined` in memory, and where the file system knows no such log. */
  private log: DurableLog | undefined

  /** @param lockTimeoutMs - How long a write is tried again, with timers between the tries, before it is refused. */
  constructor(path: string, lockTimeoutMs: number) {
    this.path = path
    this.lockTimeoutMs = lockTimeoutMs
  }

  open(): Promise<void> {
    if (this.handle) return Promise.resolve()
    this.opening ??= this.connect().finally(() => {
      this.opening = undefined
    })
    return this.opening
  }

  private async connect(): Promise<void> {
    this.closing = false
    const { default: Database } = await import('libsql')
    try {
      if (this.path !== ':memory:') {
        mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 })
        createPrivately(this.path)
      }
      this.handle = new Database(this.path, { timeout: BUSY_TIMEOUT_MS })
      await this.patiently(() => this.prepareFile())
    } catch (error) {
      this.shut()
      throw error instanceof IntegrationError ? error : unavailable(`sqlite: cannot open ${this.path}`, error)
    }
  }

  private prepareFile(): void {
    const journal = this.get('PRAGMA journal_mode = WAL')?.journal_mode
    this.exec('PRAGMA journal_size_limit = 67108864')
    // Larger steps: a checkpoint syncs two files while the event loop waits.
    this.exec('PRAGMA wal_autocheckpoint = 8000')
    this.exec('PRAGMA synchronous = FULL')
    this.exec('BEGIN IMMEDIATE')
    try {
      this.exec('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) WITHOUT ROWID')
      const version = Number(this.get('SELECT max(version) AS version FROM schema_version')?.version ?? 0)
      if (version > MIGRATIONS.length) {
        throw new IntegrationError(
          'STORE_SCHEMA_NEWER',
          `${this.path} has schema version ${version}; this version of atom-integrations knows ${MIGRATIONS.length}`,
        )
      }
      for (const [step, sql] of MIGRATIONS.entries()) {
        if (step < version) continue
        this.exec(sql)
        this.run('INSERT INTO schema_version VALUES (?)', step + 1)
      }
      this.exec('COMMIT')
    } catch (error) {
      if (this.handle?.inTransaction) this.exec('ROLLBACK')
      throw error
    }
    if (journal !== 'wal') return
    // SQLite keeps it beside the file itself, not beside a link to it.
    this.log ??= new DurableLog(
      `${realpathSync(this.path)}-wal`,
      () => this.rewriteLog(),
      () => this.rest(),
    )
    this.exec('PRAGMA synchronous = NORMAL')
  }

  /** Lets the writes end that were begun. */
  async close(): Promise<void> {
    await this.opening?.catch(() => {})
    this.closing = true
    if (this.flushing || this.log?.busy) {
      await new Promise<void>((resolve) => {
        this.drained.push(resolve)
      })
    }
    this.shut()
  }

  private shut(): void {
    this.statements.clear()
    this.handle?.close()
    this.handle = undefined
    this.log?.close()
    this.log = undefined
  }

  /** Runs at once: in WAL mode readers wait for nobody. */
  async read<T>(work: () => T): Promise<T> {
    try {
      return await this.patiently(work)
    } catch (error) {
      throw outward(error)
    }
  }

  /**
   * @param work - Synchronous; may throw, which undoes this write alone and rejects with what was thrown.
   * @param durable - Whether it survives a power cut. Without it, it survives the end of the process.
   * @param atOnce - Large enough for a commit of its own: waiting for others, it would only keep in memory what it writes.
   */
  write<T>(work: () => T, { durable = true, atOnce = false } = {}): Promise<T> {
    if (!this.handle || this.closing) return Promise.reject(unavailable('sqlite: the store is not open'))
    return new Promise<T>((resolve, reject) => {
      this.queue.push({ work, durable, since: Date.now(), resolve: resolve as (value: unknown) => void, reject })
      this.wake(0, atOnce)
    })
  }

  private wake(delayMs = 0, atOnce = false): void {
    if (this.flushing && delayMs === 0) return
    this.flushing = true
    if (atOnce) this.flush()
    else if (delayMs > 0) setTimeout(() => this.flush(), delayMs)
    else this.gather(performance.now() + GATHER_MAX_MS)
  }

  /** A turn of the event loop costs less than a commit: as long as others bring writes, theirs are waited for. */
  private gather(end: number, seen = 0, quiet = 0): void {
    const count = this.queue.length
    const stillQuiet = count > seen ? 0 : quiet + 1
    if (stillQuiet >= QUIET_TURNS || performance.now() > end) this.flush()
    else setImmediate(() => this.gather(end, count, stillQuiet))
  }

  private flush(): void {
    try {
      this.exec('BEGIN IMMEDIATE')
    } catch (error) {
      const lost = isBusy(error) ? this.takeOverdue() : this.queue.splice(0)
      for (const write of lost) write.reject(unavailable('sqlite: no transaction could be started', error))
      if (this.queue.length > 0) this.wake(1 + Math.random() * 7)
      else this.settle()
      return
    }
    this.runGroup()
    this.settle()
  }

  /** Commits what is queued together. A write that throws is undone alone: the group runs again with a savepoint around each. */
  private runGroup(): void {
    const group: Write[] = []
    const values: unknown[] = []
    const end = performance.now() + GROUP_MAX_MS
    try {
      while (group.length < GROUP_MAX_WRITES && performance.now() < end) {
        const write = this.queue.shift()
        if (!write) break
        group.push(write)
        values.push(write.work())
      }
      this.exec('COMMIT')
    } catch {
      this.rollBack()
      this.runApart(group)
      return
    }
    this.committed(group.map((write, index) => ({ write, value: values[index] })))
  }

  private committed(done: readonly Done[]): void {
    const answers: Answer[] = []
    for (const { write, value } of done) {
      if (!write.durable || !this.log) write.resolve(value)
      else
        answers.push((error) => {
          // The write may be there or not, as with every store that dies while it answers.
          if (error) write.reject(unavailable('sqlite: the disk did not take the log', error))
          else write.resolve(value)
        })
    }
    this.log?.sync(answers)
  }

  private runApart(group: readonly Write[]): void {
    const done: Done[] = []
    let left = group
    try {
      this.exec('BEGIN IMMEDIATE')
      for (const write of group) {
        left = left.slice(1)
        this.exec('SAVEPOINT one')
        try {
          const value = write.work()
          this.exec('RELEASE one')
          done.push({ write, value })
        } catch (error) {
          write.reject(outward(error))
          // A full disk, for one, ends the whole transaction; what came before in this group is gone then, too.
          if (!this.handle?.inTransaction) throw error
          this.exec('ROLLBACK TO one')
          this.exec('RELEASE one')
        }
      }
      this.exec('COMMIT')
    } catch (error) {
      this.rollBack()
      const failure = unavailable('sqlite: the transaction was not committed', error)
      for (const { write } of done) write.reject(failure)
      for (const write of left) write.reject(failure)
      return
    }
    this.committed(done)
  }

  private rewriteLog(): void {
    const left = this.get('PRAGMA wal_checkpoint(TRUNCATE)')?.busy
    if (left !== 0) throw new Error('the log is in use')
  }

  private settle(): void {
    this.flushing = false
    if (this.queue.length > 0) {
      this.wake()
      return
    }
    this.rest()
  }

  /** Tells `close()` when nothing is under way any more. */
  private rest(): void {
    if (this.flushing || this.log?.busy) return
    for (const resolve of this.drained.splice(0)) resolve()
  }

  private takeOverdue(): Write[] {
    const before = Date.now() - this.lockTimeoutMs
    const count = this.queue.findIndex((write) => write.since > before)
    return this.queue.splice(0, count < 0 ? this.queue.length : count)
  }

  private rollBack(): void {
    try {
      if (this.handle?.inTransaction) this.exec('ROLLBACK')
    } catch {
      // The transaction is over either way, and the caller throws the error that led here.
    }
  }

  private async patiently<T>(work: () => T): Promise<T> {
    const end = Date.now() + this.lockTimeoutMs
    for (;;) {
      try {
        return work()
      } catch (error) {
        if (!isBusy(error) || Date.now() > end) throw error
        await new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 7))
      }
    }
  }

  /** Always finalised: a prepared BEGIN that met a lock would keep its snapshot, and later reads would be stale. */
  private exec(sql: string): void {
    this.connected().exec(sql)
  }

  run(sql: string, ...values: Value[]): number {
    return this.statement(sql).run(values).changes
  }

  get(sql: string, ...values: Value[]): Row | undefined {
    return this.statement(sql).get(values)
  }

  all(sql: string, ...values: Value[]): Row[] {
    return this.statement(sql).all(values)
  }

  private statement(sql: string): Statement {
    let statement = this.statements.get(sql)
    if (!statement) {
      statement = this.connected().prepare(sql) as unknown as Statement
      this.statements.set(sql, statement)
    }
    return statement
  }

  private connected(): LibsqlDatabase.Database {
    if (!this.handle) throw unavailable('sqlite: the store is not open')
    return this.handle
  }
}

/**
 * SQLite gives its further files (-wal, -shm) the mode of this one. A file that exists must not even be opened here: closing it
 * again would drop the locks that SQLite holds on it anywhere in this process (POSIX), and another process could then remove
 * the log under our feet.
 */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && /^SQLITE_(BUSY|LOCKED)/.test(String((error as { code?: unknown }).code))
}

/** Errors of the driver become ours; what a caller's own function threw passes. */
function outward(error: unknown): unknown {
  const code = error instanceof Error ? String((error as { code?: unknown }).code) : ''
  return code.startsWith('SQLITE_') ? unavailable(`sqlite: ${code}`, error) : error
}
