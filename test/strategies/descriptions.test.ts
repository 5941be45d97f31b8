import { afterAll, describe, expect, it } from 'vitest'
import type { IntegrationEvent } from '../../src/events.js'
import { catalogue, type ProviderDefinition } from '../../src/strategies/index.js'
import { fillURL } from '../../src/strategies/template.js'
import { splitURL } from '../../src/testing/reverse-template.js'
import { startHost } from '../support/host-app.js'
import {
  type DescriptionOptions,
  hasDescriptions,
  loadDescription,
  serveDescription,
  type Violation,
} from './description.js'

/* Every request of a connect and a backfill, checked against the provider's own API description, which gives the answers too. */

interface Described extends DescriptionOptions {
  file: string
  /** What the description has wrong, or does not know: pattern over `operation: error`, with the reason. */
  explained?: readonly [RegExp, reason: string][]
}

const described: Readonly<Record<string, Described>> = {
  asana: {
    file: 'asana.yaml',
    explained: [
      [
        /opt_fields\/\d+ must be equal/,
        'Any field of an object or of one inside it can be asked for; the list leaves out gid and most of the inner ones.',
      ],
    ],
  },
  box: { file: 'box.json' },
  discord: { file: 'discord.json' },
  figma: { file: 'figma.yaml' },
  github: { file: 'github.json', values: { full_name: 'octocat/hello-world', has_issues: true } },
  gmail: { file: 'gmail.json' },
  'google-calendar': { file: 'google-calendar.json' },
  intercom: {
    file: 'intercom.yaml',
    explained: [
      [
        /\/requestBody\/query/,
        'The checker turns texts into numbers, and so finds a filter of two kinds where it is of one.',
      ],
    ],
  },
  jira: {
    file: 'jira.yaml',
    adjust: (url) => url.replace(/^\/ex\/jira\/[^/]+/, ''),
    explained: [
      [
        /^\/oauth\/token\/accessible-resources: no path/,
        'The list of sites belongs to Atlassian accounts, not to Jira.',
      ],
    ],
  },
  linear: { file: 'linear.graphql' },
  notion: {
    file: 'notion.json',
    explained: [
      [
        /query-data-source: .*sorts\/0 must have .*'property'/,
        'Sorting by a timestamp is documented; the description has sorting by a property only.',
      ],
    ],
  },
  openai: {
    file: 'openai.json',
    explained: [
      [
        /^\/v1\/me: no path/,
        'The name behind a key: not described, asked for once, and done without where it is refused.',
      ],
    ],
  },
  stripe: { file: 'stripe.yaml' },
  zoom: {
    file: 'zoom.json',
    explained: [[/^\/v2\/users\/me: no path/, 'The description has the meetings only, not the users.']],
  },
}
const report: string[] = []

if (!hasDescriptions) console.warn('API descriptions: not checked, there is no ../shared/specs beside this checkout.')

describe.skipIf(!hasDescriptions)('by its own API description', () => {
  afterAll(() => void process.stdout.write(`\nAPI descriptions\n${report.sort().join('\n')}\n`))

  it.each(
    Object.keys(described).filter((id) => id in catalogue),
  )('%s is asked as it wants to be asked, and its answers are understood', async (id) => {
    const definition = catalogue[id] as ProviderDefinition
    const { file, explained = [], ...options } = described[id] as Described
    const description = await loadDescription(file, options)
    let server: Awaited<ReturnType<typeof serveDescription>> | undefined
    const host = await startHost(
      async (lab) => {
        const { origin } = new URL(fillURL(definition.api.baseURL, { params: lab.params(id) }))
        const played = lab.origins[origin] as string
        server = await serveDescription(description, played, signInPaths(definition))
        return {
          origins: { ...lab.origins, [origin]: { browser: played, server: server.url } },
          sync: { months: 3 },
        }
      },
      undefined,
      [id],
    )
    try {
      const ended = new Promise<IntegrationEvent>((resolve) => {
        host.integrations.on('backfill.completed', resolve).on('backfill.failed', resolve)
      })
      const { auth } = definition
      const browser = host.browser()
      const key = auth.kind === 'api_key' && { params: { ...host.lab.params(id), [auth.key]: host.lab.apiKey(id) } }
      const done = key
        ? await browser.post(`/integrations/${id}/connect`, key, { accept: 'application/json' })
        : await browser.connect(id)
      expect(done.body).toMatchObject({ connection: { provider: id } })
      await ended
      const { connection } = done.body
      const [backfill] = (await host.integrations.admin.backfills.list({ connectionId: connection.id })).items
      const { violations, operations } = server as NonNullable<typeof server>
      report.push(`  ${id.padEnd(16)} ${[...operations].join(', ')}`)
      const lines = linesOf(violations)
      expect(lines.filter((line) => !explained.some(([pattern]) => pattern.test(line)))).toEqual([])
      // Nothing is explained that is no longer so.
      expect(explained.filter(([pattern]) => !lines.some((line) => pattern.test(line)))).toEqual([])
      expect(operations.size).toBeGreaterThan(0)
      const unread = (backfill?.resources ?? []).filter(({ status }) => status !== 'completed')
      expect(unread.map(({ resource, reason }) => `${resource}: ${reason}`)).toEqual([])
    } finally {
      await host.close()
      await server?.close()
    }
  }, 60_000)
})

/** Paths of authorization, token and revocation. */
function signInPaths({ auth }: ProviderDefinition): (path: string) => boolean {
  const urls =
    auth.kind === 'oauth2' ? [auth.authorizationURL, auth.tokenURL, auth.refreshURL, auth.revocation?.url] : []
  const paths = urls.flatMap((url) => (url ? [splitURL(url).path] : []))
  return (path) => paths.includes(path)
}

function linesOf(violations: readonly Violation[]): string[] {
  return [...new Set(violations.flatMap(({ operation, errors }) => errors.map((error) => `${operation}: ${error}`)))]
}
