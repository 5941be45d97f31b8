/** What `import 'atom-integrations'` costs: time and resident memory of a fresh process, and which heavy packages it loads (none). */
import { execFileSync } from 'node:child_process'
import { median } from './measure.js'

const entry = new URL('../dist/index.js', import.meta.url).href
const HEAVY = ['mongoose', 'bullmq', 'ioredis', 'libsql']

function measure(specifier) {
  const program = `
    import { createRequire, register } from 'node:module'
    const before = process.memoryUsage().rss, start = performance.now()
    ${specifier ? `await import(${JSON.stringify(specifier)})` : ''}
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
  return [
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
