import { kinds, type OptionKind } from '@adakit/core';
import type { OperatorTable } from '../entry/operator.js';
import { OnnxError } from '../error.js';
import { copiedGraph } from '../graph/copy.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import type { Periods } from '../graph/periods.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { isDifferentiable } from '../model/dtype.js';
import { operators as standardOperators } from '../operators/index.js';
import { isStatic, symbolName } from '../shape/dim.js';
import { isStaticShape } from '../shape/shape.js';
import { afterPass } from '../verify/passes.js';
import { arrangeNodes } from './arrange.js';
import { chooseRepeated, repeatNodes, type Candidates, type Repeated } from './choice.js';
import { dependenciesOf, executionOrder } from './execution-order.js';
import { buffersOf, bytesOf, isView, memoryOf } from './live-bytes.js';
import { operationsOf } from './operations.js';
import { kindsOf, twoPeriods } from './periods.js';

/**
 * How much a training step may keep at a time of what it computes: activations, gradients of activations and what lies
 * between, by their element types and shapes. Not in it are what lives longer than a run (parameters, gradients of parameters,
 * the state of the optimizer, constants, the batch), what kernels and the bodies of loops need while they run, and what the
 * runtime's allocator leaves unused.
 */
export interface MemoryLimit {
  readonly bytes: number;
  /** Sizes of the free dimensions that the limit is for, by name: the largest batch. */
  readonly dims?: Readonly<Record<string, number>>;
}

/** A {@link MemoryLimit}, as it may be. */
export const MEMORY_LIMIT: OptionKind = kinds.options({
  bytes: kinds.required(kinds.limit),
  dims: kinds.record('sizes by name, as { batch: 128 }', kinds.count(1)),
} satisfies Record<keyof MemoryLimit, OptionKind>);

/** What a {@link MemoryLimit} has come to. */
export interface MemoryReport {
  /** The most bytes that are kept at a time. */
  readonly peak: number;
  /** The same with everything kept. */
  readonly unlimited: number;
  /** Nodes that are executed a second time. */
  readonly repeated: number;
}

/** A graph within its limit. */
export interface Limited {
  readonly report: MemoryReport;
  readonly periods: Periods;
}

/**
 * Periods of the backward pass under a limit: with more of them hardly a buffer is kept for longer than it is used, and the
 * runtime looks through more of them for each value when it makes a session.
 */
const PERIODS = 16;

/** Values below this share of the peak stay. */
const LEAST = 1 / 2000;

/**
 * Makes a training graph keep no more than a limit at a time, by computing in the backward pass again what it would have kept
 * from the forward pass: the same nodes on the same inputs, so the gradients are the same to the last bit. What draws random
 * numbers is never executed twice.
 *
 * A copy waits for a gradient that is computed right before it is needed: its input passes through a Reshape to the shape it
 * has, which is computed from that gradient as shape + 0. So the copy can neither be executed early nor be merged with the
 * original, on any runtime that respects dependencies. On the CPU a Reshape copies nothing.
 *
 * @param loss where the forward pass ends
 * @throws {OnnxError} `invalid-argument` for a limit that is no number of bytes, and for free dimensions that the limit says no
 * size of; `too-large` where no choice is enough, with the least that is, the largest values that have to be kept, and what to do
 */
export function limitMemory(
  graph: Graph,
  loss: Value,
  limit: MemoryLimit,
  operators: OperatorTable = standardOperators,
): Limited {
  const sizes = new Map(Object.entries(limit.dims ?? {}));
  requireSizes(graph, sizes);
  const nodes = [...graph.nodes];
  const whole = candidatesOf(graph, loss, sizes, operators);
  const { peak: unlimited } = chooseRepeated(whole, Infinity);
  if (unlimited.bytes <= limit.bytes) {
    const report = { peak: unlimited.bytes, unlimited: unlimited.bytes, repeated: 0 };
    return { report, periods: twoPeriods(graph, loss) };
  }
  const candidates = { ...whole, periods: PERIODS };
  const choice = chooseRepeated(candidates, limit.bytes);
  const plan = repeatNodes(candidates, choice.repeated);
  if (choice.peak.bytes > limit.bytes) throw tooLarge(nodes, plan, choice.peak.at, limit, choice.peak.bytes);
  const periods = repeat(graph, nodes, plan, loss, candidates, operators);
  afterPass('recompute', graph, operators);
  arrangeNodes(graph, operators);
  const report = { peak: choice.peak.bytes, unlimited: unlimited.bytes, repeated: choice.repeated.size };
  return { report, periods };
}

function requireSizes({ inputs }: Graph, sizes: ReadonlyMap<string, number>): void {
  const free = new Set(
    inputs.flatMap(({ shape }) =>
      (shape ?? []).flatMap((dim) => (isStatic(dim) ? [] : [symbolName(dim) ?? String(dim)])),
    ),
  );
  const missing = [...free].filter((name) => !sizes.has(name));
  if (missing.length > 0) {
    throw new OnnxError(
      'invalid-argument',
      `how much memory a step takes depends on ${missing.join(', ')}; say how large ${missing.length > 1 ? 'they are' : 'it is'} ` +
        `at most: dims: { ${missing.map((name) => `${name}: …`).join(', ')} } beside the limit, or fix the dimension with specialize()`,
    );
  }
}

function candidatesOf(
  graph: Graph,
  loss: Value,
  sizes: ReadonlyMap<string, number>,
  operators: OperatorTable,
): Candidates {
  const { nodes } = graph;
  const dependencies = dependenciesOf(graph);
  const order = executionOrder(dependencies);
  const numbers = new Map(nodes.map((node, number) => [node, number]));
  // What the caller gets is the caller's.
  const given = new Set(graph.outputs.map(memoryOf));
  const bytes = nodes.map((node) =>
    isView(node)
      ? 0
      : node.outputs.reduce(
          (sum, output) => sum + (output === undefined || given.has(output) ? 0 : (bytesOf(output, sizes) ?? 0)),
          0,
        ),
  );
  const within = nodes.map((node) => {
    const source = isView(node) ? node.inputs[0]?.producer : undefined;
    return source && numbers.get(source);
  });
  const end = memoryOf(loss).producer;
  const footprint = { ...dependencies, bytes, within, kinds: kindsOf(nodes) };
  const least = bytes.reduce((sum, each) => sum + each, 0) * LEAST;
  return {
    ...footprint,
    order,
    periods: 1,
    turn: order.indexOf(end === undefined ? -1 : (numbers.get(end) ?? -1)),
    operations: nodes.map((node) => operationsOf(node, sizes)),
    isRepeatable: (number) => {
      const node = nodes[number];
      return (
        bytes[number] >= Math.min(least, 2 ** 16) &&
        node.obstacle === undefined &&
        !draws(node, operators) &&
        node.outputs.every((output) => output === undefined || !given.has(output)) &&
        node.inputs.some((input) => input !== undefined && canWait(input))
      );
    },
  };
}

/** Whether a node, or one of its bodies, draws random numbers. */
function draws({ key, bodies }: Node, operators: OperatorTable): boolean {
  if (operators.get(key)?.draws === true) return true;
  return [...bodies.values()].some(({ nodes }) => nodes.some((node) => draws(node, operators)));
}

/** Whether a value can be made to depend on a gradient: data, of a shape that can be written down or read. */
function canWait({ tensor, dtype, shape }: Value): boolean {
  return tensor === undefined && isDifferentiable(dtype) && shape !== undefined && !shape.includes(0);
}

/** Appends copies and makes what comes after the turn use them. */
function repeat(
  graph: Graph,
  nodes: readonly Node[],
  { copies, order, periods }: Repeated,
  loss: Value,
  { order: before, turn }: Candidates,
  operators: OperatorTable,
): Periods {
  const originals = new Map([...copies].map(([original, copy]) => [copy, original]));
  const again = new Map<Value, Value>();
  const e = emitterOf(graph, operators);
  graph.nodes = [];
  /** What has been executed last that can be waited for. */
  let latest = loss;
  const found = new Map<Value, number>();
  const early = new Set(before.slice(0, turn + 1));
  for (const number of order) {
    const original = originals.get(number);
    const first = graph.nodes.length;
    if (original === undefined) {
      const node = nodes[number];
      if (copies.size > 0 && !early.has(number)) redirect(node, again);
      graph.nodes.push(node);
      const made = node.outputs.find((output) => output !== undefined && isDifferentiable(output.dtype));
      if (!early.has(number) && made !== undefined && canWait(made)) latest = made;
    } else {
      copyNode(e, nodes[original], again, latest);
    }
    for (const { outputs } of graph.nodes.slice(first)) {
      for (const output of outputs) if (output !== undefined) found.set(output, periods[number]);
    }
  }
  return found;
}

/** A second node like one of the forward pass, on copies of its inputs where there are any, else once `after` is there. */
function copyNode(e: Emitter, node: Node, again: Map<Value, Value>, after: Value): void {
  const { graph } = e;
  const inputs = node.inputs.map((input) => input && (again.get(input) ?? input));
  if (inputs.every((input, i) => input === node.inputs[i])) {
    const i = inputs.findIndex((input) => input !== undefined && canWait(input));
    const input = inputs[i];
    if (input !== undefined) inputs[i] = e.named(`${node.name}_again`, () => once(e, after, input));
  }
  const prefix = graph.uniqueName(`${node.name}_again`);
  const outputs = node.outputs.map((output) => {
    if (output === undefined) return undefined;
    const { name, dtype, shape, contents, flatContents, type } = output;
    const copy = graph.addValue(graph.uniqueName(`${name}_again`), { dtype, shape, contents, flatContents, type });
    again.set(output, copy);
    return copy;
  });
  const bodies = new Map([...node.bodies].map(([name, body]) => [name, copiedGraph(body, graph, again, prefix)]));
  const { op, domain } = node;
  graph.addNode(new Node({ name: prefix, op, domain, inputs, outputs, attributes: node.attributes.protos(), bodies }));
}

/** `x`, but not before `after` has been computed. */
function once(e: Emitter, after: Value, x: Value): Value {
  const first = e.gather(e.reshape(after, [-1]), e.scalar(0, 'int64'));
  const zero = e.mul(e.cast(first, 'int64'), e.scalar(0, 'int64'));
  const shape = x.shape ?? [];
  const free = shape.filter((dim) => !isStatic(dim)).length;
  const same =
    isStaticShape(shape) || free === 1 ? e.int64(shape.map((dim) => (isStatic(dim) ? dim : -1))) : e.shapeOf(x);
  return e.assume(e.reshape(x, e.add(same, zero)), shape);
}

/** Makes a node, and its bodies, use copies in the place of values. */
function redirect(node: Node, again: ReadonlyMap<Value, Value>): void {
  const swap = (values: (Value | undefined)[]): void => {
    for (const [i, value] of values.entries()) if (value !== undefined) values[i] = again.get(value) ?? value;
  };
  swap(node.inputs);
  for (const body of node.bodies.values()) {
    swap(body.outputs);
    for (const inner of body.nodes) redirect(inner, again);
  }
}

/** What is kept at the peak says why the limit is out of reach. */
function tooLarge(
  nodes: readonly Node[],
  plan: Repeated,
  at: number,
  { bytes: limit }: MemoryLimit,
  peak: number,
): OnnxError {
  const originals = new Map([...plan.copies].map(([original, copy]) => [copy, original]));
  const kept = buffersOf(plan, plan.order)
    .filter(({ from, to }) => from <= at && at <= to)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 5)
    .map(({ bytes, makers }) => {
      const [, number] = makers.findLast(([place]) => place <= at) ?? makers[0];
      const node = nodes[originals.get(number) ?? number];
      return `  ${inWords(bytes)}  '${node.outputs.find((output) => output !== undefined)?.name ?? node.name}' of ${node.label}`;
    });
  return new OnnxError(
    'too-large',
    [
      `a training step cannot keep less than ${inWords(peak)} at a time, also when it computes again what it can; the limit is ` +
        `${inWords(limit)}. Take a smaller batch and collect gradients over several (accumulate), or raise the limit. ` +
        'The largest values at the peak:',
      ...kept,
    ].join('\n'),
  );
}

function inWords(bytes: number): string {
  return bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
