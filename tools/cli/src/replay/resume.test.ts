import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { cosine, decodeState, encodeState, warmup, type Run, type Runner } from '@adakit/core';
import { goldenFiles } from '@adakit/fixtures';
import { lossyInterruptions, parseTrajectory } from '@adakit/testing';
import { describe, expect, it } from 'vitest';
import { optimizerByName, optimizerNames } from '../optimizers.js';
import { backendNames, startBackend } from './backends.js';

/** A runner whose runs load states as they come back from the bytes of a state file. */
function throughFiles(runner: Runner): Runner {
  return {
    ...runner,
    async start(optimizer, parameters) {
      const run = await runner.start(optimizer, parameters);
      const load: Run['load'] = (state) => run.load(decodeState(encodeState(state)));
      return new Proxy(run, {
        get(target, key) {
          if (key === 'load') return load;
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  };
}

/** Long enough for AdaBelief's first rectified step, t = 6. */
const steps = 10;

describe.each(backendNames)('a run on %s, stopped before any step and resumed from a file', (backend) => {
  it.each(optimizerNames)('goes on to the last bit with %s while a schedule is running', async (name) => {
    const file = goldenFiles().find((path) =>
      basename(path).startsWith(name === 'sgd' ? 'sgd-lr_0.1-momentum_0.9.' : `${name}-defaults`),
    );
    if (file === undefined) throw new Error(`no golden file of ${name}`);
    const trajectory = parseTrajectory(await readFile(file, 'utf8'), file);
    const optimizer = optimizerByName(name, trajectory.hyperparameters).withSchedules({
      lr: warmup(3, cosine(8, 0.1)),
    });
    const runner = throughFiles(await startBackend(backend));
    expect(await lossyInterruptions({ ...trajectory, steps }, optimizer, runner)).toEqual([]);
  });
});
