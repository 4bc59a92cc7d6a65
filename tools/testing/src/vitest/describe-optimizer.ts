import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import {
  closestName,
  jsDevice,
  makePlan,
  referenceDevice,
  wasmDevice,
  type Device,
  type HyperparameterDefinitions,
  type Optimizer,
  type OptimizerFactory,
  type SlotMeaning,
} from '@adakit/core';
import { describe, expect, it } from 'vitest';
import {
  lossyReferenceInterruptions,
  parseReferenceRun,
  referenceOptimizer,
  replayReference,
} from '../reference-run.js';
import { replay } from '../replay.js';
import { lossyInterruptions } from '../resume.js';
import { parseTrajectory } from '../trajectory.js';
import { describeEveryOptimizer, type Subject } from './every-optimizer.js';

/** What is expected of an optimizer; options are as `load` takes them. */
export interface OptimizerExpectations {
  /** Files of recorded runs of one vector; those of other optimizers are left out. */
  readonly trajectories?: readonly string[];
  /**
   * Files of reference runs of an independent implementation; those that the rule has no counterpart for are left out. One
   * kind of recorded runs is needed at least.
   */
  readonly references?: readonly string[];
  /** Rules beside this one that reference runs need, by their names. */
  readonly others?: Rules;
  /** Options without which the optimizer cannot be made. Default: none. */
  readonly required?: Readonly<Record<string, number | boolean>>;
  /** Hash of the rule with nothing but the required options, which saved states carry. */
  readonly hash: string;
  /** What is kept for every parameter with some options, and what it means. */
  readonly slots: readonly (readonly [
    options: Readonly<Record<string, number | boolean>>,
    slots: Readonly<Record<string, SlotMeaning | undefined>>,
  ])[];
  /** Options that must be refused, and how. */
  readonly refuses: readonly (readonly [options: Readonly<Record<string, unknown>>, message: string])[];
  /** Shapes of parameters that it is for. Default: a matrix, a vector, a number, and nothing. */
  readonly shapes?: Subject['shapes'];
  /** What it reaches on which functions. */
  readonly converges?: Subject['converges'];
}

/** Rules by their names. */
export type Rules = Readonly<
  Record<string, { readonly load: (given: Readonly<Record<string, unknown>>) => Optimizer }>
>;

/** Devices that need no runtime: the interpreter in both precisions, and what is compiled on the host. */
export const hostDevices: readonly Device<unknown>[] = [
  referenceDevice(),
  referenceDevice('float32'),
  jsDevice(),
  wasmDevice(),
];

/**
 * Registers the tests that every optimizer has to pass, with vitest: recorded runs within rounding on every host device,
 * runs that are stopped at any step and go on to the last bit, a rule that does not change unnoticed, slots that say what
 * they hold, hyperparameters that are refused by name; the same bits on all host devices within the bounds of the rule's
 * operations, on matrices, vectors, single numbers and nothing, with sparse and zero gradients; groups, schedules and
 * serialization; refusal of what is not finite; memory; and the way to a minimum.
 */
export function describeOptimizer<H extends HyperparameterDefinitions>(
  factory: OptimizerFactory<H>,
  expectations: OptimizerExpectations,
): void {
  const {
    trajectories: files = [],
    references = [],
    others,
    required = {},
    hash,
    slots,
    refuses,
    shapes,
    converges,
  } = expectations;
  const name = factory.optimizerName;
  const make = (options: Readonly<Record<string, unknown>> = {}): Optimizer =>
    factory.load({ ...required, ...options });
  const trajectories = files
    .map((file) => ({ file: basename(file), ...parseTrajectory(readFileSync(file, 'utf8'), file) }))
    .filter(({ optimizer }) => optimizer === name);

  const runs = referenceRuns(references, { ...others, [name]: factory });

  describe(`the optimizer ${name}`, () => {
    it('has recorded runs to be compared with', () => {
      expect(trajectories.length + runs.length).toBeGreaterThanOrEqual(3);
    });

    describe.each(runs)('reproduces the reference run $name', ({ run, optimizer }) => {
      it.each(hostDevices)('on $name', async (device) => {
        expect(await replayReference(run, optimizer, device)).toMatchObject({ ok: true, steps: run.steps });
      });
    });

    it.runIf(runs.length > 0).each([referenceDevice(), jsDevice()])(
      'goes on with a reference run bit for bit after an interruption at any step on $name',
      async (device: Device<unknown>) => {
        const [{ run, optimizer }] = runs;
        expect(await lossyReferenceInterruptions(run, optimizer, device)).toEqual([]);
      },
    );

    describeEveryOptimizer({ make, shapes, converges });

    describe.each(trajectories)('reproduces the recorded run $file', (trajectory) => {
      it.each(hostDevices)('on $name', async (device) => {
        const report = await replay(trajectory, factory.load(trajectory.hyperparameters), device);
        expect(report).toMatchObject({ ok: true, steps: trajectory.steps });
      });
    });

    it.runIf(trajectories.length > 0).each(hostDevices)(
      'goes on bit for bit after an interruption at any step on $name',
      async (device) => {
        for (const trajectory of trajectories.slice(0, 2)) {
          expect(await lossyInterruptions(trajectory, factory.load(trajectory.hyperparameters), device)).toEqual([]);
        }
      },
    );

    it('has the rule that saved states know', () => {
      expect(ruleHash(make())).toBe(hash);
    });

    it.each(slots)('with %j keeps what its slots say', (options, expected) => {
      const kept = planned(make(options)).slots.map((slot) => [slot.name, slot.meaning] as const);
      expect(Object.fromEntries(kept)).toEqual(expected);
      for (const [, meaning] of kept) {
        if (meaning?.decay !== undefined) expect(Object.keys(factory.hyperparameters)).toContain(meaning.decay);
      }
    });

    it.each(refuses)('refuses %j', (options, message) => {
      expect(() => make(options)).toThrow(message);
    });

    const names = Object.keys(factory.hyperparameters);
    it.each(names)(
      'refuses a value of %s that is none, and suggests the name for one that is misspelt',
      (hyperparameter) => {
        for (const bad of [NaN, Infinity, '1', null]) {
          expect(() => make({ [hyperparameter]: bad })).toThrow(`${name}: ${hyperparameter} must be `);
        }
        const misspelt = `${hyperparameter}x`;
        expect(() => make({ [misspelt]: 1 })).toThrow(`did you mean "${closestName(misspelt, names) ?? ''}"?`);
      },
    );

    it('takes the names of PyTorch as well', () => {
      for (const hyperparameter of names) {
        const snake = hyperparameter.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        const value = make().hyperparameters[hyperparameter];
        expect(factory.load({ ...required, [snake]: value }).hyperparameters[hyperparameter]).toBe(value);
      }
    });
  });
}

/** Those of the runs that the rules have a counterpart for. */
function referenceRuns(files: readonly string[], rules: Rules) {
  return files.flatMap((file) => {
    const run = parseReferenceRun(readFileSync(file, 'utf8'), basename(file));
    const optimizer = referenceOptimizer(run, (name, given) => rules[name].load(given));
    return typeof optimizer === 'string' ? [] : [{ name: run.name, run, optimizer }];
  });
}

/** The hash by which a saved state knows the rule of a matrix. */
export function ruleHash(optimizer: Optimizer): string {
  return planned(optimizer).hash;
}

function planned(optimizer: Optimizer) {
  return makePlan(optimizer, [{ name: 'theta', shape: [2, 3] }]).parameters[0];
}
