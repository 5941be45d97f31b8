const MAX_LENGTH = 200
/** What looks like a credential, for texts in which a provider repeats one that we cannot know (OpenAI echoes keys). */
const TOKEN_LIKE =
  /\b(?:sk|rk|pk|xox[a-z]|gh[a-z]|ya29|shp[a-z]{2}|SG|Bearer|Basic)[-_. ][\w.~+/=*-]{6,}|\beyJ[\w-]{8,}\.[\w.-]{8,}|\b[\w-]{40,}\b/g

/**
 * Makes a provider's text fit for a log line: known secrets and what looks like one become `[redacted]`, control characters and angle
 * brackets go, 200 characters stay.
 */
export function redactText(text: string, secrets: readonly string[] = []): string {
  let clean = text.slice(0, 4000)
  for (const secret of secrets) if (secret.length >= 4) clean = clean.replaceAll(secret, '[redacted]')
  return (
    clean
      .replace(TOKEN_LIKE, '[redacted]')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a log line
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069<>]+/g, ' ')
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
