// One of several processes that want a key at the same moment. Runs the build.
const dist = new URL(process.env.ATOM_DIST ?? '../../dist/', import.meta.url)
const { readOrCreateKeyFile } = await import(new URL('persistence/sealing.js', dist).href)

process.once('message', (path) => {
  process.send(readOrCreateKeyFile(path), () => process.disconnect())
})
