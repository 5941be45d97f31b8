import type { RequestTemplate } from './define-provider.js'

type Query = RequestTemplate['query']

/** Makes the GET requests of one API: `always` goes with each of them, unless it says otherwise itself. */
export function getFrom(base: string, always?: Query) {
  return (path: string, query?: Query): RequestTemplate => ({
    method: 'GET',
    url: `${base}/${path}`,
    query: { ...always, ...query },
  })
}
