import { expect, it } from 'vitest'
import { hubspot } from '../../src/strategies/hubspot.js'
import { startHost } from '../support/host-app.js'

it('a backfill whose grant was withdrawn goes on after a reconnect: the same run, nothing twice, nothing missing', async () => {
  const host = await startHost({ sync: { months: 3 } }, undefined, ['hubspot'])
  const { lab, integrations } = host
  const seen: string[] = []
  const next = (type: 'needs_reauth' | 'backfill.failed' | 'reconnected' | 'backfill.completed') =>
    new Promise<void>((resolve) => {
      integrations.once(
        type,
        () => {
          seen.push(type)
          resolve()
        },
        { group: `test:${type}` },
      )
    })
  try {
    // The first page of the last resource finds the grant withdrawn.
    const last = hubspot.resources.at(-1)?.name as string
    lab.fault({ provider: 'hubspot', endpoint: last, kind: 'unauthorized', times: 20 })
    lab.fault({ provider: 'hubspot', endpoint: 'refresh', kind: 'rotated-away', times: 20 })
    const stopped = Promise.all([next('needs_reauth'), next('backfill.failed')])
    const { connection } = (await host.browser().connect('hubspot')).body
    await stopped
    lab.clearFaults()
    expect((await integrations.admin.connections.get(connection.id))?.status).toBe('needs_reauth')
    const [before] = (await integrations.admin.backfills.list({ connectionId: connection.id })).items
    expect(before?.status).toBe('failed')
    const read = before?.resources.filter(({ status }) => status === 'completed').length ?? 0
    expect(read).toBeGreaterThan(0)

    const asked = lab.requests.length
    const repaired = Promise.all([next('reconnected'), next('backfill.completed')])
    const browser = host.browser()
    await browser.get(await browser.consent(await browser.start('hubspot', { reconnect: connection.id })))
    await repaired
    expect((await integrations.admin.connections.get(connection.id))?.status).toBe('active')
    const runs = (await integrations.admin.backfills.list({ connectionId: connection.id })).items
    expect(runs.find(({ id }) => id === before?.id)).toMatchObject({ status: 'completed', window: before?.window })
    for (const { name } of hubspot.resources) {
      const { items } = await integrations.admin.records.list({
        connectionId: connection.id,
        resource: name,
        limit: 200,
      })
      expect(items.map(({ id }) => id).sort(), name).toEqual(
        lab.data.hubspot?.[name]?.map(({ id }) => String(id)).sort(),
      )
    }
    // What was read before was not read again.
    const again = lab.requests.slice(asked).filter(({ endpoint }) => endpoint === 'api')
    expect(new Set(again.map(({ resource }) => resource))).toEqual(new Set([last]))
  } finally {
    await host.close()
  }
})
