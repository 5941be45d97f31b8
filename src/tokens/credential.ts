/** What is sealed per token of a connection. Never logged, never in an event. */
export interface Credential {
  /** Access token, or the API key. */
  accessToken: string
  refreshToken?: string
  /** OAuth 1.0a. */
  tokenSecret?: string
  /** Further sealed values by name (OpenAI's second key). */
  secrets?: Record<string, string>
}
