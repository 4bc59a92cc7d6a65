import {
  concreteShape,
  elementCount,
  fillRandom,
  hostView,
  type Evaluated,
  type FloatArray,
  type Precision,
  type WholeStep,
} from '@adakit/core';
import type { PlanBindings, ProgramPosition, TensorBinding } from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import type { StateBuffer } from './host.js';

import { elements, ortTensor } from './ort-tensor.js';

type Whole = WholeStep<StateBuffer>;

/** Everything that is kept between steps, for a graph with a plan's stages in it. */
export function keptFeeds(bindings: PlanBindings, whole: Whole): Record<string, Tensor> {
  const feeds: [string, Tensor][] = [];
  for (const {
    binding: { input },
    buffer,
    shape,
  } of keptTensors(bindings, whole)) {
    if (input !== undefined) feeds.push([input, ortTensor(hostView(buffer), shape)]);
  }
  // A weight may be called `__proto__`, which an assignment would take for something else.
  return Object.fromEntries(feeds);
}

/** What the host computes for a graph with a plan's stages in it: scalars and random numbers. */
export function scalarFeeds({ precision, scalars, random }: PlanBindings, whole: Whole): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const { input, instructions, ...position } of scalars) {
    const values = scalarsAt(whole, position);
    const vector = make(precision, instructions.length);
    instructions.forEach((instruction, i) => (vector[i] = values[instruction]));
    feeds[input] = ortTensor(vector, [instructions.length]);
  }
  for (const { input, shape, distribution, stream, key: instructions, ...position } of random) {
    const values = scalarsAt(whole, position);
    const [seed, key, step] = instructions.map((instruction) => values[instruction]);
    const drawn = make(precision, elementCount(shape));
    fillRandom(distribution, { seed, key, step, stream }, drawn);
    feeds[input] = ortTensor(drawn, shape);
  }
  return feeds;
}

/** What a graph with a plan's stages in it has computed, for a run to adopt or refuse. */
export function planResults(
  bindings: PlanBindings,
  results: Readonly<Record<string, Tensor>>,
  whole: Whole,
): NonNullable<Evaluated['whole']> {
  return {
    nonFinite: nonFiniteIn(results[bindings.finite], whole),
    commit() {
      for (const {
        binding: { output },
        buffer,
      } of keptTensors(bindings, whole)) {
        if (output !== undefined) hostView(buffer).set(elements(results[output]));
      }
    },
  };
}

/** Names of parameters whose gradients are not finite. @param finite whether the gradient of each is */
export function nonFiniteIn(finite: Tensor, { plan }: Whole): string[] {
  const flags = finite.data as Uint8Array;
  return plan.parameters.flatMap(({ name, index }) => (flags[index] === 0 ? [name] : []));
}

/** Everything that is kept between steps, with its place in the graph. */
export function* keptTensors(
  { parameters, slots, globals }: PlanBindings,
  whole: Whole,
): Generator<{ readonly binding: TensorBinding; readonly buffer: StateBuffer; readonly shape: readonly number[] }> {
  for (const { name, index, shape, extents, slots: planned } of whole.plan.parameters) {
    const record = whole.kept[index];
    yield { binding: parameters[name], buffer: record.param, shape };
    for (const slot of planned) {
      const buffer = record.slots.get(slot.name);
      if (buffer === undefined) throw new Error(`"${name}" has no slot "${slot.name}"`);
      yield { binding: slots[name][slot.name], buffer, shape: concreteShape(slot.shape, shape, extents) };
    }
  }
  for (const [name, binding] of Object.entries(globals)) {
    const buffer = whole.numbers.get(`global.${name}`);
    if (buffer === undefined) throw new Error(`the run keeps no number "${name}"`);
    yield { binding, buffer, shape: [] };
  }
}

/** The graph knows programs by their position, for settings change and it stays. */
function scalarsAt({ stages, scalars }: Whole, { stage, call, parameter }: ProgramPosition): Float64Array {
  const found = stages[stage];
  if (found.kind === 'total') return scalars(found.program, found.group, undefined);
  const { program, group, parameters } = found.calls[call ?? 0];
  return scalars(
    program,
    group,
    parameters.find(({ name }) => name === parameter),
  );
}

function make(precision: Precision, length: number): FloatArray {
  return precision === 'float32' ? new Float32Array(length) : new Float64Array(length);
}
