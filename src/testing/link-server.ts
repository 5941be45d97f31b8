import type { LinkToken, ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import { identityInToken } from './accounts.js'
import { type Grants, newToken } from './grants.js'
import type { Answer } from './pages.js'
import { writeAt } from './paths.js'
import { Refusal } from './refusals.js'
import type { Captures } from './reverse-template.js'

const LINK_SECONDS = 4 * 3600
const PUBLIC_TOKEN_SECONDS = 30 * 60

interface Link {
  redirectURI: string | undefined
  publicTokens: string[]
  expiresAt: number
}

/** Link tokens: made by the server, approved on a hosted page, exchanged by the server. */
export class LinkServer {
  private readonly links = new Map<string, Link>()
  private readonly publicTokens = new Map<string, { account: LabAccount; expiresAt: number; used: boolean }>()

  constructor(
    private readonly grants: Grants,
    private readonly now: () => number,
  ) {}

  /** @param hostedURL - Address of the hosted page of a link token. */
  create(
    definition: ProviderDefinition,
    auth: LinkToken,
    captures: Captures,
    hostedURL: (linkToken: string) => string,
  ): Answer {
    if (!captures.get('user_id')) throw new Refusal('invalid', 'the user id is missing')
    const linkToken = newToken(definition.id, 'link')
    const expiresAt = this.now() + LINK_SECONDS * 1000
    this.links.set(linkToken, { redirectURI: captures.get('redirect_uri'), publicTokens: [], expiresAt })
    const body: Record<string, unknown> = {}
    writeAt(body, auth.create.linkToken, linkToken)
    writeAt(body, auth.create.hostedLinkUrl, hostedURL(linkToken))
    writeAt(body, auth.create.expiration, new Date(expiresAt).toISOString())
    return { status: 200, body }
  }

  find(linkToken: string | null): Link | undefined {
    const link = this.links.get(linkToken ?? '')
    return link && link.expiresAt > this.now() ? link : undefined
  }

  /** The user approved on the hosted page. */
  approve(definition: ProviderDefinition, linkToken: string, account: LabAccount): string {
    const publicToken = newToken(definition.id, 'public')
    this.links.get(linkToken)?.publicTokens.push(publicToken)
    const expiresAt = this.now() + PUBLIC_TOKEN_SECONDS * 1000
    this.publicTokens.set(publicToken, { account, expiresAt, used: false })
    return publicToken
  }

  confirm(definition: ProviderDefinition, captures: Captures): Answer {
    const link = this.find(captures.get('link_token') ?? null)
    if (!link) throw new Refusal('invalid', 'the link token is not known')
    const makeBody = definition.lab?.confirmBody
    const body = makeBody ? makeBody(link.publicTokens) : { public_tokens: link.publicTokens }
    return { status: 200, body }
  }

  exchange(definition: ProviderDefinition, auth: LinkToken, captures: Captures): Answer {
    const found = this.publicTokens.get(captures.get('public_token') ?? '')
    if (!found || found.used || found.expiresAt <= this.now())
      throw new Refusal('revoked', 'the public token is not known, expired or was used before')
    found.used = true
    const grant = this.grants.open(definition, found.account, undefined)
    const { access } = this.grants.issue(grant, 'default', { seconds: undefined, refresh: false })
    const body: Record<string, unknown> = {}
    writeAt(body, auth.exchange.accessToken, access)
    identityInToken(definition, found.account, body)
    return { status: 200, body }
  }
}
