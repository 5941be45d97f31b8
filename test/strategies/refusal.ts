import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { IntegrationError } from '../../src/errors.js'
import { createProviderHttp } from '../../src/provider-http/client.js'
import type { ErrorRules } from '../../src/provider-http/errors.js'

export interface Answer {
  status?: number
  headers?: Record<string, string>
  /** An object goes out as JSON, a string as text. */
  body: unknown
}

/**
 * What the door makes of an answer under these rules: a real server gives it, a real client reads it. Resolves to the error, or to
 * `undefined` when the answer counts as a success.
 */
export async function refusal(
  errors: ErrorRules | undefined,
  { status = 200, headers = {}, body }: Answer,
): Promise<IntegrationError | undefined> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const type = typeof body === 'string' ? 'text/plain' : 'application/json'
  const server = createServer((_req, res) => res.writeHead(status, { 'content-type': type, ...headers }).end(text))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const http = createProviderHttp({ origins: { 'https://api.example.com': `http://127.0.0.1:${port}` } })
  try {
    await http.request({
      provider: 'Example',
      endpoint: 'api',
      method: 'GET',
      url: 'https://api.example.com/',
      origins: ['https://api.example.com'],
      retries: 0,
      ...(errors && { errors }),
    })
    return undefined
  } catch (error) {
    if (error instanceof IntegrationError) return error
    throw error
  } finally {
    await http.close()
    await new Promise((resolve) => server.close(resolve))
  }
}
