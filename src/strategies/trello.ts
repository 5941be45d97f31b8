import type { ErrorRules } from '../provider-http/errors.js'
import { defineProvider, type Resource } from './define-provider.js'
import { getFrom } from './requests.js'
import { strategyClass } from './strategy.js'

/** Most refusals are bare text. The access token has no end, so a refused one is gone. */
const texts: readonly [RegExp, 'client' | 'revoked' | 'permission' | 'not_found' | 'invalid'][] = [
  [/invalid (app )?key|invalid api key/i, 'client'],
  [/(invalid|expired|revoked) (app )?token|invalid signature for request token/i, 'revoked'],
  [/unauthorized .*(permission|requested)|unauthorized permission/i, 'permission'],
  [/not found/i, 'not_found'],
  [/invalid id/i, 'not_found'],
]

function textOf(body: unknown): string {
  const { error, message } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  return typeof body === 'string' ? body : `${message ?? ''} ${error ?? ''}`
}

/** While somebody connects, a 401 with an unknown text may as well be about the key: the step decides. */
const tokenErrors: ErrorRules = {
  code: ['error'],
  codes: { API_TOKEN_LIMIT_EXCEEDED: 'rate_limited', API_KEY_LIMIT_EXCEEDED: 'rate_limited' },
  classify: ({ status, body }) => {
    if (status === 429) return 'rate_limited'
    return status < 500 ? texts.find(([pattern]) => pattern.test(textOf(body)))?.[1] : undefined
  },
  // Not told by the answer: the window is 10 seconds.
  retryAfterSeconds: ({ body }) => (/limit/i.test(textOf(body)) ? 10 : undefined),
}

const errors: ErrorRules = {
  ...tokenErrors,
  classify: (answer) => tokenErrors.classify?.(answer) ?? (answer.status === 401 ? 'revoked' : undefined),
}

const get = getFrom('https://api.trello.com/1')

const CARD_FIELDS =
  'id,idShort,name,desc,closed,due,dueComplete,idList,idBoard,idMembers,labels,dateLastActivity,shortUrl'

const resources: readonly Resource[] = [
  {
    name: 'boards',
    request: get('members/me/boards', {
      filter: 'all',
      fields: 'id,name,desc,closed,url,dateLastActivity,idOrganization',
    }),
    pagination: { style: 'none' },
    items: '',
    id: 'id',
    timestamp: { path: 'dateLastActivity', format: 'iso8601' },
    filter: 'none',
    rateLimit: { requests: 100, perSeconds: 900 },
  },
  {
    name: 'cards',
    parent: 'boards',
    request: get('boards/{parent.id}/cards/all', { limit: '1000', fields: CARD_FIELDS }),
    // since and before go by creation; the smallest id of a page is its oldest card.
    pagination: { style: 'last_item', at: 'query', param: 'before', field: 'id', pick: 'min', pageSize: 1000 },
    items: '',
    id: 'id',
    timestamp: { path: 'dateLastActivity', format: 'iso8601' },
    filter: 'client',
    skipParentOn: ['not_found'],
  },
  {
    name: 'actions',
    parent: 'boards',
    request: get('boards/{parent.id}/actions', {
      filter: 'all',
      limit: '1000',
      since: '{since.iso8601}',
      memberCreator_fields: 'id,username,fullName',
    }),
    pagination: { style: 'last_item', at: 'query', param: 'before', field: 'id', pageSize: 1000 },
    items: '',
    id: 'id',
    timestamp: { path: 'date', format: 'iso8601' },
    filter: 'server',
    order: 'desc',
    skipParentOn: ['not_found'],
  },
]

/**
 * Trello: OAuth 1.0a with HMAC-SHA1; the API takes key and token in a header, unsigned.
 *
 * `expiration=never` keeps the token until it is revoked; without it, it would end silently after 30 days. There is no refresh.
 * The answers of the token URLs are form-encoded, and most errors are bare text.
 *
 * @see {@link https://developer.atlassian.com/cloud/trello/guides/rest-api/authorization/ | Trello, authorization} (read 2026-11-20)
 * @see {@link https://developer.atlassian.com/cloud/trello/guides/rest-api/rate-limits/ | Trello, rate limits} (read 2026-11-20)
 */
export const trello = defineProvider({
  id: 'trello',
  name: 'Trello',
  category: 'tasks',
  auth: {
    kind: 'oauth1',
    requestTokenURL: 'https://trello.com/1/OAuthGetRequestToken',
    authorizationURL: 'https://trello.com/1/OAuthAuthorizeToken',
    accessTokenURL: 'https://trello.com/1/OAuthGetAccessToken',
    signatureMethod: 'HMAC-SHA1',
    scopeParam: 'scope',
    scopeSeparator: ',',
    scopes: [
      { scope: 'read', why: 'boards, lists, cards, actions and members' },
      {
        scope: 'account',
        why: "the person's own email address; it also permits changing member info, so leave it out when the address is not needed",
      },
    ],
    authorizationParams: { name: '{app_name}', expiration: 'never' },
    errors: tokenErrors,
    revocation: {
      method: 'DELETE',
      url: 'https://api.trello.com/1/tokens/{token}',
      headers: { authorization: 'OAuth oauth_consumer_key="{client_id}", oauth_token="{token}"' },
      auth: 'none',
    },
  },
  identity: {
    request: get('members/me', { fields: 'id,username,fullName,email' }),
    accountId: 'id',
    accountName: ['fullName', 'username'],
    email: 'email',
  },
  api: {
    baseURL: 'https://api.trello.com/1',
    auth: { headers: { authorization: 'OAuth oauth_consumer_key="{client_id}", oauth_token="{access_token}"' } },
    headers: { accept: 'application/json' },
    errors,
    rateLimit: { requests: 100, perSeconds: 10 },
  },
  resources,
  // Who authorizes the same scope and expiration again gets the same token again (seen in joshrowley/omniauth-trello#10).
  grant: 'shared',
  guide: {
    setup: [
      'Open https://trello.com/power-ups/admin and create an app (a Power-Up) in one of your workspaces.',
      'On the tab API Key generate a key. The key goes into TRELLO_CLIENT_ID, the secret into TRELLO_CLIENT_SECRET.',
      'Add the origin of the redirect URI (scheme, host, port) to the allowed origins of that key; without any, every redirect is blocked.',
    ],
    sources: [
      'https://developer.atlassian.com/cloud/trello/guides/rest-api/authorization/ (read 2026-11-20)',
      'https://developer.atlassian.com/cloud/trello/guides/rest-api/rate-limits/ (read 2026-11-20)',
      'https://developer.atlassian.com/cloud/trello/guides/rest-api/nested-resources/ (read 2026-11-20)',
    ],
    limits: [
      'Only the boards that the person who connected is a member of.',
      'Checklists and attachments are read only as far as actions mention them.',
    ],
  },
})

/** Trello for Passport apps. */
export class TrelloStrategy extends strategyClass(trello) {}
