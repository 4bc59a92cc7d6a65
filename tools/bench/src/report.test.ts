import { expect, it } from 'vitest';
import { page, regressions, table, type Report } from './report.js';

const report = (ratio: number): Report => ({
  suite: 'training',
  title: 'Training steps',
  method: 'Side by side.',
  machine: { date: '2026-01-02', processor: 'some processor', cores: '2', memory: '8 GiB' },
  rows: [
    { case: 'MLP', name: 'adakit', ms: 1.23456, more: { 'start, s': 0.5 }, ratios: { torch: ratio } },
    { case: 'MLP', name: 'torch', ms: 2 },
  ],
});

it('prints rows with a column for everything that some row has', () => {
  expect(table(report(0.6).rows).split('\n')).toEqual([
    '| case | what | ms | start, s | against torch |',
    '| --- | --- | --: | --: | --: |',
    '| MLP | adakit | 1.23 | 0.5 | 0.6 |',
    '| MLP | torch | 2 |  |  |',
  ]);
});

it('says on the page how, on what and when it was measured', () => {
  expect(page([report(0.6)])).toContain(
    '## Training steps\n\nSide by side.\n\n`npm run bench -- training`; 2026-01-02, some processor, 2 cores, 8 GiB memory.',
  );
});

it('calls a ratio worse beyond 1.3 times the recorded one', () => {
  expect(regressions([report(0.77)], [report(0.6)])).toEqual([]);
  expect(regressions([report(0.8)], [report(0.6)])).toEqual(['training, MLP, adakit: 0.8 of torch, recorded as 0.6']);
});

it('has nothing to say of what was not recorded', () => {
  expect(regressions([report(9)], [])).toEqual([]);
});
