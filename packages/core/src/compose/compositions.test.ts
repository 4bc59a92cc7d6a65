import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Device } from '../device/device.js';
import { jsDevice } from '../device/js/device.js';
import { referenceDevice } from '../device/reference/device.js';
import { elements } from '../device/testing/random-program.js';
import { wasmDevice } from '../device/wasm/device.js';
import { sum } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { groups } from '../optimizer/groups.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import type { OptimizerConfig } from '../optimizer/node.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { Run } from '../run/run.js';
import type { TrainingState } from '../run/training-state.js';
import { cosine, exponential } from '../schedule/factories.js';
import { tensor32, elementCount, type NamedTensors } from '../tensor/tensor-data.js';
import { definePhasedOptimizer } from './define-phased.js';
import {
  accumulate,
  centralization,
  clipByGlobalNorm,
  clipByNorm,
  gradientAveraging,
  gradientNoise,
  lossScaling,
  maximize,
} from './gradients.js';
import { decoupledDecay, ema, freezeRows, lookahead, maxNorm, swa } from './weights.js';

const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.1) },
  slots: () => ['m'],
  update({ param, grad, slots, hyper, step }) {
    const m = slots.m.mul(0.9).add(grad);
    return { param: param.sub(m.mul(hyper.lr.div(step))), slots: { m } };
  },
});
/** Its step follows from a number of all its parameters together, which is kept. */
const together = definePhasedOptimizer({
  name: 'together',
  hyperparameters: { lr: learningRate(0.1) },
  globals: () => [{ name: 'length', start: 'initial.lr' }],
  measure: ({ grad }) => ({ sums: { length: sum(grad.abs()) } }),
  total: ({ sums, globals }) => ({ length: globals.length.add(sums.length) }),
  update: ({ param, grad, globals, hyper }) => ({ param: param.sub(grad.mul(hyper.lr).div(globals.length)) }),
});

const around: readonly ((inner: Optimizer) => Optimizer)[] = [
  (inner) => clipByGlobalNorm(0.5, inner),
  (inner) => clipByGlobalNorm(0.5, inner, { infinity: true }),
  (inner) => clipByNorm(0.5, inner),
  (inner) => decoupledDecay(0.1, inner),
  (inner) => ema(0.5, inner, { start: 1, debias: true }),
  (inner) => swa({ every: 2 }, inner),
  (inner) => lookahead(inner, { every: 2 }),
  (inner) => maxNorm(1, inner),
  (inner) => centralization(inner),
  (inner) => maximize(inner),
  (inner) => gradientNoise(inner),
  (inner) => gradientAveraging(0.5, inner).withSchedules({ 'averageGradients.decay': cosine(4) }),
];
const compiled: readonly (() => Device<unknown>)[] = [jsDevice, wasmDevice];
const outermost: readonly ((inner: Optimizer) => Optimizer)[] = [
  (inner) => inner,
  (inner) => accumulate(2, inner),
  (inner) => lossScaling(inner, { initialScale: 4, interval: 2 }),
];

type Pick = <T>(list: readonly T[]) => T;

/** Wrappers and groups in each other, to a depth; now and then one that has been put somewhere already. */
function composition(pick: Pick, names: readonly string[], depth: number, made: Optimizer[] = []): Optimizer {
  const inside = (): Optimizer => composition(pick, names, depth - 1, made);
  const build = (): Optimizer => {
    if (made.length > 0 && pick([0, 0, 0, 0, 1]) === 1) return pick(made);
    if (depth === 0) return pick([momentum, together])({ lr: pick([0.1, 0.3]) });
    if (pick([0, 1]) === 0) return pick(around)(inside());
    const from = pick(names);
    const own = pick([{ match: from }, { match: ({ name }: { readonly name: string }) => name >= from }]);
    const rows = { match: 'matrix', optimizer: freezeRows(pick([[0], [0, 2]]), inside()) };
    const group = pick([
      { optimizer: inside() },
      { hyperparameters: { lr: 0.05 }, schedules: { lr: exponential(0.5) } },
    ]);
    return groups([{ ...own, ...group }, ...(names.includes('matrix') ? pick([[], [rows]]) : [])], inside());
  };
  const optimizer = build();
  made.push(optimizer);
  return optimizer;
}

const shapes: Readonly<Record<string, readonly number[]>> = {
  cube: [2, 1, 3],
  empty: [0, 2],
  matrix: [3, 2],
  number: [],
  vector: [4],
};
const tensors = (seed: number, names = Object.keys(shapes)): NamedTensors =>
  Object.fromEntries(
    names.map((name) => [name, tensor32(elements(elementCount(shapes[name]), seed + name.length, true), shapes[name])]),
  );

/** Gradients of so many steps, or batches; now and then of some parameters alone, or of none. */
function gradientsOf(pick: Pick, names: readonly string[], steps: number): NamedTensors[] {
  return Array.from({ length: steps }, (_, i) => {
    const given = pick([names, names, names.filter(() => pick([true, false])), []]);
    return tensors(100 * i + 7, [...given]);
  });
}

async function go<B>(run: Run<B>, steps: readonly NamedTensors[]): Promise<void> {
  for (const gradients of steps) await run.applyGradients(gradients, { loss: 1 });
}

/** All that a run can be asked. */
async function seen<B>(run: Run<B>): Promise<object> {
  const views = await Promise.all(run.views.map(async (view) => [view, await run.weights(view)] as const));
  return { views, state: { ...(await run.state()), origin: '' } };
}

/** A state whose optimizer has gone through text. */
const throughText = (state: TrainingState): TrainingState => ({
  ...state,
  optimizer: JSON.parse(JSON.stringify(state.optimizer)) as OptimizerConfig,
});

describe('what is put together', () => {
  const property = (what: (pick: Pick, of: (names: readonly string[]) => Optimizer) => Promise<void>): Promise<void> =>
    fc.assert(
      fc.asyncProperty(fc.gen(), async (draw) => {
        const pick: Pick = (list) => list[draw(fc.nat, list.length - 1)];
        await what(pick, (names) => composition(pick, names, pick([1, 2, 3])));
      }),
      { numRuns: 40, endOnFailure: true },
    );
  const all = Object.keys(shapes);
  const start = <B>(device: Device<B>, optimizer: Optimizer, names = all): Run<B> =>
    Run.start(device, optimizer, tensors(1, names), { openGroups: true });

  it('trains on every device as on the interpreter, and goes on from a state as if nothing had happened', async () => {
    await property(async (pick, of) => {
      const optimizer = pick(outermost)(of(all));
      const steps = gradientsOf(pick, all, 6);
      const whole = start(referenceDevice('float32'), optimizer);
      await go(whole, steps);
      const expected = await seen(whole);
      const saved = pick([0, 1, 2, 3, 4, 5]);
      const first = start<unknown>(pick(compiled)(), optimizer);
      await go(first, steps.slice(0, saved));
      const state = throughText(await first.state());
      await go(first, steps.slice(saved));
      expect(await seen(first)).toEqual(expected);
      const second = start<unknown>(pick(compiled)(), optimizer);
      await go(second, steps.slice(0, pick([0, 1])));
      await second.load(state);
      await go(second, steps.slice(saved));
      expect(await seen(second)).toEqual(expected);
    });
  });

  it('trains groups, in each other too, as if each were alone', async () => {
    await property(async (pick, of) => {
      const [left, right] = [all.filter((name) => name < 'n'), all.filter((name) => name >= 'n')];
      const [one, other] = [of(left), of(right)];
      const inLeft = ({ name }: { readonly name: string }): boolean => left.includes(name);
      const rest = pick([other, groups([{ match: /./, optimizer: other }], momentum())]);
      const steps = gradientsOf(pick, all, 4);
      const both = start(jsDevice(), groups([{ match: inLeft, optimizer: one }], rest));
      await go(both, steps);
      const weights = await both.weights('trained');
      for (const [names, optimizer] of [
        [left, one],
        [right, other],
      ] as const) {
        const alone = start(jsDevice(), optimizer, names);
        const own = (given: NamedTensors): NamedTensors =>
          Object.fromEntries(Object.entries(given).filter(([name]) => names.includes(name)));
        await go(alone, steps.map(own));
        for (const [name, value] of Object.entries(await alone.weights('trained')))
          expect(weights[name]).toEqual(value);
      }
    });
  });
});
