import type { SealContext, Sealer } from '../persistence/sealing.js'
import type { Credential } from '../strategies/grant.js'

/** What a sealed credential is bound to. */
export interface CredentialOwner {
  tenantId: string
  provider: string
  /** Id of the connection. */
  id: string
}

/** The one place that says how a credential is sealed, so that whoever opens it agrees with whoever sealed it. */
export function credentialContext(owner: CredentialOwner, token: string): SealContext {
  return { tenantId: owner.tenantId, provider: owner.provider, connectionId: owner.id, field: `token:${token}` }
}

/** Keeps the fields of `Credential` and nothing else of what it is given. */
export function sealCredential(sealer: Sealer, owner: CredentialOwner, token: string, credential: Credential): string {
  const { accessToken, refreshToken, tokenSecret, secrets, issuedAt } = credential
  const plain = JSON.stringify({ accessToken, refreshToken, tokenSecret, secrets, issuedAt })
  return sealer.seal(plain, credentialContext(owner, token))
}

/** @throws IntegrationError `STORE_KEY_UNKNOWN`, `STORE_SEAL_BROKEN` */
export function openCredential(sealer: Sealer, owner: CredentialOwner, token: string, sealed: string): Credential {
  return JSON.parse(sealer.open(sealed, credentialContext(owner, token))) as Credential
}
