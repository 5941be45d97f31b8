import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

/**
 * Where a provider's origin is reached instead: `{ 'https://slack.com': 'http://127.0.0.1:4010' }`. A key may have one wildcard label
 * (`https://*.myshopify.com`). `{ browser, server }` where redirects of the browser and calls of the server differ.
 */
export interface OriginMap {
  readonly [origin: string]: string | { readonly browser: string; readonly server: string }
}

/**
 * Whether `url` may be asked: https, without user or password, its origin in the list. `https://*.example.com` stands for exactly one
 * label.
 */
export function isAllowedOrigin(url: URL, origins: readonly string[]): boolean {
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') return false
  for (const origin of origins)
    if (origin === url.origin || (origin.includes('*') && matches(origin, url.origin))) return true
  return false
}

/** One wildcard, the whole first label, below a name of two labels or more: `https://*.com` would let anything through. */
const PATTERN = /^https:\/\/\*(\.[a-z0-9-]+){2,}(:\d+)?$/

function matches(pattern: string, origin: string): boolean {
  if (!PATTERN.test(pattern)) return false
  const after = pattern.slice('https://*'.length)
  if (!origin.startsWith('https://') || !origin.endsWith(after)) return false
  return /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(origin.slice('https://'.length, -after.length))
}

/** Looks origins up in an `OriginMap`. */
export interface OriginMapper {
  /** The origin that replaces this one, or `undefined`. */
  find(origin: string, side: 'browser' | 'server'): string | undefined
}

/** @throws TypeError naming the entry when a target is no origin, or plain http to another machine. */
export function createOriginMapper(map: OriginMap = {}): OriginMapper {
  const exact = new Map<string, { browser: string; server: string }>()
  const wildcards: [string, { browser: string; server: string }][] = []
  for (const [origin, target] of Object.entries(map)) {
    if (!PATTERN.test(origin) && !(URL.canParse(origin) && new URL(origin).origin === origin && isHttps(origin)))
      throw new TypeError(
        `option "origins": "${origin}" must be an https origin such as "https://slack.com" or "https://*.example.com".`,
      )
    const both = typeof target === 'string' ? { browser: target, server: target } : target
    const entry = { browser: checkTarget(origin, both?.browser), server: checkTarget(origin, both?.server) }
    if (origin.includes('*')) wildcards.push([origin, entry])
    else exact.set(origin, entry)
  }
  return {
    find: (origin, side) => (exact.get(origin) ?? wildcards.find(([pattern]) => matches(pattern, origin))?.[1])?.[side],
  }
}

function isHttps(origin: string): boolean {
  return origin.startsWith('https://') && !origin.includes('*')
}

function checkTarget(origin: string, target: string | undefined): string {
  const url = typeof target === 'string' && URL.canParse(target) ? new URL(target) : undefined
  if (!url || url.origin === 'null' || url.pathname !== '/' || url.search || url.username || url.password)
    throw new TypeError(
      `option "origins": the target of "${origin}" must be an origin such as "http://127.0.0.1:4010".`,
    )
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopbackHost(url.hostname)))
    throw new TypeError(
      `option "origins": the target of "${origin}" may be plain http only on this machine (127.0.0.1, localhost).`,
    )
  return url.origin
}

function isLoopbackHost(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

const privateAddresses = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  privateAddresses.addSubnet(network, prefix, 'ipv4')
for (const [network, prefix] of [
  ['::', 96],
  ['::ffff:0:0:0', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const)
  privateAddresses.addSubnet(network, prefix, 'ipv6')

/** Loopback, private, link-local, shared, documentation, multicast and translated addresses. `address` without brackets. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address)
  // A mapped address (`::ffff:10.0.0.1`) is checked as the IPv4 one it is.
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped) return privateAddresses.check(mapped, 'ipv4')
  return family === 0 || privateAddresses.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

/** The host of a URL where it is an address itself, which no look-up would see. */
export function literalAddress(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return isIP(bare) ? bare : undefined
}

/** Code of the error that `publicLookup` gives for a name that leads into a private network. */
export const PRIVATE_ADDRESS = 'ERR_ATOM_PRIVATE_ADDRESS'

/** A look-up for sockets that refuses names leading to a private address, at the moment of connecting. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  dnsLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    if (error) return callback(error, '', 0)
    if (addresses.some(({ address }) => isPrivateAddress(address)))
      return callback(
        Object.assign(new Error(`${hostname} leads to a private address`), { code: PRIVATE_ADDRESS }),
        '',
        0,
      )
    const first = addresses[0]
    if (options.all) return (callback as unknown as (error: null, addresses: LookupAddress[]) => void)(null, addresses)
    return callback(null, first?.address ?? '', first?.family ?? 0)
  })
}
