export interface QueueStartOptions {
  /** Jobs at the same time in this process. Default 2. */
  concurrency?: number
  /** True in a process that does nothing else: the queue keeps it alive. */
  keepAlive?: boolean
  /** What failed without a caller to tell. */
  onError?: (error: unknown) => void
}

/**
 * The queue port only wakes workers: jobs, leases, deduplication and checkpoints live in the store. A lost wake-up costs time,
 * never a job; a doubled one costs a look at the store.
 */
export interface Queue {
  readonly kind: 'embedded' | 'bullmq'
  /** Starts calling `work` (bounded concurrency) with a backfill id, or `undefined`: whatever is due. Resolves once it can wake. */
  start(work: (backfillId: string | undefined) => Promise<void>, options?: QueueStartOptions): Promise<void>
  /** Wakes some worker, at once or after `delayMs`. */
  wake(backfillId: string, delayMs?: number): Promise<void>
  /** Stops taking work and waits for what runs. */
  close(): Promise<void>
  /** Rejects when the queue's backend cannot be reached. */
  ping(): Promise<void>
}
