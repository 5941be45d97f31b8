import { IntegrationError } from './errors.js'
import type { RequestInfo } from './provider-http/client.js'
import { redactText } from './provider-http/redact.js'

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

/** Where nobody reads. */
export const silentLogger: Logger = { info() {}, warn() {}, error() {} }

const SECRET_NAME = /token|secret|password|authorization|api_?key|cookie|credential|sealed/i
/** The same within a text: `password=…`, `"token": "…"`, `Authorization: Bearer …`. */
const SECRET_IN_TEXT =
  /((?:token|secret|password|authorization|api_?key|cookie|credential)\w{0,20}["']?\s{0,3}[:=]\s{0,3})(?:"[^"]*"?|'[^']*'?|(?:(?:bearer|basic)\s)?[^\s"'&,;})]+)/gi
/** User and password of an address. */
const USER_IN_URL = /:\/\/[^\s/]{1,300}@/g
const MAX_TEXT = 4_000
const REDACTED = '[redacted]'
const MAX_DEPTH = 4
const MAX_FRAMES = 8

/** A logger in front of the host's: fields whose name speaks of a secret are blanked, errors shrink to what may be read, and its own faults stay its own. */
export function redactingLogger(logger: Logger): Logger {
  const call = (level: keyof Logger) => (fields: object, message: string) => {
    try {
      const done: unknown = logger[level](redact(fields) as object, message)
      if (done instanceof Promise) done.catch(() => {})
    } catch {
      // A logger that throws must not cost an answer, a token or the process.
    }
  }
  return { info: call('info'), warn: call('warn'), error: call('error') }
}

function redact(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return describe(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return '[…]'
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET_NAME.test(name) ? REDACTED : name === 'error' ? describe(item) : redact(item, depth + 1),
    ]),
  )
}

/** What may be read of something thrown, and of what caused it: never the request or the answer that hangs on it. */
function describe(thrown: unknown, depth = 0): unknown {
  if (typeof thrown === 'string') return redactForeign(thrown)
  if (typeof thrown !== 'object' || thrown === null) return thrown
  const { name, message, code, reference, providerStatus, providerCode, stack, cause } = thrown as Partial<
    Record<string, unknown>
  >
  // The detail of our own is written for developers, and bounded where it was.
  const isOwn = thrown instanceof IntegrationError
  const about = {
    name: textOr(name),
    code: textOr(code),
    message: isOwn ? message : textOr(message),
    reference: textOr(reference),
    providerStatus: textOr(providerStatus),
    providerCode: textOr(providerCode),
    stack: isOwn ? undefined : framesOf(stack),
    cause: cause === undefined || depth >= MAX_DEPTH ? undefined : describe(cause, depth + 1),
  }
  return Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined))
}

function textOr(value: unknown): unknown {
  return typeof value === 'string' ? redactForeign(value) : typeof value === 'number' ? value : undefined
}

/** Where it was thrown, without the message that a stack begins with. */
function framesOf(stack: unknown): string[] | undefined {
  if (typeof stack !== 'string') return undefined
  const frames = stack
    .slice(0, 20_000)
    .split('\n')
    .filter((line) => /^ {4}at .*:\d+:\d+\)?$/.test(line))
  return frames.slice(0, MAX_FRAMES).map((line) => redactForeign(line))
}

/** A text that somebody else wrote. */
function redactForeign(text: string): string {
  // Last what is cut to length: the beginning of a secret is still one, and its name stands before it.
  return redactText(text.slice(0, MAX_TEXT).replace(USER_IN_URL, `://${REDACTED}@`)).replace(
    SECRET_IN_TEXT,
    `$1${REDACTED}`,
  )
}
