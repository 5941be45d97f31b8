import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire, Module } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  buildSchema,
  execute,
  type GraphQLOutputType,
  getNamedType,
  getNullableType,
  isEnumType,
  isListType,
  isScalarType,
  parse,
  validate,
} from 'graphql'
import { parse as parseYAML } from 'yaml'

/** The folder of the official API descriptions beside this checkout, where it exists. */
const FOLDER = new URL('../../../shared/specs/', import.meta.url)
export const hasDescriptions = existsSync(FOLDER)

export interface Asked {
  method: string
  /** Path and query, as it stands on the wire. */
  url: string
  headers: Record<string, string>
  body: unknown
}

export interface Description {
  /** What is wrong with a request by the description; `operationId` is missing where it knows no such path. */
  check(request: Asked): { operationId?: string; errors: string[] }
  /** A success as the description has it: its example, or a value of its schema; `undefined` where it has none. */
  answer(operationId: string, request: Asked): unknown
}

export interface DescriptionOptions {
  /** A request's path and query in the words of the description, where it leaves something out. */
  adjust?: (url: string) => string
  /** Values of fields that have no example, by field. */
  values?: Readonly<Record<string, unknown>>
}

export async function loadDescription(
  name: string,
  { adjust = (url) => url, values = {} }: DescriptionOptions = {},
): Promise<Description> {
  if (name.endsWith('.graphql')) return graphqlDescription(readFileSync(new URL(name, FOLDER), 'utf8'))
  const { doc, check } = await checker().load(repaired(name))
  const sampler = new Sampler(doc, values)
  return {
    check: (request) => check({ ...request, url: adjust(request.url) }),
    answer: (operationId) => sampler.answer(operationId),
  }
}

/** `nullable` without a type says nothing, and the validator trips over it: such a file is read from a copy without. */
function repaired(name: string): string {
  const path = fileURLToPath(new URL(name, FOLDER))
  if (name !== 'intercom.yaml') return path
  const doc = parseYAML(readFileSync(path, 'utf8'), { maxAliasCount: -1 })
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    if ('nullable' in node && !('type' in node)) delete node.nullable
    Object.values(node).forEach(walk)
  }
  walk(doc)
  const copy = join(mkdtempSync(join(tmpdir(), 'atom-description-')), 'repaired.json')
  writeFileSync(copy, JSON.stringify(doc))
  return copy
}

type Json = Record<string, unknown>

/** Answers as a description has them: its examples, or values of its schemas. */
class Sampler {
  constructor(
    private readonly doc: Json,
    private readonly values: Readonly<Record<string, unknown>>,
  ) {}

  /** `undefined`: the description does not say how a success looks. */
  answer(operationId: string): unknown {
    const paths = Object.values(this.doc.paths as Record<string, Record<string, Json>>)
    const operation = paths.flatMap((path) => Object.values(path)).find((one) => one?.operationId === operationId)
    const responses = Object.entries((operation?.responses ?? {}) as Json)
    const found = responses.find(([status]) => /^2/.test(status)) ?? responses.find(([status]) => status === 'default')
    const content = this.deref(found?.[1]).content as Record<string, Json> | undefined
    const media = Object.entries(content ?? {}).find(([type]) => /json/.test(type))?.[1]
    const example = media?.example ?? this.deref(Object.values((media?.examples ?? {}) as Json)[0]).value
    const answer = example ?? this.sample(media?.schema, '', [])
    return answer !== null && typeof answer === 'object' && Object.keys(answer).length > 0 ? answer : undefined
  }

  private deref(value: unknown): Json {
    const ref = (value as Json | undefined)?.$ref
    if (typeof ref !== 'string') return (value ?? {}) as Json
    const keys = ref.split('/').slice(1)
    const target = keys.reduce<unknown>(
      (at, key) => (at as Json)?.[key.replace(/~1/g, '/').replace(/~0/g, '~')],
      this.doc,
    )
    return this.deref(target)
  }

  /** A value of a schema; `undefined` where it would not end. */
  private sample(schema: unknown, field: string, above: readonly unknown[]): unknown {
    const found = this.deref(schema)
    if (above.includes(found) || above.length > 12) return undefined
    const inside = [...above, found]
    const { example, examples, enum: values, allOf, properties, items, pattern } = found
    const listed = Array.isArray(examples) ? examples[0] : undefined
    const given = example ?? listed ?? found.const ?? (values as unknown[] | undefined)?.[0]
    if (given !== undefined) return given
    if (this.values[field] !== undefined) return this.values[field]
    if (Array.isArray(allOf)) {
      const own = properties ? [{ type: 'object', properties }] : []
      const parts = [...allOf, ...own].map((part) => this.sample(part, field, inside))
      return parts.every((part) => typeof part === 'object') ? Object.assign({}, ...parts) : parts[0]
    }
    const choices = (found.oneOf ?? found.anyOf) as unknown[] | undefined
    if (choices)
      return this.sample(
        choices.find((one) => this.deref(one).type !== 'null'),
        field,
        inside,
      )
    const type = Array.isArray(found.type) ? found.type.find((one) => one !== 'null') : found.type
    if (type === 'array' || items) {
      const item = this.sample(items, field, inside)
      return item === undefined ? [] : [item]
    }
    if (type === 'object' || properties) {
      const entries = Object.entries((properties ?? {}) as Json).map(([name, inner]) => [
        name,
        this.sample(inner, name, inside),
      ])
      return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
    }
    if (type === 'integer' || type === 'number') return found.minimum ?? 1
    if (type === 'boolean') return false
    if (typeof pattern === 'string') return ['text', '1'].find((text) => new RegExp(pattern).test(text))
    const now = new Date().toISOString()
    const texts: Record<string, string> = { 'date-time': now, date: now.slice(0, 10), uri: 'https://example.com/1' }
    return texts[String(found.format)] ?? 'text'
  }
}

interface Checker {
  load(file: string): Promise<{
    doc: Json
    check(request: Asked): { ok: boolean; operationId?: string; errors: string[] }
  }>
}

/** The checker lies beside the descriptions, and finds its packages among ours. */
function checker(): Checker {
  const path = fileURLToPath(new URL('check-request.cjs', FOLDER))
  const module = new Module(path) as Module & { _compile(code: string, path: string): void }
  module.paths = createRequire(import.meta.url).resolve.paths('x') ?? []
  module._compile(readFileSync(path, 'utf8').replace('require.main===module', 'false'), path)
  return module.exports as Checker
}

function graphqlDescription(sdl: string): Description {
  const schema = buildSchema(sdl, { assumeValidSDL: true })
  const inOf = (body: unknown) => body as { query: string; variables?: Record<string, unknown> }
  return {
    check({ body }) {
      const found = validate(schema, parse(inOf(body).query)).map((error) => error.message)
      return { operationId: 'graphql', errors: found }
    },
    answer(_operation, { body }) {
      const { query, variables } = inOf(body)
      const result = execute({
        schema,
        document: parse(query),
        variableValues: variables,
        fieldResolver: (_source, _args, _context, { returnType, fieldName }) => sampleOfType(returnType, fieldName),
        typeResolver: (_value, _context, _info, type) => schema.getPossibleTypes(type)[0]?.name,
      })
      return result
    },
  }
}

function sampleOfType(type: GraphQLOutputType, field: string): unknown {
  const inner = getNullableType(type)
  if (isListType(inner)) return [sampleOfType(inner.ofType, field)]
  const named = getNamedType(inner)
  if (isEnumType(named)) return named.getValues()[0]?.value
  if (!isScalarType(named)) return {}
  const values: Record<string, unknown> = { Int: 1, Float: 1.5, Boolean: false, DateTime: new Date().toISOString() }
  return values[named.name] ?? `${field}-1`
}

export interface Violation {
  operation: string
  url: string
  errors: string[]
}

/**
 * A provider as its own description has it: every request is checked, and answered from the description. What the description does
 * not know goes on to the lab; it is a violation, but for the paths of sign-in and tokens, which no description covers.
 *
 * @param isSignIn - Paths that no API description covers.
 */
export async function serveDescription(description: Description, lab: string, isSignIn: (path: string) => boolean) {
  const violations: Violation[] = []
  const operations = new Set<string>()
  const answered = new Set<string>()
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const path = (req.url ?? '/').split('?', 1)[0] as string
    const reply = (body: unknown) =>
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}))
    const passOn = async () => {
      const { host: _, 'content-length': __, connection: ___, 'transfer-encoding': ____, ...headers } = req.headers
      const answer = await fetch(lab + req.url, {
        method: req.method as string,
        headers: headers as Record<string, string>,
        ...(text && { body: text }),
        redirect: 'manual',
      })
      res.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' })
      res.end(await answer.text())
    }
    if (isSignIn(path)) return passOn()
    const asked: Asked = {
      method: req.method as string,
      url: req.url as string,
      headers: req.headers as Record<string, string>,
      body: bodyOf(text, req.headers['content-type']),
    }
    const { operationId, errors } = description.check(asked)
    if (errors.length > 0) violations.push({ operation: operationId ?? path, url: req.url as string, errors })
    if (operationId === undefined) return passOn()
    operations.add(operationId)
    const answer = description.answer(operationId, asked)
    if (answer === undefined) return passOn()
    // The example of a page often names a next one, for ever: the second look finds an end.
    const key = `${operationId} ${path} ${operationId === 'graphql' ? text.split('(', 1)[0] : ''}`
    reply(answered.has(key) ? emptied(answer) : answer)
    answered.add(key)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    violations,
    operations,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function bodyOf(text: string, type = ''): unknown {
  if (text === '') return undefined
  return type.includes('json') ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text))
}

/** The same shape with nothing in it: lists are empty, everything else is null. */
function emptied(value: unknown): unknown {
  if (Array.isArray(value)) return []
  if (typeof value !== 'object' || value === null) return null
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, emptied(inner)]))
}
