/** The demo without a person: a very small browser that signs in, connects everything and watches the backfills. */

const LIMIT_MS = 120_000

/** Cookies and redirects, nothing else. */
class Browser {
  #cookies = new Map()

  /** @param {string} url @param {RequestInit} [init] */
  async open(url, init = {}) {
    const headers = { accept: 'text/html', ...init.headers }
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, {
      ...init,
      redirect: 'manual',
      headers: { ...headers, ...(cookie && { cookie }) },
    })
    for (const line of response.headers.getSetCookie()) {
      const [name, ...value] = line.split(';', 1)[0].split('=')
      this.#cookies.set(name, value.join('='))
    }
    return response
  }
}

/**
 * Connects all providers of the lab, waits for their backfills, shows one HTML fault.
 *
 * @returns {Promise<number>} how many things failed.
 */
export async function runScript({ baseUrl, lab, integrations }) {
  const started = performance.now()
  const events = new Map()
  const finished = new Map()
  const waiting = new Map()
  const settle = (event) => {
    finished.set(event.connection.id, event)
    waiting.get(event.connection.id)?.()
  }
  const group = { group: 'script' }
  integrations.on('connected', (event) => void events.set(event.connection.provider, event), group)
  integrations.on('backfill.completed', settle, group)
  integrations.on('backfill.failed', settle, group)

  const browser = new Browser()
  await browser.open(`${baseUrl}/login`, { method: 'POST', body: new URLSearchParams({ user: 'ada' }) })

  const rows = []
  let failures = 0
  const ids = Object.keys(lab.credentials)
  await Promise.all(
    ids.map(async (provider) => {
      const start = performance.now()
      try {
        const connection = await connect(browser, baseUrl, lab, provider)
        await untilSettled(connection.id, finished, waiting)
        rows.push({
          ...(await receipt(integrations, connection)),
          event: events.get(provider)?.id,
          seconds: (performance.now() - start) / 1000,
        })
      } catch (error) {
        rows.push({ provider, failed: error.message })
      }
    }),
  )
  rows.sort((a, b) => ids.indexOf(a.provider) - ids.indexOf(b.provider))
  for (const row of rows) if (!print(row)) failures++

  lab.fault({ provider: ids[0], endpoint: 'token', kind: 'html-502', times: 1 })
  const page = await fault(browser, baseUrl, lab, ids[0])
  const sentence = /<p>([^<]+)<\/p>/.exec(page)?.[1]?.replaceAll('&#39;', "'")
  console.log(`\nWhen ${ids[0]} answers a web page instead of a token, the user reads:\n  "${sentence ?? ''}"`)
  if (!sentence || /<html|502 Bad/.test(sentence)) failures++

  console.log(
    `\n${rows.length - rows.filter((row) => row.failed).length} of ${ids.length} connected and read, ${failures} failed, ${((performance.now() - started) / 1000).toFixed(1)} s`,
  )
  return failures
}

async function connect(browser, baseUrl, lab, provider) {
  const base = `${baseUrl}/integrations/${provider}`
  const key = lab.apiKeyProviders?.includes(provider) ?? !lab.credentials[provider].clientId
  if (key) {
    const response = await browser.open(`${base}/connect`, {
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/json', origin: baseUrl },
      body: JSON.stringify({ params: { ...lab.params(provider), apiKey: lab.apiKey(provider) } }),
    })
    if (response.status !== 201) throw new Error(`connect answered ${response.status}: ${await response.text()}`)
    return (await response.json()).connection
  }
  const query = new URLSearchParams(lab.params(provider))
  const start = await browser.open(`${base}/connect?${query}`, { headers: { 'sec-fetch-site': 'same-origin' } })
  const location = start.headers.get('location')
  if (!location) throw new Error(`connect answered ${start.status}`)
  const callback = await lab.consent(location, { params: lab.params(provider) })
  const done = await browser.open(callback, { headers: { 'sec-fetch-site': 'cross-site', accept: 'application/json' } })
  if (!done.ok) throw new Error(`the callback answered ${done.status}: ${(await done.text()).slice(0, 300)}`)
  return (await done.json()).connection
}

/** Connects once more while the token endpoint is broken; answers the page that a browser shows. */
async function fault(browser, baseUrl, lab, provider) {
  const start = await browser.open(`${baseUrl}/integrations/${provider}/connect`, {
    headers: { 'sec-fetch-site': 'same-origin' },
  })
  const callback = await lab.consent(start.headers.get('location'), { account: 'b' })
  return (await browser.open(callback, { headers: { 'sec-fetch-site': 'cross-site' } })).text()
}

function untilSettled(id, finished, waiting) {
  if (finished.has(id)) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the backfill did not end in time')), LIMIT_MS)
    waiting.set(id, () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

async function receipt(integrations, connection) {
  const tenant = integrations.forTenant(connection.tenantId)
  const { items } = await tenant.backfills.list({ connectionId: connection.id })
  return { provider: connection.provider, account: connection.account.name, backfill: items[0] }
}

function print(row) {
  if (row.failed) {
    console.log(`✗ ${row.provider.padEnd(16)} ${row.failed}`)
    return false
  }
  const { status, resources, window } = row.backfill
  const wrong = resources.filter((resource) => resource.status === 'failed')
  const ok = status === 'completed' && wrong.length === 0 && row.event !== undefined
  const pages = resources.reduce((sum, resource) => sum + resource.pages, 0)
  const counts = resources
    .map(
      (resource) =>
        `${resource.resource} ${resource.records}${resource.status === 'completed' ? '' : ` (${resource.status})`}`,
    )
    .join(', ')
  console.log(
    `${ok ? '✓' : '✗'} ${row.provider.padEnd(16)} ${row.account}; event ${row.event?.slice(0, 8)}; ${counts}; ${pages} pages; ${window.from.slice(0, 10)} to ${window.to.slice(0, 10)}; ${row.seconds.toFixed(1)} s`,
  )
  return ok
}
