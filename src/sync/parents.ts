import type { Store } from '../persistence/store.js'
import type { Resource } from '../strategies/define-provider.js'
import { listOf, type Parent } from './page.js'

/** Where the list of parents goes on. JSON, kept in the checkpoint. */
export interface ParentPosition {
  /** `after` of the page of parents that is being worked through; absent: the first. */
  after?: string
  /** Id of the last parent that is done. */
  done?: string
}

export interface ParentSource {
  store: Pick<Store, 'listRecords' | 'getRecord'>
  connectionId: string
  backfillId: string
  resources: readonly Resource[]
}

const PAGE = 200
const KNOWN = 500

/**
 * The parents of a resource in the order they were written, read back from the store page by page: only those that this backfill wrote
 * itself, so that a catch-up does not ask again for the children of everything.
 *
 * Goes on with parents that are written meanwhile, because a resource can be its own parent (folders).
 */
export async function* parentsOf(
  source: ParentSource,
  resource: Resource,
  from: ParentPosition | undefined,
): AsyncGenerator<{ parent: Parent; position: ParentPosition }> {
  const { store, connectionId, backfillId } = source
  const roots = resource.roots ?? []
  let done = from?.done
  const rootDone = roots.findIndex((root) => rootId(root) === done)
  if (from?.after === undefined) {
    // Past the roots when the last one that is done is none of them.
    const start = done === undefined ? 0 : rootDone >= 0 ? rootDone + 1 : roots.length
    for (const root of roots.slice(start)) {
      yield { parent: { id: rootId(root), data: root }, position: { done: rootId(root) } }
      done = rootId(root)
    }
  }
  const chain = createChain(source, resource)
  let after = from?.after
  for (;;) {
    const query = { tenantId: null, connectionId, backfillId, resource: resource.parent as string, limit: PAGE }
    const page = await store.listRecords({ ...query, ...(after !== undefined && { after }) })
    const index = page.items.findIndex((item) => item.id === done)
    const fresh = page.items.slice(index + 1)
    for (const record of fresh) {
      done = record.id
      if (resource.parentFilter && !resource.parentFilter(record.data as Record<string, unknown>)) continue
      const position = { ...(after !== undefined && { after }), done: record.id }
      yield { parent: { id: record.id, data: await chain(record) }, position }
    }
    if (page.next !== null) after = page.next
    // The list may have grown while its end was worked on.
    else if (fresh.length === 0 || resource.parent !== resource.name) return
  }
}

function rootId(root: Record<string, unknown>): string {
  return `root:${String(root.id)}`
}

/** Puts the parent of a parent under `parent`, as deep as the resource's templates and ids ask for. */
function createChain(source: ParentSource, resource: Resource) {
  const depth = depthOf(resource)
  const known = new Map<string, unknown>()

  async function load(resourceName: string, id: string, deeper: number): Promise<unknown> {
    const key = `${resourceName} ${id}`
    if (known.has(key)) return known.get(key)
    const record = await source.store.getRecord(source.connectionId, resourceName, id)
    const data = record && (await extend(record, resourceName, deeper))
    if (known.size >= KNOWN) known.delete(known.keys().next().value as string)
    known.set(key, data)
    return data
  }

  async function extend(
    record: { data: unknown; parentId: string | null },
    resourceName: string,
    deeper: number,
  ): Promise<unknown> {
    const definition = source.resources.find(({ name }) => name === resourceName)
    if (deeper === 0 || record.parentId === null || !definition?.parent) return record.data
    const root = definition.roots?.find((candidate) => rootId(candidate) === record.parentId)
    const parent = root ?? (await load(definition.parent, record.parentId, deeper - 1))
    return { ...(record.data as object), parent }
  }

  return (record: { data: unknown; parentId: string | null }) => extend(record, resource.parent as string, depth)
}

/** How many parents above the parent are asked for: `{parent.parent.id}` asks for one. */
function depthOf(resource: Resource): number {
  const texts = [
    JSON.stringify(resource.request),
    ...listOf(resource.id).map((path) => path.replace(/^parent:/, 'parent.')),
  ]
  const chains = texts.join(' ').match(/(?:parent\.)+/g) ?? []
  return Math.max(1, ...chains.map((chain) => chain.length / 'parent.'.length)) - 1
}
