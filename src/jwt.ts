/** The claims of a JSON Web Token; `undefined` for anything else. Its signature is not checked: only for one that came straight from its issuer. */
export function jwtClaims(token: string | undefined): unknown {
  const parts = token?.split('.') ?? []
  if (parts.length !== 3 || !parts[1] || parts[1].length > 16_384) return undefined
  try {
    return JSON.parse(Buffer.from(parts[1], 'base64url').toString())
  } catch {
    return undefined
  }
}
