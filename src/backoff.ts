/**
 * How long to wait after the `attempt`-th failure (from 1): doubles from `baseMs` up to `maxMs`, spread by a quarter to either side, so
 * that what failed together is not tried again together.
 */
export function backoff(attempt: number, { baseMs, maxMs }: { baseMs: number; maxMs: number }): number {
  const delay = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30))
  return Math.round(delay * (0.75 + Math.random() / 2))
}
