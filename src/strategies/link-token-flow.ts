import { callProvider } from './call.js'
import type { LinkToken } from './define-provider.js'
import { codeRejected, type Flow, failure, withState } from './flow.js'
import { identify, pickParams } from './identify.js'
import { pickString } from './template.js'

/** A link token instead of a redirect (Plaid), with the provider's hosted page, so that no foreign script runs on ours. */
export const linkTokenFlow: Flow = {
  async start({ http, definition, client }, { state, params, userId, repair }) {
    const auth = definition.auth as LinkToken
    const redirect = withState(client.redirectURI, state)
    const { body } = await callProvider(http, definition, client, {
      request: (repair && auth.repair) ?? auth.create,
      endpoint: 'link',
      params,
      ...(repair && { credential: repair }),
      scope: { extra: { user_id: userId, redirect_uri: redirect, app_name: client.appName.slice(0, 30) } },
      ...(auth.errors && { errors: auth.errors }),
    })
    const linkToken = pickString(body, auth.create.linkToken)
    const url = pickString(body, auth.create.hostedLinkUrl)
    if (!linkToken || !url || !URL.canParse(url) || !url.startsWith('https://'))
      throw failure(definition, 'PROVIDER_BAD_RESPONSE', 'the answer carries no link token or no page for it')
    return { url, data: { params, linkToken, ...(repair && auth.repair && { repair }) }, linkToken }
  },

  async complete(context, { data, query }) {
    const { http, definition, client } = context
    const auth = definition.auth as LinkToken
    const errors = auth.errors && { errors: auth.errors }
    const scopes = auth.scopes.map((scope) => scope.scope)
    if (data.repair) {
      const params = { ...client.params, ...data.params }
      const grant = { tokens: { default: data.repair }, scopes, params, kept: true as const }
      return codeRejected(definition, identify(http, definition, client, grant, undefined, context.fingerprint))
    }
    const confirmed = await codeRejected(
      definition,
      callProvider(http, definition, client, {
        request: auth.confirm,
        endpoint: 'link',
        params: data.params,
        scope: { extra: { link_token: data.linkToken ?? '' } },
        ...errors,
      }),
    )
    // Only what this link token produced counts, whatever the browser brings.
    const produced = auth.confirm.publicTokens(confirmed.body)
    const publicToken = query.publicToken ?? produced[0]
    if (publicToken === undefined)
      throw failure(definition, 'AUTH_DENIED', 'the page was left without a bank being linked')
    if (!produced.includes(publicToken))
      throw failure(definition, 'AUTH_CODE_REJECTED', 'the public token does not belong to this link token')
    const { body } = await codeRejected(
      definition,
      callProvider(http, definition, client, {
        request: auth.exchange,
        endpoint: 'token',
        params: data.params,
        scope: { extra: { public_token: publicToken } },
        ...errors,
      }),
    )
    const accessToken = pickString(body, auth.exchange.accessToken)
    if (!accessToken) throw failure(definition, 'PROVIDER_BAD_RESPONSE', 'the answer carries no access token')
    const grant = {
      tokens: { default: { accessToken, issuedAt: Date.now() } },
      scopes,
      params: { ...client.params, ...data.params, ...pickParams(body, auth.exchange.params) },
    }
    return identify(http, definition, client, grant, body, context.fingerprint)
  },
}
