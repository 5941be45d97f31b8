import { ByteLengthQueuingStrategy, ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web'
import type { Dispatcher } from 'undici'

export interface Reply {
  status: number
  /** Names in lower case. */
  headers: Record<string, string>
  bytes: Buffer
  /** Instead of `bytes`, where a stream was asked for and the status is 2xx. */
  stream?: ReadableStream<Uint8Array>
}

/** Why an exchange was given up on our side. */
export class Stopped extends Error {
  constructor(
    readonly why: 'timeout' | 'idle' | 'too_large' | 'aborted',
    readonly status = 0,
  ) {
    super(why)
  }
}

/** One attempt at a request, redirects included: what to stop, and whether anything may have left. */
export class Watch {
  /** False: no byte of the request can have reached anybody. */
  started = false
  /** Of the answer that was on its way when it failed. */
  status = 0
  reason: Stopped | undefined
  current: Exchange | undefined

  stop(reason: Stopped): void {
    this.reason ??= reason
    this.current?.stop(reason)
  }
}

export interface ExchangeLimits {
  maxBodyBytes: number
  /** Set: the body of a 2xx answer streams, and may be silent for so long. */
  idleTimeoutMs?: number | undefined
  /** What a reader of the stream gets when it breaks. */
  toError?: ((error: Error) => unknown) | undefined
  /** Called once the stream is over, however it ended. */
  onEnd?: (() => void) | undefined
}

const STREAM_BUFFER = 64 * 1024
const EMPTY = Buffer.alloc(0)

/**
 * Sends one request and collects its answer.
 *
 * Talks to the dispatcher itself: that knows the moment when a request is written to its connection, which `undici.request` keeps to
 * itself, and it needs no stream per answer.
 */
export function exchange(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  limits: ExchangeLimits,
  watch: Watch,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const handler = new Exchange(options.method, limits, watch, resolve, reject)
    watch.current = handler
    if (watch.reason) handler.stop(watch.reason)
    else dispatcher.dispatch(options, handler)
  })
}

class Exchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined
  private stopped: Stopped | undefined
  private isWhole = false
  private status = 0
  private headers: Record<string, string> = {}
  private chunks: Buffer[] = []
  private size = 0
  private sink: ReadableStreamDefaultController<Uint8Array> | undefined
  private idle: NodeJS.Timeout | undefined

  constructor(
    private readonly method: string,
    private readonly limits: ExchangeLimits,
    private readonly watch: Watch,
    private readonly resolve: (reply: Reply) => void,
    private readonly reject: (error: Error) => void,
  ) {}

  stop(reason: Stopped): void {
    // An answer that is whole counts, though it came at the last moment.
    if (this.stopped || this.isWhole) return
    this.stopped = reason
    this.fail(reason)
    this.controller?.abort(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    // Stopped while it waited for a connection: nothing is written.
    if (this.stopped) controller.abort(this.stopped)
    else this.watch.started = true
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return
    this.status = status
    this.watch.status = status
    for (const name in headers) {
      const value = headers[name]
      if (value !== undefined) this.headers[name] = typeof value === 'string' ? value : value.join(', ')
    }
    const { idleTimeoutMs, maxBodyBytes } = this.limits
    if (idleTimeoutMs !== undefined && status <= 299 && status !== 204 && status !== 205 && this.method !== 'HEAD')
      this.openStream(idleTimeoutMs)
    else if (Number(this.headers['content-length']) > maxBodyBytes && this.method !== 'HEAD')
      this.stop(new Stopped('too_large', status))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.stopped) return
    if (this.sink) {
      this.sink.enqueue(chunk)
      if ((this.sink.desiredSize ?? 0) > 0) this.idle?.refresh()
      else {
        // The reader is slow, not the provider.
        clearTimeout(this.idle)
        controller.pause()
      }
      return
    }
    this.size += chunk.length
    if (this.size > this.limits.maxBodyBytes) this.stop(new Stopped('too_large', this.status))
    else this.chunks.push(chunk)
  }

  onResponseEnd(): void {
    if (this.stopped) return
    this.isWhole = true
    if (this.sink) {
      this.endStream()
      this.sink.close()
      return
    }
    const { chunks, status, headers } = this
    const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : chunks.length === 0 ? EMPTY : Buffer.concat(chunks)
    const reply = { status, headers, bytes }
    // undici frees the connection one turn of the loop after this; who asks again at once (token, then identity) shall find it free
    // instead of opening another. The microtask puts us behind undici in that turn.
    queueMicrotask(() => setImmediate(this.resolve, reply))
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (!this.stopped) this.fail(error)
  }

  private fail(error: Error): void {
    if (this.sink) {
      this.endStream()
      this.sink.error(this.limits.toError?.(error) ?? error)
    } else this.reject(error)
  }

  private endStream(): void {
    clearTimeout(this.idle)
    this.limits.onEnd?.()
  }

  private openStream(idleTimeoutMs: number): void {
    const watchSilence = () => {
      clearTimeout(this.idle)
      this.idle = setTimeout(() => this.stop(new Stopped('idle', this.status)), idleTimeoutMs)
    }
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.sink = controller
        },
        pull: () => {
          if (!this.controller?.paused) return
          watchSilence()
          this.controller.resume()
        },
        cancel: () => {
          this.endStream()
          this.stopped = new Stopped('aborted', this.status)
          this.controller?.abort(this.stopped)
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: STREAM_BUFFER }),
    )
    watchSilence()
    this.resolve({ status: this.status, headers: this.headers, bytes: EMPTY, stream })
  }
}
