import { expect, it } from 'vitest'
import { type DoctorOptions, diagnose, type Finding } from '../../src/operations/doctor.js'
import { catalogue } from '../../src/strategies/index.js'

async function findings(env: Record<string, string>, options: Partial<DoctorOptions> = {}): Promise<Finding[]> {
  const found: Finding[] = []
  const store = { kind: 'sqlite', path: ':memory:' } as const
  for await (const finding of diagnose({ env, catalogue, store, baseUrl: 'http://localhost:1', ...options }))
    found.push(finding)
  return found
}

it('says of a provider that it is not in the environment, since the code of the app may set it', async () => {
  const found = await findings({ NODE_ENV: 'development' }, { providers: ['slack'] })
  expect(found).toContainEqual({
    level: 'warn',
    subject: 'slack',
    text: 'not in the environment (fine where your code sets it)',
    cure: 'Set SLACK_CLIENT_ID, SLACK_CLIENT_SECRET.',
  })
})

it.each([
  ['missing', {}, 'ATOM_SECRET is missing'],
  ['too short', { ATOM_SECRET: 'short' }, 'ATOM_SECRET has fewer than 32 bytes'],
])('says how to make a secret where it is %s', async (_what, env, text) => {
  const found = await findings({ NODE_ENV: 'production', ...env })
  const cure = expect.stringMatching(/^Make one: node -e .*base64url/)
  expect(found).toContainEqual({ level: 'fail', subject: 'secret', text, cure })
})
