/** What `import 'atom-integrations'` costs: time and resident memory of a fresh process, and which heavy packages it loads (none). */
import { execFileSync } from 'node:child_process'
import { median } from './measure.js'

const entry = new URL('../dist/index.js', import.meta.url).href
const HEAVY = ['mongoose', 'bullmq', 'ioredis', 'libsql']

const strategies = (name) => new URL(`../dist/strategies/${name}.js`, import.meta.url).href
/** The first eight, one of each kind of difficulty. */
const EIGHT = ['slack', 'gmail', 'hubspot', 'notion', 'shopify', 'trello', 'plaid', 'stripe'].map(strategies)

function measure(...specifiers) {
  const program = `
    import { createRequire, register } from 'node:module'
    const before = process.memoryUsage().rss, start = performance.now()
    await Promise.all(${JSON.stringify(specifiers)}.map((specifier) => import(specifier)))
    const ms = performance.now() - start
    const loaded = Object.keys(createRequire(${JSON.stringify(entry)}).cache)
    console.log(JSON.stringify({ ms, mib: (process.memoryUsage().rss - before) / 2 ** 20, loaded }))`
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }))
}

export async function bench() {
  const runs = Array.from({ length: 7 }, () => [
    measure(entry),
    measure(new URL('../node_modules/express/index.js', import.meta.url).href),
  ])
  const ms = median(runs.map(([a]) => a.ms))
  const peer = median(runs.map(([, b]) => b.ms))
  const ratios = runs.map(([a, b]) => a.ms / b.ms).sort((a, b) => a - b)
  const loaded = HEAVY.filter((name) => runs[0][0].loaded.some((file) => file.includes(`/node_modules/${name}/`)))
  const catalogues = Array.from({ length: 9 }, () => [measure(strategies('index')).ms, measure(...EIGHT).ms])
  const catalogueRatios = catalogues.map(([all, eight]) => all / eight).sort((a, b) => a - b)
  const catalogueRatio = median(catalogueRatios)
  return [
    {
      name: 'import of the catalogue, all providers',
      ours: `${median(catalogues.map(([all]) => all)).toFixed(0)} ms`,
      peer: `eight of them: ${median(catalogues.map(([, eight]) => eight)).toFixed(0)} ms`,
      ratio: catalogueRatio,
      spread: [catalogueRatios[0], catalogueRatios.at(-1)],
      target: 'at most 2.0',
      met: catalogueRatio <= 2,
    },
    {
      name: "import 'atom-integrations'",
      ours: `${ms.toFixed(0)} ms, ${median(runs.map(([a]) => a.mib)).toFixed(0)} MiB`,
      peer: `import 'express': ${peer.toFixed(0)} ms, ${median(runs.map(([, b]) => b.mib)).toFixed(0)} MiB`,
      ratio: ms / peer,
      spread: [ratios[0], ratios.at(-1)],
      target: `none of ${HEAVY.join(', ')} loaded`,
      met: loaded.length === 0,
      note: loaded.length > 0 ? `loads ${loaded.join(', ')}` : '',
    },
  ]
}
