import { ERROR_CODES, type IntegrationError, textOf } from '../../errors.js'
import { html, layout, type Markup } from './layout.js'
import { popupScript } from './popup-page.js'

const WHOSE = {
  you: 'Nothing is broken.',
  us: 'The cause is on our side.',
  them: (provider: string | undefined) => `The cause is on the side of ${provider ?? 'the other service'}, not yours.`,
}

/** What happened, whose side it is on, what to do, and a reference to quote. Our own texts only. */
export function errorPage({
  error,
  nonce,
  backUrl,
  loginUrl,
  popup,
  names,
}: {
  error: IntegrationError
  nonce: string
  backUrl: string
  loginUrl?: string | undefined
  popup?: { origin: string; provider: string } | undefined
  /** Names of accounts to show, such as the expected one and the one that came. */
  names?: readonly string[]
}): Markup {
  const { title, message, action } = textOf(error.code, error.provider)
  const whose = WHOSE[ERROR_CODES[error.code].whose]
  const calm = error.code === 'AUTH_DENIED'
  return layout({
    title,
    nonce,
    ...(popup && { script: popupScript(popup.origin, { provider: popup.provider, code: error.code }) }),
    body: html`<div class="narrow">
<h1>${title}</h1>
<p>${message}</p>
${names && names.length > 0 && html`<p>Expected: <strong>${names[0]}</strong>. You signed in as: <strong>${names[1]}</strong>.</p>`}
${error.fields && html`<ul>${Object.values(error.fields).map((sentence) => html`<li>${sentence}</li>`)}</ul>`}
<p>${action}</p>
${!calm && html`<p class="soft">${typeof whose === 'function' ? whose(error.provider) : whose}</p>`}
<p class="actions">
${error.code === 'AUTH_REQUIRED' && loginUrl !== undefined ? html`<a class="button" href="${loginUrl}">Sign in</a>` : html`<a class="button" href="${backUrl}">${popup ? 'Back' : 'Back to the integrations'}</a>`}
</p>
${!calm && html`<dl class="small"><dt>Reference</dt><dd>${error.reference}</dd></dl>`}
</div>`,
  })
}
