import type { ConnectionParam, ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import { list, writeMissing } from './paths.js'
import { digits, hashText, sampleOf } from './random.js'

const PEOPLE = {
  a: { name: 'Acme Workshop', email: 'ada@acme.example' },
  b: { name: 'Globex Studio', email: 'grace@globex.example' },
} as const

/** The accounts `a` and `b` of a provider. Products with a common client (Google's) know the same ones. */
export function makeAccount(definition: ProviderDefinition, key: 'a' | 'b', seed: number): LabAccount {
  const group = definition.client?.id ?? definition.id
  const account: LabAccount = {
    key,
    ...PEOPLE[key],
    id: digits(hashText(`${group} account ${key}`, seed), 10),
    personId: digits(hashText(`${group} person ${key}`, seed), 9),
    params: {},
  }
  return { ...account, params: sampleParams(definition, seed, account) }
}

/** Values that the lab answers for: what the definition gives as default or example, else a value that its pattern allows. */
export function sampleParams(
  definition: ProviderDefinition,
  seed: number,
  account?: LabAccount,
): Record<string, string> {
  const params: Record<string, string> = {}
  for (const param of definition.params ?? []) {
    const given = definition.lab?.params?.[param.name]
    if (param.optional && given === undefined) continue
    // What the callback names is the account, where its id can be that (QuickBooks' company).
    const own = param.from === 'callback' && account && param.pattern.test(account.id) ? account.id : undefined
    params[param.name] =
      given ?? own ?? sampleParam(definition, param, hashText(`${definition.id} ${account?.key}`, seed))
  }
  return { ...params, ...definition.derive?.(params) }
}

/** @throws TypeError when no value can be made up. */
export function sampleParam(definition: ProviderDefinition, param: ConnectionParam, seed: number): string {
  const candidates = [param.default, param.example, param.choices?.[0]?.value, sampleOf(param.pattern, seed)]
  const value = candidates.find((candidate) => candidate !== undefined && param.pattern.test(candidate))
  if (value === undefined)
    throw new TypeError(
      `createProviderLab: no value for parameter "${param.name}" of "${definition.id}" can be made up from its pattern: add lab.params.${param.name} to the definition.`,
    )
  return value
}

/** Body of the identity call: account and person at the places where the definition reads them. */
export function identityBody(definition: ProviderDefinition, account: LabAccount): Record<string, unknown> {
  const body: Record<string, unknown> = {}
  writeIdentity(definition, account, body, (path) => (path.startsWith('token:') ? undefined : path))
  return body
}

/** What the token answer says about the account: `token:` paths of the identity, and what the definition keeps of it. */
export function identityInToken(
  definition: ProviderDefinition,
  account: LabAccount,
  body: Record<string, unknown>,
): void {
  writeIdentity(definition, account, body, (path) =>
    path.startsWith('token:') ? path.slice('token:'.length) : undefined,
  )
  const kept =
    definition.auth.kind === 'oauth2'
      ? definition.auth.params
      : definition.auth.kind === 'link_token'
        ? definition.auth.exchange.params
        : undefined
  const idNames = list(definition.identity.accountId).map((path) => path.split(/[.:]/).at(-1))
  for (const [name, path] of Object.entries(kept ?? {})) {
    const sample = account.params[name] ?? (idNames.includes(name) ? account.id : undefined)
    writeMissing(
      body,
      path,
      sample ?? (name.includes('user') ? account.personId : digits(hashText(name, Number(account.id)), 8)),
    )
  }
}

function writeIdentity(
  definition: ProviderDefinition,
  account: LabAccount,
  body: Record<string, unknown>,
  where: (path: string) => string | undefined,
): void {
  const { accountId, accountName, email, keyParts, params } = definition.identity
  const write = (paths: string | readonly string[] | undefined, value: string) => {
    for (const path of list(paths)) {
      const place = where(path)
      if (place) writeMissing(body, place, value)
    }
  }
  write(accountId, account.id)
  write(email, account.email)
  write(accountName, account.name)
  write(keyParts, account.personId)
  for (const [name, path] of Object.entries(params ?? {}))
    write(path, account.params[name] ?? digits(hashText(name, Number(account.id)), 8))
}
