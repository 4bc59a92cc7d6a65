import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { optimizerChecks } from '@adakit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addRecordCommand } from './command.js';
import * as rules from '../rules.js';
import { runCommand } from '../testing/run-command.js';

// ADAKIT_PYTHON=…/python npm run test:slow -- tools/cli/src/record, where python3 has no torch.
const python = process.env.ADAKIT_PYTHON ?? 'python3';
const withTorch = spawnSync(python, ['-c', 'import numpy, torch']).status === 0;
const templates = new URL('../../../packages/create-adakit-optimizer/templates/', import.meta.url);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-record-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const record = (...args: readonly string[]) => runCommand(addRecordCommand, 'record', ...args, '--python', python);
const runIn = (path: string | URL) => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

describe.skipIf(!withTorch)('with a Python that has torch', () => {
  // Loading torch takes longer than all else: one of the templates.
  it('records of a class in a file what a template comes with', async () => {
    const start = 'adam';
    const source = join(folder, `${start}.py`);
    writeFileSync(source, readFileSync(new URL(`${start}/reference.py.txt`, templates)));
    await record(`${source}:Reference`, '--name', '__rule__', '--out', join(folder, start));
    for (const name of ['defaults', 'lr', 'sparse']) {
      const made = runIn(join(folder, start, `${name}.json`));
      const kept = runIn(new URL(`${start}/reference/${name}.json`, templates));
      // What float32 does, and how far it is off, differs from torch to torch.
      for (const field of ['optimizer', 'hyperparameters', 'steps', 'parameters', 'gradients']) {
        expect(made[field], field).toEqual(kept[field]);
      }
      expectClose(made.float64, kept.float64);
      expect(made.source).toMatch(/^\w+\.Reference, torch \d/);
      expect(Object.keys(made)).toEqual(Object.keys(kept));
    }
  });

  it('records a class of PyTorch, which the rule then reproduces', async () => {
    const out = join(folder, 'nadam');
    const cases = ['defaults={}', 'sparse={}', 'momentum={"lr":0.02,"betas":[0.8,0.99]}'];
    await record('torch.optim:NAdam', '--name', 'nadam', '--out', out, ...cases.flatMap((each) => ['--case', each]));
    const references = ['defaults', 'sparse', 'momentum'].map((name) => join(out, `${name}.json`));
    const checks = optimizerChecks(rules.nadam, { references }).filter(({ name }) => name.includes('reference run'));
    expect(checks.length).toBeGreaterThanOrEqual(references.length);
    for (const { name, run } of checks) await expect(Promise.resolve(run()), name).resolves.toBeUndefined();
  });

  it('says what cannot be recorded', async () => {
    await expect(record('torch.optim:Nothing', '--name', 'nothing', '--out', folder)).rejects.toThrow(
      'could not record torch.optim:Nothing; what it wrote says why',
    );
  });
});

it('says that there is no such Python', async () => {
  const args = ['record', 'torch.optim:Adam', '--name', 'adam', '--python', join(folder, 'python')];
  await expect(runCommand(addRecordCommand, ...args)).rejects.toThrow(/--python: .*python cannot be run/);
});

/** Equal but for what the last digits of float64 may be: 1e-12 of 1, as in the comparison with rules. */
function expectClose(made: unknown, expected: unknown): void {
  const numbers = (value: unknown): number[] =>
    typeof value === 'number' ? [value] : Object.values(value as object).flatMap(numbers);
  const [a, b] = [numbers(made), numbers(expected)];
  expect(a).toHaveLength(b.length);
  a.forEach((x, i) => {
    expect(Math.abs(x - b[i])).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(b[i])));
  });
}
