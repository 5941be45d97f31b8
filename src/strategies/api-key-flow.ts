import { IntegrationError } from '../errors.js'
import type { ApiKey } from './define-provider.js'
import { type Flow, failure } from './flow.js'
import { identify } from './identify.js'

/** A key that the user brings: it counts once the provider has said whose it is. */
export const apiKeyFlow: Flow = {
  start({ definition }) {
    return Promise.reject(
      new TypeError(
        `The strategy "${definition.id}" has no start: send the key in the body, as params.${(definition.auth as ApiKey).key}.`,
      ),
    )
  },

  async complete(context, { data }) {
    const { http, definition, client } = context
    const auth = definition.auth as ApiKey
    const { [auth.key]: accessToken, ...secrets } = data.secrets ?? {}
    if (!accessToken) throw failure(definition, 'REQUEST_INVALID', 'no key', { fields: { [auth.key]: 'Missing.' } })
    const grant = {
      tokens: { default: { accessToken, issuedAt: Date.now(), ...(Object.keys(secrets).length > 0 && { secrets }) } },
      scopes: [],
      params: { ...data.params },
    }
    try {
      return await identify(http, definition, client, grant, undefined, context.fingerprint)
    } catch (error) {
      if (!(error instanceof IntegrationError)) throw error
      const options = { cause: error, providerStatus: error.providerStatus, providerCode: error.providerCode }
      if (error.fault === 'expired' || error.fault === 'revoked' || error.fault === 'client')
        throw failure(definition, 'CREDENTIALS_INVALID', error.message, {
          ...options,
          fields: { [auth.key]: `${definition.name} does not know this key.` },
        })
      if (error.fault === 'permission' || error.fault === 'scope') {
        const missing = error.providerCode
          ? `The provider says: ${error.providerCode}.`
          : `Needed: ${auth.scopes.map((scope) => scope.scope).join('; ')}.`
        throw failure(definition, 'CREDENTIALS_INSUFFICIENT', error.message, {
          ...options,
          fields: { [auth.key]: missing },
        })
      }
      throw error
    }
  },
}
