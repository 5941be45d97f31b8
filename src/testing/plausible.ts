import type { RequestTemplate, Resource } from '../strategies/define-provider.js'
import { mix } from './random.js'

const PEOPLE = ['Ada Lovelace', 'Grace Hopper', 'Alan Turing', 'Katherine Johnson', 'Edsger Dijkstra', 'Barbara Liskov']
const COMPANIES = ['Northwind', 'Globex', 'Initech', 'Umbra Labs', 'Blue Harbour', 'Tidewater']
const SUBJECTS = ['Invoice', 'Roadmap', 'Launch plan', 'Budget', 'Onboarding', 'Release notes', 'Interview', 'Contract']
const SENTENCES = [
  'Can you have a look at this before Friday?',
  'The numbers are in; the sheet is up to date.',
  'Moved to next week because of the holiday.',
  'Thanks, that works for us.',
  'The customer asked for one more change.',
  'Deployed this morning, no errors so far.',
]
const STATES = ['open', 'active', 'done', 'pending']

/** One value for a field, going by its name. */
const RULES: readonly [RegExp, (pick: (values: readonly unknown[]) => unknown, n: number) => unknown][] = [
  [/^(is|has)[A-Z_]|^(closed|deleted|archived|test|due_?complete|livemode|paid|pending)$/i, () => false],
  [/e_?mail/i, (pick) => `${String(pick(PEOPLE)).split(' ')[0]?.toLowerCase()}@example.com`],
  [/phone/i, (_, n) => `+1555${String(n % 10_000_000).padStart(7, '0')}`],
  [/currency/i, () => 'usd'],
  [/amount|total|price|balance|fee|^net$/i, (_, n) => 100 + (n % 90_000)],
  [/^(number|count|quantity|.*_count|.*Count|idShort|size)$/i, (_, n) => n % 40],
  [/firstname|first_name/i, (pick) => String(pick(PEOPLE)).split(' ')[0]],
  [/lastname|last_name/i, (pick) => String(pick(PEOPLE)).split(' ')[1]],
  [/company|organi[sz]ation|vendor|merchant/i, (pick) => pick(COMPANIES)],
  [/full_?name|display_?name|author|owner|user_?name|^user$/i, (pick) => pick(PEOPLE)],
  [/url|link$/i, (_, n) => `https://files.example.com/${n.toString(36)}`],
  [/domain/i, (pick) => `${String(pick(COMPANIES)).toLowerCase().replaceAll(' ', '-')}.example`],
  [/status|state|stage/i, (pick) => pick(STATES)],
  [/text|body|desc|message|note|snippet|comment|content|summary/i, (pick) => pick(SENTENCES)],
  [/city/i, (pick) => pick(['Lisbon', 'Oslo', 'Kyoto', 'Toronto'])],
  [/country/i, (pick) => pick(['PT', 'NO', 'JP', 'CA'])],
  [/title|name|subject/i, (pick, n) => `${pick(SUBJECTS)} ${n % 100}`],
]

/** What resources of these names carry, where the request does not say it. */
const KINDS: readonly [RegExp, readonly string[]][] = [
  [/message|repl|comment|stories|mail/, ['text', 'author']],
  [/customer|contact|user|member|people|invitee|participant/, ['name', 'email']],
  [/charge|invoice|order|transaction|payment|bill|expense|deal|cost/, ['amount', 'currency', 'description', 'status']],
]

/** Names of the fields that a request asks for: `fields`, `properties`, the selection of a GraphQL query. */
function askedFields(request: RequestTemplate): string[] {
  const query = Object.entries(request.query ?? {}).find(([name]) =>
    /^(\$?fields|opt_fields|\$select)$/.test(name),
  )?.[1]
  if (typeof query === 'string') return query.split(',')
  const json = request.json
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return []
  const { properties, query: graphql } = json as { properties?: unknown; query?: unknown }
  if (Array.isArray(properties)) return properties.filter((name) => typeof name === 'string')
  if (typeof graphql !== 'string') return []
  // The scalars at the first level of the nodes: what is selected inside braces or parentheses is left out.
  let selection = /nodes\s*\{(.*)\}\s*pageInfo/s.exec(graphql)?.[1] ?? ''
  for (let before = ''; before !== selection; ) {
    before = selection
    selection = selection.replace(/(\.\.\.\s*on\s+)?\w*\s*(\([^()]*\)\s*)?\{[^{}]*\}/g, ' ')
  }
  return selection.split(/[^A-Za-z0-9_]+/).filter(Boolean)
}

/** Makes up the fields of a resource's items; the same for the same number. */
export function plausibleFields(resource: Resource): (n: number) => Record<string, unknown> {
  const asked = askedFields(resource.request)
  const names = asked.length > 0 ? asked : (KINDS.find(([pattern]) => pattern.test(resource.name))?.[1] ?? ['name'])
  const makers = names.flatMap((name) => {
    const make = RULES.find(([pattern]) => pattern.test(name))?.[1]
    return make && !/^_|\.|^id$|(At|Date|_at|_time|date|time)$/.test(name) ? [{ name, make }] : []
  })
  return (n) => {
    const fields: Record<string, unknown> = {}
    for (const [i, { name, make }] of makers.entries()) {
      const drawn = mix(n, i + 17)
      fields[name] = make((values) => values[drawn % values.length], drawn)
    }
    return fields
  }
}
