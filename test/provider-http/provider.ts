import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { afterEach } from 'vitest'
import { IntegrationError } from '../../src/errors.js'
import {
  createProviderHttp,
  type DoorRequest,
  type ProviderHttp,
  type ProviderHttpOptions,
} from '../../src/provider-http/client.js'

export interface Seen {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: string
}
export type Handler = (seen: Seen, response: ServerResponse) => void

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** A provider on a free port. What it was asked stands in `seen`. */
export async function startProvider(handler: Handler): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const one = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body }
    seen.push(one)
    handler(one, response)
  })
  return { url: await listen(server, () => server.closeAllConnections()), seen }
}

/** A server that speaks whatever `talk` says. */
export async function startTcp(talk: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    talk(socket)
  })
  return listen(server, () => {
    for (const socket of sockets) socket.destroy()
  })
}

async function listen(server: Server, end: () => void): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => {
    const closed = new Promise((resolve) => server.close(resolve))
    end()
    return closed
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The address of a server that is gone. */
export async function nobody(): Promise<string> {
  const url = await startTcp(() => {})
  await (open.pop() as () => Promise<unknown>)()
  return url
}

export const ORIGIN = 'https://api.acme.example'

/** A door whose `https://api.acme.example` is `target`; waits are not waited for but kept in `waits`. */
export function openDoor(target: string, options: ProviderHttpOptions = {}): ProviderHttp & { waits: number[] } {
  const waits: number[] = []
  const door = createProviderHttp({
    sleep: async (milliseconds, signal) => {
      waits.push(milliseconds)
      signal?.throwIfAborted()
    },
    ...options,
    origins: { [ORIGIN]: target, ...options.origins },
  })
  open.push(() => door.close())
  return Object.assign(door, { waits })
}

export function ask(path = '/', more: Partial<DoorRequest> = {}): DoorRequest {
  return {
    provider: 'Acme',
    endpoint: 'api',
    method: 'GET',
    url: ORIGIN + path,
    origins: [ORIGIN],
    retries: 0,
    ...more,
  }
}

/** The error that a request ends with. */
export async function failure(promise: Promise<unknown>): Promise<IntegrationError> {
  const error = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  )
  if (error instanceof IntegrationError) return error
  throw error
}

export const json = (response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
