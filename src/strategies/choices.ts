import { IntegrationError } from '../errors.js'
import { callProvider } from './call.js'
import type { Call, ProviderDefinition } from './define-provider.js'
import type { FlowContext } from './flow.js'
import type { ConnectedAccount, Grant } from './grant.js'
import { clean, identify, pickParams } from './identify.js'
import { pick, pickString } from './template.js'

/** One of the accounts that a grant reaches. */
export interface Choice {
  id: string
  /** For people. */
  name: string
  /** What is kept of it for later requests. */
  params: Record<string, string>
}

/** A grant that reaches several accounts, before it is said which is meant. */
export interface OpenChoice {
  grant: Grant
  /** Body of the token answer. */
  token: unknown
  choices: Choice[]
}

/** More than a page can offer to choose from. */
const MAX_CHOICES = 200

/**
 * Whose grant this is, or, where it reaches several accounts, what there is to choose from.
 *
 * @throws IntegrationError `PROVIDER_FORBIDDEN` when it reaches none, and what the calls throw.
 */
export async function settle(
  context: FlowContext,
  grant: Grant,
  token: unknown,
): Promise<ConnectedAccount | OpenChoice> {
  const { http, definition, client, fingerprint } = context
  if (!definition.choices) return identify(http, definition, client, grant, token, fingerprint)
  const choices = await listChoices(context, grant, token)
  const open = { grant, token, choices }
  if (choices.length > 1) return open
  if (choices[0]) return choose(context, open, choices[0].id)
  throw new IntegrationError(
    'PROVIDER_FORBIDDEN',
    `${definition.name}: the grant reaches no ${definition.choices.noun}`,
    {
      provider: definition.name,
      fault: 'permission',
    },
  )
}

/** Goes on with one of the accounts. @throws IntegrationError `REQUEST_INVALID` for one that was not offered. */
export async function choose(
  { http, definition, client, fingerprint }: FlowContext,
  { grant, token, choices }: OpenChoice,
  id: string | undefined,
): Promise<ConnectedAccount> {
  const choice = choices.find((one) => one.id === id)
  if (!choice)
    throw new IntegrationError('REQUEST_INVALID', `${definition.name}: the choice is none of those offered`, {
      provider: definition.name,
      fields: { choice: 'Choose one of those offered.' },
    })
  const chosen = { ...grant, params: { ...grant.params, ...choice.params } }
  return identify(http, definition, client, chosen, token, fingerprint)
}

async function listChoices({ http, definition, client }: FlowContext, grant: Grant, token: unknown): Promise<Choice[]> {
  const { choices } = definition as ProviderDefinition & { choices: NonNullable<ProviderDefinition['choices']> }
  const credential = Object.values(grant.tokens)[0] as Grant['tokens'][string]
  const call: Call = async (request) =>
    (await callProvider(http, definition, client, { request, endpoint: 'identity', params: grant.params, credential }))
      .body
  const body = await call(choices.request)
  const listed = choices.toItems ? await choices.toItems(body, call) : pick(body, choices.items)
  const found = new Map<string, Choice>()
  for (const item of Array.isArray(listed) ? listed : []) {
    const id = pickString(item, choices.id)
    if (id === undefined || !(choices.itemFilter?.(item, token) ?? true)) continue
    const params = { [choices.param]: id, ...pickParams(item, choices.params) }
    found.set(id, { id, name: clean(pickString(item, choices.name) ?? id), params })
  }
  return [...found.values()].slice(0, MAX_CHOICES)
}
