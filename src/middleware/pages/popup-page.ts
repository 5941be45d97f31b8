import { html, layout, type Markup } from './layout.js'

/** Tells the opener how it went, and nobody else: the message goes to our own origin only. */
export function popupScript(
  origin: string,
  message: { provider: string; connectionId?: string | undefined; code?: string },
): string {
  const json = (value: unknown) => JSON.stringify(value).replace(/</g, '\\u003c')
  return `if(window.opener){window.opener.postMessage(${json({ type: 'atom-integrations', ...message })},${json(origin)});${message.code === undefined ? 'window.close()' : ''}}`
}

/** What is left in a popup after connecting. */
export function popupPage({
  origin,
  provider,
  name,
  connectionId,
  nonce,
  backUrl,
}: {
  origin: string
  provider: string
  name: string
  connectionId: string
  nonce: string
  backUrl: string
}): Markup {
  return layout({
    title: `${name} is connected`,
    nonce,
    script: popupScript(origin, { provider, connectionId }),
    body: html`<div class="narrow"><h1>${name} is connected</h1><p>You can close this window.</p><p class="actions"><a class="button" href="${backUrl}">Back to the integrations</a></p></div>`,
  })
}
