import type { ConnectionParam, ProviderDefinition } from '../../strategies/define-provider.js'
import { isSecret } from '../../strategies/flow.js'
import { html, layout, type Markup } from './layout.js'

/**
 * The page before anything leaves: what is asked per connection, or, where all is known, what is about to be connected, with one
 * button. What was typed stays, but for secrets.
 */
export function startPage({
  definition,
  params,
  values,
  fields,
  hidden,
  action,
  nonce,
  backUrl,
}: {
  definition: ProviderDefinition
  /** Parameters that the user fills in. */
  params: readonly ConnectionParam[]
  values: Readonly<Record<string, string>>
  /** What was wrong, by field. */
  fields: Readonly<Record<string, string>>
  /** CSRF token, mode, returnTo. */
  hidden: Readonly<Record<string, string>>
  action: string
  nonce: string
  backUrl: string
}): Markup {
  const { name } = definition
  const known = Object.entries(values).filter(([param]) => !params.some((one) => one.name === param))
  const wrong = Object.keys(fields).length > 0
  return layout({
    title: `Connect ${name}`,
    nonce,
    body: html`<div class="narrow">
<h1>Connect ${name}</h1>
<p class="soft">${definition.auth.kind === 'api_key' ? `You bring a key of your own. It is checked with ${name} and kept encrypted.` : `You will be sent to ${name} to approve. Nothing happens before you press the button.`}</p>
${wrong && html`<p class="notice" role="alert">Please check the marked ${Object.keys(fields).length === 1 ? 'field' : 'fields'}.</p>`}
${known.length > 0 && html`<dl>${known.map(([param, value]) => html`<dt>${param}</dt><dd>${value}</dd>`)}</dl>`}
<form method="post" action="${action}" autocomplete="off" novalidate>
${Object.entries(hidden).map(([field, value]) => html`<input type="hidden" name="${field}" value="${value}">`)}
${known.map(([param, value]) => html`<input type="hidden" name="params.${param}" value="${value}">`)}
${params.map((param) => field(param, values[param.name], fields[param.name], definition))}
<p class="actions"><button type="submit">Connect ${name}</button> <a class="button quiet" href="${backUrl}">Cancel</a></p>
</form>
</div>`,
  })
}

function field(
  param: ConnectionParam,
  value: string | undefined,
  problem: string | undefined,
  definition: ProviderDefinition,
): Markup {
  const id = `field-${param.name}`
  const secret = isSecret(definition, param)
  const described = html`aria-describedby="${id}-hint${problem === undefined ? '' : ` ${id}-error`}"${problem !== undefined && html` aria-invalid="true"`}`
  const control = param.choices
    ? html`<select id="${id}" name="params.${param.name}" ${described}>${param.choices.map((choice) => html`<option value="${choice.value}"${choice.value === (value ?? param.default) && html` selected`}>${choice.label}</option>`)}</select>`
    : html`<input id="${id}" name="params.${param.name}" type="${secret ? 'password' : 'text'}" value="${secret ? '' : value}" placeholder="${param.example}" spellcheck="false" autocapitalize="off" ${described}${!param.optional && html` required`}>`
  return html`<label for="${id}"><span>${param.label}${param.optional && html` <span class="soft">(optional)</span>`}</span>
${control}
<span class="soft small" id="${id}-hint">${param.hint}</span>
${problem !== undefined && html`<span class="error small" id="${id}-error">${problem === param.hint ? 'This does not look right.' : problem}</span>`}</label>`
}
