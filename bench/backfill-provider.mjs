/** The provider of bench/backfill.js: `node backfill-provider.mjs <records>`, pages of 200, each made once. */
import { createServer } from 'node:http'

const PAGE = 200
const total = Number(process.argv[2])
const pages = new Map()

function page(start) {
  let body = pages.get(start)
  if (!body) {
    const items = Array.from({ length: Math.min(PAGE, total - start) }, (_, index) => ({
      id: `r${start + index}`,
      at: 1_700_000_000 + start + index,
      title: 'Hello world '.repeat(10),
      user: { id: 'u1', name: 'Ada' },
      tags: ['a', 'b', 'c'],
    }))
    body = JSON.stringify({ items, next: start + PAGE < total ? String(start + PAGE) : null })
    if (total <= 50_000) pages.set(start, body)
  }
  return body
}

const server = createServer((req, res) => {
  const start = Number(new URL(req.url, 'http://provider').searchParams.get('cursor') ?? 0)
  res.setHeader('content-type', 'application/json')
  res.end(page(start))
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
