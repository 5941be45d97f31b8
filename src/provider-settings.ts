import type { ClientConfig } from './strategies/call.js'
import type { ProviderDefinition } from './strategies/define-provider.js'

type Env = Readonly<Record<string, string | undefined>>

/** One provider's settings. What is left out comes from the environment (`SLACK_CLIENT_ID`, …). */
export interface ProviderOptions {
  clientId?: string
  clientSecret?: string
  /** Default: `baseUrl` + `path` + `/<client>/callback`. */
  redirectUri?: string
  /** Instead of the definition's default scopes. */
  scopes?: readonly string[]
  /** For providers whose PKCE is switched on per app (Slack). */
  pkce?: boolean
  /** Values that the operator fixes, such as Plaid's `environment`. */
  params?: Record<string, string>
  /** Further variables of this provider by name, such as `DISCORD_BOT_TOKEN`. */
  env?: Record<string, string>
  /** A provider of the host's own, made with `defineProvider`. */
  definition?: ProviderDefinition
}

/** A provider with what the operator set for it. */
export interface CatalogueEntry {
  definition: ProviderDefinition
  client: ClientConfig
  configured: boolean
  /** Names of the variables that are not set. */
  missing: readonly string[]
}

export interface ProviderContext {
  baseUrl: URL
  path: string
  appName: string
}

/**
 * The providers that are on, with their settings from the options and, for what is left out, from the environment.
 *
 * @param chosen - Option `providers`; `undefined`: the whole catalogue.
 * @throws TypeError naming the option or variable when a provider is unknown or half configured.
 */
export function resolveProviders(
  chosen: readonly string[] | Readonly<Record<string, ProviderOptions>> | undefined,
  catalogue: Readonly<Record<string, ProviderDefinition>>,
  env: Env,
  context: ProviderContext,
): Map<string, CatalogueEntry> {
  const given: Readonly<Record<string, ProviderOptions>> =
    chosen === undefined
      ? Object.fromEntries(Object.keys(catalogue).map((id) => [id, {}]))
      : isList(chosen)
        ? Object.fromEntries(chosen.map((id) => [id, {}]))
        : chosen
  const entries = new Map<string, CatalogueEntry>()
  for (const [id, provider] of Object.entries(given)) {
    const definition = provider.definition ?? (Object.hasOwn(catalogue, id) ? catalogue[id] : undefined)
    if (!definition)
      throw wrong(
        'providers',
        `names "${id.slice(0, 40)}", which is not in the catalogue: ${Object.keys(catalogue).join(', ')}`,
      )
    if (definition.id !== id)
      throw wrong(`providers.${id}.definition`, `has the id "${definition.id}": use that as the key`)
    entries.set(id, resolveProvider(definition, provider, env, context))
  }
  return entries
}

/** Names of the variables of a provider's client: `SLACK_CLIENT_ID`, `GOOGLE_CLIENT_SECRET`, `PLAID_SECRET`. */
export function clientVariables(definition: ProviderDefinition): { clientId: string; clientSecret: string } | null {
  if (definition.auth.kind === 'api_key' || definition.credentialsEnv === null) return null
  const prefix = envPrefix(definition)
  return definition.credentialsEnv ?? { clientId: `${prefix}_CLIENT_ID`, clientSecret: `${prefix}_CLIENT_SECRET` }
}

/** Prefix of the variables that providers of one client share. */
export function envPrefix(definition: ProviderDefinition): string {
  return definition.client?.env ?? upperSnake(definition.id)
}

function upperSnake(id: string): string {
  return id.toUpperCase().replaceAll('-', '_')
}

function resolveProvider(
  definition: ProviderDefinition,
  given: ProviderOptions,
  env: Env,
  context: ProviderContext,
): CatalogueEntry {
  const { id } = definition
  const names = clientVariables(definition)
  const clientId = given.clientId ?? (names ? env[names.clientId] : undefined) ?? ''
  const clientSecret = given.clientSecret ?? (names ? env[names.clientSecret] : undefined) ?? ''
  const missing: string[] = []
  if (names && !clientId) missing.push(names.clientId)
  if (names && !clientSecret) missing.push(names.clientSecret)
  if (missing.length === 1 && (clientId || clientSecret))
    throw new TypeError(
      `atomIntegrations: provider "${id}" is half configured: set ${missing[0]} too (or providers.${id}.${clientId ? 'clientSecret' : 'clientId'}).`,
    )

  const extra: Record<string, string> = {}
  for (const variable of definition.env ?? []) {
    const value = given.env?.[variable.name] ?? env[variable.name] ?? variable.default
    if (value) extra[variable.name] = value
    else if (variable.required) missing.push(variable.name)
  }
  const params: Record<string, string> = {}
  for (const param of definition.params ?? []) {
    const value = given.params?.[param.name] ?? (param.from === 'config' && param.env ? env[param.env] : undefined)
    if (value === undefined && param.from !== 'config') continue
    const fixed = value ?? param.default
    if (fixed === undefined && !param.optional) missing.push(param.env ?? `providers.${id}.params.${param.name}`)
    else if (fixed !== undefined && !param.pattern.test(fixed))
      throw new TypeError(
        `atomIntegrations: providers.${id}.params.${param.name}${param.env ? ` (${param.env})` : ''} is not valid: ${param.hint}`,
      )
    else if (fixed !== undefined) params[param.name] = fixed
  }
  const redirectURI =
    given.redirectUri ?? env[`${envPrefix(definition)}_REDIRECT_URI`] ?? callbackURL(definition, context)
  if (!URL.canParse(redirectURI)) throw wrong(`providers.${id}.redirectUri`, 'must be an absolute URL')
  const scopes = given.scopes ?? env[`${upperSnake(id)}_SCOPES`]?.split(/[\s,]+/).filter(Boolean)
  return {
    definition,
    client: {
      clientId,
      clientSecret,
      env: extra,
      params,
      redirectURI,
      appName: context.appName,
      ...(scopes && { scopes }),
      ...(given.pkce !== undefined && { pkce: given.pkce }),
    },
    configured: missing.length === 0,
    missing,
  }
}

/** The redirect URI of a provider, unless the operator says another. */
export function callbackURL(
  definition: ProviderDefinition,
  { baseUrl, path }: Pick<ProviderContext, 'baseUrl' | 'path'>,
): string {
  return `${baseUrl.origin}${joinPath(baseUrl, path)}/${definition.client?.id ?? definition.id}/callback`
}

function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value)
}

function wrong(option: string, problem: string): TypeError {
  return new TypeError(`atomIntegrations: option "${option}" ${problem}.`)
}

/** The path of `baseUrl`, where it has one, before `path`. */
export function joinPath(baseUrl: URL, path: string): string {
  return baseUrl.pathname === '/' ? path : baseUrl.pathname.replace(/\/+$/, '') + path
}
