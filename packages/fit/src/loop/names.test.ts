import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { evaluate, fit, progress, type Metric } from '../index.js';
import { jsonLines, tensorBoard } from '../node/index.js';
import { Line, points } from '../testing/line.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-metrics-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const odd = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'a b',
  'a/b',
  'ünï ☃ 😀',
  '"q"\\',
  'x'.repeat(500),
];
const metrics = odd.map((name, i): Metric => ({
  name,
  better: 'lower',
  start: () => ({ add: () => undefined, value: () => i + 1 }),
}));
const validation = () => points(4).batch(4);

it.each(['__proto__', 'constructor'])(
  'metrics may have any names, and "%s" may be monitored and logged',
  async (monitor) => {
    const lines = join(folder, `${monitor}.jsonl`);
    const board = join(folder, monitor);
    let said = '';
    const { history, best } = await fit(new Line(), points(8).batch(8), {
      validation: validation(),
      metrics,
      monitor,
      earlyStop: { patience: 1 },
      callbacks: [jsonLines(lines), tensorBoard(board), progress({ write: (text: string) => (said += text) })],
    });
    const expected = odd.map((name, i) => [name, i + 1]);
    const values = Object.entries(history[0].validation ?? {});
    expect(values.filter(([name]) => name !== 'loss')).toEqual(expected);
    expect(best?.value).toBe(odd.indexOf(monitor) + 1);
    const logged =
      readFileSync(lines, 'utf8')
        .split('\n')
        .find((line) => line.includes('"validation"')) ?? '';
    const { values: read } = JSON.parse(logged) as { values: Record<string, number> };
    expect(Object.entries(read).filter(([name]) => name !== 'loss')).toEqual(expected);
    const [events] = readdirSync(board, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.includes('tfevents'),
    );
    const bytes = readFileSync(join(board, events), 'utf8');
    for (const name of odd) {
      expect(bytes).toContain(name);
      expect(said).toContain(name);
    }
  },
);

it.each(['__proto__', 'toString'])('a metric "%s" that there is not cannot be monitored', async (monitor) => {
  const run = fit(new Line(), points(8).batch(8), { validation: validation(), monitor });
  await expect(run).rejects.toThrow(`there is no metric '${monitor}' to monitor`);
});

it('evaluation gives each its own', async () => {
  const values = await evaluate(new Line(), validation(), { metrics });
  expect(Object.keys(values).filter((name) => name !== 'loss')).toEqual(odd);
});
