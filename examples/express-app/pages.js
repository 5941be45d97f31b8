/** The host's own pages: plain HTML, everything escaped. */

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escapeText = (value) => String(value ?? '').replace(/[&<>"']/g, (character) => ESCAPES[character])

/** Escapes what is put in, unless it is a page part itself. */
export function html(strings, ...values) {
  const text = (value) =>
    Array.isArray(value) ? value.map(text).join('') : value?.markup !== undefined ? value.markup : escapeText(value)
  return { markup: String.raw({ raw: strings }, ...values.map(text)) }
}

export function layout({ title, user, body }) {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Tidepool</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
<a class="brand" href="/">Tidepool</a>
${
  user
    ? html`<nav aria-label="Main"><a href="/">Home</a><a href="/integrations">Integrations</a><a href="/records">Records</a></nav>
<form method="post" action="/logout"><span class="who">${user.name} · ${user.orgName}</span> <button class="quiet">Sign out</button></form>`
    : ''
}
</header>
<main>${body}</main>
</body>
</html>`.markup
}

export function loginPage(users) {
  return layout({
    title: 'Sign in',
    body: html`<h1>Sign in</h1>
<p>Two people in two organisations. What one organisation connects, the other never sees.</p>
<div class="cards">
${users.map(
  (user) => html`<form method="post" action="/login" class="card">
<input type="hidden" name="user" value="${user.id}">
<strong>${user.name}</strong><span>${user.orgName}</span>
<button>Sign in as ${user.name}</button>
</form>`,
)}
</div>`,
  })
}

export function homePage({ user, connections, activity }) {
  return layout({
    title: 'Home',
    user,
    body: html`<h1>Good day, ${user.name}</h1>
<section aria-labelledby="connected"><h2 id="connected">Connected</h2>
${
  connections.length === 0
    ? html`<p>Nothing yet. <a href="/integrations">Connect your first tool</a>.</p>`
    : html`<ul class="rows">${connections.map(
        (connection) =>
          html`<li><strong>${connection.account.name}</strong><span>${connection.provider}</span><span>${connection.status}</span></li>`,
      )}</ul>`
}
</section>
<section aria-labelledby="activity"><h2 id="activity">Activity</h2>
${
  activity.length === 0
    ? html`<p>When something is connected, the <code>connected</code> listener of this app writes a line here.</p>`
    : html`<ul class="rows">${activity.map((line) => html`<li><span>${line.text}</span><time>${line.at}</time></li>`)}</ul>`
}
</section>`,
  })
}

export function recordsPage({ user, connections, selected, resource, page }) {
  const query = (after) =>
    `?${new URLSearchParams({ connection: selected?.id ?? '', resource: resource ?? '', after })}`
  return layout({
    title: 'Records',
    user,
    body: html`<h1>Synced records</h1>
<form method="get" class="filter">
<label>Connection <select name="connection">${connections.map(
      (connection) =>
        html`<option value="${connection.id}"${connection.id === selected?.id ? html` selected` : ''}>${connection.provider} · ${connection.account.name}</option>`,
    )}</select></label>
<label>Resource <input name="resource" value="${resource ?? ''}" placeholder="all"></label>
<button>Show</button>
</form>
${
  !page
    ? html`<p>Connect something first.</p>`
    : html`<div class="scroll"><table><thead><tr><th scope="col">Resource</th><th scope="col">Id</th><th scope="col">Time</th><th scope="col">Data</th></tr></thead>
<tbody>${page.items.map(
        (record) =>
          html`<tr><td>${record.resource}</td><td>${record.id}</td><td>${record.timestamp ?? ''}</td><td><code>${JSON.stringify(record.data).slice(0, 120)}</code></td></tr>`,
      )}</tbody></table></div>
${page.items.length === 0 ? html`<p>No records yet.</p>` : ''}
${page.next ? html`<p><a href="${query(page.next)}">Next page</a></p>` : ''}`
}`,
  })
}

export const style = `
:root { color-scheme: light dark; --ink: light-dark(#16211f, #e8efed); --soft: light-dark(#5b6b68, #9db0ac); --line: light-dark(#dde5e3, #2c3a37); --ground: light-dark(#fbfcfb, #111917); --accent: light-dark(#0b6e5d, #58c9b3) }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground) }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: center; padding: .75rem 1.25rem; border-bottom: 1px solid var(--line) }
header nav { display: flex; gap: 1rem; flex: 1 }
.brand { font-weight: 700; text-decoration: none; color: var(--ink) }
a { color: var(--accent) }
.who, time, .rows span { color: var(--soft) }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1.25rem }
h1 { font-size: 1.6rem; margin: .2rem 0 1rem } h2 { font-size: 1.1rem; margin: 1.75rem 0 .5rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem }
.card { display: flex; flex-direction: column; gap: .25rem; padding: 1.1rem; border: 1px solid var(--line); border-radius: .6rem }
button, select, input { font: inherit; min-height: 2.75rem; padding: .4rem .9rem; border-radius: .45rem; border: 1px solid var(--line) }
button { background: var(--accent); color: light-dark(#fff, #06231d); border-color: transparent; cursor: pointer }
button.quiet { background: none; color: var(--ink); border-color: var(--line) }
.card button { margin-top: .75rem }
.rows { list-style: none; padding: 0; margin: 0 } .rows li { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: .6rem 0; border-bottom: 1px solid var(--line) } .rows li > :last-child { margin-left: auto }
.filter { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin-bottom: 1rem } .filter label { display: grid; gap: .2rem; max-width: 100% } .filter select { max-width: 100% }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .9rem } th, td { text-align: left; padding: .45rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
`
