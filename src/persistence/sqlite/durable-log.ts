import { closeSync, fdatasync, openSync } from 'node:fs'

/** Told once the log is on the disk (`null`), or what went wrong. */
export type Answer = (error: unknown) => void

/**
 * SQLite's write-ahead log, synced by us: one sync, in a thread of libuv's, answers all commits before it.
 *
 * Unlike the database itself the log carries no locks, so that a descriptor of our own may come and go. It stays the same file as
 * long as the connection is open.
 */
export class DurableLog {
  private readonly file: number
  private waiting: Answer[] = []
  private syncing = false
  /** A sync failed: the system may have dropped any part of the log, and what stands behind that part would go with it. */
  private holed = false

  /**
   * @param rewrite - Puts all of the log into the database and begins a new one; throws where that cannot be done.
   * @param onIdle - Nothing is under way any more.
   */
  constructor(
    path: string,
    private readonly rewrite: () => void,
    private readonly onIdle: () => void,
  ) {
    this.file = openSync(path, 'r+')
  }

  get busy(): boolean {
    return this.syncing
  }

  /** `answers` belong to what is committed. */
  sync(answers: readonly Answer[]): void {
    this.waiting.push(...answers)
    if (this.syncing || this.waiting.length === 0) return
    const asked = this.waiting.splice(0)
    const tell = (error: unknown) => {
      for (const answer of asked) answer(error)
    }
    // After a failed sync the next one may succeed and mean nothing.
    if (this.holed) {
      tell(this.mend())
      return
    }
    this.syncing = true
    fdatasync(this.file, (error) => {
      this.syncing = false
      this.holed = error !== null
      tell(error)
      this.sync([])
      if (!this.syncing) this.onIdle()
    })
  }

  private mend(): unknown {
    try {
      this.rewrite()
      this.holed = false
      return null
    } catch (error) {
      return error
    }
  }

  close(): void {
    closeSync(this.file)
  }
}
