import { IntegrationError } from '../errors.js'
import { Refusal, tooLarge, where } from './answers.js'
import type { DoorRequest } from './client.js'
import { Stopped, type Watch } from './exchange.js'
import { PRIVATE_ADDRESS } from './origins.js'
import { redactText } from './redact.js'

/** A request that may not leave. */
export function refused(request: DoorRequest, reason: string, sent: 'no' | undefined): IntegrationError {
  return new IntegrationError('PROVIDER_ORIGIN_REFUSED', `${where(request)}: ${reason}`, {
    provider: request.provider,
    sent,
  })
}

/** Turns what happened instead of a complete answer into the error that it is. */
export function judgeFailure(
  failure: unknown,
  request: DoorRequest,
  watch: Watch,
  limits: { timeoutMs: number; maxBodyBytes: number; idleTimeoutMs: number },
): Refusal {
  if (failure instanceof IntegrationError) return new Refusal(failure, false)
  const { provider, endpoint } = request
  const sent = watch.started ? 'maybe' : 'no'
  if (failure instanceof Stopped && failure.why !== 'aborted') {
    if (failure.why === 'too_large') return new Refusal(tooLarge(request, failure.status, limits.maxBodyBytes), false)
    const silence = `nothing more within ${limits.idleTimeoutMs} ms`
    const detail = failure.why === 'idle' ? silence : `no complete answer within ${limits.timeoutMs} ms`
    const error = new IntegrationError('PROVIDER_TIMEOUT', `${where(request)}: ${detail}`, {
      provider,
      fault: 'unavailable',
      sent,
    })
    // Somebody waits for the identity in front of a browser: once is enough.
    return new Refusal(error, endpoint === 'api')
  }
  const code = String((failure as { code?: unknown } | null)?.code ?? '')
  if (code === PRIVATE_ADDRESS) return new Refusal(refused(request, 'the name leads to a private address', 'no'), false)
  const fail = (...[errorCode, what, options]: [IntegrationError['code'], string, object]) =>
    new IntegrationError(errorCode, `${where(request)}: ${what}`, {
      provider,
      sent,
      cause: plain(failure, request),
      ...options,
    })
  if (code === 'UND_ERR_INVALID_ARG')
    // A header with a line break, say: a key that was not pasted whole.
    return new Refusal(fail('PROVIDER_REFUSED', 'the request cannot be sent as it is', { fault: 'invalid' }), false)
  if (code === 'UND_ERR_HEADERS_OVERFLOW')
    return new Refusal(fail('PROVIDER_TOO_LARGE', 'the headers of the answer are too large', {}), false)
  if ((failure as Error).name === 'HTTPParserError')
    return new Refusal(fail('PROVIDER_BAD_RESPONSE', 'the answer is no HTTP', {}), true)
  const what = watch.status > 0 ? `status ${watch.status}, then the connection failed` : 'the connection failed'
  const error = fail('PROVIDER_UNAVAILABLE', `${what} (${redactText(code || 'unknown')})`, { fault: 'unavailable' })
  return new Refusal(error, true)
}

/** Name, code and text of an error: undici hangs sockets and bytes of the answer on its own. */
function plain(failure: unknown, { secrets }: DoorRequest): Error {
  const { name, message, code } = failure as Error & { code?: unknown }
  const copy = new Error(redactText(String(message), secrets))
  copy.name = String(name)
  if (typeof code === 'string') Object.assign(copy, { code })
  return copy
}
