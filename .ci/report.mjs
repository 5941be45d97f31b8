/** `node report.mjs FILE`: from vitest's JSON report, what failed once more, where it is found, and the count as the last line. */
import { readFileSync } from 'node:fs'

const report = JSON.parse(readFileSync(process.argv[2]))
for (const { name, message, assertionResults } of report.testResults) {
  if (message) console.log('FAILED', name, message.slice(0, 2000))
  for (const { status, fullName, failureMessages } of assertionResults)
    if (status === 'failed') console.log('FAILED', name, '>', fullName, failureMessages.join('\n').slice(0, 2000))
}
const failed = report.numFailedTests || (report.numFailedTestSuites ? 1 : 0)
const skipped = report.numPendingTests + report.numTodoTests
console.log(`${report.numPassedTests} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
if (skipped) process.exitCode = 1
