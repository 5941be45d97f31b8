const MAX_LENGTH = 200
const MAX_READ = 4000
/** Shorter ones would take ordinary words apart. */
const MIN_SECRET = 4
const REDACTED = '[redacted]'
/** What looks like a credential, for texts in which a provider repeats one that we cannot know (OpenAI echoes keys). */
const TOKEN_LIKE =
  /\b(?:sk|rk|pk|xox[a-z]|gh[a-z]|ya29|shp[a-z]{2}|SG|Bearer|Basic)[-_. ][\w.~+/=*-]{6,}|\beyJ[\w-]{8,}\.[\w.-]{8,}|\b[\w-]{40,}\b/g

/**
 * Makes a provider's text fit for a log line: known secrets and what looks like one become `[redacted]`, control characters and angle
 * brackets go, 200 characters stay.
 */
export function redactText(text: string, secrets: readonly string[] = []): string {
  // A secret that the cut went through would no longer be found: the last word goes with it.
  let clean = text.length > MAX_READ ? text.slice(0, MAX_READ).replace(/\S{1,500}$/, '') : text
  for (const secret of secrets) {
    if (secret.length < MIN_SECRET) continue
    clean = clean.replaceAll(secret, REDACTED)
    const encoded = encodeURIComponent(secret)
    if (encoded !== secret) clean = clean.replaceAll(encoded, REDACTED)
  }
  return (
    clean
      .replace(TOKEN_LIKE, REDACTED)
      // Control, format, surrogate and private characters and line separators do no good in a log line, nor do brackets on a page.
      .replace(/[\p{C}\p{Zl}\p{Zp}<>]+/gu, ' ')
      .slice(0, MAX_LENGTH)
      .trim()
  )
}

/** A URL for logs and traces: without query, fragment and user, with path segments that look like a secret left out. */
export function redactURL(url: string, secrets: readonly string[] = []): string {
  if (!URL.canParse(url)) return '[not a URL]'
  const { origin, pathname } = new URL(url)
  return origin + redactText(pathname, secrets)
}
