/**
 * What the provider lab cannot read off a definition's data, because a function of the definition expects it. All optional; a definition
 * without hints is played from its data alone.
 */
export interface LabHints {
  /** Connection parameters that the lab answers for. Default: the parameter's default, its example, its first choice, a value of its pattern. */
  params?: Readonly<Record<string, string>>
  /** Resources whose answer is one object although neither a parent nor the URL says so (Gmail's `profile`). */
  single?: readonly string[]
  /** Fields that items of a resource have beyond id, timestamp and what other requests refer to. Merged over what the lab makes up. */
  items?: Readonly<Record<string, (context: LabItemContext) => Record<string, unknown>>>
  /** Calls that the definition's functions make (`identity.resolve`, `afterToken`, `choices`), and their answers. */
  answers?: readonly LabAnswer[]
  /** Answer of a link token's `confirm` from which `publicTokens` reads these tokens. */
  confirmBody?: (publicTokens: readonly string[]) => unknown
  /** For `custom` pagination, by resource. */
  pages?: Readonly<Record<string, LabPages>>
}

/** One of the two accounts, `a` and `b`, that can be connected at every provider of the lab. */
export interface LabAccount {
  key: 'a' | 'b'
  /** Digits only; the same for a provider, account and seed. */
  id: string
  name: string
  email: string
  /** Id of the person who approves. */
  personId: string
  /** The connection parameters in force, such as the shop. */
  params: Readonly<Record<string, string>>
}

export interface LabItemContext {
  /** Position in its list, oldest first. */
  index: number
  /** Length of its list. */
  count: number
  /** Whole item so far: id, timestamp, made-up fields. */
  item: Readonly<Record<string, unknown>>
  /** When it happened. */
  time: Date
  parent: Readonly<Record<string, unknown>> | undefined
  /** A whole number from 0 to `below - 1`, the same for the same seed, item and `salt`. */
  pick: (below: number, salt?: number) => number
}

export interface LabAnswer {
  method: string
  /** Template, as in the definition's requests. */
  url: string
  /** For a call with the operator's own credential, as in the definition's request. */
  auth?: 'app'
  headers?: Readonly<Record<string, string>>
  body: (account: LabAccount) => unknown
}

export interface LabPages {
  /** Offset of the first item that is asked for, read from the request. */
  offset: (request: { query: Readonly<Record<string, string>>; json: unknown }) => number
  /** Says in the body (or the headers) where the next page begins; `undefined` at the end. */
  next: (body: Record<string, unknown>, nextOffset: number | undefined) => Record<string, string> | undefined
}
