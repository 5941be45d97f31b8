import { randomBytes } from 'node:crypto'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'

/** What a user approved. */
export interface LabGrant {
  provider: string
  client: string
  account: LabAccount
  /** Granted scopes; `undefined` where the provider has none. */
  scopes: readonly string[] | undefined
  /** The access token can do nothing (a key without permissions). */
  weak: boolean
  revoked: boolean
  /** OAuth 1.0a: secret of the access token. */
  tokenSecret?: string
}

interface Access {
  grant: LabGrant
  name: string
  expiresAt: number
  used: boolean
  /** Ended by a replay of the refresh token it came from. */
  ended: boolean
}

interface Refresh {
  grant: LabGrant
  name: string
  scopes: readonly string[] | undefined
  /** Pair that replaced it. */
  successor?: { access: string; refresh: string; at: number }
  ended: boolean
}

export interface IssuedPair {
  access: string
  refresh: string | undefined
  expiresInSeconds: number | undefined
}

/** Access and refresh tokens of all providers of the lab, and who they belong to. */
export class Grants {
  private readonly access = new Map<string, Access>()
  private readonly refresh = new Map<string, Refresh>()
  private readonly all = new Set<LabGrant>()

  constructor(private readonly now: () => number) {}

  open(
    definition: ProviderDefinition,
    account: LabAccount,
    scopes: readonly string[] | undefined,
    weak = false,
  ): LabGrant {
    const grant: LabGrant = {
      provider: definition.id,
      client: clientOf(definition),
      account,
      scopes,
      weak,
      revoked: false,
    }
    // One live pair per account and client: the ones before end.
    if (definition.grant === 'exclusive') this.revokeAccount(grant)
    this.all.add(grant)
    return grant
  }

  /** A new access token, with a refresh token where the provider has them. */
  issue(grant: LabGrant, name: string, options: { seconds: number | undefined; refresh: boolean }): IssuedPair {
    const access = newToken(grant.provider, 'access')
    const expiresAt = options.seconds === undefined ? Number.POSITIVE_INFINITY : this.now() + options.seconds * 1000
    this.access.set(access, { grant, name, expiresAt, used: false, ended: false })
    let refresh: string | undefined
    if (options.refresh) {
      refresh = newToken(grant.provider, 'refresh')
      this.refresh.set(refresh, { grant, name, scopes: grant.scopes, ended: false })
    }
    return { access, refresh, expiresInSeconds: options.seconds }
  }

  /** Makes a token of the lab's choice count (API keys, OAuth 1.0a). */
  adopt(token: string, grant: LabGrant): void {
    this.all.add(grant)
    this.access.set(token, { grant, name: 'default', expiresAt: Number.POSITIVE_INFINITY, used: false, ended: false })
  }

  /** The grant of an access token, or why there is none. */
  check(token: string): LabGrant | 'unknown' | 'expired' | 'revoked' {
    const found = this.access.get(token)
    if (!found) return 'unknown'
    if (found.grant.revoked || found.ended) return 'revoked'
    if (found.expiresAt <= this.now()) return 'expired'
    found.used = true
    return found.grant
  }

  /** The last grant that is still there. */
  newest(definition: ProviderDefinition): LabGrant | undefined {
    return [...this.all].findLast((grant) => grant.client === clientOf(definition) && !grant.revoked)
  }

  /** Provider that a token was issued by. */
  providerOf(token: string): string | undefined {
    return (this.access.get(token) ?? this.refresh.get(token))?.grant.provider
  }

  /**
   * One refresh. A rotating token that comes a second time ends all that grew from it, unless the provider lets a lost answer be asked
   * for again (`refreshReplaySeconds`) and the new pair was not used.
   */
  rotate(
    definition: ProviderDefinition,
    token: string,
    seconds: number | undefined,
  ): { grant: LabGrant; name: string; pair: IssuedPair } | undefined {
    const auth = definition.auth.kind === 'oauth2' ? definition.auth : undefined
    const found = this.refresh.get(token)
    if (!found || !auth || found.ended || found.grant.revoked || found.grant.client !== clientOf(definition))
      return undefined
    const { grant, name, successor } = found
    if (successor) {
      const inTime = this.now() - successor.at <= (auth.refreshReplaySeconds ?? 0) * 1000
      if (auth.refreshReplaySeconds !== undefined && inTime && !this.access.get(successor.access)?.used)
        return {
          grant,
          name,
          pair: { access: successor.access, refresh: successor.refresh, expiresInSeconds: seconds },
        }
      this.endFamily(grant, name)
      return undefined
    }
    const rotating = auth.refreshToken === 'rotating'
    const pair = this.issue(grant, name, { seconds, refresh: rotating })
    if (rotating && pair.refresh) found.successor = { access: pair.access, refresh: pair.refresh, at: this.now() }
    return { grant, name, pair }
  }

  /** Ends what a token belongs to; where all grants of an account are one (`shared`), all of them. */
  revokeToken(token: string, definition: ProviderDefinition): boolean {
    const grant = (this.access.get(token) ?? this.refresh.get(token))?.grant
    if (!grant || grant.client !== clientOf(definition)) return false
    if (definition.grant === 'shared') this.revokeAccount(grant)
    else grant.revoked = true
    return true
  }

  /** The user or an administrator withdraws everything. */
  revokeProvider(provider: string): void {
    for (const grant of this.all) if (grant.provider === provider) grant.revoked = true
  }

  /** All access tokens end now; refresh tokens stay. */
  expireProvider(provider: string): void {
    for (const access of this.access.values()) if (access.grant.provider === provider) access.expiresAt = 0
  }

  private revokeAccount({ client, account }: LabGrant): void {
    for (const grant of this.all)
      if (grant.client === client && grant.account.id === account.id && sameParams(grant.account, account))
        grant.revoked = true
  }

  private endFamily(grant: LabGrant, name: string): void {
    for (const one of [...this.access.values(), ...this.refresh.values()])
      if (one.grant === grant && one.name === name) one.ended = true
  }
}

function sameParams(a: LabAccount, b: LabAccount): boolean {
  return JSON.stringify(a.params) === JSON.stringify(b.params)
}

/** Providers with one OAuth client (Google's) are one client. */
export function clientOf(definition: ProviderDefinition): string {
  return definition.client?.id ?? definition.id
}

export function newToken(provider: string, kind: string): string {
  return `lab-${provider}-${kind}-${randomBytes(18).toString('hex')}`
}
