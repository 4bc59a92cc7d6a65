// Prints `N passed, N failed, N skipped` from vitest's JSON report; the format, lint, type and package checks count as one.
import { readFileSync } from 'node:fs';

const [report, checks] = process.argv.slice(2);
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, success } = JSON.parse(
  readFileSync(report, 'utf8'),
);
const checksFailed = checks === '0' ? 0 : 1;
// A file that fails to load has no tests to count, but it is a failure.
const failed = numFailedTests + checksFailed + (!success && numFailedTests === 0 ? 1 : 0);
console.log(`${numPassedTests + 1 - checksFailed} passed, ${failed} failed, ${numPendingTests + numTodoTests} skipped`);
process.exit(failed === 0 ? 0 : 1);
