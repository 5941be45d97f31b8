import { IntegrationError } from '../errors.js'
import type { ConnectionDocument } from '../persistence/store.js'
import { share } from './expiry.js'
import { type OpenToken, openToken, type TokenParts } from './open-token.js'

/** A refresh token is used at the latest so long before its end (or in the last half of its life, where that is shorter). */
const HORIZON_MS = 7 * 86_400_000
/** Most connections of one round; with the pause between two, most refreshes per second of one process. */
const MOST_PER_ROUND = 50
const PAUSE_MS = 200

/**
 * Background refresh: uses refresh tokens that would end by inactivity. Each connection has its own moment within the first half of
 * the horizon, the same in every process, so that connections of one day do not fall due in one minute.
 */
export function createRefreshDue(parts: TokenParts, refresh: (token: OpenToken) => Promise<OpenToken>) {
  let stopped = false

  async function run(): Promise<number> {
    let refreshed = 0
    const now = parts.now()
    for (const document of await parts.store.listRefreshDue(now + HORIZON_MS, 200)) {
      if (stopped || refreshed >= MOST_PER_ROUND) break
      for (const name of dueTokens(document, now)) {
        try {
          await refresh(openToken(parts, document, name))
          refreshed++
        } catch (error) {
          const code = error instanceof IntegrationError ? error.code : 'unknown'
          parts.logger.warn(
            { connectionId: document.id, provider: document.provider, code },
            'background refresh failed',
          )
        }
        await parts.sleep(PAUSE_MS)
      }
    }
    return refreshed
  }

  function dueTokens(document: ConnectionDocument, now: number): string[] {
    // In an outage, the time of the next try holds for everybody.
    if (document.nextTryAt !== null && document.nextTryAt > now) return []
    const auth = parts.providers(document.provider)?.definition.auth
    if (auth?.kind !== 'oauth2' || auth.refreshToken === 'none') return []
    const life = (auth.refreshIdleSeconds ?? Number.POSITIVE_INFINITY) * 1000
    const horizon = Math.min(HORIZON_MS, life / 2)
    return Object.entries(document.tokens)
      .filter(([, { refreshExpiresAt }]) => {
        if (refreshExpiresAt === null || refreshExpiresAt <= now) return false
        return now >= refreshExpiresAt - horizon + (share(document.id) * horizon) / 2
      })
      .map(([name]) => name)
  }

  return {
    run,
    stop: () => {
      stopped = true
    },
  }
}
