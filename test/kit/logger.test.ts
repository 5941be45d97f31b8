import { afterEach, describe, expect, it } from 'vitest'
import type { Logger } from '../../src/observability.js'
import { type Host, startHost } from '../support/host-app.js'

const SECRET = 'hunter2-of-a-host'

let host: Host | undefined
const unhandled: unknown[] = []
const onUnhandled = (reason: unknown) => void unhandled.push(reason)
afterEach(async () => {
  await host?.close()
  process.off('unhandledRejection', onUnhandled)
  unhandled.length = 0
})

/** Keeps what it is called with. */
function recorder() {
  const lines: { message: string; fields: Record<string, unknown> }[] = []
  const write = (fields: object, message: string) => void lines.push({ message, fields: fields as never })
  return { lines, logger: { info: write, warn: write, error: write } satisfies Logger }
}

describe('a logger of the host', () => {
  it.each([
    ['throws', () => expect.fail('disk full')],
    ['rejects', async () => expect.fail('disk full')],
  ])('that %s costs neither the answer nor the process', async (_how, log: () => unknown) => {
    process.on('unhandledRejection', onUnhandled)
    host = await startHost({ logger: { info: log, warn: log, error: log } }, undefined, ['slack'])
    host.lab.fault({ provider: 'slack', endpoint: 'token', kind: 'html-502', times: 1 })
    const page = await host.browser().connect('slack', { accept: 'text/html' })
    expect([page.status, page.text]).toEqual([502, expect.stringContaining('Slack')])
    expect((await host.browser().get('/integrations')).status).toBe(200)
    expect(unhandled).toEqual([])
  })

  it('reads why identify failed, without what the error carries along', async () => {
    const { lines, logger } = recorder()
    const identify = () => {
      const cause = Object.assign(new Error(`connect postgres://app:${SECRET}@db/app`), { code: 'ECONNREFUSED' })
      throw Object.assign(new TypeError(`no session: password="${SECRET}"`, { cause }), {
        password: SECRET,
        config: { headers: { authorization: `Bearer ${SECRET}` } },
      })
    }
    host = await startHost({ logger, identify }, undefined, ['slack'])
    expect((await host.browser().get('/integrations')).status).toBe(401)
    const { fields } = lines.find(({ message }) => message.includes('identify')) ?? {}
    expect(fields).toMatchObject({
      error: {
        name: 'TypeError',
        message: 'no session: password=[redacted]',
        cause: { name: 'Error', code: 'ECONNREFUSED', message: 'connect postgres://[redacted]@db/app' },
      },
    })
    expect(JSON.stringify(lines)).not.toContain(SECRET)
  })

  it('reads what a listener threw, without the request in it', async () => {
    const { lines, logger } = recorder()
    host = await startHost({ logger }, undefined, ['slack'])
    host.integrations.on('connected', () => {
      throw Object.assign(new Error('the CRM answered 500'), { headers: { authorization: `Bearer ${SECRET}` } })
    })
    await host.browser().connect('slack')
    await expect.poll(() => lines.some(({ message }) => message.includes('a listener for connected'))).toBe(true)
    const { fields } = lines.find(({ message }) => message.includes('a listener')) ?? {}
    expect(fields).toMatchObject({ type: 'connected', error: { name: 'Error', message: 'the CRM answered 500' } })
    expect(JSON.stringify(lines)).not.toContain(SECRET)
  })

  it('reads our own detail of a fault, and its cause, under the reference that the user has', async () => {
    const { lines, logger } = recorder()
    const authorize = () => {
      throw new RangeError('no such role')
    }
    host = await startHost({ logger, authorize }, undefined, ['slack'])
    const own = await host.browser().get('/integrations', { accept: 'application/json' })
    expect(own.body.code).toBe('INTERNAL_ERROR')
    expect(lines.find(({ fields }) => fields.reference === own.body.reference)?.fields).toMatchObject({
      error: {
        name: 'IntegrationError',
        code: 'INTERNAL_ERROR',
        message: 'RangeError',
        cause: { name: 'RangeError', message: 'no such role', stack: expect.arrayContaining([expect.any(String)]) },
      },
    })
  })
})
