import { existsSync, readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { ERROR_CODES, type ErrorCode, IntegrationError, textOf } from '../src/errors.js'

const codes = Object.keys(ERROR_CODES) as ErrorCode[]

describe('IntegrationError', () => {
  it('keeps message and cause out of what may leave the server', () => {
    const error = new IntegrationError('PROVIDER_BAD_RESPONSE', 'token endpoint answered 200 text/html', {
      provider: 'Slack',
      cause: new Error('secret-token'),
    })
    const sent = JSON.stringify(error)
    expect(sent).not.toMatch(/secret-token|text\/html|stack/)
    expect(JSON.parse(sent)).toMatchObject({
      code: 'PROVIDER_BAD_RESPONSE',
      status: 502,
      title: 'Slack did not answer as expected',
    })
  })

  it('carries a reference that is new each time', () => {
    const references = new Set(Array.from({ length: 100 }, () => new IntegrationError('AUTH_REQUIRED', 'x').reference))
    expect(references.size).toBe(100)
    for (const reference of references) expect(reference).toMatch(/^r-[2-9a-z]{8}$/)
  })

  it('shows code and reference to a developer who inspects it', () => {
    expect(inspect(new IntegrationError('AUTH_DENIED', 'the user pressed cancel'))).toContain('AUTH_DENIED')
  })
})

describe('the texts of the codes', () => {
  it.each(codes)('%s says what happened and what to do, without jargon or an unfilled name', (code) => {
    const text = Object.values(textOf(code, 'Slack')).join(' ')
    expect(text).not.toMatch(/[{}<>]|undefined|token|OAuth|HTTP|JSON|HTML|\b[45]\d\d\b/)
    expect(textOf(code, undefined).title.length).toBeGreaterThan(3)
  })

  it.each(codes)('%s reads well where the provider is not known', (code) => {
    for (const text of Object.values(textOf(code, undefined))) {
      expect(text).not.toMatch(/(^|[.?!] )the other service|[^.?!] The other service/)
      expect(text).not.toMatch(/\b(the|this|an?) the other service|the other service account/i)
    }
  })

  it('fill a name in as it is written, also at the beginning of a sentence', () => {
    expect(textOf('PROVIDER_TIMEOUT', 'monday.com').message).toMatch(/^monday\.com did not answer/)
    expect(textOf('PROVIDER_TIMEOUT', 'A $& B').title).toBe('A $& B takes too long')
    expect(textOf('PROVIDER_TIMEOUT', undefined).message).toMatch(/^The other service did not answer/)
    expect(textOf('AUTH_STATE_MISSING', undefined).message).toMatch(/^The answer from the other service carries/)
  })

  it('have one heading each in docs/errors.md, and none is left over', () => {
    const path = new URL('../docs/errors.md', import.meta.url)
    expect(existsSync(path)).toBe(true)
    const headings = [...readFileSync(path, 'utf8').matchAll(/^### `?([A-Z_]+)`?$/gm)].map((match) => match[1])
    expect(headings.toSorted()).toEqual(codes.toSorted())
  })
})
