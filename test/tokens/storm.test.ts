import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TokensOptions } from '../../src/tokens/access-token.js'
import { type Acme, acmeDefinition, acmeEntry, startAcme } from './acme.js'
import { createKit, KEYS, type Kit, type StorePlace, storePlace } from './kit.js'

const ROUNDS = Number(process.env.STORM_ROUNDS ?? 10)
/** The slow and the killed cases take seconds each. */
const REPEATS = Math.max(1, Math.floor(ROUNDS / 10))
const PROCESSES = 4
const CALLERS = 1000
const worker = fileURLToPath(new URL('worker.js', import.meta.url))
const built = fileURLToPath(new URL('dist/tokens/access-token.js', new URL('../../', import.meta.url)))

interface Done {
  type: 'done'
  tokens: string[]
  failures: string[]
}

for (const kind of ['sqlite', 'mongo'] as const) {
  describe(`a storm of ${PROCESSES} processes with ${CALLERS} callers each, on ${kind}`, () => {
    let acme: Acme
    let place: StorePlace & { remove: () => void }
    let kit: Kit
    let workers: Worker[] = []
    const startAll = (options: Partial<TokensOptions> = {}) =>
      Promise.all(Array.from({ length: PROCESSES }, () => start(place, acme, options)))
    /** One process that will be killed, and those that take over. */
    const startToKill = async (hold: boolean): Promise<[Worker, Worker[]]> => {
      const times = { refreshTimeoutMs: 2_500, leaseMs: 5_000 }
      const [holder, ...others] = await Promise.all(
        Array.from({ length: PROCESSES }, (_, index) => start(place, acme, times, hold && index === 0)),
      )
      return [holder as Worker, others]
    }

    beforeAll(async () => {
      if (!process.env.ATOM_DIST && !existsSync(built)) throw new Error('the storm runs the build: npm run build')
      acme = await startAcme()
      place = await storePlace(kind)
      kit = await createKit(acme, place, { now: Date.now })
      workers = await startAll()
    })
    afterAll(async () => {
      stop(workers)
      await kit.close()
      await acme.close()
      place.remove()
    })

    it(`refreshes once and fails nobody, ${ROUNDS} times over`, { timeout: 20_000 * ROUNDS }, async () => {
      for (let round = 0; round < ROUNDS; round++) {
        // A provider from fast to slow, and callers from all at once to spread over it.
        acme.control.delayMs = Math.random() * 400
        const { id } = await kit.connect()
        const before = acme.refreshes.length
        const spreadMs = round % 2 ? Math.random() * 500 : 0
        const done = await Promise.all(workers.map((one) => one.storm(id, spreadMs)))
        expect(done.flatMap(({ failures }) => failures)).toEqual([])
        expect(acme.refreshes.slice(before)).toHaveLength(1)
        const tokens = new Set(done.flatMap(({ tokens }) => tokens))
        expect(tokens.size).toBe(1)
        expect(acme.isLive([...tokens][0] ?? '')).toBe(true)
        expect(acme.isNewest((await kit.credentialOf(id)).refreshToken ?? '')).toBe(true)
      }
      acme.control.delayMs = 0
    })

    it(`waits for a provider that is slower than the cache and faster than the timeout, ${REPEATS} times over`, {
      timeout: 60_000 * REPEATS,
    }, async () => {
      const patient = await startAll({ cacheMs: 100 })
      acme.control.delayMs = 1_500
      try {
        for (let round = 0; round < REPEATS; round++) {
          const { id } = await kit.connect()
          const before = acme.refreshes.length
          const done = await Promise.all(patient.map((one) => one.storm(id, 1_000)))
          expect(done.flatMap(({ failures }) => failures)).toEqual([])
          expect(acme.refreshes.slice(before)).toHaveLength(1)
        }
      } finally {
        acme.control.delayMs = 0
        stop(patient)
      }
    })

    it(`fails nobody when the process that holds the lease is killed before it sends, ${REPEATS} times over`, {
      timeout: 60_000 * REPEATS,
    }, async () => {
      for (let round = 0; round < REPEATS; round++) {
        const [holder, others] = await startToKill(true)
        const { id } = await kit.connect()
        const before = acme.refreshes.length
        const leased = holder.next('leased')
        void holder.storm(id, 0).catch(() => {})
        await leased
        const storms = others.map((one) => one.storm(id, 0))
        stop([holder])
        const done = await Promise.all(storms)
        stop(others)
        expect(done.flatMap(({ failures }) => failures)).toEqual([])
        expect(acme.refreshes.slice(before)).toHaveLength(1)
        expect(await kit.store.getConnection(null, id)).toMatchObject({ status: 'active' })
      }
    })

    it(`says rotation_lost, and nothing else, when it is killed between sending and storing, ${REPEATS} times over`, {
      timeout: 60_000 * REPEATS,
    }, async () => {
      for (let round = 0; round < REPEATS; round++) {
        const [holder, others] = await startToKill(false)
        const { id } = await kit.connect()
        const before = acme.refreshes.length
        acme.refreshFaults.push({ kind: 'hang', rotate: true })
        void holder.storm(id, 0).catch(() => {})
        await acme.arrived(before + 1)
        stop([holder])
        const done = await Promise.all(others.map((one) => one.storm(id, 0)))
        stop(others)
        const failures = done.flatMap((one) => one.failures)
        expect(failures).toHaveLength(CALLERS * others.length)
        expect(new Set(failures.map((failure) => failure.split(':')[0]))).toEqual(new Set(['CONNECTION_NEEDS_REAUTH']))
        expect(await kit.store.getConnection(null, id)).toMatchObject({
          status: 'needs_reauth',
          cause: 'rotation_lost',
        })
        expect(acme.refreshes.length - before).toBe(2)
      }
    })
  })
}

interface Worker {
  child: ChildProcess
  next: (type: string) => Promise<unknown>
  storm: (connectionId: string, spreadMs: number) => Promise<Done>
}

function stop(workers: readonly Worker[]): void {
  for (const { child } of workers) child.kill('SIGKILL')
}

async function start(
  place: StorePlace,
  acme: Acme,
  options: Partial<TokensOptions> = {},
  hold = false,
): Promise<Worker> {
  const child = fork(worker, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const waiting = new Map<string, { resolve: (message: unknown) => void; reject: (error: Error) => void }>()
  child.on('message', (message: { type: string }) => waiting.get(message.type)?.resolve(message))
  child.on('exit', () => {
    for (const [type, { reject }] of waiting) reject(new Error(`the worker ended before it said ${type}`))
  })
  const next = (type: string) =>
    new Promise<unknown>((resolve, reject) => {
      waiting.set(type, { resolve, reject })
    }).finally(() => waiting.delete(type))
  const ready = next('ready')
  const { definition, client } = acmeEntry(acmeDefinition())
  child.send({ place, keys: KEYS, origins: acme.origins, definition, client, options, hold })
  await ready
  return {
    child,
    next,
    storm: (connectionId, spreadMs) => {
      const done = next('done') as Promise<Done>
      child.send({ tenantId: 'tenant-1', connectionId, callers: CALLERS, spreadMs })
      return done
    },
  }
}
