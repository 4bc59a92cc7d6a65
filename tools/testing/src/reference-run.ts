import {
  accumulate,
  AdakitError,
  ema,
  groups,
  lookahead,
  Run,
  sam,
  swa,
  type Device,
  type Optimizer,
  type ParameterRole,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { z } from 'zod';
import { recordOf } from './record-of.js';
import { sameBits } from './resume.js';
import { parseJson } from './trajectory.js';

const number = z.union([z.number(), z.literal('Infinity').transform(() => Infinity)]);
const numbers = recordOf(z.array(number));
const hyperparameters = recordOf(z.unknown());
const optimizer = z.object({ optimizer: z.string(), hyperparameters });
const trajectory = z.object({
  params: z.array(numbers.nullable()),
  evaluated: z.array(numbers.nullable()).optional(),
});

const schema = z.object({
  optimizer: z.string(),
  hyperparameters: hyperparameters.optional(),
  groups: z.array(optimizer.extend({ parameters: z.array(z.string()) })).optional(),
  base: optimizer.optional(),
  lrPerStep: z.array(z.number()).optional(),
  weights: z.array(z.number()).optional(),
  steps: z.int().positive(),
  parameters: recordOf(
    z.object({
      shape: z.array(z.int().nonnegative()),
      role: z.enum(['weight', 'bias', 'norm', 'embedding']),
      values: z.array(z.number()),
    }),
  ),
  gradients: z.array(numbers).optional(),
  estimates: z.array(numbers).optional(),
  objective: z.object({ a: numbers, b: numbers, c: numbers }).optional(),
  float64: trajectory,
  float32: trajectory.optional(),
  sensitivity: z.object({ float64: z.number(), float32: z.number() }),
});

/** A run of an independent implementation over several tensors; the format is in `tools/fixtures/rules/README.md`. */
export type ReferenceRun = z.infer<typeof schema> & { readonly name: string };

/**
 * Reads the text of a reference run.
 *
 * @param name of the file, for errors
 * @throws AdakitError naming every field that is wrong
 */
export function parseReferenceRun(text: string, name: string): ReferenceRun {
  const result = schema.safeParse(parseJson(text, name));
  if (result.success) return { ...result.data, name };
  const issues = result.error.issues.map((issue) => `${issue.path.join('.') || 'the file'} ${issue.message}`);
  throw new AdakitError('invalid-state', `${name}: not a reference run: ${issues.slice(0, 10).join('; ')}`);
}

/** Whether a file looks like a reference run rather than a trajectory of one vector. */
export function isReferenceRun(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'parameters' in json && 'sensitivity' in json;
}

/** Makes an optimizer of a name and hyperparameters under adakit's names, as a factory's `load`. */
export type OptimizerByName = (name: string, hyperparameters: Readonly<Record<string, unknown>>) => Optimizer;

type Given = Readonly<Record<string, unknown>>;

/** `betas` and `b1`, `b2` of other libraries. */
function withBetas({ betas, b1, b2, ...rest }: Given): Given {
  const list = Array.isArray(betas) ? (betas as unknown[]) : [b1, b2];
  const named = list.flatMap((beta, i) => (beta === undefined ? [] : [[`beta${i + 1}`, beta] as const]));
  return { ...rest, ...Object.fromEntries(named) };
}

/** Whether weight decay is decoupled, as PyTorch calls it. */
function withDecay({ decoupledWeightDecay, ...rest }: Given): Given {
  return { ...rest, ...(decoupledWeightDecay !== undefined && { weightDecouple: decoupledWeightDecay }) };
}

const adjustments: Readonly<Record<string, string>> = {
  original: 'original',
  match_rms_adamw: 'matchRmsAdamw',
  spectral_unclamped: 'spectralUnclamped',
};

/** Rules that other libraries give other names or options than `betas`; all others are what they are. */
const rules: Readonly<Record<string, (given: Given) => readonly [name: string, hyperparameters: Given] | string>> = {
  adamw: (given) => {
    const { decoupledWeightDecay = true, ...rest } = withBetas(given);
    return ['adam', { ...rest, weightDecouple: decoupledWeightDecay }];
  },
  qhadam: ({ nus, ...rest }) => {
    const [nu1, nu2] = nus as unknown[];
    return ['qhadam', { ...withBetas(rest), nu1, nu2 }];
  },
  adafactor: ({ eps, d, beta2Decay, lr, weightDecay }) => {
    if (!Array.isArray(eps)) return 'it is the form of optax, which has other options';
    const [eps1, eps2] = eps as unknown[];
    return ['adafactor', { lr, beta2Decay, clipping: d, eps1, eps2, weightDecay }];
  },
  muon: ({ nsCoefficients, adjustLrFn, ...rest }) => {
    const [nsA, nsB, nsC] = nsCoefficients as unknown[];
    return [
      'muon',
      { ...rest, nsA, nsB, nsC, adjustLr: typeof adjustLrFn === 'string' ? adjustments[adjustLrFn] : 'original' },
    ];
  },
  rprop: ({ lr, etas, stepSizes }) => {
    const [[etaMinus, etaPlus], [minStep, maxStep]] = [etas, stepSizes] as unknown[][];
    return ['rprop', { lr, etaMinus, etaPlus, minStep, maxStep }];
  },
  adamwschedulefree: (given) => ['scheduleFreeAdamW', withBetas(given)],
  sgdschedulefree: (given) => ['scheduleFreeSgd', given],
  prodigy: (given) => {
    const { growthRate, beta3, ...rest } = withBetas(given);
    return ['prodigy', { ...rest, beta3: beta3 ?? 0, growthRate: growthRate === 'Infinity' ? 0 : growthRate }];
  },
  dadaptadam: ({ growthRate, ...rest }) => [
    'dadaptation',
    { ...withBetas(rest), growthRate: growthRate === 'Infinity' ? 0 : growthRate },
  ],
  apollodqn: (given) => ['apollo', given],
  shampoo: ({ beta2, ...rest }) => ['shampoo', { ...rest, beta2: beta2 ?? 0 }],
};

/**
 * The optimizer of a reference run, or the reason why there is none here.
 *
 * @param byName makes the rules that are installed
 */
export function referenceOptimizer(run: ReferenceRun, byName: OptimizerByName): Optimizer | string {
  const { base, hyperparameters: given = {} } = run;
  const rule = (name: string, options: Given): Optimizer | string => {
    const found = Object.hasOwn(rules, name) ? rules[name](options) : ([name, withDecay(withBetas(options))] as const);
    return typeof found === 'string' ? found : byName(...found);
  };
  if (run.groups !== undefined) {
    const members = run.groups.map((group) => ({ ...group, rule: rule(group.optimizer, group.hyperparameters) }));
    const reason = members.map((member) => member.rule).find((made) => typeof made === 'string');
    if (reason !== undefined) return reason;
    return groups(
      members.slice(0, -1).map(({ parameters, rule: made }) => ({
        match: ({ name }) => parameters.includes(name),
        optimizer: made as Optimizer,
      })),
      members[members.length - 1].rule as Optimizer,
    );
  }
  if (base === undefined) return rule(run.optimizer, given);
  const inner = rule(base.optimizer, base.hyperparameters);
  return typeof inner === 'string' ? inner : wrapped(run, given, inner);
}

function wrapped({ optimizer: name }: ReferenceRun, given: Given, inner: Optimizer): Optimizer | string {
  const value = (key: string): number => Number(given[key]);
  switch (name) {
    case 'ema': {
      const start = typeof given.start === 'number' ? given.start : 0;
      return ema(value('decay'), inner, {
        start,
        every: given.every === undefined ? 1 : value('every'),
        warmup: given.warmup === true,
        debias: given.debias === true,
      });
    }
    case 'swa':
      return swa({ start: value('start'), every: value('every') }, inner);
    case 'lookahead':
      if (given.resetState === true) return 'slots are not reset here';
      return lookahead(inner, { every: value('k'), alpha: value('alpha') });
    case 'sam':
      return sam(value('rho'), inner, { eps: value('eps') });
    case 'asam':
      return sam(value('rho'), inner, { eps: value('eps'), eta: value('eta'), adaptive: true });
    case 'accumulate':
      return accumulate(value('every'), inner);
    default:
      return `there is no wrapper "${name}"`;
  }
}

/** How far a run on a device is from the reference. */
export interface ReferenceReport {
  readonly device: string;
  readonly steps: number;
  /** Largest difference of any element, relative to the largest element that its tensor has had. */
  readonly worst: number;
  /** View, tensor and step where it is. */
  readonly where: string;
  /** What {@link worst} may be. */
  readonly tolerance: number;
  readonly ok: boolean;
}

/**
 * How many times the measured sensitivity of a run to roundings of its parameters two right implementations may differ.
 * The sensitivity disturbs what is kept once a step; roundings inside a step come on top.
 */
const SENSITIVITIES = 4;

/** A reference run on a device. */
class Replay<B> {
  readonly names: readonly string[];
  readonly #reference: ReferenceRun;
  readonly #optimizer: Optimizer;
  readonly #device: Device<B>;

  constructor(reference: ReferenceRun, optimizer: Optimizer, device: Device<B>) {
    this.#reference = reference;
    this.#optimizer = optimizer;
    this.#device = device;
    this.names = Object.keys(reference.parameters).filter((name) =>
      comparable(reference, reference.parameters[name].shape),
    );
  }

  start(): Run<B> {
    // A run that adapts to biases as well treats all parameters alike.
    const { adaptive } = this.#reference.hyperparameters ?? {};
    const alike = Array.isArray(adaptive) && adaptive.includes('bias');
    const parameters = this.names.map((name) => {
      const { role, values } = this.#reference.parameters[name];
      return [
        name,
        { value: this.tensor(name, values), ...(!alike && { role: role satisfies ParameterRole }) },
      ] as const;
    });
    return Run.start(this.#device, this.#optimizer, Object.fromEntries(parameters));
  }

  tensor(name: string, values: readonly number[]): TensorData {
    const { shape } = this.#reference.parameters[name];
    return this.#device.precision === 'float32'
      ? { dtype: 'float32', shape, data: Float32Array.from(values) }
      : { dtype: 'float64', shape, data: Float64Array.from(values) };
  }

  async step(run: Run<B>, t: number): Promise<void> {
    const { gradients, estimates, objective, weights, lrPerStep, groups: grouped } = this.#reference;
    if (lrPerStep) run.setHyperparameters({ lr: lrPerStep[t] }, grouped && { group: 'all' });
    if (gradients !== undefined) {
      const given = (all: typeof gradients) =>
        Object.fromEntries(this.names.map((name) => [name, this.tensor(name, all[t][name])] as const));
      await run.applyGradients(given(gradients), {
        ...(weights && { samples: weights[t] }),
        ...(estimates && { estimate: given(estimates) }),
      });
      return;
    }
    if (objective === undefined) {
      throw new AdakitError('invalid-state', `${this.#reference.name} has neither gradients nor an objective`);
    }
    await run.stepWith({
      evaluate: async ({ parameters, gradients: buffers }) => {
        for (const name of this.names) {
          const [a, b, c] = [objective.a[name], objective.b[name], objective.c[name]];
          const slope = [...(await this.#device.read(parameters[name]))].map(
            (p, i) => a[i] * (p - c[i]) - b[i] * Math.sin(b[i] * p),
          );
          this.#device.write(buffers[name], this.tensor(name, slope).data);
        }
        return {};
      },
    });
  }
}

/** PyTorch's Adafactor factors the last two axes of a kernel, adakit's the first against the rest. */
function comparable({ optimizer }: ReferenceRun, shape: readonly number[]): boolean {
  return optimizer !== 'adafactor' || shape.length <= 2;
}

/** Takes the steps of a reference run and compares the weights after each. */
export async function replayReference<B>(
  reference: ReferenceRun,
  optimizer: Optimizer,
  device: Device<B>,
): Promise<ReferenceReport> {
  const replay = new Replay(reference, optimizer, device);
  const run = replay.start();
  const recorded = reference[device.precision] ?? reference.float64;
  let [worst, where] = [0, ''];
  const compare = async (view: string, expected: Record<string, number[]> | null | undefined, t: number) => {
    if (!expected) return;
    const weights = await run.weights(view);
    for (const name of replay.names) {
      const scale = largestEver(recorded, name);
      weights[name].data.forEach((x, i) => {
        const error = Math.abs(x - expected[name][i]) / scale;
        if (!(error <= worst)) [worst, where] = [error, `${view} ${name} after step ${t + 1}`];
      });
    }
  };
  for (let t = 0; t < reference.steps; t++) {
    await replay.step(run, t);
    await compare('trained', recorded.params[t], t);
    await compare('averaged', recorded.evaluated?.[t], t);
  }
  await run.dispose();
  const tolerance = SENSITIVITIES * reference.sensitivity[device.precision];
  return { device: device.name, steps: reference.steps, worst, where, tolerance, ok: worst <= tolerance };
}

/**
 * The steps after which a run that is stopped and resumed from its state does not end, bit for bit, where an
 * uninterrupted one does.
 *
 * @param options `through`: what happens to a state on its way, e.g. to a file and back; default: nothing. `stops`: after
 * how many steps to stop; default: after every one
 */
export async function lossyReferenceInterruptions<B>(
  reference: ReferenceRun,
  optimizer: Optimizer,
  device: Device<B>,
  {
    through = (state) => state,
    stops = Array.from({ length: reference.steps - 1 }, (_, i) => i + 1),
  }: { readonly through?: (state: TrainingState) => TrainingState; readonly stops?: readonly number[] } = {},
): Promise<number[]> {
  const replay = new Replay(reference, optimizer, device);
  const end = async (stop: number): Promise<TrainingState> => {
    let run = replay.start();
    for (let t = 0; t < reference.steps; t++) {
      if (t === stop) {
        const state = await run.state();
        await run.dispose();
        run = replay.start();
        await run.load(through(state));
      }
      await replay.step(run, t);
    }
    const state = await run.state();
    await run.dispose();
    return state;
  };
  const whole = await end(-1);
  const lossy: number[] = [];
  for (const stop of stops) if (!sameBits(await end(stop), whole)) lossy.push(stop);
  return lossy;
}

/** A tensor may pass through zero; what counts is how large its elements are at other steps. */
function largestEver(recorded: z.infer<typeof trajectory>, name: string): number {
  const all = [...recorded.params, ...(recorded.evaluated ?? [])].flatMap((step) => step?.[name] ?? []);
  return all.reduce((most, x) => Math.max(most, Math.abs(x)), Number.MIN_VALUE);
}
