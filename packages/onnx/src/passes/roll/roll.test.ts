import { dataFile } from '@adakit/fixtures';
import { float64, randomNumbers, relativeError, Session } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import type { Emitter } from '../../graph/emitter.js';
import { Graph } from '../../graph/graph.js';
import { differentiate } from '../../gradient/differentiate.js';
import { emitterOf } from '../../inference/emitter-of.js';
import { readModel, type Model } from '../../model/model.js';
import type { Value } from '../../graph/value.js';
import { Tensor } from '../../model/tensor.js';
import { operators } from '../../operators/index.js';
import { importGraph } from '../import.js';
import { rollRecurrences } from './roll.js';

const STEPS = 16;
const sizeOf = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
const matrix = (seed: number, dtype: 'float32' | 'float64', ...dims: number[]) => {
  const data = randomNumbers(sizeOf(dims), seed);
  return Tensor.of(dtype, dims, dtype === 'float64' ? Float64Array.from(data) : Float32Array.from(data));
};

/** Loss (a weighted sum of all outputs) and gradients of the float weights, with their names. */
async function results(graph: Graph, parameters: readonly Value[], feeds: Record<string, ReturnType<typeof float64>>) {
  const e = emitterOf(graph);
  const dtype = graph.outputs[0].dtype ?? expect.fail();
  const loss = graph.outputs
    .map((output) => e.reduceSum(e.square(e.add(output, e.scalar(0.3, dtype)))))
    .reduce((a, b) => e.add(a, b));
  const outputs = [...graph.outputs];
  const gradients = differentiate(graph, loss, parameters, operators);
  const named = [
    ...outputs.map((value) => [value.name, value] as const),
    ['loss', loss] as const,
    ...parameters.map(
      ({ name }, i) => [`gradient of ${name}`, gradients.get(parameters[i]) ?? expect.fail(name)] as const,
    ),
  ];
  graph.outputs.push(...named.slice(outputs.length).map(([, value]) => value));
  graph.removeDead();
  const session = await Session.create(graph);
  const values = await session.run(feeds);
  await session.release();
  return { nodes: graph.nodes.length, values: new Map(named.map(([name, value]) => [name, values[value.name]])) };
}

const scans = ({ nodes }: Graph) => nodes.filter(({ op }) => op === 'Scan');

/** Compares a graph with what it is rolled; both are made by `make`. */
async function expectSame(
  make: () => { graph: Graph; parameters: readonly Value[] },
  feeds: Record<string, ReturnType<typeof float64>>,
  tolerance: number,
) {
  const [plain, rolled] = [make(), make()];
  rollRecurrences(rolled.graph, rolled.parameters, undefined, { least: 1 });
  const count = scans(rolled.graph).length;
  const expected = await results(plain.graph, plain.parameters, feeds);
  const actual = await results(rolled.graph, rolled.parameters, feeds);
  expect([...actual.values.keys()]).toEqual([...expected.values.keys()]);
  for (const [name, { dims, data }] of expected.values) {
    const found = actual.values.get(name) ?? expect.fail(name);
    expect(found.dims, name).toEqual(dims);
    expect(relativeError(found.data, data), name).toBeLessThan(tolerance);
  }
  return { scans: count, before: expected.nodes, after: actual.nodes };
}

/** What one step computes of the state and its input; the weights are made once. */
type Step = (e: Emitter, h: Value, x: Value, weights: readonly Value[], t: number) => Value;

function unrolled(step: Step, { steps = STEPS, first }: { steps?: number; first?: number } = {}) {
  const graph = new Graph('unrolled');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float64', shape: [2, steps, 3] });
  const weights = [
    graph.addInitializer('w', matrix(1, 'float64', 3, 3)),
    graph.addInitializer('u', matrix(2, 'float64', 3, 3)),
  ];
  let h = graph.addInitializer('h', matrix(3, 'float64', first ?? 2, 3));
  const states: Value[] = [];
  for (let t = 0; t < steps; t++) {
    h = step(e, h, e.gather(x, e.scalar(t, 'int64'), 1), weights, t);
    states.push(h);
  }
  return { graph, e, weights, states };
}

const cell: Step = (e, h, x, [w, u]) => e.node('Tanh', [e.add(e.matMul(h, w), e.matMul(x, u))]);
const feeds = (steps = STEPS) => ({ x: float64([2, steps, 3], randomNumbers(6 * steps, 9)) });

describe('a recurrence that is written out becomes a Scan', () => {
  // Sums over steps in another order, of some 16 terms in double precision.
  const ROUNDING = 1e-13;

  test('where only the last state is used, and not more nodes for more steps', async () => {
    const make = (steps: number) => () => {
      const { graph, weights, states } = unrolled(cell, { steps });
      graph.outputs.push(states[steps - 1]);
      return { graph, parameters: weights };
    };
    const short = await expectSame(make(STEPS), feeds(), ROUNDING);
    const long = await expectSame(make(2 * STEPS), feeds(2 * STEPS), ROUNDING);
    expect([short.scans, long.scans]).toEqual([1, 1]);
    expect(long.after).toBe(short.after);
    expect(long.before).toBeGreaterThan(1.9 * short.before);
  });

  test.each([
    ['stacked in order', (states: readonly Value[]) => states],
    ['stacked from the end', (states: readonly Value[]) => states.toReversed()],
  ])('where all states are %s, one of them being an output as well', async (_, order) => {
    const { scans: count } = await expectSame(
      () => {
        const { graph, e, weights, states } = unrolled(cell);
        const parts = order(states).map((state) => e.unsqueeze(state, [1]));
        graph.outputs.push(e.neg(e.concat(parts, 1)), states[3], states[STEPS - 1]);
        return { graph, parameters: weights };
      },
      feeds(),
      ROUNDING,
    );
    expect(count).toBe(1);
  });

  test('whose inputs have nothing to do with one another', async () => {
    const own = (t: number) => float64([3], randomNumbers(3, 20 + t));
    const { scans: count } = await expectSame(
      () => {
        const { graph, weights, states } = unrolled((e, h, x, [w, u], t) => {
          const scale = e.graph.addInput(`own ${t}`, { dtype: 'float64', shape: [3] });
          const [a, b] = [e.node('Sigmoid', [cell(e, h, x, [w, u], t)]), e.node('Sin', [h])];
          return e.add(e.mul(a, scale), e.mul(b, e.node('Cos', [e.node('Exp', [a])])));
        });
        graph.outputs.push(states[STEPS - 1]);
        return { graph, parameters: weights };
      },
      { ...feeds(), ...Object.fromEntries(Array.from({ length: STEPS }, (_, t) => [`own ${t}`, own(t)])) },
      ROUNDING,
    );
    expect(count).toBe(1);
  });

  test('after a first step from a state of another shape, which stays by itself', async () => {
    const { scans: count } = await expectSame(
      () => {
        const { graph, weights, states } = unrolled(cell, { steps: STEPS + 1, first: 1 });
        graph.outputs.push(states[STEPS]);
        return { graph, parameters: weights };
      },
      feeds(STEPS + 1),
      ROUNDING,
    );
    expect(count).toBe(1);
  });

  test.each(['lstm', 'gru', 'own-cell', 'two-layers'])('as PyTorch exports it: %s', async (name) => {
    const model: Model = await readModel(dataFile(`unrolled/${name}.onnx`));
    const made = () => {
      const graph = importGraph(model);
      const parameters = graph.initializers.filter(({ dtype, shape }) => dtype === 'float32' && shape?.length !== 0);
      return { graph, parameters: parameters.filter(({ name: each }) => !each.startsWith('folded')) };
    };
    const x = { dtype: 'float32' as const, dims: [2, STEPS, 3], data: randomNumbers(6 * STEPS, 9) };
    // Single precision: a few roundings a step, 16 steps.
    const { scans: count, before, after } = await expectSame(made, { x }, 16 * STEPS * 2 ** -24);
    expect(count).toBe(1);
    expect(after).toBeLessThan(before / 4);
  });
});

describe('what is no loop stays as it is', () => {
  const refused = (step: Step, steps = STEPS) => {
    const { graph, weights, states } = unrolled(step, { steps });
    graph.outputs.push(states[steps - 1]);
    rollRecurrences(graph, weights, undefined, { least: 1 });
    return scans(graph).length;
  };

  test('a control: the same with nothing in the way', () => {
    expect(refused(cell)).toBe(1);
  });

  test('another operator in one of the steps', () => {
    expect(
      refused((e, h, x, weights, t) => (t === 8 ? e.neg(cell(e, h, x, weights, t)) : cell(e, h, x, weights, t))),
    ).toBe(0);
  });

  test('fewer steps than a network has layers that share weights', () => {
    expect(refused(cell, STEPS - 1)).toBe(0);
  });

  test('random numbers in every step', () => {
    expect(refused((e, h, x, weights, t) => e.node('Dropout', [cell(e, h, x, weights, t)]))).toBe(0);
  });

  test('weights of their own in every step, although they hold the same numbers', () => {
    const { graph, states } = unrolled((e, h, x, [, u], t) => {
      const own = e.graph.addInitializer(`own ${t}`, matrix(5, 'float64', 3, 3));
      return cell(e, h, x, [own, u], t);
    });
    graph.outputs.push(states[STEPS - 1]);
    const own = graph.initializers.filter(({ name }) => name.startsWith('own'));
    rollRecurrences(graph, own, undefined, { least: 1 });
    expect(own.every((value) => graph.consumers().get(value)?.length === 1)).toBe(true);
    expect(scans(graph)).toEqual([]);
  });

  test('layers that share but a mask, with weights of their own', () => {
    const { graph, states } = unrolled(
      (e, h, _, [mask], t) => {
        const own = e.graph.addInitializer(`own ${t}`, matrix(5 + t, 'float64', 3, 3));
        const layer = e.node('Tanh', [e.add(e.matMul(e.add(h, mask), e.transpose(own, [1, 0])), h)]);
        return [0.1, 0.2, 0.3].reduce((y, factor) => e.add(e.scale(e.node('Tanh', [y]), factor), h), layer);
      },
      { first: 3 },
    );
    graph.outputs.push(states[STEPS - 1]);
    // Frozen ones as well: nothing is fed.
    rollRecurrences(graph, [], undefined, { least: 1 });
    expect(scans(graph)).toEqual([]);
  });
});
