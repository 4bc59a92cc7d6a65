// summary.js CHECKS-STATUS REPORT STATUS [REPORT STATUS ...]
// Prints every failure of vitest's JSON reports, then `N passed, N failed, N skipped`; the format, lint, type and package
// checks count as one. Failures stand last, where a log that is kept in part still has them.
import { existsSync, readFileSync } from 'node:fs';
import { basename, relative } from 'node:path';

const [checks, ...runs] = process.argv.slice(2);
let passed = checks === '0' ? 1 : 0;
let skipped = 0;
const failures = checks === '0' ? [] : [`npm run check: exit status ${checks}`];

/**
 * What is read of vitest's report.
 * @typedef {{ readonly status: string, readonly fullName: string, readonly failureMessages: readonly string[] }} Test
 * @typedef {{ readonly name: string, readonly status: string, readonly message: string, readonly assertionResults: readonly Test[] }} File
 * @typedef {{
 *   readonly numPassedTests: number, readonly numPendingTests: number, readonly numTodoTests: number,
 *   readonly testResults: readonly File[],
 * }} Report
 */

// What was expected and what came, and where, without the stack below it.
const head = (/** @type {string} */ message) =>
  message
    .split('\n')
    .filter((line) => !line.includes('node_modules'))
    .slice(0, 12)
    .join('\n    ');

for (let at = 0; at < runs.length; at += 2) {
  const [report, exit] = runs.slice(at, at + 2);
  // A run that was cut off has no tests to count, but it is a failure.
  if (!existsSync(report)) {
    failures.push(`${basename(report)}: the run ended without a report`);
    continue;
  }
  /** @type {Report} */
  const { numPassedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
  passed += numPassedTests;
  skipped += numPendingTests + numTodoTests;
  const before = failures.length;
  for (const { name, status, message, assertionResults } of testResults) {
    const file = relative(process.cwd(), name);
    const tests = assertionResults.filter((test) => test.status === 'failed');
    for (const test of tests) {
      failures.push(`${file}: ${test.fullName}\n    ${head(test.failureMessages.join('\n'))}`);
    }
    // A file that fails to load has no tests either.
    if (status === 'failed' && tests.length === 0) failures.push(`${file}: ${head(message)}`);
  }
  // Vitest's report says nothing of an error that no test awaits; its exit status does.
  if (exit !== '0' && failures.length === before)
    failures.push(`${basename(report)}: a fault outside of all tests, exit status ${exit}`);
}
for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(`${passed} passed, ${failures.length} failed, ${skipped} skipped`);
process.exit(failures.length === 0 ? 0 : 1);
