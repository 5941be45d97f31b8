import type { JsonTemplate, RequestTemplate } from './define-provider.js'
import { pick } from './template.js'

/** Makes the requests of a GraphQL API. */
export function graphqlAt(url: string) {
  return (query: string, variables?: JsonTemplate): RequestTemplate => ({
    method: 'POST',
    url,
    json: variables === undefined ? { query } : { query, variables },
  })
}

/** Pages of a connection of the Relay kind, whose cursor is the variable `after`. */
export function connectionPages(field: string) {
  return {
    style: 'cursor',
    at: 'json',
    param: 'variables.after',
    next: `data.${field}.pageInfo.endCursor`,
    more: `data.${field}.pageInfo.hasNextPage`,
  } as const
}

/**
 * `failed` of an API whose errors stand beside data: what could not be shown of one item is null and named among them, and the rest
 * of the page is whole.
 *
 * @param isPart - Whether an error is about such a part. Its path goes from the list (`['orders']`) down to the field (`['orders', 0, 'customer']`).
 */
export function failedUnlessPart(isPart: (path: readonly unknown[], error: unknown) => boolean) {
  return (body: unknown): boolean => {
    const errors = pick(body, 'errors')
    if (errors === undefined) return false
    if (!Array.isArray(errors) || pick(body, 'data') === undefined) return true
    return !errors.every((error) => {
      const path = pick(error, 'path')
      return Array.isArray(path) && isPart(path, error)
    })
  }
}
