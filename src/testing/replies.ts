import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { htmlPage, type LabEndpoint, type LabFault } from './faults.js'
import type { Answer } from './pages.js'

/** What the lab is going to say, and what shall go wrong on the way. */
export interface Reply {
  provider?: string
  endpoint?: LabEndpoint
  resource?: string
  answer: Answer
  fault?: LabFault
}

const DEFAULT_DELAY_MS = 3_000
const DEFAULT_OVERSIZE_BYTES = 12 * 1024 * 1024

/** Sends it. `onStatus` is called before the first byte leaves. */
export async function sendReply(
  { answer, fault }: Reply,
  response: ServerResponse,
  now: () => number,
  onStatus: (status: number) => void,
): Promise<void> {
  const send = (status: number, headers: Record<string, string>, body: string) => {
    onStatus(status)
    response.writeHead(status, { ...headers, 'content-length': String(Buffer.byteLength(body)) })
    response.end(body)
  }
  const json = { 'content-type': 'application/json; charset=utf-8' }
  const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
  const headers = { ...json, ...answer.headers }

  switch (fault?.kind) {
    case 'hang':
      await once(response, 'close')
      return
    case 'slow': {
      const gone = new AbortController()
      response.once('close', () => gone.abort())
      await delay(fault.delayMs ?? DEFAULT_DELAY_MS, undefined, { signal: gone.signal }).catch(() => undefined)
      if (!response.destroyed) send(answer.status, headers, body)
      return
    }
    case 'cut': {
      onStatus(answer.status)
      const bytes = Buffer.from(body)
      response.writeHead(answer.status, { ...headers, 'content-length': String(bytes.length) })
      response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy())
      return
    }
    case 'oversized':
      onStatus(200)
      await sendOversized(response, json, fault.bytes ?? DEFAULT_OVERSIZE_BYTES)
      return
    case 'invalid-json':
      return send(200, json, '{"ok": true, "items": [')
    case 'empty':
      return send(200, json, '')
    case 'rate-limit':
    case 'rate-limit-date': {
      const seconds = fault.retryAfterSeconds ?? 1
      const value =
        fault.kind === 'rate-limit' ? String(seconds) : new Date(now() + Math.max(seconds, 1) * 1000).toUTCString()
      return send(429, { ...headers, 'retry-after': value }, body)
    }
    default:
      if (fault?.kind.startsWith('html')) {
        const status = fault.kind === 'html' ? 502 : Number(fault.kind.slice('html-'.length))
        return send(status, { 'content-type': 'text/html; charset=utf-8', server: 'lab-gateway' }, htmlPage(status))
      }
      send(answer.status, headers, body)
  }
}

async function sendOversized(response: ServerResponse, headers: Record<string, string>, bytes: number): Promise<void> {
  response.writeHead(200, headers)
  function* filler() {
    yield '{"filler":"'
    const chunk = 'x'.repeat(64 * 1024)
    for (let sent = 0; sent < bytes; sent += chunk.length) yield chunk
    yield '"}'
  }
  // A client that had enough and hung up is what this is for.
  await pipeline(Readable.from(filler()), response).catch(() => undefined)
}
