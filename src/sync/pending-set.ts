import type { StoredRecord } from '../persistence/store.js'

/** Pages that are written together: what comes later wins, be it a record or its deletion. */
export class PendingSet {
  /** Of a set: pages and items without an id so far. */
  pages = 0
  unreadable = 0
  private readonly byId = new Map<string, StoredRecord>()
  private readonly gone = new Set<string>()

  add({ records, deletes }: { records: readonly StoredRecord[]; deletes: readonly string[] }): void {
    for (const record of records) {
      this.byId.set(record.id, record)
      this.gone.delete(record.id)
    }
    for (const id of deletes) {
      this.byId.delete(id)
      this.gone.add(id)
    }
  }

  get records(): StoredRecord[] {
    return [...this.byId.values()]
  }

  get deletes(): string[] {
    return [...this.gone]
  }

  clear(): void {
    this.byId.clear()
    this.gone.clear()
    this.pages = 0
    this.unreadable = 0
  }
}
