import { basename } from 'node:path';
import { goldenFiles, referenceRunFiles } from '@adakit/fixtures';
import { expect, it } from 'vitest';
import { testedBackends, variedRuns } from '../testing/tested-backends.js';
import { replayFiles } from './run.js';

it('finds every golden trajectory ok on every backend', async () => {
  const files = goldenFiles();
  expect(files).toHaveLength(37);
  const reports = await replayFiles(files, testedBackends);
  expect(reports).toHaveLength(37 * testedBackends.length);
  expect(reports.filter((report) => !('ok' in report && report.ok))).toEqual([]);
  for (const report of reports) {
    if (!('maxUlp' in report)) throw new Error('a trajectory is expected');
    const { backend, maxRel, maxUlp, tolerance, steps } = report;
    if (backend === 'reference') expect(maxRel).toBeLessThan(1e-12);
    else expect(maxUlp).toBeLessThanOrEqual(tolerance);
    expect(steps).toBe(40);
  }
});

it('finds every reference run of the new rules and wrappers ok on the WebAssembly device', async () => {
  const reports = await replayFiles(referenceRunFiles(), ['wasm']);
  const replayed = reports.filter((report) => 'ok' in report);
  expect(replayed.filter(({ ok }) => !ok)).toEqual([]);
  expect(replayed.length).toBeGreaterThanOrEqual(70);
  const skipped = reports.filter((report) => 'skipped' in report);
  expect(new Set(skipped.map(({ optimizer }) => optimizer))).toEqual(new Set(['adafactor', 'lookahead']));
});

it.each([...variedRuns, 'asam-sgd', 'shampoo-defaults'])(
  'finds the reference run %s ok on every backend',
  async (name) => {
    const reports = await replayFiles(
      referenceRunFiles().filter((file) => basename(file) === `${name}.json`),
      testedBackends,
    );
    expect(reports.map((report) => ('ok' in report ? report.ok : report))).toEqual(
      new Array(testedBackends.length).fill(true),
    );
  },
);
