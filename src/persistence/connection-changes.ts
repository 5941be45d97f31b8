import type { ConnectionDocument, RefreshLease, SaveConnection, Store, StoredToken } from './store.js'

/*
 * How a connection changes: what is refused, and what the document looks like afterwards. Both adapters run these functions inside
 * their own kind of atomic step (a transaction; a compare-and-set on the document's revision), and so cannot differ.
 */

/** What outlives a token of this name: its last version and its last lease. */
export interface TokenGuard {
  version: number
  fencing: number
  /** Null: no lease, or given back. */
  owner: string | null
  until: number
}

/** A connection as it is stored. */
export interface ConnectionState extends ConnectionDocument {
  guards: Record<string, TokenGuard>
}

export type StatusChange = Parameters<Store['updateStatus']>[2]
type LeaseRequest = Parameters<Store['acquireRefreshLease']>[0]
type RefreshCommit = Parameters<Store['commitRefresh']>[0]
export type FreshTokens = ReturnType<SaveConnection['tokensFor']>

export function toDocument({ guards: _, ...document }: ConnectionState): ConnectionDocument {
  return document
}

export function newConnection(input: SaveConnection, tokens: FreshTokens): ConnectionState {
  return {
    id: input.newId,
    tenantId: input.tenantId,
    provider: input.provider,
    accountKey: input.accountKey,
    ...grantedFields(input),
    ...grantedTokens({}, tokens),
    connectedAt: input.now,
    generation: 1,
  }
}

/** The same account again: the id stays, everything else is the new grant's. */
export function reconnected(state: ConnectionState, input: SaveConnection, tokens: FreshTokens): ConnectionState {
  return {
    ...state,
    ...grantedFields(input),
    ...grantedTokens(state.guards, tokens),
    connectedAt: state.status === 'disconnected' ? input.now : state.connectedAt,
    generation: state.generation + 1,
  }
}

function grantedFields({ userId, account, scopes, params, grantKey, now }: SaveConnection) {
  return { userId, account, scopes, params, grantKey, updatedAt: now, ...HEALTHY }
}

const HEALTHY = { status: 'active', cause: null, degradedSince: null, nextTryAt: null } as const

function grantedTokens(
  before: Record<string, TokenGuard>,
  fresh: FreshTokens,
): { tokens: Record<string, StoredToken>; guards: Record<string, TokenGuard> } {
  const tokens: Record<string, StoredToken> = {}
  // A refresh under way belongs to the grant before: its lease ends here, and its commit fails on the generation.
  const guards = withoutLeases(before)
  for (const [name, token] of Object.entries(fresh)) {
    const version = (guards[name]?.version ?? 0) + 1
    tokens[name] = { version, ...token }
    guards[name] = { version, fencing: guards[name]?.fencing ?? 0, owner: null, until: 0 }
  }
  return { tokens, guards }
}

function withoutLeases(guards: Record<string, TokenGuard>): Record<string, TokenGuard> {
  return Object.fromEntries(Object.entries(guards).map(([name, guard]) => [name, { ...guard, owner: null, until: 0 }]))
}

/** @param again - Whether the status may stay what it is (a later try of an outage): only where no event would tell of it. */
export function withStatus(
  state: ConnectionState,
  generation: number,
  change: StatusChange,
  again: boolean,
): ConnectionState | undefined {
  if (state.generation !== generation || state.status === 'disconnected') return undefined
  const same = state.status === change.status
  if (same && !again) return undefined
  const degraded = change.status === 'degraded'
  return {
    ...state,
    status: change.status,
    cause: change.cause,
    degradedSince: change.degradedSince ?? (!degraded ? null : same ? state.degradedSince : change.now),
    nextTryAt: change.nextTryAt ?? (degraded && same ? state.nextTryAt : null),
    updatedAt: change.now,
  }
}

export function disconnected(state: ConnectionState, generation: number, now: number): ConnectionState | undefined {
  if (state.generation !== generation || state.status === 'disconnected') return undefined
  return {
    ...state,
    ...HEALTHY,
    status: 'disconnected',
    tokens: {},
    guards: withoutLeases(state.guards),
    grantKey: null,
    updatedAt: now,
  }
}

export function leased(
  state: ConnectionState,
  { token, generation, version, owner, now, ttlMs }: LeaseRequest,
): { next: ConnectionState; fencing: number; takenOver: boolean } | undefined {
  const guard = state.guards[token]
  if (state.generation !== generation || state.tokens[token]?.version !== version || !guard) return undefined
  const takenOver = guard.owner !== null
  if (takenOver && guard.until > now) return undefined
  const fencing = guard.fencing + 1
  return { next: withGuard(state, token, { ...guard, owner, until: now + ttlMs, fencing }), fencing, takenOver }
}

export function refreshed(state: ConnectionState, input: RefreshCommit): ConnectionState | undefined {
  const { token, generation, version, scopes, params, now } = input
  const guard = state.guards[token]
  if (state.generation !== generation || state.tokens[token]?.version !== version || !holds(guard, input))
    return undefined
  return {
    ...withGuard(state, token, { ...guard, version: version + 1, owner: null, until: 0 }),
    ...HEALTHY,
    tokens: { ...state.tokens, [token]: { ...input.next, version: version + 1 } },
    scopes: scopes ?? state.scopes,
    params: params ?? state.params,
    updatedAt: now,
  }
}

export function released(
  state: ConnectionState,
  input: Parameters<Store['releaseRefreshLease']>[0],
): ConnectionState | undefined {
  const guard = state.guards[input.token]
  if (!holds(guard, input)) return undefined
  // An owner that stays on record tells the next one that somebody did not finish.
  return withGuard(state, input.token, { ...guard, owner: input.uncertain ? guard.owner : null, until: 0 })
}

export function resealed(
  state: ConnectionState,
  token: string,
  version: number,
  sealed: string,
): ConnectionState | undefined {
  const stored = state.tokens[token]
  if (stored?.version !== version) return undefined
  return { ...state, tokens: { ...state.tokens, [token]: { ...stored, sealed } } }
}

/** When the first refresh token of a connection ends that works, or will after an outage; null: never, or not known. */
export function refreshDueAt({ status, tokens }: ConnectionDocument): number | null {
  if (status !== 'active' && status !== 'degraded') return null
  const ends = Object.values(tokens).flatMap((token) => token.refreshExpiresAt ?? [])
  return ends.length > 0 ? Math.min(...ends) : null
}

function withGuard(state: ConnectionState, token: string, guard: TokenGuard): ConnectionState {
  return { ...state, guards: { ...state.guards, [token]: guard } }
}

function holds(
  guard: TokenGuard | undefined,
  { owner, fencing }: Pick<RefreshLease, 'owner' | 'fencing'>,
): guard is TokenGuard {
  return guard?.owner === owner && guard.fencing === fencing
}
