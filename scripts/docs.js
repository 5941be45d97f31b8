/**
 * Makes what can be made from the definitions: docs/providers/*.md, the table in README.md and .env.example.
 *
 *     npm run docs            writes them
 *     npm run docs -- --check says which are stale, and fails (a test does the same)
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { clientVariables, envPrefix } from '../dist/provider-settings.js'
import { catalogue } from '../dist/strategies/index.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const providers = Object.values(catalogue)
const KINDS = { oauth2: 'OAuth 2.0', oauth1: 'OAuth 1.0a', link_token: 'link token', api_key: 'API key' }
const FIXED = ['ATOM_BASE_URL', 'ATOM_SECRET', 'ATOM_ENCRYPTION_KEYS', 'ATOM_DATA_DIR', 'MONGODB_URL', 'REDIS_URL']

/** @returns {Record<string, string>} path → content of every made file. */
export function makeDocs() {
  const files = {}
  for (const provider of providers) files[`docs/providers/${provider.id}.md`] = guide(provider)
  files['docs/providers/README.md'] =
    `# Guides\n\nOne per provider, made from its definition (by \`npm run docs\` in the repository).\n\n${table('')}\n`
  files['.env.example'] = envExample()
  const readme = existsSync(`${root}README.md`) ? readFileSync(`${root}README.md`, 'utf8') : ''
  files['README.md'] = readme.replace(
    /(<!-- providers -->\n)[\s\S]*?(<!-- \/providers -->)/,
    (_, start, end) => `${start}${table('docs/providers/')}\n${end}`,
  )
  return files
}

function table(folder) {
  const rows = providers.map((provider) => {
    const read = provider.resources.filter((resource) => !resource.parentOnly).map(({ name }) => `\`${name}\``)
    return `| [${provider.name}](${folder}${provider.id}.md) | \`${provider.id}\` | ${KINDS[provider.auth.kind]} | ${refresh(provider)} | ${read.join(', ')} |`
  })
  return [
    '| provider | id | protocol | refresh token | the backfill reads |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}

function refresh(provider) {
  return provider.auth.kind === 'oauth2' ? provider.auth.refreshToken : 'none'
}

function guide(provider) {
  const parts = [
    `# ${provider.name}`,
    intro(provider),
    '## Set it up',
    setup(provider),
    '## Permissions',
    scopes(provider),
  ]
  const params = (provider.params ?? []).filter((param) => (param.from ?? 'form') === 'form')
  if (params.length > 0) parts.push('## What is asked per connection', paramTable(params))
  parts.push('## What the backfill reads', resourceTable(provider))
  const limits = [...(provider.guide.limits ?? []), ...resourceLimits(provider)]
  if (limits.length > 0) parts.push('## What it cannot', bullets(limits))
  parts.push('## Tokens', tokens(provider), '## Sources', bullets(provider.guide.sources))
  return `${parts.join('\n\n')}\n`
}

function intro(provider) {
  const auth = provider.auth
  const kind = KINDS[auth.kind]
  const pkce =
    { always: ', PKCE (S256)', optIn: ', PKCE when the app has opted in (`pkce: true`)', never: ', without PKCE' }[
      auth.pkce
    ] ?? ''
  return `\`${provider.id}\` · ${kind}${pkce} · account data from \`${provider.api.baseURL}\`\n\nThis page is made from the definition (\`src/strategies/${provider.id}.ts\` in the repository).`
}

function setup(provider) {
  const lines = [numbered(provider.guide.setup)]
  const variables = clientVariables(provider)
  if (provider.auth.kind === 'oauth2' || provider.auth.kind === 'oauth1' || provider.auth.kind === 'link_token')
    lines.push(`Redirect URI to register: \`<baseUrl>/integrations/${provider.client?.id ?? provider.id}/callback\`.`)
  const names = [
    ...(variables ? [variables.clientId, variables.clientSecret] : []),
    ...(provider.env ?? []).map(
      (variable) => `${variable.name}${variable.required ? '' : ' (optional)'}: ${variable.why}`,
    ),
    ...(provider.params ?? []).flatMap((param) =>
      param.from === 'config' && param.env ? [`${param.env}: ${param.hint}`] : [],
    ),
  ]
  if (names.length > 0)
    lines.push(
      'Variables, or the same under `providers` in the options:',
      bullets(names.map((name) => name.replace(/^[A-Z0-9_]+/, '`$&`'))),
    )
  else lines.push('No variables: each user brings a key of their own.')
  return lines.join('\n\n')
}

function scopes(provider) {
  if (provider.auth.scopes.length === 0) return 'None are asked for by name.'
  const rows = provider.auth.scopes.map((scope) => {
    const asked = scope.needsApproval ? `no: ${scope.needsApproval}` : scope.optional ? `no: ${scope.optional}` : 'yes'
    return `| \`${scope.scope}\` | ${cell(scope.why)} | ${cell(asked)} |`
  })
  const change =
    provider.auth.kind === 'oauth2' || provider.auth.kind === 'oauth1'
      ? `\n\nOther ones: option \`providers.${provider.id}.scopes\`, or \`${provider.id.toUpperCase().replaceAll('-', '_')}_SCOPES\`.`
      : ''
  return `| scope | why | asked for by default |\n| --- | --- | --- |\n${rows.join('\n')}${change}`
}

function paramTable(params) {
  const rows = params.map(
    (param) =>
      `| \`${param.name}\` | ${cell(param.label)}${param.optional || param.default ? ' (optional)' : ''} | ${cell(param.hint)}${param.example ? ` Example: \`${param.example}\`.` : ''} |`,
  )
  return `| parameter | label | where to find it |\n| --- | --- | --- |\n${rows.join('\n')}`
}

function resourceTable(provider) {
  const WINDOW = {
    server: 'asked for by time',
    client: 'read newest first or whole, cut to the window here',
    none: 'current state, whole',
  }
  const windowOf = (resource) => (resource.parentOnly ? 'not kept: leads to the others' : WINDOW[resource.filter])
  const rows = provider.resources.map(
    (resource) =>
      `| \`${resource.name}\` | ${resource.parent ? `each of \`${resource.parent}\`` : '—'} | ${windowOf(resource)} | ${reachOf(resource)} |`,
  )
  return `| resource | for | window | reach |\n| --- | --- | --- | --- |\n${rows.join('\n')}`
}

function reachOf({ reach, filter }) {
  if (reach) return reach.days ? `${reach.days} days` : 'what the provider shows'
  return filter === 'none' ? '—' : 'three months'
}

/** What limits several resources alike is said once. */
function resourceLimits({ resources }) {
  const names = new Map()
  for (const { name, limits, reach } of resources) {
    const lifted = reach?.unlessScope ? ` The scope \`${reach.unlessScope}\` lifts it.` : ''
    for (const text of [limits, reach && reach.reason + lifted])
      if (text) names.set(text, [...(names.get(text) ?? []), `\`${name}\``])
  }
  return [...names].map(([text, of]) => `${of.join(', ')}: ${text}`)
}

/** 604800 → `7 days`. */
function duration(seconds) {
  const units = { day: 86_400, hour: 3_600, minute: 60, second: 1 }
  const [unit, length] = Object.entries(units).find(([, size]) => seconds % size === 0)
  return `${seconds / length} ${unit}${seconds === length ? '' : 's'}`
}

function tokens(provider) {
  const auth = provider.auth
  if (auth.kind !== 'oauth2')
    return auth.kind === 'api_key'
      ? 'The key stays valid until it is withdrawn at the provider. It is sealed like every credential.'
      : `The token stays valid until it is revoked.${grantOf(provider)}`
  const life = auth.accessTokenSeconds
    ? `An access token lives ${duration(auth.accessTokenSeconds)}.`
    : 'The answer tells how long an access token lives; where it does not, a refresh follows a 401.'
  const kinds = {
    none: 'There is no refresh token: when the access token ends, the user connects again.',
    static: 'The refresh token stays the same.',
    rotating: 'Each refresh brings a new refresh token, which is stored before anything else happens.',
  }
  const idle = auth.refreshIdleSeconds
    ? ` A refresh token that is not used for ${duration(auth.refreshIdleSeconds)} ends; \`backgroundRefresh: true\` uses it in time.`
    : ''
  const choice = provider.choices
    ? ` Where one approval reaches several, the user chooses the ${provider.choices.noun} on a page of ours.`
    : ''
  return `${life} ${kinds[auth.refreshToken]}${idle}${grantOf(provider)}${choice}`
}

/** What else hangs on a grant, and how it ends. */
function grantOf({ name, auth, grant }) {
  const others = {
    exclusive: ' One live grant per account: a second organization that connects the same account is refused.',
    shared: ' The grant is shared by all connections of the account: it is revoked with the last one.',
  }
  const end = auth.revocation
    ? ''
    : ` ${name} has no call to revoke a token: to end the grant, the person removes the app in the settings of the account.`
  return `${others[grant] ?? ''}${end}`
}

function envExample() {
  const lines = [
    '# The library does not load this file by itself: node --env-file=.env app.mjs',
    '',
    '# The kit. Everything has a default in development but ATOM_BASE_URL.',
    ...FIXED.map((name) => `${name}=`),
    '',
  ]
  const seen = new Set()
  for (const provider of providers) {
    const variables = clientVariables(provider)
    const names = [
      ...(variables ? [variables.clientId, variables.clientSecret, `${envPrefix(provider)}_REDIRECT_URI`] : []),
      ...(provider.env ?? []).map((variable) => variable.name),
      ...(provider.params ?? []).flatMap((param) => (param.from === 'config' && param.env ? [param.env] : [])),
    ].filter((name) => !seen.has(name))
    if (names.length === 0) continue
    for (const name of names) seen.add(name)
    const sharing = providers.filter((other) => clientVariables(other) && envPrefix(other) === envPrefix(provider))
    lines.push(`# ${sharing.map((other) => other.name).join(', ')}`, ...names.map((name) => `# ${name}=`), '')
  }
  return lines.join('\n')
}

const bullets = (lines) => lines.map((line) => `- ${line}`).join('\n')
const numbered = (lines) => lines.map((line, index) => `${index + 1}. ${line}`).join('\n')
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes('--check')
  const files = makeDocs()
  const stale = Object.entries(files).filter(
    ([path, content]) => !existsSync(root + path) || readFileSync(root + path, 'utf8') !== content,
  )
  const folder = `${root}docs/providers/`
  const gone = existsSync(folder) ? readdirSync(folder).filter((name) => !(`docs/providers/${name}` in files)) : []
  if (!check) {
    mkdirSync(folder, { recursive: true })
    for (const [path, content] of stale) writeFileSync(root + path, content)
  }
  for (const [path] of stale) console.log(`${check ? 'stale' : 'written'}  ${path}`)
  for (const name of gone) console.log(`left over  docs/providers/${name}`)
  if (check && stale.length + gone.length > 0) process.exitCode = 1
}
