import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { cosine, warmup, type TrainingState } from '@adakit/core';
import { goldenFiles, referenceRunFiles } from '@adakit/fixtures';
import { decodeState, encodeState } from '@adakit/state';
import {
  lossyInterruptions,
  lossyReferenceInterruptions,
  parseReferenceRun,
  parseTrajectory,
  referenceOptimizer,
} from '@adakit/testing';
import { describe, expect, it } from 'vitest';
import { optimizerByName } from '../optimizer-by-name.js';
import { testedBackends, variedRuns } from '../testing/tested-backends.js';
import { withBackend } from './backends.js';

/** States are loaded as they come back from the bytes of a state file. */
const through = (state: TrainingState): TrainingState => decodeState(encodeState(state));

/** Long enough for AdaBelief's first rectified step, t = 6. */
const steps = 10;

describe.each(testedBackends)('a run on %s, stopped and resumed from a file', (backend) => {
  it.each(['adabelief', 'adabound', 'adadiff', 'adam', 'sgd'])(
    'goes on to the last bit with %s while a schedule is running, wherever it was stopped',
    async (name) => {
      const file = goldenFiles().find((path) =>
        basename(path).startsWith(name === 'sgd' ? 'sgd-lr_0.1-momentum_0.9.' : `${name}-defaults`),
      );
      if (file === undefined) throw new Error(`no golden file of ${name}`);
      const trajectory = parseTrajectory(await readFile(file, 'utf8'), file);
      const optimizer = optimizerByName(name, trajectory.hyperparameters).withSchedules({
        lr: warmup(3, cosine(8, 0.1)),
      });
      const lossy = await withBackend(backend, (device) =>
        lossyInterruptions({ ...trajectory, steps }, optimizer, device, through),
      );
      expect(lossy).toEqual([]);
    },
  );

  it.each([...variedRuns, 'shampoo-momentum'])(
    'goes on to the last bit with %s, stopped in the middle',
    async (name) => {
      const file = referenceRunFiles().find((path) => basename(path) === `${name}.json`);
      if (file === undefined) throw new Error(`no reference run ${name}`);
      const reference = parseReferenceRun(await readFile(file, 'utf8'), name);
      const optimizer = referenceOptimizer(reference, optimizerByName);
      if (typeof optimizer === 'string') throw new Error(optimizer);
      const lossy = await withBackend(backend, (device) =>
        lossyReferenceInterruptions(reference, optimizer, device, {
          through,
          stops: [Math.floor(reference.steps / 2)],
        }),
      );
      expect(lossy).toEqual([]);
    },
  );
});
