import { kinds } from '@adakit/core';
import { create } from '@bufbuild/protobuf';
import { GraphProtoSchema, ValueInfoProtoSchema, type ModelProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { requireObject } from '../given.js';
import { Graph } from '../graph/graph.js';
import { describeValue, readIntoGraph } from '../graph/from-model.js';
import { addOutput } from '../graph/output.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { Tensor } from '../model/tensor.js';
import type { PlanBindings, TensorBinding } from '../optimizer/emit-plan.js';
import type { TrainStepGraph } from '../training/graphs.js';
import { emittedModel } from './in-graph.js';

/** What a step passes on to the next one: an input, and the output that holds it afterwards. */
export interface Carried {
  readonly input: string;
  readonly output: string;
}

/**
 * A training step as `count` steps in one graph, over as many batches of one shape. What is kept between steps is as it was.
 * What is fed, the loss, outputs of the model and what is not finite have an axis of `count` in front.
 *
 * @param count 1 gives the step itself
 * @throws {OnnxError} `invalid-argument` for a count that is none
 */
export function severalSteps(step: TrainStepGraph, count: number): TrainStepGraph {
  requireObject('severalSteps(): options', step);
  requireObject('severalSteps(): plan', step.plan);
  const problem = kinds.required(kinds.count(1))(count);
  if (problem !== undefined) throw new OnnxError('invalid-argument', `severalSteps(): count ${problem}`);
  if (count === 1) return step;
  const { plan, statistics } = step;
  const carried = [...carriedOf(plan), ...statistics.map(({ name, output }) => ({ input: name, output }))];
  const changing = new Set(carried.map(({ input }) => input));
  // What no step reads, the norm that clipping has found say, is that of the last one.
  const written = keptTensors(plan).flatMap(({ input, output }) =>
    input !== undefined || output === undefined ? [] : [output],
  );
  const fixed = keptTensors(plan).flatMap(({ input }) => (input === undefined || changing.has(input) ? [] : [input]));
  return { ...step, model: scanSteps(step.model, count, carried, new Set(fixed), new Set(written)) };
}

/** What a step reads and changes. */
export function carriedOf(plan: PlanBindings): readonly Carried[] {
  return keptTensors(plan).flatMap(({ input, output }) =>
    input === undefined || output === undefined ? [] : [{ input, output }],
  );
}

function keptTensors({ parameters, slots, globals, clock }: PlanBindings): readonly TensorBinding[] {
  return [
    ...Object.values(parameters),
    ...Object.values(slots).flatMap((each) => Object.values(each)),
    ...Object.values(globals),
    ...(clock === undefined ? [] : [clock.step]),
  ];
}

/**
 * A graph of one training step as one of `count` steps, a Scan over minibatches. What is carried has the names and shapes
 * it had; all other inputs and outputs get an axis of `count` in front, but for those named in `fixed`, which are the same
 * for all steps, and in `last`, which are those of the last step.
 *
 * @param step of which every carried output is computed by a node
 */
function scanSteps(
  step: ModelProto,
  count: number,
  carried: readonly Carried[],
  fixed: ReadonlySet<string>,
  last: ReadonlySet<string>,
): ModelProto {
  const source = 'the training step';
  const { graph: proto } = emittedModel(step, source);
  const states = new Map(carried.map(({ input, output }) => [input, output]));
  const outer = new Graph('train_steps');
  const e = emitterOf(outer);
  const inner = e.named('step', () => e.inside('body'));
  const body = inner.graph;

  // Constants lie around the loop, where they may be kept in a file of their own.
  const constants = new Map(proto.initializer.map((tensor) => [tensor.name, tensor]));
  const info = [...constants.keys()].map((name) => create(ValueInfoProtoSchema, { name }));
  const around = new Map<string, Value>();
  const scanned: string[] = [];
  for (const input of proto.input) {
    const { dtype, shape = [] } = describeValue(outer, input);
    const isState = states.has(input.name);
    const slices = !isState && !fixed.has(input.name);
    if (slices) scanned.push(input.name);
    around.set(input.name, outer.addInput(input.name, { dtype, shape: slices ? [count, ...shape] : shape }));
  }
  const own = new Map<string, Value>();
  const given = new Set(proto.output.map(({ name }) => name));
  const opened = { ...emittedModel(step, source), graph: Object.assign(create(GraphProtoSchema), proto) };
  opened.graph.initializer = [];
  opened.graph.input = [...proto.input, ...info];
  const outputs = readIntoGraph(body, opened, {
    input: (input) => {
      const constant = constants.get(input.name);
      if (constant !== undefined) return outer.addInitializer(outer.uniqueName(input.name), Tensor.fromProto(constant));
      const fed = around.get(input.name);
      if (fed !== undefined && fixed.has(input.name)) return fed;
      const value = body.addInput(body.uniqueName(`${input.name}_now`), describeValue(body, input));
      own.set(input.name, value);
      return value;
    },
    // The names of outputs are those of the whole.
    rename: (name) => body.uniqueName(given.has(name) ? `${name}_now` : name),
    describe: (each) => describeValue(body, each),
  });
  const byName = new Map(proto.output.map(({ name }, i) => [name, outputs[i]]));
  const required = (values: ReadonlyMap<string, Value>, name: string): Value => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`${source} has no '${name}'`);
    return value;
  };
  const stacked = proto.output.map(({ name }) => name).filter((name) => ![...states.values()].includes(name));
  body.inputs.splice(0, body.inputs.length, ...[...states.keys(), ...scanned].map((name) => required(own, name)));
  body.outputs.push(...[...states.values(), ...stacked].map((name) => required(byName, name)));
  const results = e.control(
    'Scan',
    [...states.keys(), ...scanned].map((name) => required(around, name)),
    { body },
    { num_scan_inputs: scanned.length },
    states.size + stacked.length,
  );
  [...states.values(), ...stacked].forEach((name, i) =>
    addOutput(
      e,
      last.has(name) ? e.gather(results[i], e.constant(Tensor.scalar('int64', count - 1))) : results[i],
      name,
    ),
  );
  return modelFromGraph(outer);
}
