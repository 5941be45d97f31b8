import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { backoff } from '../backoff.js'
import { toConnection } from '../connection.js'
import { IntegrationError } from '../errors.js'
import { telemetry } from '../observability.js'
import type { BackfillDocument, StoredRecord } from '../persistence/store.js'
import { isUnavailable } from '../persistence/unavailable.js'
import type { ProviderDefinition, RequestTemplate, Resource } from '../strategies/define-provider.js'
import { judge, LeaseLost, skipsParent, whyNot } from './failures.js'
import type { Ledger } from './ledger.js'
import { PendingSet } from './pending-set.js'
import { advance, checkpointOf, completed, ended, inOrder, missingScope, reachOf, titleOf } from './progress.js'
import { type ReadPage, type Reply, type RequestScope, readResource } from './reader.js'
import type { RunnerOptions } from './runner.js'
import type { Window } from './window.js'

/** Waits up to this long happen in place; for longer ones the job goes back to the queue. */
const SHORT_WAIT_MS = 2_000
/** A set is read in one go, and giving it back would lose it. */
const SET_WAIT_MS = 60_000
const MAX_WAIT_SECONDS = 24 * 60 * 60
/** Times in a row that a provider may ask to wait. */
const MAX_WAITS = 500
/** Pages that are there already are written together, up to so many records or pages. */
const WRITE_RECORDS = 200
const WRITE_PAGES = 100

/** Thrown to leave a run that goes on later. */
class Deferred extends Error {
  constructor(readonly delayMs: number) {
    super('the job goes on later')
  }
}

/** One turn of a job: from its checkpoints to the end, or until it has to wait. */
export class JobRun {
  private definition!: ProviderDefinition
  private readonly signal: AbortSignal
  /** Resources that this turn completed. */
  private readonly done = new Set<string>()
  /** The first resource that failed for good, while the others are read. */
  private failure: BackfillDocument['failure'] = null

  constructor(
    private readonly options: RunnerOptions,
    private readonly ledger: Ledger,
    private readonly closing: AbortSignal,
  ) {
    this.signal = AbortSignal.any([closing, ledger.lost])
  }

  /** Never rejects: what goes wrong is written to the job, or told to the logger. */
  async run(): Promise<void> {
    try {
      await this.readAll()
    } catch (error) {
      await this.leave(error).catch((lost: unknown) => {
        // The lease runs out by itself, and any worker goes on then.
        this.options.logger?.warn({ error: lost, backfillId: this.ledger.job.id }, 'a backfill could not be given back')
      })
    } finally {
      await this.ledger.end()
    }
  }

  private async readAll(): Promise<void> {
    const { job } = this.ledger
    const document = await this.options.store.getConnection(null, job.connectionId)
    if (!document) throw new IntegrationError('CONNECTION_NOT_FOUND', 'the connection of this backfill is gone')
    const entry = this.options.providers(document.provider)
    if (!entry) throw new IntegrationError('PROVIDER_NOT_CONFIGURED', `${document.provider} is not configured here`)
    this.definition = entry.definition
    this.ledger.connection = toConnection(document)
    if (document.status === 'disconnected')
      throw new IntegrationError('CONNECTION_DISCONNECTED', 'the connection was ended before its backfill')
    if (document.status === 'needs_reauth')
      throw new IntegrationError('CONNECTION_NEEDS_REAUTH', 'the connection ended before its backfill')
    for (const resource of inOrder(this.definition.resources)) await this.readOne(resource, document.scopes)
    // A job that failed may go on later, and needs them then.
    if (!this.failure)
      for (const resource of this.definition.resources) if (resource.parentOnly) await this.forget(resource)
    await this.ledger.finish(this.failure)
  }

  /** What was kept only to be iterated: its children are read. */
  private async forget(resource: Resource): Promise<void> {
    const { id: backfillId, connectionId } = this.ledger.job
    for (;;) {
      const query = { tenantId: null, connectionId, backfillId, resource: resource.name, limit: 200 }
      const { items } = await this.options.store.listRecords(query)
      if (items.length === 0) return
      await this.ledger.save(
        this.ledger.progressOf(resource),
        [],
        items.map(({ id }) => id),
      )
    }
  }

  /** One resource to its end, with its short waits. Rejects when the turn has to stop here. */
  private async readOne(resource: Resource, scopes: readonly string[]): Promise<void> {
    const { ledger, definition } = this
    const before = ledger.progressOf(resource)
    if (before.status === 'completed') return
    // What was passed over is looked at again when the job is taken up anew: permissions may have been given since.
    const isPassedOver = before.status === 'skipped' && ledger.job.attempts > 1
    if (isPassedOver && !this.done.has(resource.parent ?? '')) return
    const reason = this.whySkipped(resource, scopes)
    if (reason !== undefined) return ledger.save(ended(before, 'skipped', reason))
    const reach = reachOf(resource, ledger.job.window, scopes)
    ledger.begin(resource)
    for (;;) {
      try {
        await this.readPages(resource, reach.window)
        await ledger.save(completed(ledger.progressOf(resource), { resource, reach, definition }))
        this.done.add(resource.name)
        return
      } catch (error) {
        const delayMs = await this.handle(error, resource)
        if (delayMs === undefined) return
        if (delayMs > SHORT_WAIT_MS) throw new Deferred(delayMs)
        await delay(delayMs, undefined, { signal: this.signal })
      }
    }
  }

  private whySkipped(resource: Resource, scopes: readonly string[]): string | undefined {
    const scope = missingScope(resource, scopes)
    if (scope !== undefined) return `The permission ${scope} was not given when ${this.definition.name} was connected.`
    const parent = this.definition.resources.find(({ name }) => name === resource.parent)
    if (!parent || parent === resource || this.ledger.progressOf(parent).status === 'completed') return undefined
    return `It is read for each of "${titleOf(parent)}", which could not be read.`
  }

  private async readPages(resource: Resource, window: Window): Promise<void> {
    const { ledger, definition, options } = this
    const { gatherMs = 20 } = options
    const stop = new AbortController()
    const signal = AbortSignal.any([this.signal, stop.signal])
    // Where it stays, the listeners of the requests come and go without leaving what only a full collection frees.
    signal.addEventListener('abort', () => {}, { once: true })
    const set = resource.commit === 'set' ? new PendingSet() : undefined
    const next = readResource({
      resource,
      window,
      from: checkpointOf(ledger.progressOf(resource)).position,
      source: {
        store: options.store,
        connectionId: ledger.job.connectionId,
        backfillId: ledger.job.id,
        resources: definition.resources,
      },
      call: (request, scope) => this.call(request, { scope, resource, signal }, set !== undefined),
      concurrency: Math.min(definition.api.concurrency ?? 4, 4),
      skipsParent: (error) => skipsParent(resource, error),
    })
    // A resource that is its own parent reads back what it writes.
    const readsAhead = resource.parent !== resource.name
    let coming: ReturnType<typeof next> | undefined
    /** Has a frame of its own: nothing holds a page while the next one is waited for. */
    const writeNext = async (): Promise<boolean> => {
      const page = await (coming ?? next())
      coming = undefined
      if (!page) return false
      const batch = [page]
      if (readsAhead) {
        // The next page is asked for while this one is written. Small pages that come fast share one write.
        coming = quiet(next())
        let records = page.records.length
        const writeAt = performance.now() + gatherMs
        while (!set && records < WRITE_RECORDS && batch.length < WRITE_PAGES) {
          const ready = await within(coming, writeAt - performance.now())
          if (!ready) break
          batch.push(ready)
          records += ready.records.length
          coming = quiet(next())
        }
      }
      if (set) await this.writeSet(set, page, resource, window)
      else await this.writePages(batch, resource, window)
      return true
    }
    try {
      while (await writeNext());
    } finally {
      stop.abort()
    }
  }

  /** @param patient - Waits in place: a set that is given back begins anew, and might never end. */
  private async call(
    request: RequestTemplate,
    call: { scope: RequestScope; resource: Resource; signal: AbortSignal },
    patient: boolean,
  ): Promise<Reply> {
    const { tokens, maxTries = 5 } = this.options
    for (let tries = 1; ; tries++) {
      try {
        return await tokens.call(this.ledger.job.connectionId, request, call)
      } catch (error) {
        const verdict = judge(error)
        const fault = error instanceof IntegrationError ? error.fault : undefined
        const isFinal = call.signal.aborted || fault === 'not_ready' || fault === 'cursor_expired'
        if (!patient || isFinal || tries >= maxTries || (verdict.kind !== 'retry' && verdict.kind !== 'wait'))
          throw error
        const waitMs = this.delayOf(verdict.seconds, tries)
        if (waitMs > SET_WAIT_MS) throw error
        await delay(waitMs, undefined, { signal: call.signal })
      }
    }
  }

  private async writePages(pages: readonly ReadPage[], resource: Resource, window: Window): Promise<void> {
    const merged = pages.length > 1 ? new PendingSet() : undefined
    let progress = this.ledger.progressOf(resource)
    for (const [index, page] of pages.entries()) {
      try {
        await this.tell(resource, page.records, page.deletes)
      } catch (error) {
        // The pages before it count; this one is read again.
        if (merged && index > 0) await this.ledger.save(progress, merged.records, merged.deletes)
        throw error
      }
      merged?.add(page)
      this.count(page, resource)
      progress = advance(progress, page, { resource, window, provider: this.definition.name })
    }
    const { records, deletes } = merged ?? (pages[0] as ReadPage)
    await this.ledger.save(progress, records, deletes)
  }

  /** Nothing of a set is written before its last page was read; then in portions, with the checkpoint in the last. */
  private async writeSet(set: PendingSet, page: ReadPage, resource: Resource, window: Window): Promise<void> {
    if (page.restarted) set.clear()
    set.add(page)
    this.count(page, resource)
    set.pages += page.pages
    set.unreadable += page.unreadable
    if (!page.endsSet) return
    const before = this.ledger.progressOf(resource)
    const { records, deletes } = set
    const whole = { ...page, pages: set.pages, counted: records.length, unreadable: set.unreadable }
    const progress = advance(before, whole, { resource, window, provider: this.definition.name })
    let start = 0
    for (; start + WRITE_RECORDS < records.length; start += WRITE_RECORDS) {
      const portion = records.slice(start, start + WRITE_RECORDS)
      await this.tell(resource, portion, [])
      await this.ledger.save({ ...before, status: 'running' }, portion)
    }
    const rest = records.slice(start)
    await this.tell(resource, rest, deletes)
    await this.ledger.save(progress, rest, deletes)
    set.clear()
  }

  private count({ pages }: ReadPage, resource: Resource): void {
    if (pages > 0) telemetry.count('atom.backfill.pages', { provider: this.definition.id, resource: resource.name })
  }

  private async tell(resource: Resource, records: readonly StoredRecord[], deletes: readonly string[]): Promise<void> {
    const { job, connection } = this.ledger
    if (!this.options.onRecords || !connection || resource.parentOnly) return
    if (records.length === 0 && deletes.length === 0) return
    const batch = records.map(({ id, resource, timestamp, data }) => ({ id, resource, timestamp, data }))
    const context = { connection, resource: resource.name, backfillId: job.id, deletedIds: [...deletes] }
    await this.options.onRecords(batch, context)
  }

  /** What to do about a failed page. Resolves to the delay before the next try; `undefined`: the resource is done with. */
  private async handle(error: unknown, resource: Resource): Promise<number | undefined> {
    // Whatever failed because of it, the turn is over.
    this.signal.throwIfAborted()
    if (error instanceof LeaseLost || isUnavailable(error)) throw error
    const { definition, options, ledger } = this
    const progress = ledger.progressOf(resource)
    const checkpoint = checkpointOf(progress)
    const verdict = judge(error)
    const why = whyNot(error, definition.name)
    if (verdict.kind !== 'wait')
      options.logger?.warn({ error, backfillId: ledger.job.id, resource: resource.name }, 'a backfill page failed')
    switch (verdict.kind) {
      case 'skip':
        await ledger.save(ended(progress, 'skipped', why))
        return undefined
      case 'give_up':
        this.failure ??= failureOf(error)
        await ledger.save(ended(progress, 'failed', why))
        return undefined
      case 'wait': {
        const waits = (checkpoint.waits ?? 0) + 1
        if (waits > MAX_WAITS) break
        await ledger.save({ ...progress, status: 'running', checkpoint: { ...checkpoint, waits } })
        return this.delayOf(verdict.seconds, waits + 1)
      }
      case 'retry': {
        const failures = (checkpoint.failures ?? 0) + 1
        if (failures >= (options.maxTries ?? 5)) break
        await ledger.save({ ...progress, status: 'running', checkpoint: { ...checkpoint, failures } })
        return this.delayOf(verdict.seconds, failures)
      }
    }
    await ledger.save(ended(progress, 'failed', why))
    throw error
  }

  /** What the provider asked for, else longer with every try. */
  private delayOf(seconds: number | undefined, tries: number): number {
    if (seconds !== undefined) return Math.min(Math.max(seconds, 0.1), MAX_WAIT_SECONDS) * 1000
    return backoff(tries, { baseMs: this.options.retryMs ?? 1_000, maxMs: 10 * 60_000 })
  }

  /** Ends a turn that did not come to the end of the job by itself. */
  private async leave(error: unknown): Promise<void> {
    const { options, ledger } = this
    const { id } = ledger.job
    if (error instanceof LeaseLost || ledger.lost.aborted) return
    if (this.closing.aborted) return ledger.giveBack(0)
    if (error instanceof Deferred || isUnavailable(error)) {
      const delayMs = error instanceof Deferred ? error.delayMs : SHORT_WAIT_MS
      await ledger.giveBack(delayMs)
      return options.wake(id, delayMs)
    }
    options.logger?.error({ error, backfillId: id }, 'a backfill failed')
    const verdict = judge(error)
    const failure = failureOf(error)
    await ledger.finish(verdict.kind === 'fail' ? { ...failure, code: verdict.code } : failure)
  }
}

function failureOf(error: unknown): { code: string; reference: string } {
  const known =
    error instanceof IntegrationError
      ? error
      : new IntegrationError('INTERNAL_ERROR', 'a backfill failed', { cause: error })
  return { code: known.code, reference: known.reference }
}

/** A promise that is looked at later must not count as unhandled until then. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** The value of a promise that is fulfilled by then, or by the next turn of the event loop. */
async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const value = promise.catch(() => undefined)
  const soon = await Promise.race([value, nextTurn(undefined)])
  if (soon !== undefined || milliseconds <= 0) return soon
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, milliseconds, undefined)
  })
  try {
    return await Promise.race([value, late])
  } finally {
    clearTimeout(timer)
  }
}
