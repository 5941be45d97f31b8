import type { IncomingMessage } from 'node:http'
import type { Incoming } from './reverse-template.js'

const MOST_BODY_BYTES = 16 * 1024 * 1024

/**
 * A request as the provider would see it: at the provider's own address. That is the server's origin; below a wildcard
 * `x-forwarded-host` names the host.
 */
export async function readIncoming(request: IncomingMessage, serverOrigin: string): Promise<Incoming> {
  const url = new URL(`http://lab${request.url?.startsWith('/') ? request.url : '/'}`)
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  const text = await readText(request)
  const type = headers['content-type'] ?? ''
  return {
    method: request.method ?? 'GET',
    origin: originOf(serverOrigin, headers['x-forwarded-host']),
    pathname: url.pathname,
    query: url.searchParams,
    headers,
    json: type.includes('json') ? parse(text) : undefined,
    form: type.includes('x-www-form-urlencoded') ? new URLSearchParams(text) : undefined,
    text,
  }
}

function originOf(serverOrigin: string, forwardedHost: string | undefined): string {
  const [scheme, domain] = serverOrigin.split('*') as [string, string | undefined]
  if (domain === undefined || forwardedHost === undefined || !forwardedHost.endsWith(domain)) return serverOrigin
  return scheme + forwardedHost
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MOST_BODY_BYTES) throw new Error('The request body is too large for the lab.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
