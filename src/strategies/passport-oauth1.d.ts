declare module 'passport-oauth1' {
  import { Strategy } from 'passport'

  /** Only what is used; the package has no types of its own. */
  export default class OAuthStrategy extends Strategy {
    constructor(options: Readonly<Record<string, unknown>>, verify: (...args: never[]) => void)
  }
}
