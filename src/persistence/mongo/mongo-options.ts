/* In a file of its own: what imports it must compile where mongoose is not installed. */

export type MongoStoreOptions =
  /** Names the database: `mongodb://host/app`. Its parameters go before our defaults (5 s to connect, 20 s for an answer). */
  | { url: string }
  /** The host's mongoose connection, such as `mongoose.connection`: left open by `close()`. */
  | { connection: HostConnection }

/** What tells a mongoose connection, said without mongoose's own types: it is optional. */
export interface HostConnection {
  readonly readyState: number
  asPromise(): Promise<unknown>
}
