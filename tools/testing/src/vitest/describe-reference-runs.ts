import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { jsDevice, referenceDevice, type Optimizer } from '@adakit/core';
import { describe, expect, it } from 'vitest';
import {
  lossyReferenceInterruptions,
  parseReferenceRun,
  referenceOptimizer,
  replayReference,
} from '../reference-run.js';
import { hostDevices } from './describe-optimizer.js';

/** Rules by the names that reference runs give them. */
export type Rules = Readonly<
  Record<string, { readonly load: (given: Readonly<Record<string, unknown>>) => Optimizer }>
>;

/**
 * Registers the tests of a rule against runs of an independent implementation, with vitest: every run is reproduced on
 * every host device, and the first of them goes on bit for bit wherever it is stopped.
 *
 * @param files reference runs; those that the rules have no counterpart for are left out
 * @param rules what the runs need
 */
export function describeReferenceRuns(files: readonly string[], rules: Rules): void {
  const runs = files.flatMap((file) => {
    const run = parseReferenceRun(readFileSync(file, 'utf8'), basename(file));
    const optimizer = referenceOptimizer(run, (name, given) => rules[name].load(given));
    return typeof optimizer === 'string' ? [] : [{ name: run.name, run, optimizer }];
  });

  it('has reference runs', () => {
    expect(runs.length).toBeGreaterThanOrEqual(3);
  });

  describe.each(runs)('the reference run $name', ({ run, optimizer }) => {
    it.each(hostDevices)('is reproduced on $name', async (device) => {
      expect(await replayReference(run, optimizer, device)).toMatchObject({ ok: true, steps: run.steps });
    });
  });

  it.each([referenceDevice(), jsDevice()])(
    'a run stopped after any step goes on bit for bit on $name',
    async (device) => {
      const [{ run, optimizer }] = runs;
      expect(await lossyReferenceInterruptions(run, optimizer, device)).toEqual([]);
    },
  );
}
