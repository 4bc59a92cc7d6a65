import { operators } from '@adakit/onnx';
import { describe, expect, test } from 'vitest';
import { ASPECTS, judge } from './judge.js';
import { NOT_LISTED, report, subjectOf, type Judged } from './report.js';
import { dataDirectory, DEBIAN_DIRECTORY, readCases, readData, type TestCase } from './test-case.js';

const directory = dataDirectory();

if (directory === undefined) {
  test.skip(`the ONNX test data: there is none at ${DEBIAN_DIRECTORY}; apt-get install libonnx-testdata, or set ADAKIT_ONNX_TESTDATA`, () => {
    // Skipped by name.
  });
} else {
  const cases = readCases(directory);
  const byId = new Map(cases.map((example) => [example.id, example]));
  const rows = new Map<string, TestCase[]>();
  for (const example of cases) {
    if (!example.operators.every((key) => operators.has(key))) continue;
    const subject = subjectOf(example, byId);
    rows.set(subject, [...(rows.get(subject) ?? []), example]);
  }
  const judged = new Map<string, readonly Judged[]>();

  describe('the ONNX test data: shapes, outputs and gradients', () => {
    test.each([...rows])('%s', async (subject, members) => {
      const found: Judged[] = [];
      for (const example of members) {
        found.push({ example, verdict: await judge(example, readData(directory, example)) });
      }
      judged.set(subject, found);
      const failures = found.flatMap(({ example, verdict }) =>
        ASPECTS.flatMap((aspect) => {
          const outcome = verdict[aspect];
          return outcome.status === 'fail' ? [`${example.id}, ${aspect}: ${outcome.why}`] : [];
        }),
      );
      expect(failures).toEqual([]);
    });

    test('every operator of the cases is in the table of operators, or there is a reason why not', () => {
      const missing = new Set(cases.flatMap((example) => example.operators.filter((key) => !operators.has(key))));
      expect([...missing].filter((key) => !(key in NOT_LISTED))).toEqual([]);
    });

    /** `vitest run -u` writes the file again. Other data than Debian's are judged, and not recorded. */
    test.runIf(directory === DEBIAN_DIRECTORY)('CONFORMANCE.md says what was found', async () => {
      await expect(report(cases, judged)).toMatchFileSnapshot('../../../../packages/onnx/CONFORMANCE.md');
    });
  });
}
