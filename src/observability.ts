import type { RequestInfo } from './provider-http/client.js'

/** Spans and metrics of this library, on `@opentelemetry/api` where the host has it; otherwise every call is a plain call. */
export interface Telemetry {
  /** Runs `work` in a span. Attributes are ids and codes, never a secret. */
  span<T>(name: string, attributes: Attributes, work: () => Promise<T>): Promise<T>
  /** Adds to a counter. */
  count(name: string, attributes: Attributes): void
  /** Records a duration. */
  duration(name: string, milliseconds: number, attributes: Attributes): void
}
export type Attributes = Readonly<Record<string, string | number | boolean>>

const NAME = 'atom-integrations'

// Just what is used of the API, so that our types do not need a package that the host may not have.
interface Api {
  trace: {
    getTracer(name: string): {
      startActiveSpan<T>(name: string, options: { attributes: Attributes }, work: (span: Span) => T): T
    }
  }
  metrics: { getMeter(name: string): Meter }
}
interface Meter {
  createCounter(name: string): { add(value: number, attributes: Attributes): void }
  createHistogram(name: string, options: { unit: string }): { record(value: number, attributes: Attributes): void }
}
interface Span {
  setStatus(status: { code: number }): void
  setAttribute(name: string, value: string): void
  end(): void
}
/** `SpanStatusCode.ERROR` */
const ERROR_STATUS = 2

let loading: Promise<Api | undefined> | undefined
let api: Api | undefined

/** Looks for the package once per process. Until it is found, and where it is not, nothing is measured and nothing is paid. */
export function loadTelemetry(): Promise<unknown> {
  const specifier = '@opentelemetry/api'
  loading ??= import(specifier).then(
    (module: Api) => {
      api = module
      return module
    },
    () => undefined,
  )
  return loading
}

const counters = new Map<string, ReturnType<Meter['createCounter']>>()
const histograms = new Map<string, ReturnType<Meter['createHistogram']>>()

/** The instrument of this name, made once. */
function instrument<T>(known: Map<string, T>, name: string, make: () => T): T {
  const found = known.get(name) ?? make()
  known.set(name, found)
  return found
}

export const telemetry: Telemetry = {
  span(name, attributes, work) {
    if (!api) return work()
    return api.trace.getTracer(NAME).startActiveSpan(name, { attributes }, async (span) => {
      try {
        return await work()
      } catch (error) {
        span.setStatus({ code: ERROR_STATUS })
        const code = (error as { code?: unknown } | null)?.code
        if (typeof code === 'string') span.setAttribute('atom.error.code', code)
        throw error
      } finally {
        span.end()
      }
    })
  },
  count(name, attributes) {
    if (!api) return
    const meter = api.metrics.getMeter(NAME)
    instrument(counters, name, () => meter.createCounter(name)).add(1, attributes)
  },
  duration(name, milliseconds, attributes) {
    if (!api) return
    const meter = api.metrics.getMeter(NAME)
    instrument(histograms, name, () => meter.createHistogram(name, { unit: 'ms' })).record(milliseconds, attributes)
  },
}

/** Every request to a provider: how long it took, and what went wrong by class. */
export function countRequest(provider: string, { endpoint, milliseconds, code }: RequestInfo): void {
  telemetry.duration('atom.provider.request.duration', milliseconds, { provider, endpoint })
  if (code !== undefined) telemetry.count('atom.provider.errors', { provider, endpoint, code })
}

/** The part of a logger that is used; pino and console fit. Called with what happened, never with a secret. */
export interface Logger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const SECRET_NAME = /token|secret|password|authorization|api_?key|cookie|credential|sealed/i

/** A logger in front of the host's: fields whose name speaks of a secret are blanked, errors shrink to what may be read, and its own faults stay its own. */
export function redactingLogger(logger: Logger | undefined): Logger {
  const call = (level: keyof Logger) => (fields: object, message: string) => {
    try {
      logger?.[level](redact(fields) as object, message)
    } catch {
      // A logger that throws must not cost a token.
    }
  }
  return { info: call('info'), warn: call('warn'), error: call('error') }
}

function redact(value: unknown, depth = 0): unknown {
  if (value instanceof Error) {
    const { name, code, reference, providerStatus, providerCode } = value as Error & Record<string, unknown>
    return { name, code, reference, providerStatus, providerCode }
  }
  if (typeof value !== 'object' || value === null || depth > 4) return value
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET_NAME.test(name) ? '[redacted]' : redact(item, depth + 1),
    ]),
  )
}
