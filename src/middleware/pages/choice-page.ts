import type { Choice } from '../../strategies/choices.js'
import type { ProviderDefinition } from '../../strategies/define-provider.js'
import { html, layout, type Markup } from './layout.js'

/** Which of the accounts that a grant reaches is meant. */
export function choicePage({
  definition,
  choices,
  hidden,
  action,
  nonce,
  backUrl,
}: {
  definition: ProviderDefinition
  choices: readonly Choice[]
  /** CSRF token, state. */
  hidden: Readonly<Record<string, string>>
  action: string
  nonce: string
  backUrl: string
}): Markup {
  const { name } = definition
  const noun = definition.choices?.noun ?? 'account'
  return layout({
    title: `Choose: ${name}`,
    nonce,
    body: html`<div class="narrow">
<h1>Which ${noun}?</h1>
<p class="soft">Your approval at ${name} covers several. Choose the one to connect; you can connect another one afterwards.</p>
<form method="post" action="${action}">
${Object.entries(hidden).map(([field, value]) => html`<input type="hidden" name="${field}" value="${value}">`)}
<fieldset class="choices"><legend class="visually">${noun}</legend>
${choices.map((choice, index) => html`<label class="choice"><input type="radio" name="choice" value="${choice.id}"${index === 0 && html` checked`} required> <span>${choice.name}</span></label>`)}
</fieldset>
<p class="actions"><button type="submit">Connect</button> <a class="button quiet" href="${backUrl}">Cancel</a></p>
</form>
</div>`,
  })
}
