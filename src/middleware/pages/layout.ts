import type { Response } from 'express'
import { randomText } from '../../random.js'

/** A part of a page: escaped already. */
export class Markup {
  constructor(readonly text: string) {}
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** The one way to make markup: whatever is put in is escaped, unless it is markup itself. `false` and `undefined` are nothing. */
export function html(strings: TemplateStringsArray, ...values: unknown[]): Markup {
  return new Markup(String.raw({ raw: strings }, ...values.map(render)))
}

function render(value: unknown): string {
  if (value instanceof Markup) return value.text
  if (Array.isArray(value)) return value.map(render).join('')
  if (value === undefined || value === null || value === false) return ''
  return String(value).replace(/[&<>"']/g, (character) => ESCAPES[character] as string)
}

export function newNonce(): string {
  return randomText(16)
}

/**
 * Sends a page under a strict policy: no foreign content, no frame, no cache.
 *
 * @param formTargets - Origins that a form may lead to beyond our own: browsers hold redirects after a form to this list too.
 */
export function sendPage(
  res: Response,
  status: number,
  nonce: string,
  page: Markup,
  formTargets: readonly string[] = [],
): void {
  res
    .status(status)
    .set({
      'content-security-policy': `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self'; form-action ${["'self'", ...formTargets].join(' ')}; base-uri 'none'; frame-ancestors 'none'`,
      // A callback has said `no-referrer`. Pages with forms need their origin told.
      'referrer-policy': res.get('referrer-policy') ?? 'same-origin',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'unsafe-none',
      'cache-control': 'no-store',
    })
    .type('html')
    .send(page.text)
}

/** A whole page. */
export function layout({
  title,
  nonce,
  body,
  script,
  head,
}: {
  title: string
  nonce: string
  body: Markup
  script?: string
  head?: Markup
}): Markup {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
${head}
<style nonce="${nonce}">${new Markup(STYLE)}</style>
</head>
<body>
<main>${body}</main>
${script !== undefined && html`<script nonce="${nonce}">${new Markup(script)}</script>`}
</body>
</html>`
}

const STYLE = `
:root{--ink:#18211f;--soft:#5a6764;--line:#dfe5e3;--ground:#f6f8f7;--card:#fff;--accent:#0b6b5b;--on:#fff;--bad:#a3292b;--warn:#8a5a00;--good:#176b3a}
@media (prefers-color-scheme:dark){:root{--ink:#e7eeec;--soft:#9caba7;--line:#2b3835;--ground:#0f1615;--card:#172120;--accent:#57c7b1;--on:#06231d;--bad:#f08c8c;--warn:#e0b25a;--good:#7ed6a0}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}
main.narrow,.narrow{max-width:34rem;margin-inline:auto}
a{color:var(--accent)}
h1{font-size:1.6rem;line-height:1.25;letter-spacing:-.01em;margin:0 0 .35rem}
h2{font-size:1.15rem;margin:0}
h3{font-size:1.05rem;margin:0;line-height:1.3}
.part{margin:2rem 0 0}
.part+.grid{margin-top:.75rem}
[hidden]{display:none!important}
.find{width:min(100%,16rem);flex:0 1 16rem}
.plain{list-style:none;margin:0;padding:0;display:grid;gap:.25rem}
p{margin:.5rem 0}
.soft{color:var(--soft)}
.small{font-size:.875rem}
.grid{display:grid;align-items:start;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1rem;margin:1.5rem 0 0;padding:0;list-style:none}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.1rem;display:flex;flex-direction:column;gap:.85rem;min-width:0}
.tight{gap:.6rem}
.card.line{flex-direction:row;align-items:center;justify-content:space-between;padding:.7rem .9rem}
.line .tile{width:2.2rem;height:2.2rem}
.head{min-width:0;display:flex;align-items:center;gap:.75rem}
.tile{flex:none;width:2.5rem;height:2.5rem;border-radius:.6rem;display:grid;place-items:center;font-weight:700;color:#fff;background:#4b5a57}
.t0{background:#6a3d9a}.t1{background:#b13a2e}.t2{background:#9c4f12}.t3{background:#30343a}.t4{background:#3f6b1f}.t5{background:#0a5fa5}.t6{background:#0b6b5b}.t7{background:#4a3fb5}
.account{border-top:1px solid var(--line);padding-top:.85rem;display:grid;gap:.45rem;overflow-wrap:anywhere}
.row{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem .75rem}
.row>:first-child{flex:1 1 auto}
.chip{font-size:.8rem;padding:.1rem .6rem;border-radius:1rem;border:1px solid currentColor;white-space:nowrap}
.active{color:var(--good)}.degraded{color:var(--warn)}.needs_reauth{color:var(--bad)}
.actions{display:flex;flex-wrap:wrap;gap:.5rem;margin-top:auto}
button,.button{font:inherit;font-weight:600;min-height:2.75rem;padding:.5rem 1rem;border-radius:.55rem;border:1px solid transparent;background:var(--accent);color:var(--on);cursor:pointer;text-decoration:none;display:inline-flex;align-items:center;justify-content:center}
.quiet{background:none;color:var(--ink);border-color:var(--line)}
label{display:grid;gap:.3rem;font-weight:600;margin:1rem 0}
label .soft{font-weight:400}
input,select{font:inherit;font-weight:400;font-size:1rem;min-height:2.75rem;width:100%;padding:.5rem .75rem;border:1px solid var(--soft);border-radius:.5rem;background:var(--card);color:var(--ink)}
fieldset{border:0;margin:1rem 0 0;padding:0;display:grid;gap:.5rem}
.choice{display:flex;align-items:center;gap:.75rem;margin:0;padding:.6rem .9rem;min-height:2.75rem;border:1px solid var(--line);border-radius:.55rem;background:var(--card);overflow-wrap:anywhere;cursor:pointer}
.choice:has(:checked){border-color:var(--accent)}
.choice input{width:1.15rem;min-height:1.15rem;flex:none;accent-color:var(--accent)}
[aria-invalid=true]{border-color:var(--bad)}
.error{color:var(--bad);font-weight:400}
.notice{border-left:.25rem solid var(--accent);background:var(--card);padding:.75rem 1rem;border-radius:.4rem;margin:1rem 0}
.bars{display:grid;gap:.4rem;margin:0;padding:0;list-style:none}
.bars li{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:.1rem .75rem;font-size:.875rem}
progress,[data-reason]{grid-column:1/-1}
progress{width:100%;height:.4rem;accent-color:var(--accent)}
summary{cursor:pointer;padding:.6rem 0;color:var(--soft)}
summary.button{color:var(--ink);padding:.5rem 1rem;list-style:none}summary.button::-webkit-details-marker{display:none}
.sure[open]{flex:1 0 100%}.sure form{display:grid;gap:.6rem;justify-items:start}.sure p{margin:.6rem 0 0}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:1.25rem 0 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.visually{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
a{color:var(--accent)}.button{color:var(--on)}.button.quiet{color:var(--ink)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
`.replace(/\n/g, '')
