import { fork } from 'node:child_process'
import { createDecipheriv, hkdfSync } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSealer, readOrCreateKeyFile, type SealContext } from '../../src/persistence/index.js'

const key = (byte: number) => Buffer.alloc(32, byte).toString('base64')
const K1 = `k1:${key(1)}`
const K2 = `k2:${key(2)}`
const context: SealContext = { tenantId: 't', provider: 'slack', connectionId: 'c', field: 'token:default' }

describe('sealing', () => {
  it('opens what it sealed, for any text and any place', () => {
    const sealer = createSealer(K1)
    const text = fc.string({ unit: 'grapheme' })
    const place = fc.record({ tenantId: text, provider: text, connectionId: text, field: text })
    fc.assert(
      fc.property(text, place, (plaintext, where) => {
        const sealed = sealer.seal(plaintext, where)
        expect(sealed).toMatch(/^v1\.k1\.[A-Za-z0-9_-]+$/)
        expect(sealer.open(sealed, where)).toBe(plaintext)
      }),
    )
  })

  it('never gives the same sealed text twice', () => {
    const sealer = createSealer(K1)
    const sealed = new Set(Array.from({ length: 1000 }, () => sealer.seal('same', context)))
    expect(sealed.size).toBe(1000)
  })

  it('does not open anywhere else, nor where two parts run together to the same text', () => {
    const sealer = createSealer(K1)
    const sealed = sealer.seal('secret', { ...context, tenantId: 'ab', provider: 'c' })
    const elsewhere: Partial<SealContext>[] = [
      { tenantId: 'a', provider: 'bc' },
      { tenantId: 'abc', provider: '' },
      { tenantId: 'ab', provider: 'c', connectionId: 'other' },
      { tenantId: 'ab', provider: 'c', field: 'token:user' },
    ]
    for (const where of elsewhere)
      expect(() => sealer.open(sealed, { ...context, ...where })).toThrow(
        expect.objectContaining({ code: 'STORE_SEAL_BROKEN' }),
      )
  })

  it('does not open when any character was changed', () => {
    const sealer = createSealer(`${K1},${K2}`)
    const sealed = sealer.seal('secret', context)
    for (let i = 0; i < sealed.length; i++) {
      const changed = sealed.slice(0, i) + (sealed[i] === 'A' ? 'B' : 'A') + sealed.slice(i + 1)
      // The last character of base64 has bits that mean nothing.
      if (Buffer.from(changed.slice(6), 'base64url').equals(Buffer.from(sealed.slice(6), 'base64url'))) continue
      expect(() => sealer.open(changed, context)).toThrow(expect.objectContaining({ status: 500 }))
    }
    for (const wrong of ['', 'v1.k1.', 'v2.k1.AAAA', sealed.slice(0, 40), '{"accessToken":"plain"}'])
      expect(() => sealer.open(wrong, context)).toThrow(expect.objectContaining({ code: 'STORE_SEAL_BROKEN' }))
  })

  it('seals with the first key and opens with all', () => {
    const [old, rotated] = [createSealer(K1), createSealer(`${K2},${K1}`)]
    const before = old.seal('secret', context)
    expect(rotated.open(before, context)).toBe('secret')
    expect(rotated.keyIdOf(before)).toBe('k1')
    expect(rotated.firstKeyId).toBe('k2')
    expect(rotated.keyIdOf(rotated.seal('secret', context))).toBe('k2')
  })

  it('names the key that is missing, and no key in any error', () => {
    const sealed = createSealer(K1).seal('secret', context)
    const error = (() => {
      try {
        createSealer(K2).open(sealed, context)
      } catch (thrown) {
        return thrown as Error
      }
    })()
    expect(error).toMatchObject({ code: 'STORE_KEY_UNKNOWN', message: expect.stringContaining('"k1"') })
    expect(JSON.stringify(error) + error?.message + error?.stack).not.toContain(key(2))
  })

  it('does not open with another key of the same name', () => {
    const sealed = createSealer(K1).seal('secret', context)
    expect(() => createSealer(`k1:${key(9)}`).open(sealed, context)).toThrow(
      expect.objectContaining({ code: 'STORE_SEAL_BROKEN' }),
    )
  })

  it.each([
    ['', /is empty/],
    [' , ', /is empty/],
    [key(1), /entry 1 does not begin with an id/],
    [`${K1},nokey`, /entry 2 does not begin with an id/],
    [`k 1:${key(1)}`, /entry 1/],
    ['k1:c2hvcnQ=', /"k1" is not 32 bytes/],
    [`k1:${Buffer.alloc(33).toString('base64')}`, /"k1" is not 32 bytes/],
    [`k1:${'*'.repeat(44)}`, /"k1" is not 32 bytes/],
    [`${K1},${K1}`, /"k1" stands there twice/],
  ])('refuses the keys %j with a TypeError that says why', (keys, message) => {
    expect(() => createSealer(keys)).toThrow(TypeError)
    expect(() => createSealer(keys)).toThrow(message)
    expect(() => createSealer(keys)).not.toThrow(/AQEB/)
  })

  it('shows no key to those who print it', () => {
    const sealer = createSealer(K1)
    sealer.seal('secret', context)
    expect(JSON.stringify(sealer)).not.toContain('AQEB')
  })

  it('makes fingerprints that stay over a rotation, differ by context, and tell nothing without the secret', () => {
    const secret = { fingerprintSecret: 's'.repeat(32) }
    const print = createSealer(K1, secret).fingerprint('sk-123', 'openai')
    expect(print).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(createSealer(`${K2}`, secret).fingerprint('sk-123', 'openai')).toBe(print)
    expect(createSealer(K1, secret).fingerprint('sk-124', 'openai')).not.toBe(print)
    expect(createSealer(K1, secret).fingerprint('sk-123', 'other')).not.toBe(print)
    expect(createSealer(K1, secret).fingerprint('123', 'openaisk-')).not.toBe(print)
    expect(createSealer(K1, { fingerprintSecret: 'x'.repeat(32) }).fingerprint('sk-123', 'openai')).not.toBe(print)
    expect(createSealer(`${K2},${K1}`).fingerprint('a', 'b')).toBe(createSealer(K1).fingerprint('a', 'b'))
  })
})

describe('the key file of a development machine', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'atom-key-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is made once, readable by its owner only, and found again', () => {
    const path = join(folder, 'new', 'development.key')
    const made = readOrCreateKeyFile(path)
    expect(made.created).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'new')).mode & 0o777).toBe(0o700)
    expect(readOrCreateKeyFile(path)).toEqual({ keys: made.keys, created: false })
    expect(createSealer(made.keys).firstKeyId).toBe('k1')
    expect(readdirSync(join(folder, 'new'))).toEqual(['development.key'])
  })

  it('is closed to others when it was open to them', () => {
    const path = join(folder, 'development.key')
    writeFileSync(path, `${K1}\n`)
    chmodSync(path, 0o644)
    expect(readOrCreateKeyFile(path)).toEqual({ keys: K1, created: false })
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is never replaced when it is damaged', () => {
    const path = join(folder, 'development.key')
    writeFileSync(path, 'k1:oops\n')
    expect(() => readOrCreateKeyFile(path)).toThrow(/key file .* is damaged/)
    expect(readFileSync(path, 'utf8')).toBe('k1:oops\n')
  })

  it('gives eight processes at once the same key', async () => {
    const path = join(folder, 'development.key')
    const worker = fileURLToPath(new URL('key-worker.js', import.meta.url))
    const built = fileURLToPath(new URL('../../dist/persistence/sealing.js', import.meta.url))
    if (!process.env.ATOM_DIST && !existsSync(built)) throw new Error('this test runs the build: npm run build')
    const children = Array.from({ length: 8 }, () => fork(worker))
    const answers = children.map(
      (child) => new Promise<{ keys: string; created: boolean }>((resolve) => child.once('message', resolve as never)),
    )
    for (const child of children) child.send(path)
    const given = await Promise.all(answers)
    expect(new Set(given.map(({ keys }) => keys)).size).toBe(1)
    expect(given.filter(({ created }) => created)).toHaveLength(1)
    expect(readdirSync(folder)).toEqual(['development.key'])
  })

  it('derives its keys as RFC 5869 says: what another HKDF derives opens it', () => {
    const context = { tenantId: 't', provider: 'p', connectionId: 'c', field: 'token:default' }
    const sealed = createSealer(`k1:${Buffer.alloc(32, 5).toString('base64')}`).seal('secret', context)
    const joined = (...parts: string[]) =>
      Buffer.concat(
        parts.flatMap((part) => {
          const length = Buffer.alloc(4)
          length.writeUInt32BE(Buffer.byteLength(part))
          return [length, Buffer.from(part)]
        }),
      )
    const info = joined('atom-integrations seal', 'v1', 'k1', 't', 'p', 'c')
    const key = Buffer.from(hkdfSync('sha256', Buffer.alloc(32, 5), '', info, 32))
    const body = Buffer.from(sealed.split('.')[2] as string, 'base64url')
    const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, 12))
    decipher.setAAD(joined('v1', 't', 'p', 'c', 'token:default', 'k1'))
    decipher.setAuthTag(body.subarray(-16))
    expect(decipher.update(body.subarray(12, -16), undefined, 'utf8') + decipher.final('utf8')).toBe('secret')
  })
})
