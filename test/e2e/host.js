// One process of a host on the build, told by IPC what to do: { options, die }. `die` names the step at which it kills itself.
import { register } from 'node:module'
import express from 'express'
import { onSave } from './dying-store.js'

register('./store-hook.js', import.meta.url)
const dist = new URL(process.env.ATOM_DIST ?? '../../dist/', import.meta.url)
const { atomIntegrations } = await import(new URL('index.js', dist).href)
const kill = () => process.kill(process.pid, 'SIGKILL')

process.once('message', async ({ options, die }) => {
  onSave({
    beforeSave: () => {
      if (die === 'before the save') kill()
    },
    afterSave: () => {
      if (die === 'after the save') kill()
    },
  })
  const integrations = atomIntegrations({
    ...options,
    logger: false,
    identify: () => ({ tenantId: 'org', userId: 'ada' }),
    sync: {
      months: 3,
      onRecords: () => {
        if (die === 'page') kill()
      },
    },
  })
  integrations.on('connected', () => {
    if (die === 'event') kill()
    process.send({ type: 'connected' })
  })
  integrations.on('backfill.completed', ({ backfillId }) => process.send({ type: 'completed', backfillId }))
  const app = express()
  app.use((req, res, next) => {
    // The answer to the callback: everything before it is written, nothing after it has happened.
    if (die === 'callback' && req.url.includes('/callback')) res.on('finish', kill)
    next()
  })
  app.use(integrations)
  await integrations.ready()
  const server = app.listen(0, '127.0.0.1', () => process.send({ type: 'ready', port: server.address().port }))
  process.once('message', async () => {
    await integrations.close()
    process.exit(0)
  })
})
