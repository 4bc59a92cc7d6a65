import { concreteShape, isTotal, type Distribution, type Extents, type Precision, type Program } from '@adakit/core';
import type { ModelProto } from 'onnx-buf';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { addOutput } from '../graph/output.js';
import { emitProgram, fedScalars, scalarReader } from './emit-program.js';

/** A graph of one program for parameters of one shape. */
export interface ProgramGraph {
  readonly model: ModelProto;
  /** Inputs for what the program reads on the device, by its name there. */
  readonly inputs: readonly { readonly name: string; readonly input: string; readonly shape: readonly number[] }[];
  /** The input for scalars, and the instructions whose values it holds; absent when there are none. */
  readonly scalars?: { readonly input: string; readonly instructions: readonly number[] };
  /** Inputs for random numbers of the parameter's shape, and the instructions that hold what they are a function of. */
  readonly random: readonly {
    readonly input: string;
    readonly distribution: Distribution;
    readonly stream: number;
    readonly key: readonly [seed: number, key: number, step: number];
  }[];
  /** Outputs by the program's names. Those that are combined over parameters are inputs as well. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** One program as a graph of its own. */
export function programGraph(
  program: Program,
  {
    shape,
    extents,
    precision = 'float32',
  }: { readonly shape: readonly number[]; readonly extents: Extents; readonly precision?: Precision },
): ProgramGraph {
  const graph = new Graph(program.name);
  const e = emitterOf(graph);
  const inputs: ProgramGraph['inputs'][number][] = [];
  const random: ProgramGraph['random'][number][] = [];
  const addInput = (hint: string, dims: readonly number[]): Value =>
    graph.addInput(graph.uniqueName(hint), { dtype: precision, shape: dims });
  const addTensor = (name: string, dims: readonly number[]): Value => {
    const value = addInput(name, dims);
    inputs.push({ name, input: value.name, shape: dims });
    return value;
  };
  const instructions = fedScalars(program);
  const vector = instructions.length > 0 ? addInput('scalars', [instructions.length]) : undefined;
  const shapes = new Map(
    program.instructions.flatMap((i) => (i.form === 'input' ? [[i.name, i.type.shape] as const] : [])),
  );
  const results = emitProgram(e, program, {
    precision,
    shape,
    extents,
    scalar: scalarReader(e, program, vector, precision),
    input: (name) => addTensor(name, concreteShape(shapes.get(name) ?? 'number', shape, extents)),
    random({ distribution, stream, args }) {
      const value = addInput('random', shape);
      random.push({ input: value.name, distribution, stream, key: args });
      return value;
    },
  });
  const outputs = Object.entries(results).map(([name, value]) => {
    const combined = isTotal(name)
      ? e.node(name.startsWith('sum.') ? 'Add' : 'Max', [addTensor(name, []), value])
      : value;
    return [name, addOutput(e, combined, `${name}_new`)] as const;
  });
  graph.removeDead();
  return {
    model: modelFromGraph(graph),
    inputs,
    ...(vector !== undefined && { scalars: { input: vector.name, instructions } }),
    random,
    outputs: Object.fromEntries(outputs),
  };
}
