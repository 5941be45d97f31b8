/**
 * Runs every benchmark in a process of its own, prints one table and writes it to bench/results.md.
 *
 *     npm run bench              all
 *     npm run bench -- classify  some
 *
 * A benchmark is a file here that exports `bench()`, which resolves to rows
 * `{ name, ours, peer, ratio, spread, target?, note? }`: medians of at least five interleaved runs, the ratio ours/peer as the target
 * states it, the spread of that ratio as `[least, most]`.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const chosen = process.argv.slice(2)
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.js') && !['run.js', 'measure.js'].includes(file))
  .map((file) => file.slice(0, -3))
  .filter((name) => chosen.length === 0 || chosen.includes(name))

const lines = ['| what | ours | peer | ratio | spread | target | note |', '| --- | --- | --- | --- | --- | --- | --- |']
let missed = 0
for (const name of names) {
  console.error(`… ${name}`)
  const program = `import(${JSON.stringify(`${folder}${name}.js`)}).then(async (m) => { const rows = await m.bench(); console.log('\\u0000' + JSON.stringify(rows)); process.exit(0) })`
  const output = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', program], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_ENV: 'test' },
  })
  for (const row of JSON.parse(output.slice(output.lastIndexOf('\u0000') + 1))) {
    const ratio = typeof row.ratio === 'number' ? row.ratio.toFixed(2) : '—'
    const spread = row.spread ? row.spread.map((value) => value.toFixed(2)).join('–') : '—'
    if (row.met === false) missed++
    const target = row.target ? `${row.target}${row.met === undefined ? '' : row.met ? ' ✓' : ' ✗'}` : '—'
    lines.push(
      `| ${row.name} | ${row.ours} | ${row.peer ?? '—'} | ${ratio} | ${spread} | ${target} | ${row.note ?? ''} |`,
    )
  }
}

const table = lines.join('\n')
console.log(table)
if (chosen.length === 0) {
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.version}, ${process.platform}`
  writeFileSync(
    `${folder}results.md`,
    `# Benchmarks\n\n\`npm run bench\`, ${machine}. Each row compares both sides in one run, interleaved, medians of at least five; absolute figures are\nthose of a small shared machine and only good for their ratio. The spread is the least and the most of the ratio.\n\n${table}\n`,
  )
}
if (missed > 0) {
  console.error(`${missed} below target`)
  process.exitCode = 1
}
