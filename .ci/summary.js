// Prints `N passed, N failed, N skipped` from vitest's JSON reports; the format, lint, type and package checks count as one.
import { existsSync, readFileSync } from 'node:fs';

const [checks, ...reports] = process.argv.slice(2);
let passed = checks === '0' ? 1 : 0;
let failed = 1 - passed;
let skipped = 0;
for (const report of reports) {
  // A run that was cut off, or a file that fails to load, has no tests to count, but it is a failure.
  if (!existsSync(report)) {
    failed++;
    continue;
  }
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, success } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  passed += numPassedTests;
  failed += numFailedTests + (!success && numFailedTests === 0 ? 1 : 0);
  skipped += numPendingTests + numTodoTests;
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
