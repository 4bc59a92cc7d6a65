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
import { replay } from '../replay.js';
import { lossyInterruptions } from '../resume.js';
import { parseTrajectory } from '../trajectory.js';

/** What is expected of an optimizer; options are as `load` takes them. */
export interface OptimizerExpectations {
  /** Files of recorded runs; those of other optimizers are left out. */
  readonly trajectories: readonly string[];
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
}

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
 * they hold, and hyperparameters that are refused by name.
 */
export function describeOptimizer<H extends HyperparameterDefinitions>(
  factory: OptimizerFactory<H>,
  { trajectories: files, required = {}, hash, slots, refuses }: OptimizerExpectations,
): void {
  const name = factory.optimizerName;
  const make = (options: Readonly<Record<string, unknown>> = {}): Optimizer =>
    factory.load({ ...required, ...options });
  const trajectories = files
    .map((file) => ({ file: basename(file), ...parseTrajectory(readFileSync(file, 'utf8'), file) }))
    .filter(({ optimizer }) => optimizer === name);

  describe(`the optimizer ${name}`, () => {
    it('has recorded runs to be compared with', () => {
      expect(trajectories).not.toEqual([]);
    });

    describe.each(trajectories)('reproduces the recorded run $file', (trajectory) => {
      it.each(hostDevices)('on $name', async (device) => {
        const report = await replay(trajectory, factory.load(trajectory.hyperparameters), device);
        expect(report).toMatchObject({ ok: true, steps: trajectory.steps });
      });
    });

    it.each(hostDevices)('goes on bit for bit after an interruption at any step on $name', async (device) => {
      for (const trajectory of trajectories.slice(0, 2)) {
        expect(await lossyInterruptions(trajectory, factory.load(trajectory.hyperparameters), device)).toEqual([]);
      }
    });

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

/** The hash by which a saved state knows the rule of a matrix. */
export function ruleHash(optimizer: Optimizer): string {
  return planned(optimizer).hash;
}

function planned(optimizer: Optimizer) {
  return makePlan(optimizer, [{ name: 'theta', shape: [2, 3] }]).parameters[0];
}
