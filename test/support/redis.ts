import { spawn } from 'node:child_process'
import { type AddressInfo, createServer } from 'node:net'

/**
 * A Redis server of its own on a free port, from `redis-server` on the PATH; `TEST_REDIS_URL` uses one that runs already.
 *
 * Where there is none, it fails and says so: what needs Redis is not skipped.
 */
export async function startRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  if (process.env.TEST_REDIS_URL) return { url: process.env.TEST_REDIS_URL, stop: async () => {} }
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no']
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    let output = ''
    child.once('error', (cause) => {
      reject(
        new Error('redis-server is missing: install it (apt-get install redis-server) or set TEST_REDIS_URL', {
          cause,
        }),
      )
    })
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}:\n${output}`)))
    child.stdout.on('data', (chunk) => {
      output += chunk
      if (output.includes('Ready to accept connections')) resolve()
    })
  })
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      child.kill()
      await exited
    },
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
