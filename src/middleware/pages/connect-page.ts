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
  connections: readonly ShownConnection[]
}

export interface ShownConnection {
  connection: Connection
  backfill: Backfill | undefined
  /** By the name of the resource, for people. */
  titles: Readonly<Record<string, string>>
  /** What the visitor may do with it. */
  may: { reconnect: boolean; backfill: boolean; disconnect: boolean }
}

const STATUS: Record<string, string> = { active: 'Connected', degraded: 'Not reachable', needs_reauth: 'Connect again' }
const CATEGORIES: Record<string, string> = { ai: 'AI', crm: 'CRM' }
const CAUSES: Record<ConnectionCause, string> = {
  revoked: 'The permission was withdrawn.',
  expired: 'The permission has ended.',
  rotation_lost: 'The permission was lost on the way. This can happen when a connection breaks at a bad moment.',
  scope: 'A permission is missing.',
  admin: 'An administrator does not allow it.',
  account_gone: 'The account is closed or the app was removed from it.',
  outage: 'The service did not answer. It is tried again when it is needed next.',
}

/** The page where users connect accounts. */
export function connectPage({
  path,
  home,
  cards,
  csrf,
  nonce,
  notice,
  appName,
  reads,
}: {
  path: string
  /** Where the app itself begins. */
  home: string
  cards: readonly ProviderCard[]
  csrf: string
  nonce: string
  notice: { text: string; arriving?: boolean } | undefined
  appName: string
  /** Whether backfills run at all. */
  reads: boolean
}): Markup {
  const connected = cards.filter((card) => card.connections.length > 0)
  const others = cards.filter((card) => card.connections.length === 0)
  const available = others.filter((card) => card.configured)
  // What is missing is for developers; users need not read about what this app does not offer.
  const unset = others.filter((card) => !card.configured && card.missing.length > 0)
  return layout({
    title: 'Integrations',
    nonce,
    script: SCRIPT,
    body: html`<p class="small"><a href="${home}">Back to ${appName}</a></p>
<h1>Integrations</h1>
<p class="soft">Connect the tools you use with ${appName}.${reads && ' The last months of each arrive by themselves.'}</p>
${notice && html`<p class="notice" role="status">${notice.text}${notice.arriving === true && html`<span data-arriving> Its last months are on their way.</span>`}</p>`}
${connected.length > 0 && html`<section aria-labelledby="connected"><h2 class="part" id="connected">Connected</h2><ul class="grid">${connected.map((card) => connectedCard(card, path, csrf, reads))}</ul></section>`}
${
  available.length > 0 &&
  html`<section aria-labelledby="available"><div class="row part"><h2 id="available">Available</h2>${available.length > MANY && html`<input type="search" class="find" placeholder="Find" aria-label="Find an integration" data-find hidden>`}</div>
<ul class="grid tight" data-list>${available.map((card) => html`<li class="card line" data-name="${card.name.toLowerCase()} ${card.category}">${head(card)}${connectLink(card, path, 'Connect')}</li>`)}</ul>
<p class="soft" role="status" data-none hidden>Nothing with that name.</p></section>`
}
${cards.every(({ configured, connections }) => !configured && connections.length === 0) && html`<p class="notice">Nothing is set up yet.</p>`}
${unset.length > 0 && html`<details class="part"${available.length === 0 && html` open`}><summary>Not set up: ${unset.length}</summary><ul class="plain small">${unset.map((card) => html`<li>${card.name}: set ${card.missing.join(', ')}</li>`)}</ul></details>`}`,
  })
}

/** From so many on a list is searched rather than read. */
const MANY = 12

function head({ id, name, category }: ProviderCard): Markup {
  return html`<div class="head"><span class="tile t${hash(id) % 8}" aria-hidden="true">${name.charAt(0)}</span><div><h3>${name}</h3><span class="soft small">${CATEGORIES[category] ?? category}</span></div></div>`
}

function connectLink({ id, name }: ProviderCard, path: string, label: string): Markup {
  return html`<a class="button quiet" href="${path}/${id}/connect">${label}<span class="visually"> ${name}</span></a>`
}

function connectedCard(card: ProviderCard, path: string, csrf: string, reads: boolean): Markup {
  return html`<li class="card">
${head(card)}
${card.connections.map((shown) => account(shown, card, path, csrf, reads))}
${card.configured && html`<div class="actions">${connectLink(card, path, 'Connect another')}</div>`}
</li>`
}

function account(
  { connection, backfill, titles, may }: ShownConnection,
  card: ProviderCard,
  path: string,
  csrf: string,
  reads: boolean,
): Markup {
  const at = `${path}/connections/${encodeURIComponent(connection.id)}`
  const label = `${card.name}, ${connection.account.name}`
  const needsUser = connection.status === 'needs_reauth'
  const token = html`<input type="hidden" name="csrf" value="${csrf}">`
  return html`<section class="account" aria-label="${label}">
<div class="row"><strong>${connection.account.name}</strong><span class="chip ${connection.status}">${STATUS[connection.status]}</span></div>
${connection.account.email !== undefined && html`<span class="soft small">${connection.account.email}</span>`}
${connection.cause !== undefined && html`<span class="small">${CAUSES[connection.cause]}</span>`}
${needsUser && !may.reconnect && html`<span class="small">Ask the person who connected it to connect it again.</span>`}
${backfill && progress(backfill, titles, path)}
<div class="actions">
${needsUser && may.reconnect && html`<a class="button" href="${path}/${card.id}/connect?reconnect=${encodeURIComponent(connection.id)}" aria-label="Connect ${label} again">Connect again</a>`}
${may.backfill && backfill && connection.status === 'active' && html`<form method="post" action="${at}/backfills" data-again="${backfill.id}"${isLive(backfill) && html` hidden`}>${token}<button class="quiet" aria-label="Read ${label} again">${backfill.status === 'failed' ? 'Resume' : 'Read again'}</button></form>`}
${
  may.disconnect &&
  html`<details class="sure"><summary class="button quiet" aria-label="Disconnect ${label}">Disconnect</summary><form method="post" action="${at}/disconnect">${token}<p class="small">${card.name} is told to end this access.${reads && ' What was read is kept.'}</p>${reads && html`<label class="choice small"><input type="checkbox" name="records" value="delete">Delete what was read, too</label>`}<button aria-label="Disconnect ${label} now">Disconnect now</button></form></details>`
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

export function isLive(backfill: Backfill | undefined): boolean {
  return backfill?.status === 'queued' || backfill?.status === 'running'
}

function progress(backfill: Backfill, titles: ShownConnection['titles'], path: string): Markup {
  const live = isLive(backfill)
  const records = backfill.resources.reduce((sum, { records }) => sum + records, 0)
  return html`<details${live && html` open`}>
<summary class="small"><span data-heading="${backfill.id}">${HEADINGS[backfill.status]}: ${backfill.status === 'completed' && records === 0 ? NOTHING_NEW : count(records)}</span></summary>
<ul class="bars" aria-live="polite"${live && html` data-backfill="${backfill.id}" data-at="${path}/backfills/"`}>${backfill.resources.map(
    (resource) =>
      html`<li data-resource="${resource.resource}"><span>${titles[resource.resource] ?? resource.resource}</span><span class="soft" data-count>${count(resource.records)}</span>${bar(resource.status, resource.resource)}${resource.reason !== undefined && html`<span class="soft" data-reason>${resource.reason}</span>`}</li>`,
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

/** Backfills that one page, and one stream, follows: their ids stand in one address. */
export const MAX_WATCHED = 50

/** A second backfill asks only for what came since the first. */
const NOTHING_NEW = 'nothing new'

const count = (records: number) => `${records.toLocaleString('en')} ${records === 1 ? 'record' : 'records'}`

function hash(text: string): number {
  let sum = 0
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) >>> 0
  return sum
}

const SCRIPT = `
const find=document.querySelector('[data-find]')
if(find){find.hidden=false
find.addEventListener('input',()=>{const wanted=find.value.trim().toLowerCase();let left=0
for(const card of document.querySelector('[data-list]').children){card.hidden=!card.dataset.name.includes(wanted);if(!card.hidden)left++}
document.querySelector('[data-none]').hidden=left>0})}
const lists=new Map([...document.querySelectorAll('[data-backfill]')].slice(0,${MAX_WATCHED}).map(list=>[list.dataset.backfill,list]))
const words=n=>n.toLocaleString('en')+(n===1?' record':' records')
const heads=${JSON.stringify(HEADINGS)}
const show=event=>{const b=JSON.parse(event.data),list=lists.get(b.id);let sum=0
for(const r of b.resources){sum+=r.records
const row=[...list.children].find(e=>e.dataset.resource===r.resource);if(!row)continue
row.querySelector('[data-count]').textContent=words(r.records)
const bar=row.querySelector('progress')
if(r.status==='running')bar.removeAttribute('value');else bar.value=r.status==='completed'?1:0
bar.setAttribute('aria-label',r.resource+': '+r.status)
if(r.reason){let why=row.querySelector('[data-reason]')
if(!why){why=document.createElement('span');why.className='soft';why.dataset.reason='';row.append(why)}
why.textContent=r.reason}else row.querySelector('[data-reason]')?.remove()}
const head=list.parentElement.querySelector('[data-heading]')
if(head)head.textContent=heads[b.status]+': '+(b.status==='completed'&&sum===0?${JSON.stringify(NOTHING_NEW)}:words(sum))
return b}
if(lists.size){
const open=new Set(lists.keys())
const source=new EventSource(lists.values().next().value.dataset.at+[...open].map(encodeURIComponent).join(',')+'/events')
source.addEventListener('progress',show)
source.addEventListener('completed',event=>{const b=show(event);open.delete(b.id)
const again=document.querySelector('[data-again="'+b.id+'"]');if(again)again.hidden=false
if(open.size===0){source.close();document.querySelector('[data-arriving]')?.remove()}})
source.addEventListener('failed',()=>{source.close();location.reload()})
}`
