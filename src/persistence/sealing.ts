import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { IntegrationError } from '../errors.js'
import { randomPart } from '../random.js'

/** Where a sealed value belongs. It opens nowhere else: all of it is authenticated with the value. */
export interface SealContext {
  tenantId: string
  provider: string
  connectionId: string
  /** Such as `token:default`. */
  field: string
}

/** Seals what must not be read from the database. */
export interface Sealer {
  /** With the first key. The result is printable ASCII: `v1.<key id>.<base64url>`. */
  seal(plaintext: string, context: SealContext): string
  /** @throws IntegrationError `STORE_KEY_UNKNOWN` naming the key id, `STORE_SEAL_BROKEN` when it was changed or moved. */
  open(sealed: string, context: SealContext): string
  /** Id of the key that sealed it. @throws IntegrationError `STORE_SEAL_BROKEN` when it is no sealed value. */
  keyIdOf(sealed: string): string
  /** Id of the key that seals. */
  readonly firstKeyId: string
  /** Keyed, one way: equal values of one context give equal texts of 43 characters, whatever key seals at the time. */
  fingerprint(value: string, context: string): string
}

export interface SealerOptions {
  /**
   * What keys `fingerprint`, at least 32 bytes. Without it the last of the keys does, and fingerprints change once that key is removed.
   */
  fingerprintSecret?: string
}

const VERSION = 'v1'
const SEALED = /^v1\.([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]{38,})$/
const IV_BYTES = 12
const TAG_BYTES = 16
/** Derived keys kept: deriving one costs some 10 µs, and 2,048 of them about 1 MiB. */
const CACHED_KEYS = 2048

/**
 * AES-256-GCM with a key per connection, derived by HKDF-SHA256.
 *
 * @param keys - `"k2:<base64 of 32 bytes>,k1:<…>"`: the first seals, all open.
 * @throws TypeError saying which entry is wrong and why. Never with a key in it.
 */
export function createSealer(keys: string, options: SealerOptions = {}): Sealer {
  const masters = parseKeys(keys)
  const ids = [...masters.keys()]
  const firstKeyId = ids[0] as string
  const derived = new Map<string, KeyObject>()
  const { fingerprintSecret } = options
  const fingerprintMaster =
    fingerprintSecret === undefined
      ? (masters.get(ids.at(-1) as string) as KeyObject)
      : extract(Buffer.from(fingerprintSecret))
  const fingerprintKey = createSecretKey(expand(fingerprintMaster, Buffer.from('atom-integrations fingerprint v1')))

  function keyFor(keyId: string, { tenantId, provider, connectionId }: SealContext): KeyObject | undefined {
    const master = masters.get(keyId)
    if (!master) return undefined
    const info = joined('atom-integrations seal', VERSION, keyId, tenantId, provider, connectionId)
    const cacheKey = info.toString('latin1')
    const known = derived.get(cacheKey)
    if (known) return known
    const key = createSecretKey(expand(master, shortened(info)))
    // The oldest goes first: good enough, since deriving again is cheap.
    if (derived.size >= CACHED_KEYS) derived.delete(derived.keys().next().value as string)
    derived.set(cacheKey, key)
    return key
  }

  return {
    firstKeyId,
    seal(plaintext, context) {
      const iv = randomPart(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', keyFor(firstKeyId, context) as KeyObject, iv)
      cipher.setAAD(additionalData(firstKeyId, context))
      const body = Buffer.concat([iv, cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `${VERSION}.${firstKeyId}.${body.toString('base64url')}`
    },
    open(sealed, context) {
      const { keyId, body } = parseSealed(sealed)
      const key = keyFor(keyId, context)
      if (!key) {
        throw new IntegrationError(
          'STORE_KEY_UNKNOWN',
          `sealed with the key "${keyId}", which is not among the encryption keys (${ids.join(', ')}): add it again`,
        )
      }
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, IV_BYTES))
        decipher.setAAD(additionalData(keyId, context))
        decipher.setAuthTag(body.subarray(body.length - TAG_BYTES))
        const text = decipher.update(body.subarray(IV_BYTES, body.length - TAG_BYTES))
        return Buffer.concat([text, decipher.final()]).toString('utf8')
      } catch (cause) {
        throw broken(
          `does not open with the key "${keyId}": changed, moved from another document, or another key of that name`,
          cause,
        )
      }
    },
    keyIdOf: (sealed) => parseSealed(sealed).keyId,
    fingerprint: (value, context) =>
      createHmac('sha256', fingerprintKey).update(joined(context, value)).digest('base64url'),
  }
}

/**
 * The encryption key of a development machine: read from `path`, or made there with mode 0600.
 *
 * Of several processes at the same moment one creates the file, and all end up with the same key.
 */
export function readOrCreateKeyFile(path: string): { keys: string; created: boolean } {
  if (existsSync(path)) return { keys: readKeyFile(path), created: false }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // Written aside and then linked, so that nobody ever reads half a key; like O_EXCL, a link never replaces.
  const draft = `${path}.${process.pid}.${randomBytes(6).toString('hex')}`
  const keys = `k1:${randomBytes(32).toString('base64')}`
  const file = openSync(draft, 'wx', 0o600)
  try {
    writeSync(file, `${keys}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  try {
    linkSync(draft, path)
    return { keys, created: true }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return { keys: readKeyFile(path), created: false }
  } finally {
    unlinkSync(draft)
  }
}

function readKeyFile(path: string): string {
  const keys = readFileSync(path, 'utf8').trim()
  try {
    parseKeys(keys)
  } catch (cause) {
    throw new TypeError(
      `The key file ${path} is damaged. What it sealed cannot be read without it: restore the file.`,
      {
        cause,
      },
    )
  }
  if (statSync(path).mode & 0o077) chmodSync(path, 0o600)
  return keys
}

/** By id, each after HKDF's first step. */
function parseKeys(keys: string): Map<string, KeyObject> {
  const parsed = new Map<string, KeyObject>()
  const entries = typeof keys === 'string' ? keys.split(',').map((entry) => entry.trim()) : []
  if (entries.length === 0 || entries.every((entry) => entry === '')) throw wrongKeys('is empty')
  for (const [index, entry] of entries.entries()) {
    const colon = entry.indexOf(':')
    const id = entry.slice(0, colon)
    if (colon < 1 || !/^[A-Za-z0-9_-]{1,32}$/.test(id))
      throw wrongKeys(`entry ${index + 1} does not begin with an id of 1 to 32 letters, digits, "_" or "-" and a colon`)
    const text = entry.slice(colon + 1)
    const bytes = Buffer.from(text, 'base64')
    if (bytes.length !== 32 || bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, ''))
      throw wrongKeys(`the key "${id}" is not 32 bytes in base64`)
    if (parsed.has(id)) throw wrongKeys(`the id "${id}" stands there twice`)
    parsed.set(id, extract(bytes))
  }
  return parsed
}

function wrongKeys(what: string): TypeError {
  return new TypeError(`encryptionKeys: ${what}. Expected "<id>:<base64 of 32 bytes>", several separated by commas.`)
}

function parseSealed(sealed: string): { keyId: string; body: Buffer } {
  const match = typeof sealed === 'string' ? SEALED.exec(sealed) : null
  if (!match) throw broken('is not a sealed value')
  return { keyId: match[1] as string, body: Buffer.from(match[2] as string, 'base64url') }
}

function broken(what: string, cause?: unknown): IntegrationError {
  return new IntegrationError('STORE_SEAL_BROKEN', `the stored value ${what}`, cause === undefined ? {} : { cause })
}

function additionalData(keyId: string, { tenantId, provider, connectionId, field }: SealContext): Buffer {
  return joined(VERSION, tenantId, provider, connectionId, field, keyId)
}

/** Parts with their lengths before them, so that no two lists give the same bytes. */
function joined(...parts: string[]): Buffer {
  const all = Buffer.allocUnsafe(parts.reduce((size, part) => size + 4 + Buffer.byteLength(part), 0))
  let end = 0
  for (const part of parts) {
    const size = all.write(part, end + 4)
    end = all.writeUInt32BE(size, end) + size
  }
  return all
}

/** HKDF's first step (RFC 5869 §2.2) without a salt, once per key. */
function extract(key: Buffer): KeyObject {
  return createSecretKey(createHmac('sha256', Buffer.alloc(32)).update(key).digest())
}

/** Its second step (§2.3), for 32 bytes; a third of what `hkdfSync` costs, which does both each time. */
function expand(extracted: KeyObject, info: Buffer): Buffer {
  return createHmac('sha256', extracted).update(info).update('\x01').digest()
}

/** Longer ones are replaced by their hash. */
function shortened(info: Buffer): Buffer {
  return info.length <= 512 ? info : createHmac('sha256', 'atom-integrations info').update(info).digest()
}
