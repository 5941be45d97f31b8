import type { ErrorRules } from '../provider-http/errors.js'
import { checkDefinition } from './check-definition.js'
import type { LabHints } from './lab-hints.js'

/**
 * A provider is data plus the few functions that differ. This file is the type of that data.
 *
 * **Templates.** A `Template` is a string with placeholders in braces. Known everywhere: `{client_id}`, `{client_secret}` (only in
 * `auth` requests and `api.auth`), `{access_token}`, `{env.NAME}` (a further variable of `env`), and every name in `params`: the
 * connection parameters (`{shop}`), callback parameters (`{realmId}`) and what `token.params`, `afterToken` or `identity.params` kept (`{instance_url}`).
 * In resources also `{since.FORMAT}` and `{now.FORMAT}` with FORMAT one of `unix`, `unix_ms`, `unix_day` (the midnight before), `iso8601`,
 * `iso8601_no_zone`, `date`, `next_date` (the day after), `date_time_minutes` (`yyyy-MM-dd HH:mm`), all in UTC, and `{parent.PATH}`, the
 * parent record (its own parent: `{parent.parent.PATH}`).
 * Values are percent-encoded in the path of a URL; before the path (scheme and host) they stand as they are, because their pattern
 * was checked; a placeholder that is the whole start of a URL (`{instance_url}/services`) is an origin.
 * A value in `query`, `form`, `json`, `headers` or `authorizationParams` that is one placeholder only is left out with its name when
 * nothing is known for it (Stripe's optional `Stripe-Account`). `{app_name}` is known in `authorizationParams` and `auth` requests.
 *
 * **Paths.** A `Path` is dotted (`data.0.id`); `''` is the whole value. A key of the outermost object that itself has a dot is found
 * first (`@odata.nextLink`). A list of paths means: the first that is there.
 */
export type Template = string
export type Path = string
export type OneOrMore<T> = T | readonly T[]
/** JSON whose strings may be templates. A string that is one placeholder only is dropped with its key when the value is unknown. */
export type JsonTemplate =
  | string
  | number
  | boolean
  | null
  | readonly JsonTemplate[]
  | { readonly [key: string]: JsonTemplate }

export interface RequestTemplate {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  url: Template
  headers?: Record<string, Template>
  query?: Record<string, OneOrMore<Template>>
  /** JSON body. */
  json?: JsonTemplate
  /** Form body (`application/x-www-form-urlencoded`). */
  form?: Record<string, Template>
  /**
   * How this request is authenticated. Default `token`: as `api.auth` says. `client_basic`: HTTP Basic with client id and secret.
   * `app`: its headers carry a credential of the operator (`{env.NAME}`); a 401 is then about the app, not about the connection.
   */
  auth?: 'token' | 'client_basic' | 'app' | 'none'
}

/** Client authentication at the token endpoint (RFC 6749 §2.3.1 and what providers made of it). */
export type ClientAuth = 'body' | 'basic' | 'json_body' | 'basic_json' | 'query'

export interface Scope {
  scope: string
  /** Why it is asked for, for the guide. */
  why: string
  /** Set when a new app cannot use it before the provider approved it: it is not asked for by default; the guide names it. */
  needsApproval?: string
  /** Set when it is useful but not asked for by default for another reason. */
  optional?: string
}

/** Where the parts of a token answer stand. */
export interface TokenPaths {
  accessToken: OneOrMore<Path>
  refreshToken?: OneOrMore<Path>
  /** Seconds. */
  expiresIn?: OneOrMore<Path>
  /** Seconds until the refresh token ends. */
  refreshExpiresIn?: OneOrMore<Path>
  /** A string (split at the provider's separator, blanks and commas) or an array. */
  scope?: OneOrMore<Path>
}

/** The names of RFC 6749 §5.1. */
export const STANDARD_TOKEN = {
  accessToken: 'access_token',
  refreshToken: 'refresh_token',
  expiresIn: 'expires_in',
  scope: 'scope',
} as const satisfies TokenPaths
const STANDARD_TOKENS = { default: STANDARD_TOKEN }

/** Where the tokens of an answer stand, by name. */
export function tokenPaths({ tokens = STANDARD_TOKENS }: Pick<OAuth2, 'tokens'>): Readonly<Record<string, TokenPaths>> {
  return tokens
}

export interface OAuth2 {
  kind: 'oauth2'
  authorizationURL: Template
  tokenURL: Template
  /** Default: `tokenURL`. */
  refreshURL?: Template
  clientAuth: ClientAuth
  /** `always`: S256 is sent. `optIn`: only when the host sets `pkce: true` (Slack). `never`: rejected or ignored by the provider. */
  pkce: 'always' | 'optIn' | 'never'
  /** Default `scope`. */
  scopeParam?: string
  /** Default a blank. */
  scopeSeparator?: string
  scopes: readonly Scope[]
  authorizationParams?: Record<string, Template>
  /** Extra parameters of the code exchange. */
  tokenParams?: Record<string, Template>
  /** Extra parameters of the refresh. */
  refreshParams?: Record<string, Template>
  /** Extra headers of all calls to the token endpoint. */
  tokenHeaders?: Record<string, Template>
  /** `rotating`: each refresh brings a new refresh token and ends the old one: store the new one first. */
  refreshToken: 'none' | 'static' | 'rotating'
  /** Life of an access token in seconds when the answer does not tell; `undefined`: until a 401. */
  accessTokenSeconds?: number
  /** The same refresh may be sent again when its answer was lost, within so many seconds. Source in the provider's file. */
  refreshReplaySeconds?: number
  /** Life of a refresh token that is not used, in seconds; background refresh goes by it. */
  refreshIdleSeconds?: number
  /**
   * The tokens that an answer brings, by name; the first is the default one. Default: one, with the names of RFC 6749 §5.1.
   * A provider with two (Slack): `{ user: {…}, bot: {…} }`; one that is absent in the answer is not stored.
   */
  tokens?: Readonly<Record<string, TokenPaths>>
  /** Paths in the answer of a refresh where they differ from those of the exchange (Slack: the root). */
  refreshTokens?: TokenPaths
  /** What to keep of the token answer for later requests: name in `params` → path. */
  params?: Record<string, Path>
  /** RFC 9207 `iss` on the callback. `required`: its absence is refused. */
  issuer?: { value: Template; required: boolean }
  /** Error codes of the token endpoint beyond RFC 6749. */
  errors?: ErrorRules
  revocation?: RequestTemplate & {
    /** What the request revokes: sent once per token. Default `access`. Placeholder `{token}`. */
    token?: 'access' | 'refresh'
    /** Names in `tokens` that are revoked. Default: all. Slack's bot token stays: it is that of everybody in the workspace. */
    only?: readonly string[]
  }
}

export interface OAuth1 {
  kind: 'oauth1'
  requestTokenURL: Template
  authorizationURL: Template
  accessTokenURL: Template
  signatureMethod: 'HMAC-SHA1'
  scopeParam?: string
  scopeSeparator?: string
  scopes: readonly Scope[]
  authorizationParams?: Record<string, Template>
  errors?: ErrorRules
  revocation?: RequestTemplate & { token?: 'access' }
}

export interface LinkToken {
  kind: 'link_token'
  /** Makes the link token. Further placeholders: `{user_id}` (an opaque id of the host's user), `{redirect_uri}`, `{app_name}`. */
  create: RequestTemplate & { linkToken: Path; hostedLinkUrl: Path; expiration: Path }
  /**
   * Makes a link token that repairs what is connected, in its place: `{access_token}` is the one it has, and keeps. The answer is that of
   * `create`. Nothing is confirmed or exchanged afterwards; the identity call tells whether it works again.
   */
  repair?: RequestTemplate
  /** Confirms what the browser brings: answers the public tokens that this link token produced. Placeholder `{link_token}`. */
  confirm: RequestTemplate & { publicTokens: (body: unknown) => string[] }
  /** Placeholder `{public_token}`. */
  exchange: RequestTemplate & { accessToken: Path; params?: Record<string, Path> }
  scopes: readonly Scope[]
  errors?: ErrorRules
  revocation?: RequestTemplate & { token?: 'access' }
}

export interface ApiKey {
  kind: 'api_key'
  /** Which connection parameter is the key; it is sealed, never kept as a parameter. Further secrets by name. */
  key: string
  scopes: readonly Scope[]
  errors?: ErrorRules
  revocation?: undefined
}

/** Something the user or the callback supplies per connection, in the words of the guide and the form. */
export interface ConnectionParam {
  name: string
  /** Label of the form field. */
  label: string
  /** Anchored. Checked after `normalize`, before anything leaves. */
  pattern: RegExp
  /** One sentence: where the user finds it and what it looks like. Shown at the field and when it does not match. */
  hint: string
  example?: string
  /** `form`: asked before the start (default). `callback`: arrives on the callback. `config`: fixed by the operator's environment. `token`: learned after the exchange. */
  from?: 'form' | 'callback' | 'config' | 'token'
  /** Environment variable for `from: 'config'`. */
  env?: string
  optional?: boolean
  default?: string
  /** For a choice of few values. */
  choices?: readonly { value: string; label: string }[]
  /** A pasted `https://My-Shop.myshopify.com/admin` becomes `my-shop.myshopify.com`. Gets it without blanks at either end. */
  normalize?: (input: string) => string
  /** An input of type password, sealed with the credentials. */
  secret?: boolean
}

export interface Account {
  /** The provider's id of what was connected. */
  id: string
  name: string
  email?: string
}

/** A call through the door with this connection's credentials; resolves to the parsed body, throws IntegrationError. */
export type Call = (request: RequestTemplate) => Promise<unknown>

export interface IdentityContext {
  /** For API keys: begin and end of the key, such as `rk_live_…x7Qz`, fit for a label. */
  keyHint?: string
  /** Body of `identity.request` (`undefined` without one). */
  body: unknown
  /** Body of the token answer (`undefined` for API keys). */
  token: unknown
  params: Readonly<Record<string, string>>
  call: Call
}

/** In all paths, `token:` before a path reads the token answer. */
export interface Identity {
  request?: RequestTemplate
  accountId?: OneOrMore<Path>
  accountName?: OneOrMore<Path>
  email?: OneOrMore<Path>
  /**
   * Further parts of the account key beyond the account id (§1): the person, where the token acts as a person. Paths in the
   * identity body; `token:` before a path reads the token answer.
   */
  keyParts?: readonly Path[]
  /** The account id is unique over all hosts of the provider: an account that moves to another host (Salesforce) stays the same one. */
  uniqueAcrossHosts?: boolean
  /** Kept for later requests: name in `params` → path. */
  params?: Record<string, Path>
  /**
   * Where paths do not do: several calls, fallbacks, choosing among accounts. Gets the parsed identity body; answers what it
   * knows. An id that it leaves out becomes a keyed fingerprint of the credential.
   */
  resolve?: (context: IdentityContext) => Promise<{
    id?: string
    name: string
    email?: string
    keyParts?: string[]
    params?: Record<string, string>
    /** Scopes or permissions that the provider says were granted. */
    scopes?: string[]
  }>
}

/**
 * Where one grant reaches several accounts (Jira's sites, Xero's organisations): the call that lists them. One is taken as it is; among
 * more the user chooses on a page of ours, which offers nothing else. Runs before `afterToken` and the identity call.
 */
export interface Choices {
  request: RequestTemplate
  items: Path
  /** Instead of `items`: for answers whose items need unfolding, or further calls for their names (WhatsApp). */
  toItems?: (body: unknown, call: Call) => Promise<unknown[]>
  /** Only items for which this is true; the second argument is the token answer. */
  itemFilter?: (item: Record<string, unknown>, token: unknown) => boolean
  id: Path
  name: Path
  /** The id of the chosen one is kept under this name in `params`. */
  param: string
  /** Further values to keep of the chosen one: name in `params` → path. */
  params?: Record<string, Path>
  /** What is chosen, for people: `site`, `organisation`. */
  noun: string
}

export interface Api {
  /** Paths given to `fetch()` are appended to it. */
  baseURL: Template
  /** How a request is authenticated. Default `{ headers: { authorization: 'Bearer {access_token}' } }`. `json`: merged into JSON bodies. */
  auth?: { headers?: Record<string, Template>; json?: Record<string, Template> }
  headers?: Record<string, Template>
  /**
   * Origins that a request of this connection may leave for, beyond the origin of `baseURL` and of every URL in this definition.
   * Templates over `params`; what the provider named itself counts only through a `params` value that matches `pattern`.
   */
  origins?: readonly Template[]
  errors?: ErrorRules
  /** Documented limit, per connection: so many requests per so many seconds. The lowest of what answers say wins. */
  rateLimit?: { requests: number; perSeconds: number }
  /** Most requests of one connection at the same time. Default 4. */
  concurrency?: number
}

/** `iso8601` also reads dates without a time and times without a zone (UTC). `json_date`: `/Date(1573755038314+0000)/`. */
export type TimestampFormat = 'iso8601' | 'unix' | 'unix_ms' | 'unix_100ns' | 'date' | 'json_date'

/** How the next page is asked for. `at`: where the parameter stands; `param` is dotted inside a JSON body. */
export type Pagination =
  | { style: 'none' }
  /**
   * A cursor in the answer. Ends when it is missing, empty or null, or when `more` is there and not true. `continueURL`: further pages
   * are asked for there, with the cursor and nothing else (Dropbox). `continueJSON`: they are asked for with this body and the cursor (monday.com).
   */
  | {
      style: 'cursor'
      at: 'query' | 'json'
      param: string
      next: OneOrMore<Path>
      more?: Path
      continueURL?: Template
      continueJSON?: JsonTemplate
    }
  /** The id (or another field) of the last item is the cursor. Ends on `more` false, or, without `more`, on a page shorter than `pageSize`. */
  | {
      style: 'last_item'
      at: 'query' | 'json'
      param: string
      field: Path
      /** `min`: the smallest one of the page instead (Trello, whose cards have another order). */
      pick?: 'min'
      more?: Path
      pageSize?: number
    }
  /** Offset of the first item, from 0. Ends at `total`, or on a page shorter than `pageSize`. */
  | { style: 'offset'; at: 'query' | 'json'; param: string; pageSize: number; total?: Path }
  /** Page number. */
  | { style: 'page'; at: 'query' | 'json'; param: string; start?: number; pageSize: number; last?: Path; more?: Path }
  /** Header `Link: <…>; rel="next"` (RFC 8288). */
  | { style: 'link_header' }
  /** A whole URL (or a path of the API) in the answer. */
  | { style: 'next_url'; next: OneOrMore<Path> }
  /** What none of the above says. Gets the answer, returns what to merge into the next request, or `undefined` at the end. State must be JSON. */
  | {
      style: 'custom'
      next: (answer: PageAnswer) => { state: unknown } | undefined
      apply: (request: RequestTemplate, state: unknown) => RequestTemplate
    }

export interface PageAnswer {
  body: unknown
  headers: Readonly<Record<string, string>>
  items: readonly unknown[]
  /** The cursor state that this page was asked with; `undefined` on the first. */
  state: unknown
  window: { from: Date; to: Date }
}

/** One thing a backfill reads. */
export interface Resource {
  name: string
  /** Title for people. Default: the name with blanks. */
  title?: string
  /** Resource whose records are iterated; `{parent.…}` are its fields. */
  parent?: string
  /** Only parents for which this is true. */
  parentFilter?: (parent: Record<string, unknown>) => boolean
  /**
   * Parents that no answer lists, iterated before those of `parent`, with an `id`. With them a resource can be its own parent: a folder tree
   * begins with `[{ id: '0' }]`, and `parentFilter` says which of its own records are folders.
   */
  roots?: readonly Record<string, unknown>[]
  request: RequestTemplate
  pagination: Pagination
  /** Path of the item list; `''`: the answer itself. A single object counts as a list of one. */
  items: Path
  /** What an item of the list becomes: one that has more in it (an id that stands deeper), or a list of several. */
  unfold?: (item: Record<string, unknown>) => unknown
  /** Instead of `items`, where the answer counts as a whole. `undefined`: the list is missing. */
  toItems?: (body: unknown) => unknown[] | undefined
  /** Items that are no records of this resource (Slack repeats the parent message among its replies). They still count for `pageSize`. */
  itemFilter?: (item: Record<string, unknown>) => boolean
  /** The answer may leave the list out when there is nothing (Gmail). Otherwise a missing list is a failed page. */
  emptyWhenMissing?: boolean
  /** External id; several paths make a composite one; `parent:` before a path reads the parent record (`parent:parent.id`: its parent). */
  id: OneOrMore<Path>
  /** What the window is measured by. Without one, items count as in the window. */
  timestamp?: { path: OneOrMore<Path>; format: TimestampFormat }
  /** `server`: the request carries the window. `client`: items outside are dropped here. `none`: everything is kept (parents, current state). */
  filter: 'server' | 'client' | 'none'
  /** The window is asked for, and read to, from this much earlier, where the provider's clock is coarser or another one (Gmail's `after:`). */
  overlapSeconds?: number
  /** Order by `timestamp`. With `desc` and filter `client` reading stops at the window's edge. Default `none`. */
  order?: 'asc' | 'desc' | 'none'
  /** `set`: the pages of one run are applied together once the last was read (Plaid). Default `page`. */
  commit?: 'page' | 'set'
  /** Records that the answer says are gone: path of the list, and the id in it. */
  deletes?: { items: Path; id: Path }
  /** Further lists of the same answer whose items are upserted too (Plaid's `modified`). */
  alsoItems?: readonly Path[]
  /** Faults of one parent that skip it instead of failing the run. `permission`, `scope` and `admin` always skip. */
  skipParentOn?: readonly FaultKindName[]
  /**
   * A cap on results of one query: when it is reached, the query starts again from the newest timestamp seen (HubSpot's 10,000).
   * `when`: says so where the answer tells (Notion). Needs `order: 'asc'` and a server filter.
   */
  restartAfter?: { items?: number; when?: (body: unknown) => boolean }
  /** A resource that is needed as a parent and whose items are not records of their own. */
  parentOnly?: boolean
  /** The window this resource can reach at most, and what lifts the limit. The receipt says so. */
  reach?: { days?: number; unlessScope?: string; reason: string }
  /** Known limits that hold always; they stand in the guide and the receipt. */
  limits?: string
  /** Scopes without which the provider refuses; absent ones skip the resource with a reason. */
  scopes?: readonly string[]
  /** Length of the windows to ask for one after another, in days, where the provider bounds a query's span. */
  sliceDays?: number
  rateLimit?: { requests: number; perSeconds: number }
}
type FaultKindName = import('../errors.js').FaultKind

export interface ProviderDefinition {
  id: string
  name: string
  /** One word for the connect page, such as `chat`, `files`, `tasks`, `crm` or `finance`: the one of its like where there is one. */
  category: string
  /** Providers that share one OAuth client and one callback path (Google, Microsoft): id of the path, prefix of the environment. Default: the provider's own. */
  client?: { id: string; env: string }
  /** Names of the client id and secret where they are not `<PREFIX>_CLIENT_ID` / `_CLIENT_SECRET` (Plaid's `PLAID_SECRET`); `null`: none needed. */
  credentialsEnv?: { clientId: string; clientSecret: string } | null
  /** Further variables of the operator, `{env.NAME}` in templates. */
  env?: readonly { name: string; why: string; required: boolean; default?: string }[]
  auth: OAuth2 | OAuth1 | LinkToken | ApiKey
  params?: readonly ConnectionParam[]
  /** Values computed from the parameters, usable in templates (Intercom's `region_prefix`). */
  derive?: (params: Readonly<Record<string, string>>) => Record<string, string>
  /** Checks the callback's own signature before anything leaves (Shopify's HMAC). Throws IntegrationError `AUTH_SIGNATURE_INVALID`. */
  verifyCallback?: (input: {
    query: Readonly<Record<string, string>>
    clientSecret: string
    params: Readonly<Record<string, string>>
    now: Date
  }) => void
  choices?: Choices
  /** Calls that must follow the exchange before the account is known: answers what to keep. */
  afterToken?: (context: IdentityContext) => Promise<Record<string, string>>
  identity: Identity
  api: Api
  resources: readonly Resource[]
  /** `exclusive`: the provider keeps one live grant per account and client; a second tenant is refused. `shared`: revoking waits for the last connection of the account. */
  grant?: 'exclusive' | 'shared'
  /** Whose a grant is. Default `key`: the account with its key parts. `account`: all connections of one account id have the same one. */
  grantPer?: 'key' | 'account'
  /** For the guide: steps to register the app, the provider's pages (with the date read), what the backfill cannot do. */
  guide: { setup: readonly string[]; sources: readonly string[]; limits?: readonly string[] }
  /** What the provider lab (`atom-integrations/testing`) cannot read off the rest; see docs/testing.md. */
  lab?: LabHints
  /** Where this definition differs from `facts/<id>.json`, by dotted key of the sheet, and why. The facts check reads it. */
  deviations?: Record<string, string>
}

/**
 * Checks a definition and returns it, typed. Cheap: the whole catalogue passes through it at import.
 *
 * @throws TypeError naming the field and what is expected.
 */
export function defineProvider<const T extends ProviderDefinition>(definition: T): T {
  checkDefinition(definition)
  return definition
}
