import type { ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import type { Answer } from './pages.js'

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] as string)
}

/** The page on which a person approves or denies; a form that comes back to the same address with `lab` and `lab_account`. */
export function consentPage(input: {
  definition: ProviderDefinition
  accounts: readonly LabAccount[]
  query: URLSearchParams
  scopes: readonly string[]
  /** Further questions: parameters that a browser redirect cannot carry, such as the shop. */
  ask: readonly { name: string; label: string; value: string }[]
}): string {
  const { definition, accounts, query, scopes, ask } = input
  const name = escapeHtml(definition.name)
  const hidden = [...query]
    .filter(([key]) => key !== 'lab' && !key.startsWith('lab_'))
    .map(([key, value]) => `<input type="hidden" name="${escapeHtml(key)}" value="${escapeHtml(value)}">`)
  const choices = accounts.map(
    ({ key, name: account, email }, i) =>
      `<label><input type="radio" name="lab_account" value="${key}"${i === 0 ? ' checked' : ''}> ${escapeHtml(account)} (${escapeHtml(email)})</label>`,
  )
  const questions = ask.map(
    ({ name: key, label, value }) =>
      `<label>${escapeHtml(label)}, as given to the app: its address is not seen here <input name="lab_param_${escapeHtml(key)}" value="${escapeHtml(value)}"></label>`,
  )
  const asks = scopes.map((scope) => {
    const why = definition.auth.scopes.find((one) => one.scope === scope)?.why
    return `<li><code>${escapeHtml(scope)}</code>${why ? ` ${escapeHtml(why)}` : ''}</li>`
  })
  return document(
    `${name} (provider lab)`,
    `<h1>Connect ${name}</h1>
<p>This is the provider lab playing ${name}. No real account is touched.</p>
${asks.length > 0 ? `<p>The app asks for:</p><ul>${asks.join('')}</ul>` : ''}
<form method="get">
${hidden.join('\n')}
<fieldset><legend>Account</legend>${choices.join('')}</fieldset>
${questions.join('\n')}
<p><button name="lab" value="approve">Approve</button> <button name="lab" value="deny">Deny</button></p>
</form>`,
  )
}

export function messagePage(title: string, text: string): string {
  return document(escapeHtml(title), `<h1>${escapeHtml(title)}</h1><p>${escapeHtml(text)}</p>`)
}

export function document(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
label{display:block;margin:.4rem 0}fieldset{border:1px solid #b8c0cc;border-radius:6px}input:not([type=radio]){font:inherit;padding:.3rem;width:100%;box-sizing:border-box}
button{font:inherit;padding:.5rem 1.2rem;border-radius:6px;border:1px solid #1c4fa0;background:#1c4fa0;color:#fff}
button[value=deny]{background:#fff;color:#1c4fa0}code{background:#eef1f5;padding:0 .2rem}</style></head>
<body><main>
${body}
</main></body></html>
`
}

export function htmlAnswer(status: number, body: string): Answer {
  return { status, headers: { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }, body }
}
