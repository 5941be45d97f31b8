import { createHmac } from 'node:crypto'
import type { ProviderDefinition } from '../strategies/define-provider.js'
import type { LabAccount } from '../strategies/lab-hints.js'
import { consentPage, htmlAnswer, messagePage } from './consent-page.js'
import type { LinkServer } from './link-server.js'
import type { OAuth1Server } from './oauth1-server.js'
import { AuthorizeMistake, type OAuth2Server, splitScopes } from './oauth2-server.js'
import type { Answer } from './pages.js'
import { type Captures, fillKnown, type Incoming, placeholdersOf } from './reverse-template.js'
import type { PlayedProvider } from './stage.js'

interface ConsentOptions {
  played: ReadonlyMap<string, PlayedProvider>
  autoApprove: boolean
  now: () => number
}

/** What a person decides on the provider's pages, by a click or by the parameter `lab`. */
export class Consent {
  constructor(
    private readonly oauth2: OAuth2Server,
    private readonly oauth1: OAuth1Server,
    private readonly links: LinkServer,
    private readonly options: ConsentOptions,
  ) {}

  authorize(played: PlayedProvider, incoming: Incoming, captures: Captures, deny: boolean): Answer {
    try {
      const { kind } = played.definition.auth
      if (kind === 'link_token') return this.authorizeLink(played, incoming, captures, deny)
      if (kind === 'oauth1') return this.authorizeOAuth1(played, incoming, captures, deny)
      return this.authorizeOAuth2(played, incoming, captures, deny)
    } catch (error) {
      if (!(error instanceof AuthorizeMistake)) throw error
      return htmlAnswer(400, messagePage('This request is not right', error.message))
    }
  }

  private authorizeOAuth2(played: PlayedProvider, incoming: Incoming, captures: Captures, deny: boolean): Answer {
    const { definition, client } = played
    const { auth } = definition
    if (auth.kind !== 'oauth2') throw new AuthorizeMistake('There is no consent page here.')
    const request = this.oauth2.readAuthorize(auth, client, incoming.query)
    const decision = this.decide(incoming, deny)
    const scopes = [...request.scopes, ...request.furtherScopes]
    if (!decision) return this.ask(played, incoming, captures, scopes)
    const account = this.accountOf(played, incoming, captures)
    const query = new URLSearchParams()
    if (decision === 'deny') {
      query.set('error', 'access_denied')
      query.set('error_description', 'The user said no.')
    } else query.set('code', this.oauth2.approve(definition, request, account))
    if (request.state !== null) query.set('state', request.state)
    if (auth.issuer) {
      const issuer = fillKnown(auth.issuer.value, account.params)
      if (issuer) query.set('iss', issuer)
    }
    for (const param of definition.params ?? []) {
      const value = account.params[param.name]
      if (param.from === 'callback' && value !== undefined) query.set(param.name, value)
    }
    if (definition.verifyCallback) this.sign(definition, query, account, client.clientSecret)
    return redirect(request.redirectURI, query)
  }

  /** The callback's signature as Shopify makes it: HMAC-SHA256 over the sorted query, with the connection's parameters and the time. */
  private sign(definition: ProviderDefinition, query: URLSearchParams, account: LabAccount, secret: string): void {
    for (const param of definition.params ?? []) {
      const value = account.params[param.name]
      if ((param.from ?? 'form') === 'form' && value !== undefined && !param.secret) query.set(param.name, value)
    }
    query.set('timestamp', String(Math.floor(this.options.now() / 1000)))
    query.sort()
    query.set('hmac', createHmac('sha256', secret).update(query.toString().replaceAll('+', '%20')).digest('hex'))
  }

  private authorizeOAuth1(played: PlayedProvider, incoming: Incoming, captures: Captures, deny: boolean): Answer {
    const { definition } = played
    const { auth } = definition
    if (auth.kind !== 'oauth1') throw new AuthorizeMistake('There is no consent page here.')
    const token = incoming.query.get('oauth_token') ?? ''
    const callback = this.oauth1.callbackOf(token)
    if (callback === undefined) throw new AuthorizeMistake('The oauth_token is not known, used or too old.')
    const scopes = splitScopes(incoming.query.get(auth.scopeParam ?? 'scope'), auth)
    const decision = this.decide(incoming, deny)
    if (!decision) return this.ask(played, incoming, captures, scopes)
    if (decision === 'deny') {
      this.oauth1.deny(token)
      return redirect(callback, new URLSearchParams({ oauth_token: token, denied: token }))
    }
    const account = this.accountOf(played, incoming, captures)
    const verifier = this.oauth1.approve(definition, token, account, scopes)
    return redirect(callback, new URLSearchParams({ oauth_token: token, oauth_verifier: verifier }))
  }

  /** The hosted page of a link token. */
  private authorizeLink(played: PlayedProvider, incoming: Incoming, captures: Captures, deny: boolean): Answer {
    const { definition } = played
    const linkToken = captures.get('link_token') ?? ''
    const link = this.links.find(linkToken)
    if (!link) throw new AuthorizeMistake('This link is not known or has expired.')
    const decision = this.decide(incoming, deny)
    if (!decision) return this.ask(played, incoming, captures, [])
    if (decision === 'approve') this.links.approve(definition, linkToken, this.accountOf(played, incoming, captures))
    if (link.redirectURI) return redirect(link.redirectURI, new URLSearchParams())
    return htmlAnswer(200, messagePage('Done', 'You can close this window and go back to the app.'))
  }

  private decide(incoming: Incoming, deny: boolean): 'approve' | 'deny' | undefined {
    if (deny) return 'deny'
    const given = incoming.query.get('lab')
    if (given === 'approve' || given === 'deny') return given
    const script = /^application\/json\b/.test(incoming.headers.accept ?? '')
    return script || this.options.autoApprove ? 'approve' : undefined
  }

  private ask(played: PlayedProvider, incoming: Incoming, captures: Captures, scopes: readonly string[]): Answer {
    const { definition, accounts } = played
    const ask = hostParams(definition)
      .filter((name) => unknownHost(captures.get(name)))
      .map((name) => ({
        name,
        label: definition.params?.find((param) => param.name === name)?.label ?? name,
        value: accounts.a.params[name] ?? '',
      }))
    const page = consentPage({ definition, accounts: [accounts.a, accounts.b], query: incoming.query, scopes, ask })
    return htmlAnswer(200, page)
  }

  /** The chosen account, with the parameters of this connection. */
  private accountOf(played: PlayedProvider, incoming: Incoming, captures: Captures): LabAccount {
    const { definition, accounts } = played
    const account = incoming.query.get('lab_account') === 'b' ? accounts.b : accounts.a
    const params: Record<string, string> = { ...account.params }
    for (const param of definition.params ?? []) {
      const captured = captures.get(param.name)
      const value = incoming.query.get(`lab_param_${param.name}`) ?? (unknownHost(captured) ? undefined : captured)
      if (value === undefined) continue
      if (!param.pattern.test(value)) throw new AuthorizeMistake(`${param.label}: ${param.hint}`)
      params[param.name] = value
    }
    return { ...account, params }
  }
}

/** A browser that is redirected does not say which host it was sent to. */
function unknownHost(value: string | undefined): boolean {
  return value === undefined || value.startsWith('*')
}

/** Parameters that stand in the host of the consent page. */
function hostParams(definition: ProviderDefinition): string[] {
  const { auth } = definition
  if (auth.kind !== 'oauth2') return []
  const host = auth.authorizationURL.split('/').slice(0, 3).join('/')
  return placeholdersOf(host).filter((name) =>
    definition.params?.some((param) => param.name === name && !param.choices),
  )
}

function redirect(to: string, query: URLSearchParams): Answer {
  const url = new URL(to)
  for (const [name, value] of query) url.searchParams.append(name, value)
  return {
    status: 302,
    headers: { location: url.href, 'cache-control': 'no-store', 'content-type': 'text/plain' },
    body: '',
  }
}
