import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createProviderHttp } from '../../src/provider-http/client.js'
import type { ProviderDefinition } from '../../src/strategies/define-provider.js'
import { identify } from '../../src/strategies/identify.js'

const client = {
  clientId: 'c',
  clientSecret: 's',
  env: {},
  params: {},
  redirectURI: 'https://app.example/cb',
  appName: 'x',
}

/** The account key of a grant, where the provider answers `body` to the identity call at `origin`. */
export async function accountKey(
  definition: ProviderDefinition,
  origin: string,
  body: object,
  params: Record<string, string> = {},
): Promise<string> {
  const server = createServer((_req, res) =>
    res.setHeader('content-type', 'application/json').end(JSON.stringify(body)),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const door = createProviderHttp({
    origins: { [origin]: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
  })
  try {
    const grant = { tokens: { default: { accessToken: 'a' } }, scopes: [], params }
    return (await identify(door, definition, client, grant, {})).key
  } finally {
    await door.close()
    await new Promise((resolve) => server.close(resolve))
  }
}
