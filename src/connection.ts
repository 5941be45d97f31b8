import type { ConnectionCause, ConnectionDocument, ConnectionStatus } from './persistence/store.js'

/** A connected account as the host sees it: no secrets. */
export interface Connection {
  id: string
  /** Id of the provider, such as `slack`. */
  provider: string
  tenantId: string
  /** Who connected it. */
  userId: string
  /** What was connected at the provider: a workspace, a mailbox, a shop. */
  account: { id: string; name: string; email?: string }
  /** What was granted, in the provider's words. */
  scopes: string[]
  status: ConnectionStatus
  /** Why it needs its user, or what is wrong. Absent while all is well. */
  cause?: ConnectionCause
  /** ISO 8601. */
  connectedAt: string
}

/** The public view of a stored connection. Names each field, so that a new one of the document does not slip out. */
export function toConnection(document: ConnectionDocument): Connection {
  const { id, name, email } = document.account
  return {
    id: document.id,
    provider: document.provider,
    tenantId: document.tenantId,
    userId: document.userId,
    account: { id, name, ...(email !== undefined && { email }) },
    scopes: [...document.scopes],
    status: document.status,
    ...(document.cause !== null && { cause: document.cause }),
    connectedAt: new Date(document.connectedAt).toISOString(),
  }
}
