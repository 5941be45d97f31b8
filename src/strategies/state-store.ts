import type { Request } from 'express'
import { IntegrationError } from '../errors.js'
import { randomText } from '../random.js'
import type { OpenChoice } from './choices.js'
import type { Credential } from './grant.js'

/** What a callback needs from its start. */
export interface StateData {
  params: Record<string, string>
  /** PKCE. */
  verifier?: string
  requestToken?: string
  requestTokenSecret?: string
  linkToken?: string
  /** The credential that a link token repairs. */
  repair?: Credential
  /** Connection parameters that are secrets. */
  secrets?: Record<string, string>
  /** After the exchange: a grant that waits for its account to be chosen. */
  open?: OpenChoice
}

/** Keeps what a callback needs, bound to the browser. */
export interface StateStore {
  /** Keeps `data` under a state from `newState()`, for at least ten minutes. */
  save(req: Request, state: string, data: StateData): Promise<void>
  /** Gives the data out once. Rejects with IntegrationError `AUTH_STATE_*`. */
  claim(req: Request, state: string): Promise<StateData>
}

/** 256 random bits. */
export function newState(): string {
  return randomText(32)
}

const LIFETIME_MS = 10 * 60_000
const MAX_OPEN = 10

interface Session {
  [key: string]: Record<string, { data: StateData; endsAt: number }> | undefined
}

/** The state store of a strategy used alone: the session of express-session, at most ten open attempts. */
export function sessionStateStore(name: string, provider: string): StateStore {
  const key = `atom-integrations:${name}`
  const sessionOf = (req: Request): Session => {
    const session = (req as unknown as { session?: Session }).session
    if (session) return session
    throw new TypeError(
      `The strategy "${name}" has nowhere to keep its state: mount express-session before it, or give it the option "store".`,
    )
  }
  return {
    async save(req, state, data) {
      const session = sessionOf(req)
      const open = Object.entries(session[key] ?? {}).filter(([, { endsAt }]) => endsAt > Date.now())
      session[key] = {
        ...Object.fromEntries(open.slice(1 - MAX_OPEN)),
        [state]: { data, endsAt: Date.now() + LIFETIME_MS },
      }
    },
    async claim(req, state) {
      const open = sessionOf(req)[key]
      const found = open && Object.hasOwn(open, state) ? open[state] : undefined
      if (!open || !found)
        throw new IntegrationError('AUTH_STATE_UNKNOWN', `${name}: no attempt with this state in the session`, {
          provider,
        })
      delete open[state]
      if (found.endsAt <= Date.now())
        throw new IntegrationError('AUTH_STATE_EXPIRED', `${name}: the attempt has expired`, { provider })
      return found.data
    },
  }
}
