import type { Connection } from '../../connection.js'
import type { ConnectionCause } from '../../persistence/store.js'
import type { Backfill } from '../../sync/receipt.js'
import { html, layout, type Markup } from './layout.js'

export interface ProviderCard {
  id: string
  name: string
  category: string
  configured: boolean
  /** Only shown in development. */
  missing: readonly string[]
  connections: readonly { connection: Connection; backfill: Backfill | undefined; mine: boolean }[]
}

const STATUS: Record<string, string> = { active: 'Connected', degraded: 'Disturbed', needs_reauth: 'Needs you' }
const CAUSES: Record<ConnectionCause, string> = {
  revoked: 'The permission was withdrawn.',
  expired: 'The permission has ended.',
  rotation_lost: 'The permission was lost on the way. This can happen when a connection breaks at a bad moment.',
  scope: 'A permission is missing.',
  admin: 'An administrator does not allow it.',
  account_gone: 'The account is closed or the app was removed from it.',
  outage: 'The service does not answer at the moment. We keep trying.',
}

/** The page where users connect accounts. */
export function connectPage({
  path,
  cards,
  csrf,
  nonce,
  notice,
  appName,
}: {
  path: string
  cards: readonly ProviderCard[]
  csrf: string
  nonce: string
  notice: string | undefined
  appName: string
}): Markup {
  return layout({
    title: 'Integrations',
    nonce,
    script: SCRIPT,
    body: html`<h1>Integrations</h1>
<p class="soft">Connect the tools you use with ${appName}. The last months of each arrive by themselves.</p>
${notice !== undefined && html`<p class="notice" role="status">${notice}</p>`}
<ul class="grid">${cards.map((card) => providerCard(card, path, csrf))}</ul>`,
  })
}

function providerCard(card: ProviderCard, path: string, csrf: string): Markup {
  const shown = card.connections.filter(({ connection }) => connection.status !== 'disconnected')
  return html`<li class="card">
<div class="head"><span class="tile t${hash(card.id) % 8}" aria-hidden="true">${card.name.charAt(0)}</span><div><h2>${card.name}</h2><span class="soft small">${card.category}</span></div></div>
${shown.map(({ connection, backfill, mine }) => account(connection, backfill, mine, card, path, csrf))}
<div class="actions">${
    card.configured
      ? html`<a class="button${shown.length > 0 && html` quiet`}" href="${path}/${card.id}/connect">${shown.length > 0 ? 'Connect another' : 'Connect'}<span class="visually"> ${card.name}</span></a>`
      : html`<span class="soft small">Not available${card.missing.length > 0 && html`: set ${card.missing.join(', ')}`}</span>`
  }</div>
</li>`
}

function account(
  connection: Connection,
  backfill: Backfill | undefined,
  mine: boolean,
  card: ProviderCard,
  path: string,
  csrf: string,
): Markup {
  const id = encodeURIComponent(connection.id)
  const label = `${card.name}, ${connection.account.name}`
  return html`<section class="account" aria-label="${label}">
<div class="row"><strong>${connection.account.name}</strong><span class="chip ${connection.status}">${STATUS[connection.status]}</span></div>
${connection.account.email !== undefined && html`<span class="soft small">${connection.account.email}</span>`}
${connection.cause !== undefined && html`<span class="small">${CAUSES[connection.cause]}</span>`}
${backfill && progress(backfill, path)}
<div class="actions">
${connection.status === 'needs_reauth' && html`<a class="button" href="${path}/${card.id}/connect?reconnect=${id}" aria-label="Connect ${label} again">Connect again</a>`}
${
  mine &&
  html`${backfill && connection.status === 'active' && backfill.status !== 'running' && backfill.status !== 'queued' && html`<form method="post" action="${path}/connections/${id}/backfills"><input type="hidden" name="csrf" value="${csrf}"><button class="quiet" aria-label="Read ${label} again">${backfill.status === 'failed' ? 'Resume' : 'Read again'}</button></form>`}
<form method="post" action="${path}/connections/${id}/disconnect"><input type="hidden" name="csrf" value="${csrf}"><button class="quiet" aria-label="Disconnect ${label}">Disconnect</button></form>`
}
</div>
</section>`
}

const HEADINGS: Record<Backfill['status'], string> = {
  queued: 'Waiting to read',
  running: 'Reading',
  completed: 'Read',
  failed: 'Stopped',
}

function progress(backfill: Backfill, path: string): Markup {
  const live = backfill.status === 'queued' || backfill.status === 'running'
  const records = backfill.resources.reduce((sum, { records }) => sum + records, 0)
  return html`<details${live && html` open`}>
<summary class="small"><span data-heading="${backfill.id}">${HEADINGS[backfill.status]}: ${count(records)}</span></summary>
<ul class="bars" aria-live="polite"${live && html` data-backfill="${path}/backfills/${encodeURIComponent(backfill.id)}/events"`}>${backfill.resources.map(
    (resource) =>
      html`<li data-resource="${resource.resource}"><span>${resource.resource.replaceAll('_', ' ')}</span><span class="soft" data-count>${count(resource.records)}</span>${bar(resource.status, resource.resource)}${resource.reason !== undefined && html`<span class="soft" data-reason>${resource.reason}</span>`}</li>`,
  )}</ul>
${live && html`<noscript><p class="small"><a href="${path}">Update</a></p></noscript>`}
</details>`
}

/** Without a value a bar says "under way": how much there is nobody knows before the end. */
function bar(status: string, name: string): Markup {
  if (status === 'completed') return html`<progress max="1" value="1" aria-label="${name}: complete"></progress>`
  if (status === 'running') return html`<progress aria-label="${name}: reading"></progress>`
  return html`<progress max="1" value="0" aria-label="${name}: ${status}"></progress>`
}

const count = (records: number) => `${records.toLocaleString('en')} ${records === 1 ? 'record' : 'records'}`

function hash(text: string): number {
  let sum = 0
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) >>> 0
  return sum
}

const SCRIPT = `
for(const list of document.querySelectorAll('[data-backfill]')){
const source=new EventSource(list.dataset.backfill)
const words=n=>n.toLocaleString('en')+(n===1?' record':' records')
const heads=${JSON.stringify(HEADINGS)}
const show=event=>{const b=JSON.parse(event.data);let sum=0
for(const r of b.resources){sum+=r.records
const row=[...list.children].find(e=>e.dataset.resource===r.resource);if(!row)continue
row.querySelector('[data-count]').textContent=words(r.records)
const bar=row.querySelector('progress')
if(r.status==='running')bar.removeAttribute('value');else bar.value=r.status==='completed'?1:0
bar.setAttribute('aria-label',r.resource+': '+r.status)}
const head=list.parentElement.querySelector('[data-heading]');if(head)head.textContent=heads[b.status]+': '+words(sum)}
source.addEventListener('progress',show)
for(const end of ['completed','failed'])source.addEventListener(end,event=>{show(event);source.close()})
}`
