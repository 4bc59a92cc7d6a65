import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import {
  closestName,
  jsDevice,
  kinds,
  makePlan,
  optionsProblem,
  referenceDevice,
  wasmDevice,
  type Device,
  type HyperparameterDefinitions,
  type OptionKind,
  type Optimizer,
  type OptimizerFactory,
  type Range,
  type SlotMeaning,
} from '@adakit/core';
import { requireOptions } from '../given.js';
import {
  lossyReferenceInterruptions,
  parseReferenceRun,
  referenceOptimizer,
  replayReference,
} from '../reference-run.js';
import { replay } from '../replay.js';
import { lossyInterruptions } from '../resume.js';
import { parseTrajectory } from '../trajectory.js';
import { check, type Check } from './check.js';
import { idleHyperparameters } from './idle-hyperparameters.js';
import { everyOptimizerChecks, type Subject } from './every-optimizer.js';

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
  /** Hash of the rule with nothing but the required options, which saved states carry. Default: any. */
  readonly hash?: string;
  /** What is kept for every parameter with some options, and what it means. */
  readonly slots?: readonly (readonly [
    options: Readonly<Record<string, number | boolean>>,
    slots: Readonly<Record<string, SlotMeaning | undefined>>,
  ])[];
  /** Options that must be refused, and how. */
  readonly refuses?: readonly (readonly [options: Readonly<Record<string, unknown>>, message: string])[];
  /** Shapes of parameters that it is for. Default: a matrix, a vector, a number, and nothing, without those that it refuses. */
  readonly shapes?: Subject['shapes'];
  /** What it reaches on which functions. */
  readonly converges?: Subject['converges'];
  /**
   * Devices beside those of the host that it is tried on. Default: none; `describeOptimizer` and `adakit verify-plugin` take
   * those that are installed.
   */
  readonly devices?: Subject['devices'];
}

const EXPECTATIONS: Readonly<Record<keyof OptimizerExpectations, OptionKind>> = {
  trajectories: kinds.names,
  references: kinds.names,
  others: kinds.object,
  required: kinds.object,
  hash: kinds.text,
  slots: kinds.list,
  refuses: kinds.list,
  shapes: kinds.list,
  converges: kinds.object,
  devices: kinds.list,
};

/** What a number may be limited by. */
const RANGE: Readonly<Record<keyof Range, OptionKind>> = {
  above: kinds.number,
  atLeast: kinds.number,
  below: kinds.number,
  atMost: kinds.number,
  integer: kinds.oneOf(true),
  because: kinds.text,
};

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

/** What is checked of an optimizer's factory, whatever its hyperparameters are. */
export type CheckedFactory = Pick<
  OptimizerFactory<HyperparameterDefinitions>,
  'optimizerName' | 'hyperparameters' | 'load'
>;

/** Recorded runs that an optimizer needs at least. */
const RECORDED_RUNS = 3;

/**
 * What every optimizer has to pass: recorded runs within rounding on every host device, runs that are stopped at any step
 * and go on to the last bit, a rule that does not change unnoticed, slots that say what they hold, hyperparameters that are
 * refused by name; the same bits on all host devices, and the same numbers within the bounds of the rule's operations on all
 * others, on matrices, vectors, single numbers and nothing, with sparse and zero gradients; states that move from device to
 * device; groups, schedules and serialization; refusal of what is not finite;
 * memory; and the way to a minimum.
 *
 * @throws AdakitError for a recorded run that cannot be read
 */
export function optimizerChecks(factory: CheckedFactory, expectations: OptimizerExpectations): Check[] {
  requireOptions(`the expectations of ${factory.optimizerName}`, expectations, EXPECTATIONS);
  const { required = {}, hash, slots = [], refuses = [], shapes, converges, devices } = expectations;
  const name = factory.optimizerName;
  const make = (options: Readonly<Record<string, unknown>> = {}): Optimizer =>
    factory.load({ ...required, ...options });
  const recorded = recordedChecks(factory, expectations);
  return [
    ...recorded,
    ...everyOptimizerChecks({ make, shapes, converges, devices }),
    ...(hash === undefined
      ? []
      : [
          check('has the rule that saved states know', () => {
            assert.equal(ruleHash(make()), hash);
          }),
        ]),
    check('is the same program whenever it is traced', () => {
      const { component, hyperparameters } = make().node.rule;
      const form = { matrix: true, units: 'rows', wide: true, tall: true, role: 'weight' } as const;
      // Programs are kept by their form; one whose fields have another order is traced anew.
      const again = Object.fromEntries(Object.entries(form).reverse()) as typeof form;
      const [first, second] = [form, again].map((each) => component.programs(hyperparameters, each).hash);
      assert(
        first === second,
        'traced again, it is another: it depends on something outside that changes, such as Math.random(), the date or a ' +
          'counter; what is kept between steps is a slot, and random() draws at every step',
      );
    }),
    check('declares values of its hyperparameters by limits that there are', () => {
      for (const [hyperparameter, definition] of Object.entries(factory.hyperparameters)) {
        if (definition.type !== 'number') continue;
        const problem = optionsProblem(definition.atConstruction, RANGE) ?? optionsProblem(definition.perStep, RANGE);
        assert(problem === undefined, `the values of ${hyperparameter}, or the reason for them: ${problem ?? ''}`);
      }
    }),
    check('depends on each of its hyperparameters', () => {
      const idle = idleHyperparameters(factory.hyperparameters, make);
      assert(idle.length === 0, `${idle.join(', ')}: declared, but no value changes what it does`);
    }),
    ...slots.map(([options, expected]) =>
      check(`with ${JSON.stringify(options)} keeps what its slots say`, () => {
        assert.deepEqual(meaningsOf(make(options)), expected);
      }),
    ),
    check('has slots that fade by one of its hyperparameters', () => {
      for (const [slot, meaning] of [{}, ...slots.map(([options]) => options)].flatMap((options) =>
        Object.entries(meaningsOf(make(options))),
      )) {
        const { decay } = meaning ?? {};
        assert(
          decay === undefined || decay in factory.hyperparameters,
          `${slot} fades by ${decay ?? ''}, which is none`,
        );
      }
    }),
    ...refuses.map(([options, message]) =>
      check(`refuses ${JSON.stringify(options)}`, () => {
        throwsWith(() => make(options), message);
      }),
    ),
    ...Object.keys(factory.hyperparameters).map((hyperparameter, _, names) =>
      check(`refuses a value of ${hyperparameter} that is none, and suggests the name for one that is misspelt`, () => {
        for (const bad of [NaN, Infinity, '1', null]) {
          throwsWith(() => make({ [hyperparameter]: bad }), `${name}: ${hyperparameter} must be `);
        }
        const misspelt = `${hyperparameter}x`;
        throwsWith(() => make({ [misspelt]: 1 }), `did you mean "${closestName(misspelt, names) ?? ''}"?`);
      }),
    ),
  ];
}

/** That it does what others have recorded. */
function recordedChecks(
  factory: CheckedFactory,
  { trajectories: files = [], references = [], others, devices = [] }: OptimizerExpectations,
): Check[] {
  const name = factory.optimizerName;
  const trajectories = files
    .map((file) => ({ file: basename(file), ...parseTrajectory(readFileSync(file, 'utf8'), file) }))
    .filter(({ optimizer }) => optimizer === name);
  const runs = referenceRuns(references, { ...others, [name]: factory });
  return [
    check('has recorded runs to be compared with', () => {
      const count = trajectories.length + runs.length;
      assert(count >= RECORDED_RUNS, `there are ${count}, and ${RECORDED_RUNS} are needed`);
    }),
    ...runs.flatMap(({ name: file, run, optimizer }) =>
      hostDevices.map((device) =>
        check(`reproduces the reference run ${file} on ${device.name}`, async () => {
          const { ok, worst, where, tolerance, steps } = await replayReference(run, optimizer, device);
          assert(ok, offBy(device.name, worst, where, tolerance));
          assert.equal(steps, run.steps);
        }),
      ),
    ),
    // Where nothing is known of a rounding, as of the eigenvectors of a matrix, bounds say nothing of other devices.
    ...runs.slice(0, 1).flatMap(({ name: file, run, optimizer }) =>
      devices.map((offer) =>
        check(`reproduces the reference run ${file} on ${offer.name}`, async () => {
          const { device, release } = await offer.start();
          try {
            const { ok, worst, where, tolerance } = await replayReference(run, optimizer, device);
            assert(ok, offBy(offer.name, worst, where, tolerance));
          } finally {
            await release?.();
          }
        }),
      ),
    ),
    ...runs.slice(0, 1).flatMap(({ run, optimizer }) =>
      [referenceDevice(), jsDevice()].map((device: Device<unknown>) =>
        check(
          `goes on with a reference run bit for bit after an interruption at any step on ${device.name}`,
          async () => {
            assert.deepEqual(await lossyReferenceInterruptions(run, optimizer, device), []);
          },
        ),
      ),
    ),
    ...trajectories.flatMap((trajectory) =>
      hostDevices.map((device) =>
        check(`reproduces the recorded run ${trajectory.file} on ${device.name}`, async () => {
          const report = await replay(trajectory, factory.load(trajectory.hyperparameters), device);
          assert(report.ok, `it is off by ${report.maxUlp} ulp, where ${report.tolerance} are allowed`);
          assert.equal(report.steps, trajectory.steps);
        }),
      ),
    ),
    // Devices hand over states in the same way whatever the rule: describeDevice shows it for each.
    ...trajectories.slice(0, 1).flatMap((trajectory) =>
      [referenceDevice(), jsDevice()].map((device: Device<unknown>) =>
        check(`goes on bit for bit after an interruption at any step on ${device.name}`, async () => {
          const optimizer = factory.load(trajectory.hyperparameters);
          assert.deepEqual(await lossyInterruptions(trajectory, optimizer, device), []);
        }),
      ),
    ),
  ];
}

const offBy = (device: string, worst: number, where: string, tolerance: number): string =>
  `${device}: it is off by ${worst}, relatively, at ${where}, where ${tolerance} is allowed`;

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

function meaningsOf(optimizer: Optimizer): Readonly<Record<string, SlotMeaning | undefined>> {
  return Object.fromEntries(planned(optimizer).slots.map(({ name, meaning }) => [name, meaning]));
}

function throwsWith(make: () => unknown, message: string): void {
  assert.throws(make, (error: Error) => {
    assert(error.message.includes(message), `it says "${error.message}", not "${message}"`);
    return true;
  });
}
