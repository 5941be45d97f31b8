import { createHmac, timingSafeEqual } from 'node:crypto'
import { IntegrationError } from '../errors.js'
import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource, STANDARD_TOKEN } from './define-provider.js'
import { connectionPages, failedUnlessPart, graphqlAt } from './graphql.js'
import { strategyClass } from './strategy.js'
import { pick } from './template.js'

const GRAPHQL = 'https://{shop}/admin/api/2026-07/graphql.json'

/**
 * What people paste as their shop: a name, a host, or the address of their admin. Anything else stays as it is, so that the pattern
 * refuses it: a port, a path, user info, another host.
 */
export function normalizeShop(input: string): string {
  const text = input.trim().toLowerCase()
  const admin = /^(?:https:\/\/)?admin\.shopify\.com\/store\/([a-z0-9-]+)(?:[/?#].*)?$/.exec(text)
  if (admin) return `${admin[1]}.myshopify.com`
  const host = /^(?:https?:\/\/)?([a-z0-9.-]+)(?:\/|\/admin(?:[/?#].*)?)?$/.exec(text)?.[1]
  if (host === undefined) return text
  return /^[a-z0-9-]+$/.test(host) ? `${host}.myshopify.com` : host
}

/**
 * The signature that Shopify puts on a callback and on an install request.
 *
 * @see {@link https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant | Shopify, authorization code grant} (read 2026-11-20)
 */
export function verifyShopifyQuery(
  query: Readonly<Record<string, unknown>>,
  clientSecret: string,
  shop: string | undefined,
  now: Date,
): void {
  const refuse = (why: string) => new IntegrationError('AUTH_SIGNATURE_INVALID', why, { provider: 'Shopify' })
  const signed = new URLSearchParams()
  for (const name of Object.keys(query).sort()) {
    const value = query[name]
    if (typeof value !== 'string') throw refuse('A parameter of the callback is there more than once.')
    if (name !== 'hmac' && name !== 'signature') signed.append(name, value)
  }
  const given = query.hmac
  if (typeof given !== 'string' || !/^[0-9a-f]{64}$/.test(given))
    throw refuse('The parameter hmac is missing or no HMAC.')
  // URLSearchParams writes a blank as +, Shopify as %20.
  const expected = createHmac('sha256', clientSecret).update(signed.toString().replaceAll('+', '%20')).digest()
  if (!timingSafeEqual(expected, Buffer.from(given, 'hex'))) throw refuse('The HMAC of the callback does not fit.')
  const seconds = /^\d{1,12}$/.test(String(query.timestamp)) ? Number(query.timestamp) : Number.NaN
  // As the official SDK does: 90 s to either side.
  if (!(Math.abs(now.getTime() / 1000 - seconds) <= 90))
    throw refuse('The timestamp of the callback is too far from now.')
  if (shop !== undefined && query.shop !== shop)
    throw refuse('The callback names another shop than the one that was asked for.')
}

const codeOf = (error: unknown) => pick(error, 'extensions.code')

const errors: ErrorRules = {
  code: ['errors.0.extensions.code', 'error'],
  codes: {
    THROTTLED: 'rate_limited',
    ACCESS_DENIED: 'permission',
    MAX_COST_EXCEEDED: 'invalid',
    INTERNAL_SERVER_ERROR: 'unavailable',
    SHOP_INACTIVE: 'account_gone',
  },
  // What this app may not see of an item: the customer of an order, without access to protected customer data.
  failed: failedUnlessPart((path, error) => path.length > 1 && codeOf(error) === 'ACCESS_DENIED'),
  classify: ({ status, body }) => {
    const list = pick(body, 'errors')
    if (Array.isArray(list) && list.some((error) => codeOf(error) === 'THROTTLED')) return 'rate_limited'
    // 402: frozen until the merchant pays. 423: locked for a while, so no reason to give the connection up.
    return status === 402 ? 'account_gone' : status === 423 ? 'unavailable' : undefined
  },
  // The bucket refills at a known rate: wait until the query fits.
  retryAfterSeconds: ({ body }) => {
    const cost = Number(pick(body, 'extensions.cost.requestedQueryCost'))
    const left = Number(pick(body, 'extensions.cost.throttleStatus.currentlyAvailable'))
    const rate = Number(pick(body, 'extensions.cost.throttleStatus.restoreRate'))
    const seconds = (cost - left) / rate
    return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : undefined
  },
}

const clientCodes = ['invalid_client', 'application_cannot_be_found', 'unauthorized_client']

const tokenErrors: ErrorRules = {
  code: ['error'],
  codes: { invalid_client: 'client', application_cannot_be_found: 'client', unauthorized_client: 'client' },
  // The body of a refused refresh is not documented: every other 400 or 401 here means that the code or token no longer counts.
  classify: ({ status, body }) =>
    (status === 400 || status === 401) && !clientCodes.includes(String(pick(body, 'error'))) ? 'revoked' : undefined,
}

const graphql = graphqlAt(GRAPHQL)

interface Connection {
  name: string
  sortKey: 'UPDATED_AT' | 'CREATED_AT'
  first: number
  fields: string
}

/** One connection of the Admin API: filtered and sorted by change time at the server, oldest first. */
function connection({ name, sortKey, first, fields }: Connection, more: Partial<Resource>): Resource {
  const operation = name.charAt(0).toUpperCase() + name.slice(1)
  const filterField = sortKey.toLowerCase()
  return {
    name,
    request: graphql(
      `query ${operation}($first: Int!, $after: String, $query: String) { ${name}(first: $first, after: $after, query: $query, sortKey: ${sortKey}) { nodes { ${fields} } pageInfo { hasNextPage endCursor } } }`,
      { first, query: `${filterField}:>='{since.iso8601}'` },
    ),
    pagination: connectionPages(name),
    items: `data.${name}.nodes`,
    id: 'id',
    timestamp: { path: sortKey === 'UPDATED_AT' ? 'updatedAt' : 'createdAt', format: 'iso8601' },
    filter: 'server',
    order: 'asc',
    ...more,
  }
}

// No `scopes` per resource: a granted write scope includes its read scope and is listed alone.
const money = '{ amount currencyCode }'
const resources: readonly Resource[] = [
  connection(
    {
      name: 'orders',
      sortKey: 'UPDATED_AT',
      // With 20 lines each, 25 orders cost about 650 of the 1,000 points that one query may cost.
      first: 25,
      fields: `id name createdAt updatedAt processedAt cancelledAt cancelReason closedAt test note tags displayFinancialStatus displayFulfillmentStatus currencyCode totalPriceSet { shopMoney ${money} } customer { id displayName } lineItems(first: 20) { nodes { id title quantity sku } }`,
    },
    {
      reach: {
        days: 60,
        unlessScope: 'read_all_orders',
        reason: 'Without the scope read_all_orders, Shopify shows only orders created in the last 60 days.',
      },
      limits:
        'Up to 20 lines of an order. The customer is empty where the app has no access to protected customer data.',
    },
  ),
  connection(
    {
      name: 'customers',
      sortKey: 'UPDATED_AT',
      first: 100,
      fields: `id displayName firstName lastName state tags note createdAt updatedAt numberOfOrders amountSpent ${money} defaultEmailAddress { emailAddress } defaultPhoneNumber { phoneNumber }`,
    },
    {
      // The server compares whole days here.
      filter: 'client',
      limits: 'Name, address and phone need access to protected customer data, which Shopify grants to the app.',
    },
  ),
  connection(
    {
      name: 'products',
      sortKey: 'UPDATED_AT',
      first: 50,
      fields:
        'id title handle status vendor productType tags totalInventory createdAt updatedAt publishedAt onlineStoreUrl variants(first: 10) { nodes { id title sku price inventoryQuantity } }',
    },
    { limits: 'Up to 10 variants of a product.' },
  ),
  connection(
    {
      name: 'events',
      sortKey: 'CREATED_AT',
      first: 100,
      fields:
        '__typename id action createdAt message appTitle attributeToUser ... on BasicEvent { subjectId subjectType } ... on CommentEvent { rawMessage }',
    },
    { limits: 'The activity log of the shop, for what the granted scopes cover; Shopify keeps it for about a year.' },
  ),
]

/**
 * Shopify: OAuth 2.0 authorization code per shop, with a signed callback; the Admin API is read by GraphQL.
 *
 * `expiring=1` asks for access tokens of 3600 seconds with a rotating refresh token of 90 days, mandatory for new public apps. One
 * pair per app and shop is live: connecting a shop again ends the pair before. Since 2026-08-28 a refresh token keeps working until
 * the pair that replaced it is used for the first time, so a lost answer can be asked for again.
 *
 * @see {@link https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens | Shopify, offline access tokens} (read 2026-11-20)
 * @see {@link https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens | Shopify, more resilient refreshes} (read 2026-11-20)
 * @see {@link https://shopify.dev/docs/api/usage/limits | Shopify, API limits} (read 2026-11-20)
 */
export const shopify = defineProvider({
  id: 'shopify',
  name: 'Shopify',
  category: 'commerce',
  params: [
    {
      name: 'shop',
      label: 'Shop',
      pattern: /^[a-z0-9][a-z0-9-]*\.myshopify\.com$/,
      hint: 'The address of the shop that ends in .myshopify.com, as it stands in the Shopify admin under Settings, Domains.',
      example: 'my-shop.myshopify.com',
      normalize: normalizeShop,
    },
  ],
  auth: {
    kind: 'oauth2',
    authorizationURL: 'https://{shop}/admin/oauth/authorize',
    tokenURL: 'https://{shop}/admin/oauth/access_token',
    clientAuth: 'json_body',
    pkce: 'never',
    scopeSeparator: ',',
    scopes: [
      { scope: 'read_orders', why: 'orders of the last 60 days' },
      {
        scope: 'read_all_orders',
        why: 'orders older than 60 days, for the whole window',
        needsApproval: 'Shopify approves it per app on request, under API access in the Dev Dashboard.',
      },
      { scope: 'read_customers', why: 'customers, and the customer of an order' },
      { scope: 'read_products', why: 'products and variants' },
    ],
    tokenParams: { expiring: '1' },
    // Without it, an error can be an HTML page.
    tokenHeaders: { accept: 'application/json' },
    refreshToken: 'rotating',
    // No length is told: it holds until the new pair is used, which a lost answer never was. An hour is well inside.
    refreshReplaySeconds: 3600,
    refreshIdleSeconds: 7_776_000,
    tokens: { default: { ...STANDARD_TOKEN, refreshExpiresIn: 'refresh_token_expires_in' } },
    errors: tokenErrors,
  },
  verifyCallback: ({ query, clientSecret, params, now }) => verifyShopifyQuery(query, clientSecret, params.shop, now),
  identity: {
    request: graphql(
      'query Shop { shop { id name email myshopifyDomain primaryDomain { host } currencyCode ianaTimezone plan { publicDisplayName } } }',
    ),
    accountId: 'data.shop.id',
    accountName: 'data.shop.name',
    email: 'data.shop.email',
  },
  api: {
    baseURL: 'https://{shop}/admin/api/2026-07',
    auth: { headers: { 'x-shopify-access-token': '{access_token}' } },
    headers: { accept: 'application/json' },
    errors,
    // Counted in cost points: the throttle status of an answer says how long to wait.
    concurrency: 2,
  },
  resources,
  grant: 'exclusive',
  guide: {
    setup: [
      'Open https://dev.shopify.com/dashboard and create an app.',
      'In a version of the app set the app URL, the redirect URI and the read scopes listed here, then release it.',
      'Under API access request protected customer data (customers, with name and email), and read_all_orders when the history should reach further back than 60 days; add that scope to SHOPIFY_SCOPES once it is approved.',
      'Choose the distribution, public or custom. Without one, only development stores of your organization can install the app.',
      'Under Settings, Credentials copy client ID and client secret into SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET.',
    ],
    sources: [
      'https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens (read 2026-11-20)',
      'https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant (read 2026-11-20)',
      'https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens (read 2026-11-20)',
      'https://shopify.dev/docs/api/admin-graphql/2026-07/objects/Order (read 2026-11-20)',
      'https://shopify.dev/docs/api/usage/limits (read 2026-11-20)',
    ],
    limits: [
      'Without read_all_orders, orders created more than 60 days ago are not shown.',
      'Customer data stays empty or refused until Shopify grants the app access to protected customer data.',
      'One app can hold one connection per shop: a second tenant is refused.',
      'An app that is uninstalled loses its access at once.',
    ],
  },
})

/** Shopify for Passport apps. */
export class ShopifyStrategy extends strategyClass(shopify) {}
