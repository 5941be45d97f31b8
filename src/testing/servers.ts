import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { OriginMap } from '../provider-http/client.js'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import { originsOf, type Route, routesOf } from './routes.js'

/** One server of the lab; it stands for one origin, or for all below a wildcard. */
export interface LabServer {
  /** `https://slack.com` or `https://*.myshopify.com`. */
  origin: string
  routes: Route[]
}

type Listener = (request: IncomingMessage, response: ServerResponse) => void

/** One server per origin of the definitions. */
export async function openServers(
  definitions: readonly ProviderDefinition[],
  seed: number,
  listenerOf: (server: LabServer) => Listener,
): Promise<{ origins: OriginMap; servers: { server: Server }[] }> {
  const routesByOrigin = new Map<string, Route[]>()
  for (const definition of definitions)
    for (const origin of originsOf(definition, seed)) {
      const routes = routesByOrigin.get(origin) ?? []
      routes.push(...routesOf(definition))
      routesByOrigin.set(origin, routes)
    }
  const origins: Record<string, string> = {}
  const servers: { server: Server }[] = []
  for (const [origin, routes] of routesByOrigin) {
    const opened = await openServer(() => listenerOf({ origin, routes }))
    origins[origin] = opened.url
    servers.push(opened)
  }
  return { origins, servers }
}

export async function openServer(listenerOf: (url: string) => Listener): Promise<{ server: Server; url: string }> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  // Clients keep connections; a server that ends them first would make their next request fail.
  server.keepAliveTimeout = 60_000
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  server.on('request', listenerOf(url))
  return { server, url }
}

export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeAllConnections()
  await closed
}
