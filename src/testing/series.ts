import type { ProviderDefinition, Resource, TimestampFormat } from '../strategies/define-provider.js'
import type { LabItemContext } from '../strategies/lab-hints.js'
import { pick } from '../strategies/template.js'
import { list, writeAt, writeMissing } from './paths.js'
import { plausibleFields } from './plausible.js'
import { digits, hashText, mix } from './random.js'
import { placeholdersOf, splitURL } from './reverse-template.js'

const DAY_MS = 86_400_000
/**
 * No item lies this near to an edge of the window. A backfill begins a little later than the lab, months differ in length, and some
 * providers know days only: with the gap, all of them agree on what is in the window.
 */
const GAP_MS = 4 * DAY_MS
/** So many items has a list that other resources are read for (channels, boards), so that their requests stay few. */
const MOST_PARENTS = 6
/** Items before the window lie in so many days. */
const OLDER_DAYS = 20

/** An item, with the ones above it. */
export interface Node {
  index: number
  item: Record<string, unknown>
  time: number
  parent: Node | undefined
}

/** One list of items in the order of time, oldest first. Items are made when asked for. */
export interface Series {
  readonly count: number
  /** Items before the window: a provider that filters does not send them. */
  readonly older: number
  timeOf(index: number): number
  itemOf(index: number): Record<string, unknown>
  /** First index whose time is not before `time`. */
  from(time: number): number
}

export interface Span {
  from: number
  to: number
}

export interface DataOptions {
  seed: number
  recordsPerResource: number
  span: Span
}

/** All data of one provider: lists of items that follow from seed and definition. Both accounts show the same. */
export class ProviderData {
  private readonly lists = new Map<string, Series>()
  private readonly nodes = new Map<string, Node[]>()
  private readonly lookups = new Map<string, Map<string, Node[]>>()
  private readonly places = new Map<string, Map<string, number>>()
  private readonly resources: ReadonlyMap<string, Resource>

  constructor(
    readonly definition: ProviderDefinition,
    private readonly options: DataOptions,
  ) {
    this.resources = new Map(definition.resources.map((resource) => [resource.name, resource]))
  }

  /** The list of a resource, below a parent where it has one. */
  series(resource: Resource, parent: Node | undefined): Series {
    const key = `${resource.name} ${pathOf(parent)}`
    let found = this.lists.get(key)
    if (!found) {
      found = this.makeSeries(resource, parent)
      this.lists.set(key, found)
    }
    return found
  }

  /** Whether the answer is one object instead of a list. */
  isSingle(resource: Resource): boolean {
    if (this.definition.lab?.single?.includes(resource.name)) return true
    // `…/messages/{parent.id}`: the address of one thing.
    const last = splitURL(resource.request.url).path.split('/').at(-1) ?? ''
    return resource.items === '' && resource.pagination.style === 'none' && /^\{\+?parent\.[^{}]+\}$/.test(last)
  }

  /** The parent that a request's `{parent.…}` values name, or the only one; `undefined` where there is none such. */
  findParent(resource: Resource, captures: ReadonlyMap<string, string>): Node | undefined {
    const parentName = resource.parent as string
    const named = [...captures].filter(([name]) => name.startsWith('parent.'))
    const wanted = named.map(([name, value]) => {
      const levels = name.split('parent.').length - 1
      return { up: levels - 1, path: name.slice('parent.'.length * levels), value }
    })
    const first = wanted.find(({ up }) => up === 0) ?? wanted[0]
    if (!first) {
      // A page token stands for its parent (Google Drive's changes).
      const [only, ...others] = this.parentsOf(resource)
      return others.length === 0 ? only : undefined
    }
    return [...this.rootsOf(resource), ...this.lookup(parentName, first)].find((node) =>
      wanted.every(({ up, path, value }) => {
        let at: Node | undefined = node
        for (let i = 0; i < up; i++) at = at?.parent
        return at !== undefined && String(pick(at.item, path)) === value
      }),
    )
  }

  /** What a backfill of the lab's whole window stores: items in the window, without those that the definition leaves out. */
  records(resource: Resource): Record<string, unknown>[] {
    if (resource.parentOnly) return []
    return this.parentsOf(resource).flatMap((parent) => {
      const series = this.series(resource, parent)
      const items: Record<string, unknown>[] = []
      const first = Math.max(series.older, series.from(this.reachStart(resource, undefined)))
      for (let index = first; index < series.count; index++) {
        const item = series.itemOf(index)
        if (resource.itemFilter?.(item) ?? true) items.push(item)
      }
      return items
    })
  }

  /** Everything that is there, in the window or before it. */
  everything(resource: Resource): Record<string, unknown>[] {
    return this.parentsOf(resource).flatMap((parent) => {
      const series = this.series(resource, parent)
      return Array.from({ length: series.count }, (_, index) => series.itemOf(index))
    })
  }

  /** Before this time the provider shows nothing of the resource. `scopes`: granted ones; `undefined`: the default ones. */
  reachStart(resource: Resource, scopes: readonly string[] | undefined): number {
    const { days, unlessScope } = resource.reach ?? {}
    if (days === undefined) return Number.NEGATIVE_INFINITY
    const granted =
      scopes ??
      this.definition.auth.scopes.filter((scope) => !scope.needsApproval && !scope.optional).map((scope) => scope.scope)
    if (unlessScope !== undefined && granted.includes(unlessScope)) return Number.NEGATIVE_INFINITY
    // A little less than the limit, so that nothing lies on it.
    return this.options.span.to - days * DAY_MS + DAY_MS / 4
  }

  private parentsOf(resource: Resource): (Node | undefined)[] {
    return resource.parent === undefined ? [undefined] : [...this.rootsOf(resource), ...this.passing(resource)]
  }

  /** Parents that no answer lists, as the definition names them. */
  private rootsOf({ name, roots = [] }: Resource): Node[] {
    const key = `roots > ${name}`
    let found = this.nodes.get(key)
    if (!found) {
      const { from } = this.options.span
      found = roots.map((item, i): Node => ({ index: -1 - i, item, time: from + GAP_MS, parent: undefined }))
      this.nodes.set(key, found)
    }
    return found
  }

  /** Parents that a backfill reads this resource for: those in the window that pass `parentFilter`. */
  private passing(resource: Resource): Node[] {
    const parentName = resource.parent as string
    // Below the roots of a tree there is one level.
    if (parentName === resource.name) return []
    const key = `${parentName} > ${resource.name}`
    let found = this.nodes.get(key)
    if (!found) {
      const parent = this.resources.get(parentName) as Resource
      found = this.allNodes(parent).filter(
        (node) => (resource.parentFilter?.(node.item) ?? true) && (parent.itemFilter?.(node.item) ?? true),
      )
      this.nodes.set(key, found)
    }
    return found
  }

  /** Every item of a resource that is in the window, with its place. */
  private allNodes(resource: Resource): Node[] {
    let found = this.nodes.get(resource.name)
    if (!found) {
      found = this.parentsOf(resource).flatMap((parent) => {
        const series = this.series(resource, parent)
        return Array.from({ length: series.count - series.older }, (_, i): Node => {
          const index = series.older + i
          return { index, item: series.itemOf(index), time: series.timeOf(index), parent }
        })
      })
      this.nodes.set(resource.name, found)
    }
    return found
  }

  private lookup(resourceName: string, { up, path, value }: { up: number; path: string; value: string }): Node[] {
    const key = `${resourceName} ${up} ${path}`
    let table = this.lookups.get(key)
    if (!table) {
      table = new Map()
      for (const node of this.allNodes(this.resources.get(resourceName) as Resource)) {
        let at: Node | undefined = node
        for (let i = 0; i < up; i++) at = at?.parent
        const found = String(pick(at?.item, path))
        const nodes = table.get(found)
        if (nodes) nodes.push(node)
        else table.set(found, [node])
      }
      this.lookups.set(key, table)
    }
    return table.get(value) ?? []
  }

  private makeSeries(resource: Resource, parent: Node | undefined): Series {
    const { span, seed } = this.options
    const overlap = (resource.overlapSeconds ?? 0) * 1000
    // Replies come after what they reply to; a list of channels says nothing about when their messages were written.
    const since =
      parent && parent.index >= 0 && this.hasWindow(resource.parent as string) ? parent.time : span.from + GAP_MS
    const until = Math.max(span.to - 10 * 60_000, since + 1)
    const olderUntil = span.from - GAP_MS - overlap
    const single = this.isSingle(resource)
    const size = this.size(resource, parent)
    const daily = isPerDay(resource)
    const older = daily ? Math.min(size.older, OLDER_DAYS) : size.older
    const inWindow = Math.min(
      size.count - size.older,
      daily ? Math.floor((until - since) / DAY_MS) : Number.POSITIVE_INFINITY,
    )
    const count = older + inWindow
    const listSeed = hashText(`${this.definition.id} ${resource.name} ${pathOf(parent)}`, seed)

    const timeOf = (index: number): number => {
      if (single && parent) return parent.time
      const [begin, length, slots, slot] =
        index < older
          ? [olderUntil - OLDER_DAYS * DAY_MS, OLDER_DAYS * DAY_MS, older, index]
          : [since, until - since, inWindow, index - older]
      // Somewhere in its own slot: in order, and not regular. Where the day is the id, no two on one day.
      const jitter = daily ? 0 : mix(listSeed, index) / 2 ** 32
      return Math.floor(begin + (length * (slot + jitter)) / slots)
    }
    const from = (time: number): number => {
      let low = 0
      let high = count
      while (low < high) {
        const middle = (low + high) >>> 1
        if (timeOf(middle) < time) low = middle + 1
        else high = middle
      }
      return low
    }
    const makeItem = this.itemMaker(resource, parent, listSeed, count)
    return { count, older, timeOf, from, itemOf: (index) => makeItem(index, timeOf(index)) }
  }

  private size(resource: Resource, parent: Node | undefined): { count: number; older: number } {
    const total = this.options.recordsPerResource
    if (this.isSingle(resource)) return { count: 1, older: 0 }
    const isParent = this.definition.resources.some((other) => other.parent === resource.name)
    const wanted = isParent && !this.hasWindow(resource.name) ? Math.min(total, MOST_PARENTS) : total
    if (!parent) {
      const older = this.hasWindow(resource.name) ? Math.max(2, Math.ceil(wanted / 10)) : 0
      return { count: wanted + older, older }
    }
    const places = this.placesOf(resource)
    const place = places.get(pathOf(parent))
    // A parent that the definition passes over has no children.
    if (place === undefined) return { count: 0, older: 0 }
    const inWindow = Math.floor(wanted / places.size) + (place < wanted % places.size ? 1 : 0)
    const older = this.hasWindow(resource.name) && !this.hasWindow(resource.parent as string) ? 2 : 0
    return { count: inWindow + older, older }
  }

  private placesOf(resource: Resource): Map<string, number> {
    let found = this.places.get(resource.name)
    if (!found) {
      found = new Map(this.parentsOf(resource).map((node, place) => [pathOf(node), place]))
      this.places.set(resource.name, found)
    }
    return found
  }

  private hasWindow(resourceName: string): boolean {
    return this.resources.get(resourceName)?.filter !== 'none'
  }

  private itemMaker(resource: Resource, parent: Node | undefined, listSeed: number, count: number) {
    const fields = plausibleFields(resource)
    const timePaths = list(resource.timestamp?.path)
    const format = resource.timestamp?.format
    const idPaths = list(resource.id).filter((path) => !path.startsWith('parent:') && !timePaths.includes(path))
    const timeIsId = list(resource.id).some((path) => timePaths.includes(path))
    const referred = this.referredFields(resource)
    // Fields stand where the id or the time stands: `properties.email` beside `properties.lastmodifieddate`.
    const place = (timePaths[0] ?? '').split('.').slice(0, -1)
    const prefix = place.length > 0 ? `${place.join('.')}.` : ''
    const hint = this.definition.lab?.items?.[resource.name]
    const code = digits(hashText(`${resource.name} ${pathOf(parent)}`, this.options.seed), 8)
    const single = this.isSingle(resource)
    const ownId = lastSegmentField(resource)

    return (index: number, time: number): Record<string, unknown> => {
      const item: Record<string, unknown> = {}
      const id =
        single && parent && ownId !== undefined
          ? pick(parent.item, ownId)
          : `${resource.name.slice(0, 2)}${code}${String(index).padStart(8, '0')}`
      for (const path of idPaths) writeAt(item, path, id)
      if (format)
        for (const path of timePaths)
          writeAt(item, path, renderTime(time, format, timeIsId ? index + (listSeed % 1000) * 1000 : undefined))
      for (const [name, value] of Object.entries(fields(mix(listSeed, index + 1))))
        writeMissing(item, prefix + name, value)
      if (hint) {
        const pick: LabItemContext['pick'] = (below, salt = 0) => mix(mix(listSeed, index), 1000 + salt) % below
        Object.assign(item, hint({ index, count, item, time: new Date(time), parent: parent?.item, pick }))
      }
      for (const path of referred) writeMissing(item, path, `${path.split('.').at(-1)}-${code}-${index}`)
      return item
    }
  }

  /** Fields of this resource's items that requests for its children, or their ids, are made with. */
  private referredFields(resource: Resource): string[] {
    const fields = new Set<string>()
    for (const child of this.definition.resources) {
      const names = [
        ...placeholdersOf(child.request),
        ...list(child.id).map((path) => path.replace(/^parent:/, 'parent.')),
      ]
      for (const name of names) {
        let at: Resource | undefined = child
        let rest = name
        while (at?.parent !== undefined && rest.startsWith('parent.')) {
          at = this.resources.get(at.parent)
          rest = rest.slice('parent.'.length)
          if (at === resource && !rest.startsWith('parent.')) fields.add(rest)
        }
      }
    }
    return [...fields]
  }
}

/** Whether the id is the day, as that of a day's statistics is. */
function isPerDay({ id, timestamp }: Resource): boolean {
  return timestamp?.format === 'date' && list(id).every((path) => list(timestamp.path).includes(path))
}

function lastSegmentField(resource: Resource): string | undefined {
  return /\{\+?parent\.([^{}]+)\}$/.exec(splitURL(resource.request.url).path)?.[1]
}

function pathOf(node: Node | undefined): string {
  return node ? `${pathOf(node.parent)}/${node.index}` : ''
}

/** `unique`: the time is (part of) the id, so it gets a fraction of its own, as Slack's `ts` has. */
function renderTime(time: number, format: TimestampFormat, unique: number | undefined): string | number {
  const date = new Date(time)
  switch (format) {
    case 'iso8601':
      return date.toISOString()
    case 'unix':
      return unique === undefined
        ? Math.floor(time / 1000)
        : `${Math.floor(time / 1000)}.${String(unique % 1_000_000).padStart(6, '0')}`
    case 'unix_ms':
      return time
    case 'unix_100ns':
      return `${time}0000`
    case 'json_date':
      return `/Date(${time}+0000)/`
    case 'date':
      return date.toISOString().slice(0, 10)
  }
}
