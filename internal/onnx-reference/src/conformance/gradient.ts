import {
  defaultOpset,
  differentiate,
  type DType,
  emitterOf,
  type Graph,
  graphFromModel,
  isDifferentiable,
  lowerNodes,
  operators,
  parseModel,
  Tensor,
  type Value,
  withFedWeights,
  writeModel,
} from '@adakit/onnx';
import { upgradeNodes } from '@adakit/onnx/internal';
import { evaluate, kernels } from '../reference/evaluate.js';
import { sizeOf } from '../reference/tensor.js';
import { randomNumbers } from '../testing/compare.js';
import type { Numbers } from '../testing/session.js';
import { compare, type Accuracy, type Finding } from './differences.js';
import { inForm } from './forms.js';
import { failed, none, pass, skipped, type Outcome } from './outcome.js';
import { firstDifference, resultOf, Runtime, type Result, type Results } from './runtime.js';
import type { TestCase } from './test-case.js';

/** The loss of every case: Σ output · weight over the float outputs, the weights in [−1, 1). */
function weightsOf(size: number, index: number): number[] {
  return randomNumbers(size, 1000 + index).map(Math.fround);
}

/** The float inputs of a graph, and where it computes their gradients, which are further outputs. */
export interface Differentiated {
  readonly variables: readonly string[];
  readonly gradients: ReadonlyMap<string, string>;
}

/**
 * Adds the gradient of the loss to a graph.
 *
 * @throws {OnnxError} `not-differentiable`
 */
export function addGradient(graph: Graph, expected: Results): Differentiated {
  const e = emitterOf(graph);
  const variables = graph.inputs.filter(({ dtype }) => isDifferentiable(dtype));
  const terms = [...expected].flatMap(([name, { dtype, dims }], i) => {
    if (!isDifferentiable(dtype as DType)) return [];
    const weights = Tensor.of('float32', dims, Float32Array.from(weightsOf(sizeOf(dims), i)));
    return [e.reduceSum(e.mul(e.cast(graph.requireValue(name), 'float32'), e.constant(weights, 'weights')))];
  });
  const found =
    terms.length === 0 || variables.length === 0
      ? new Map<Value, Value>()
      : differentiate(
          graph,
          terms.reduce((a, b) => e.add(a, b)),
          variables,
          operators,
        );
  const gradients = new Map<string, string>();
  for (const [{ name }, gradient] of found) {
    // Under a name of its own: it may be the gradient of two inputs, or an input itself.
    const output = e.node('Identity', [gradient]);
    if (!graph.outputs.includes(output)) graph.outputs.push(output);
    gradients.set(name, output.name);
  }
  lowerNodes(graph);
  return { variables: terms.length === 0 ? [] : variables.map(({ name }) => name), gradients };
}

/**
 * Rounding of a gradient relative to Σ |gradient · direction|. An operation in float32 rounds by 2⁻²⁴ = 6e-8 of its
 * terms, and the gradients are sums of at most some hundred of them, which leaves 1e-6 by experience; a wrong formula is
 * off by far more. Half precision, which rounds by 2⁻¹¹, gets eight roundings.
 */
const ROUNDING = 1e-5;
const HALF_ROUNDING = 2 ** -8;

export function roundingOf(tensors: readonly { readonly dtype: string }[]): number {
  return tensors.some(({ dtype }) => dtype === 'float16') ? HALF_ROUNDING : ROUNDING;
}

/**
 * And absolute, for every element moved by 1: a derivative that is computed as 1 − y² has the rounding of y, which is
 * 2⁻²⁴, where y saturates, and a few of these are passed on from step to step. The cotangents are of the order 1.
 */
const FLOOR = 2 ** -22;

/** Tensors of more elements in all are too much for the reference evaluator. */
const REFERENCE_ELEMENTS = 3000;

/** Inputs of up to so many elements are moved one by one; of larger ones a few elements, and all in random directions. */
const FEW_ELEMENTS = 8;
const SAMPLED_ELEMENTS = 3;
const DIRECTIONS = 2;

/** Where a direction shows a kink, so many elements are looked at one by one: they tell a kink from an error. */
const LOOKED_AT = 256;

type Loss = (moved: Readonly<Record<string, Numbers>>) => number | Promise<number>;

/** Differences of the loss of a case, computed when first asked for and not by what this package emits. */
export class Differences {
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #loss: Loss;
  readonly #accuracy: Omit<Accuracy, 'tolerance'>;
  readonly #rounding: number;
  /** Whether the reference evaluator computes the loss, in double precision. */
  readonly isDouble: boolean;

  private constructor(
    tensors: ReadonlyMap<string, Tensor>,
    loss: Loss,
    accuracy: Omit<Accuracy, 'tolerance'>,
    rounding: number,
    isDouble: boolean,
  ) {
    this.#tensors = tensors;
    this.#loss = loss;
    this.#accuracy = accuracy;
    this.#rounding = rounding;
    this.isDouble = isDouble;
  }

  /**
   * By the reference evaluator in double precision where it knows the operators and is fast enough, by the original
   * model in ONNX Runtime otherwise.
   *
   * @throws when the reference evaluator does not compute the expected outputs
   */
  static async of(
    example: TestCase,
    tensors: ReadonlyMap<string, Tensor>,
    expected: Results,
  ): Promise<{ readonly differences: Differences; close(): Promise<void> }> {
    const rounding = roundingOf([...tensors.values(), ...expected.values()]);
    const elements = [...tensors.values(), ...expected.values()].reduce((sum, { dims }) => sum + sizeOf(dims), 0);
    const weights = new Map(
      [...expected].flatMap(([name, { dtype, dims }], i) =>
        isDifferentiable(dtype as DType) ? [[name, weightsOf(sizeOf(dims), i)] as const] : [],
      ),
    );
    const total = (values: ReadonlyMap<string, { readonly data: readonly unknown[] }>, size: (x: number) => number) =>
      [...weights].reduce(
        (sum, [name, factors]) =>
          (values.get(name)?.data ?? []).reduce((part: number, y, i) => part + size((y as number) * factors[i]), sum),
        0,
      );
    // As upgraded and not rewritten: the reference evaluator knows the operators themselves.
    const model = parseModel(writeModel(inForm(example.model, tensors, 'fixed').model), example.id);
    const graph = graphFromModel(model);
    upgradeNodes(graph, defaultOpset(model), operators);
    // Sequences have been taken apart, but are still made.
    graph.removeDead();
    const isKnown = graph.nodes.every(({ key }) => key in kernels);
    if (elements > REFERENCE_ELEMENTS || !isKnown) {
      // ONNX Runtime does not take other values for initializers.
      const runtime = await Runtime.open(writeModel(withFedWeights(example.model, [...tensors.keys()])));
      const loss: Loss = async (moved) => {
        const changed = Object.entries(moved).map(([name, { dtype, dims, data }]) => {
          const tensor =
            dtype === 'float64'
              ? Tensor.of(dtype, dims, Float64Array.from(data))
              : Tensor.of('float32', dims, Float32Array.from(data));
          return [name, tensor] as const;
        });
        return total(await runtime.run(new Map([...tensors, ...changed])), (x) => x);
      };
      // Float32 leaves 1e-3 of a slope along the gradient, whatever the step.
      const accuracy = { steps: [1e-1, 1e-2, 1e-3, 1e-4, 1e-5], noise: 0 };
      return { differences: new Differences(tensors, loss, accuracy, 1e-2, false), close: () => runtime.close() };
    }
    const feeds = Object.fromEntries([...tensors].map(([name, tensor]) => [name, numbersOf(tensor)]));
    const outputsAt = (moved: Readonly<Record<string, Numbers>>) => evaluate(graph, { ...feeds, ...moved });
    const atPoint = outputsAt({});
    const difference = firstDifference(atPoint, expected);
    if (difference !== undefined) throw new Error(`the reference evaluator disagrees: ${difference}`);
    const accuracy = { steps: [1e-3, 1e-4, 1e-5, 1e-6], noise: 2 ** -50 * total(atPoint, Math.abs) };
    const loss: Loss = (moved) => total(outputsAt(moved), (x) => x);
    return {
      differences: new Differences(tensors, loss, accuracy, rounding, true),
      close: () => Promise.resolve(),
    };
  }

  /** Judges a gradient; `gradientOf` is undefined for an input that no gradient reaches. */
  async judge(variables: readonly string[], gradientOf: (name: string) => Result | undefined): Promise<Outcome> {
    if (variables.length === 0) return none;
    if (!Number.isFinite(await this.#loss({}))) return skipped('the outputs are not finite');
    const special = new Map<Finding, number>();
    for (const name of variables) {
      const tensor = this.#tensors.get(name);
      if (tensor === undefined) continue;
      const result = gradientOf(name);
      if (result !== undefined && result.dims.join() !== tensor.dims.join()) {
        return failed(`the gradient of '${name}' has shape [${result.dims.join()}]`);
      }
      const gradient = (result?.data ?? new Array<number>(tensor.size).fill(0)) as readonly number[];
      for (const [finding, i] of await this.#findings(name, tensor, gradient)) {
        if (finding === 'wrong') return failed(`the gradient of '${name}' at element ${i} is not ${gradient[i]}`);
        special.set(finding, (special.get(finding) ?? 0) + 1);
      }
    }
    const [kinks, edges] = [special.get('kink') ?? 0, special.get('edge') ?? 0];
    return kinks + edges === 0 ? pass : { status: 'kink', why: `${kinks} elements at kinks, ${edges} at edges` };
  }

  /** What was found, with the element (−1 for a direction). */
  async #findings(name: string, tensor: Tensor, gradient: readonly number[]): Promise<readonly [Finding, number][]> {
    const point = numbersOf(tensor);
    const largest = gradient.reduce((max, slope) => (Number.isFinite(slope) ? Math.max(max, Math.abs(slope)) : max), 0);
    const probe = (move: (i: number) => number, derivative: number, terms: number) => {
      const along = (t: number) =>
        this.#loss({ [name]: { ...point, data: point.data.map((x, i) => x + t * move(i)) } });
      const tolerance = Math.max(
        this.#rounding * terms,
        FLOOR * point.data.reduce((sum, _, i) => sum + Math.abs(move(i)), 0),
      );
      return compare(along, derivative, { ...this.#accuracy, tolerance });
    };
    const alongDirection = (direction: readonly number[]) => {
      const products = gradient.map((slope, i) => slope * direction[i]);
      const sum = products.reduce((a, b) => a + b, 0);
      return probe(
        (i) => direction[i],
        sum,
        products.reduce((a, b) => a + Math.abs(b), 0),
      );
    };
    const ofElement = (k: number) => probe((i) => Number(i === k), gradient[k], largest);
    const ofElements = async (elements: readonly number[]) => {
      const found: [Finding, number][] = [];
      for (const k of elements) found.push([await ofElement(k), k]);
      return found.filter(([finding]) => finding !== 'agrees');
    };
    const { size } = tensor;
    const first = (count: number) => Array.from({ length: Math.min(count, size) }, (_, i) => i);
    if (!this.isDouble) {
      // Along the gradient: elsewhere the slope drowns in rounding.
      const direction = randomNumbers(size, 7).map((x, i) => Math.abs(x) * Math.sign(gradient[i]));
      const finding = await alongDirection(direction);
      return finding === 'agrees' ? [] : [[finding, -1]];
    }
    if (size <= FEW_ELEMENTS) return ofElements(first(size));
    const sampled = first(SAMPLED_ELEMENTS).map((i) => Math.floor(((i + 0.5) * size) / SAMPLED_ELEMENTS));
    const found = await ofElements(sampled);
    for (let k = 0; k < DIRECTIONS; k++) {
      if ((await alongDirection(randomNumbers(size, 7 + k))) === 'agrees') continue;
      const each = await ofElements(first(LOOKED_AT));
      return each.length > 0 ? each : [['wrong', -1]];
    }
    return found;
  }
}

/** Whether two gradients of the same input are the same but for rounding; undefined is zero. */
export function agree(a: Result | undefined, b: Result | undefined, rounding: number): boolean {
  if (a === undefined || b === undefined) return [a, b].every((each) => each?.data.every((x) => x === 0) ?? true);
  const [x, y] = [a.data as readonly number[], b.data as readonly number[]];
  const largest = x.reduce((max, slope) => (Number.isFinite(slope) ? Math.max(max, Math.abs(slope)) : max), 0);
  const tolerance = Math.max(rounding * largest, FLOOR);
  return (
    a.dims.join() === b.dims.join() &&
    x.every((slope, i) => Object.is(slope, y[i]) || Math.abs(slope - y[i]) <= tolerance)
  );
}

function numbersOf(tensor: Tensor): Numbers {
  const { dtype, dims, data } = resultOf(tensor);
  return { dtype: dtype as Numbers['dtype'], dims, data: data as readonly number[] };
}
