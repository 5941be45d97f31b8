import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { IntegrationError } from '../../src/errors.js'
import type { Store } from '../../src/persistence/store.js'
import type { Tokens } from '../../src/tokens/access-token.js'
import { type Acme, startAcme } from './acme.js'
import { createKit, type Kit, type StorePlace, storePlace } from './kit.js'

/*
 * A state machine over refresh, crash, clock skew, reconnect and disconnect. After every step one thing must hold: a connection that
 * counts as usable has the newest refresh token that its provider issued, unless an answer was lost in the one documented window
 * (sent, but not yet stored); and then the next refresh says `rotation_lost`.
 */
const RUNS = Number(process.env.MODEL_RUNS ?? 100)
const LEASE_MS = 30_000
const TIMEOUT_MS = 10_000
/** Every token has ended after it, by whichever clock its end was counted. */
const EXPIRY_MS = 3_700_000

type CrashPoint = 'before_send' | 'after_send' | 'after_commit'

interface Model {
  /** An answer may be lost: a crash after sending, since the last stored token. */
  windowHit: boolean
  connected: boolean
}
interface Real {
  kit: Kit
  acme: Acme
  id: string
  account: string
  /** Processes with clocks of their own. */
  processes: { tokens: Tokens; skewMs: number }[]
  /** Version that each stored token had, to see that none ever goes back. */
  highest: number
}

const swallow = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

/** Refreshes in a process that dies at `point`: from there on, nothing it does reaches store or provider. */
async function crashing(real: Real, point: CrashPoint, skewMs: number): Promise<void> {
  const { kit } = real
  let died: () => void = () => {}
  const death = new Promise<void>((resolve) => (died = resolve))
  const never = new Promise<never>(() => {})
  const store = new Proxy(kit.store, {
    get(target, name, receiver) {
      const method = Reflect.get(target, name, receiver) as Store['acquireRefreshLease']
      if (name === 'acquireRefreshLease' && point === 'before_send')
        return async (input: Parameters<Store['acquireRefreshLease']>[0]) => {
          const lease = await target.acquireRefreshLease(input)
          if (!lease) return lease
          died()
          return never
        }
      if (name === 'commitRefresh' && point !== 'before_send')
        return async (input: Parameters<Store['commitRefresh']>[0]) => {
          if (point === 'after_commit') await target.commitRefresh(input)
          died()
          return never
        }
      return method
    },
  })
  const tokens = kit.another({ store, now: () => kit.clock.now + skewMs, ...TIMES })
  const call = swallow(tokens.accessToken('tenant-1', real.id))
  await Promise.race([death, call])
}

const TIMES = { refreshTimeoutMs: TIMEOUT_MS, leaseMs: LEASE_MS, cacheMs: 0 }

async function check(model: Model, real: Real): Promise<void> {
  const document = await real.kit.store.getConnection(null, real.id)
  if (!document || document.status === 'disconnected') {
    expect(model.connected).toBe(false)
    expect(document?.tokens ?? {}).toEqual({})
    return
  }
  const version = document.tokens.default?.version ?? 0
  expect(version).toBeGreaterThanOrEqual(real.highest)
  real.highest = version
  const { refreshToken = '' } = await real.kit.credentialOf(real.id)
  if (model.windowHit) {
    if (document.status === 'needs_reauth') expect(document.cause).toBe('rotation_lost')
    return
  }
  expect(document.status).not.toBe('needs_reauth')
  expect(real.acme.isNewest(refreshToken)).toBe(true)
}

abstract class Step implements fc.AsyncCommand<Model, Real> {
  check = (model: Readonly<Model>) => this.applies(model)
  applies(model: Readonly<Model>): boolean {
    return model.connected
  }
  async run(model: Model, real: Real): Promise<void> {
    await this.act(model, real)
    await check(model, real)
  }
  abstract act(model: Model, real: Real): Promise<void>
  abstract toString(): string
}

class Refresh extends Step {
  constructor(
    readonly by: number,
    readonly callers: number,
  ) {
    super()
  }
  async act(model: Model, real: Real): Promise<void> {
    const process = real.processes[this.by % real.processes.length]
    const errors = await Promise.all(
      Array.from({ length: this.callers }, () =>
        swallow(process?.tokens.accessToken('tenant-1', real.id) ?? Promise.resolve()),
      ),
    )
    for (const error of errors) {
      if (error === undefined) continue
      expect(model.windowHit && (error as IntegrationError).code).toBe('CONNECTION_NEEDS_REAUTH')
    }
  }
  toString = () => `refresh(process ${this.by}, ${this.callers} callers)`
}

class RefreshTogether extends Step {
  async act(model: Model, real: Real): Promise<void> {
    const before = real.acme.refreshes.length
    const errors = await Promise.all(
      real.processes.flatMap(({ tokens }) => [1, 2, 3].map(() => swallow(tokens.accessToken('tenant-1', real.id)))),
    )
    if (model.windowHit) return
    expect(errors.filter((error) => error !== undefined)).toEqual([])
    expect(real.acme.refreshes.length - before).toBeLessThanOrEqual(1)
  }
  toString = () => 'refreshTogether'
}

class Crash extends Step {
  constructor(
    readonly point: CrashPoint,
    readonly skewMs: number,
  ) {
    super()
  }
  async act(model: Model, real: Real): Promise<void> {
    const document = await real.kit.store.getConnection(null, real.id)
    const before = real.acme.refreshes.length
    await crashing(real, this.point, this.skewMs)
    if (real.acme.refreshes.length > before && this.point === 'after_send') {
      const after = await real.kit.store.getConnection(null, real.id)
      if (after?.tokens.default?.version === document?.tokens.default?.version) model.windowHit = true
    }
    // The lease that it left behind has to end before others go on.
    real.kit.clock.now += LEASE_MS + 20_000
  }
  toString = () => `crash(${this.point}, skew ${this.skewMs})`
}

/** A process that stops for longer than its lease between the answer and the write, and then goes on as if nothing had been. */
class Pause extends Step {
  constructor(readonly othersGoOn: boolean) {
    super()
  }
  async act(model: Model, real: Real): Promise<void> {
    const { kit } = real
    kit.clock.now += EXPIRY_MS
    const paused = gate()
    const reached = gate()
    let hasAnswer = false
    const store = new Proxy(kit.store, {
      get(target, name, receiver) {
        if (name !== 'commitRefresh') return Reflect.get(target, name, receiver)
        return async (input: Parameters<Store['commitRefresh']>[0]) => {
          hasAnswer = true
          reached.open()
          await paused.opened
          return target.commitRefresh(input)
        }
      },
    })
    const call = swallow(kit.another({ store, ...TIMES }).accessToken('tenant-1', real.id))
    await Promise.race([reached.opened, call])
    kit.clock.now += LEASE_MS + 20_000
    if (this.othersGoOn)
      await swallow((real.processes[0] as Real['processes'][0]).tokens.accessToken('tenant-1', real.id))
    if (hasAnswer && this.othersGoOn) model.windowHit = true
    paused.open()
    await call
    // Who came after it has judged; the late one must not bring its dead token back.
    if (hasAnswer && this.othersGoOn)
      expect(await kit.store.getConnection(null, real.id)).toMatchObject({ cause: 'rotation_lost' })
  }
  toString = () => `pause(${this.othersGoOn ? 'others go on' : 'alone'})`
}

/** Starts a refresh that waits at the provider while `meanwhile` happens. */
async function during(real: Real, meanwhile: () => Promise<unknown>): Promise<void> {
  real.kit.clock.now += EXPIRY_MS
  const held = gate()
  real.acme.control.gate = held.opened
  const arrived = real.acme.arrived(real.acme.refreshes.length + 1)
  const call = swallow((real.processes[0] as Real['processes'][0]).tokens.accessToken('tenant-1', real.id))
  await Promise.race([arrived, call])
  await meanwhile()
  real.acme.control.gate = undefined
  held.open()
  await call
}

function gate(): { opened: Promise<void>; open: () => void } {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

class Expire extends Step {
  async act(_: Model, real: Real): Promise<void> {
    real.kit.clock.now += EXPIRY_MS
  }
  toString = () => 'expire'
}

class Outage extends Step {
  constructor(readonly kind: 'html' | 'status' | 'cut') {
    super()
  }
  async act(model: Model, real: Real): Promise<void> {
    real.kit.clock.now += EXPIRY_MS
    const { refreshFaults } = real.acme
    if (this.kind === 'html') refreshFaults.push({ kind: 'answer', status: 200, body: '<html>down</html>' })
    if (this.kind === 'status') refreshFaults.push({ kind: 'answer', status: 503, body: '{}' })
    if (this.kind === 'cut') refreshFaults.push({ kind: 'cut' }, { kind: 'cut' })
    const error = await swallow((real.processes[0] as Real['processes'][0]).tokens.accessToken('tenant-1', real.id))
    refreshFaults.length = 0
    if (!model.windowHit) expect((error as IntegrationError).code).toMatch(/^PROVIDER_/)
    real.kit.clock.now += 600_000
  }
  toString = () => `outage(${this.kind})`
}

class Reconnect extends Step {
  override applies = () => true
  constructor(readonly during: boolean) {
    super()
  }
  async act(model: Model, real: Real): Promise<void> {
    const reconnect = () => real.kit.connect({ account: real.account, endsInMs: 3_600_000 })
    await (this.during && model.connected ? during(real, reconnect) : reconnect())
    model.connected = true
    model.windowHit = false
  }
  toString = () => `reconnect(${this.during ? 'during a refresh' : 'quiet'})`
}

class Disconnect extends Step {
  constructor(readonly during: boolean) {
    super()
  }
  async act(model: Model, real: Real): Promise<void> {
    const disconnect = () => real.kit.tokens.disconnect('tenant-1', real.id)
    await (this.during ? during(real, disconnect) : disconnect())
    model.connected = false
    model.windowHit = false
  }
  toString = () => `disconnect(${this.during ? 'during a refresh' : 'quiet'})`
}

// Clocks may differ by less than the lease outlives the request; beyond that two processes could hold one lease.
const skew = fc.constantFrom(-9_000, 0, 9_000)
const commands = fc.commands(
  [
    fc
      .record({ by: fc.nat(2), callers: fc.integer({ min: 1, max: 5 }) })
      .map(({ by, callers }) => new Refresh(by, callers)),
    fc.constant(new RefreshTogether()),
    fc.constant(new Expire()),
    fc
      .record({ point: fc.constantFrom<CrashPoint>('before_send', 'after_send', 'after_commit'), skewMs: skew })
      .map(({ point, skewMs }) => new Crash(point, skewMs)),
    fc.constantFrom('html' as const, 'status' as const, 'cut' as const).map((kind) => new Outage(kind)),
    fc.boolean().map((othersGoOn) => new Pause(othersGoOn)),
    fc.boolean().map((during) => new Reconnect(during)),
    fc.boolean().map((during) => new Disconnect(during)),
  ],
  { maxCommands: 14 },
)

for (const kind of ['sqlite', 'mongo'] as const) {
  describe(`the model of token life, on ${kind}`, () => {
    let acme: Acme
    let place: StorePlace & { remove: () => void }
    let kit: Kit
    let processes: Real['processes']
    beforeAll(async () => {
      acme = await startAcme()
      place = await storePlace(kind)
      kit = await createKit(acme, place, TIMES)
      processes = [0, 9_000, -9_000].map((skewMs) => ({
        tokens: kit.another({ now: () => kit.clock.now + skewMs }),
        skewMs,
      }))
    })
    afterAll(async () => {
      // Not the processes that crashed: they wait for ever.
      await kit.store.close()
      await acme.close()
      place.remove()
    })

    it('never loses the newest refresh token but in the one window, and no stale writer wins', {
      timeout: 300_000,
    }, async () => {
      await fc.assert(
        fc.asyncProperty(commands, async (steps) => {
          const account = randomUUID()
          acme.refreshFaults.length = 0
          const { id } = await kit.connect({ account })
          const real: Real = { kit, acme, id, account, processes, highest: 0 }
          await fc.asyncModelRun(() => ({ model: { windowHit: false, connected: true }, real }), steps)
        }),
        { numRuns: RUNS },
      )
    })
  })
}
