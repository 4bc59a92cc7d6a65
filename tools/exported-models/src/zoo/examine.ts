import {
  checkModel,
  findTies,
  gradientsGraph,
  initialParameters,
  mse,
  readModel,
  tieWeights,
  weightedSum,
  writeModel,
} from '@adakit/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { join } from 'node:path';
import { z } from 'zod';
import { deviationsOf, lossDeviation, worst, type Deviation } from '../compare.js';
import { readTensors, type Stored } from '../fixture.js';
import type { ExportRecord } from './record.js';

const deviation = z.object({ of: z.string(), error: z.number(), bound: z.number() });

export const result = z.union([
  z.object({
    /** The output of the file furthest from PyTorch's, in inference, relative to its largest element. */
    output: deviation.optional(),
    /** What stock ONNX Runtime says about the file where it does not run it, in place of outputs. */
    refused: z.string().optional(),
    nodes: z.number(),
    trainingNodes: z.number(),
    /** How many gradients were compared. */
    compared: z.number(),
    loss: deviation,
    /** The one furthest from its bound, or beyond. */
    gradient: deviation,
    wrong: z.array(deviation),
    /** Parameters that the selection leaves out, with its reason, though their gradient is not zero. */
    notSelected: z.array(z.object({ name: z.string(), reason: z.string() })),
    /** What the selection takes although PyTorch does not train it. */
    selectedConstants: z.array(z.string()),
  }),
  z.object({ failure: z.string() }),
  /** What stock ONNX Runtime says about a file that it does not run, and which does not train here either. */
  z.object({ invalid: z.string() }),
]);

/** How a model of the zoo compares with PyTorch, or why it cannot be trained. */
export type Result = z.infer<typeof result>;

/** Takes one gradient of a model through ONNX Runtime and compares it with PyTorch's in float64. */
export async function examine(record: ExportRecord): Promise<Result> {
  const tensors = await readTensors(join(record.folder, `${record.label}.safetensors`));
  let output: Deviation;
  try {
    output = worst(await compareOutputs(record, tensors));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const refused = error.message;
    try {
      const found = await compareGradients(record, tensors);
      return 'failure' in found || found.wrong.length > 0 ? { invalid: refused } : { refused, ...found };
    } catch {
      return { invalid: refused };
    }
  }
  const found = await compareGradients(record, tensors);
  return 'failure' in found ? found : { output, ...found };
}

async function compareGradients(record: ExportRecord, tensors: ReadonlyMap<string, Stored>) {
  const { folder } = record;
  const written = await readModel(join(folder, record.model));
  const ties = findTies(written);
  const model = tieWeights(written, ties);
  const check = checkModel(model);
  if (check.problems.length > 0) {
    return { failure: check.problems.map(({ what }) => what).join('; ') };
  }
  const copies = new Set(ties.map(({ copy }) => copy));
  const selected = new Set(check.parameters.filter((each) => each.selected).map(({ name }) => name));
  const sourceOf = (name: string) => record.holds[name].join();
  const trained = new Set(Object.keys(record.holds).flatMap((name) => (selected.has(name) ? [sourceOf(name)] : [])));
  // Beside a weight in training form an exporter writes another for statistics alone: the gradient is that of the first.
  const expected = Object.keys(record.holds).filter(
    (name) => !copies.has(name) && (selected.has(name) || !trained.has(sourceOf(name))),
  );
  const notSelected = check.parameters.filter(({ name, selected }) => expected.includes(name) && !selected);
  const graph = gradientsGraph(model, {
    loss: weightedSum(record.outputs.map((output) => ({ loss: mse({ output, target: targetOf(output) }) }))),
    ...(notSelected.length > 0 && { train: { also: notSelected.map(({ name }) => name) } }),
  });
  const session = await InferenceSession.create(writeModel(graph.model), { logSeverityLevel: 3 });
  const weights = initialParameters(model, [...graph.parameters, ...graph.statistics]);
  const results = await session.run({
    ...inputs(graph.inputs, tensors),
    ...targets(record, tensors),
    ...Object.fromEntries(
      Object.entries(weights).map(([name, { data, shape }]) => [
        name,
        new Tensor('float32', data as Float32Array, shape),
      ]),
    ),
  });
  await session.release();

  const found = new Map(
    graph.parameters.map(({ name }) => [name, results[graph.gradients[name]].data as Float32Array]),
  );
  const gradients = deviationsOf(shared(found, record), {
    values: new Map(expected.map((name) => [name, floats(tensors, `gradient/${name}`)])),
    rounding: new Map(Object.entries(record.rounding)),
  });
  const loss = lossDeviation(Number(results[graph.loss].data[0]), record.loss);
  return {
    nodes: model.graph.node.length,
    trainingNodes: graph.model.graph?.node.length ?? 0,
    compared: gradients.length,
    loss,
    gradient: worst(gradients),
    wrong: [loss, ...gradients].filter(({ error, bound }) => !(error <= bound)),
    notSelected: notSelected.map(({ name, reason }) => ({ name, reason })),
    selectedConstants: check.parameters
      .filter(({ name, selected }) => selected && !(name in record.holds))
      .map(({ name }) => name),
  };
}

/** What several initializers hold of one parameter together has the sum of their gradients. */
function shared(found: ReadonlyMap<string, Float32Array>, { holds }: ExportRecord): ReadonlyMap<string, Float32Array> {
  const sums = new Map<string, Float32Array>();
  for (const [name, gradient] of found) {
    const source = (name in holds ? holds[name] : [name]).join();
    const sum = sums.get(source);
    sums.set(source, sum === undefined ? gradient : sum.map((value, i) => value + gradient[i]));
  }
  return new Map(
    Object.entries(holds).flatMap(([name, sources]) => {
      const sum = sums.get(sources.join());
      return sum === undefined ? [] : [[name, sum]];
    }),
  );
}

function targetOf(output: string): string {
  return `${output}_target`;
}

/** What the file computes, without us: where that is not what PyTorch does, the exporter has made another network. */
async function compareOutputs(
  { folder, model, outputs, roundingOfOutputs }: ExportRecord,
  tensors: ReadonlyMap<string, Stored>,
): Promise<Deviation[]> {
  const session = await InferenceSession.create(join(folder, model), { logSeverityLevel: 3 });
  const specs = session.inputMetadata.map((value) => ({ name: value.name, dtype: value.isTensor ? value.type : '' }));
  const results = await session.run(inputs(specs, tensors));
  await session.release();
  return deviationsOf(new Map(outputs.map((name) => [name, results[name].data as Float32Array])), {
    values: new Map(outputs.map((name) => [name, floats(tensors, `output/${name}`)])),
    rounding: new Map(Object.entries(roundingOfOutputs)),
  });
}

function inputs(
  specs: readonly { readonly name: string; readonly dtype: string }[],
  tensors: ReadonlyMap<string, Stored>,
): Record<string, Tensor> {
  return Object.fromEntries(
    specs.map(({ name, dtype }) => {
      const { shape, data } = get(tensors, `input/${name}`);
      const tensor =
        dtype === 'int64'
          ? new Tensor('int64', BigInt64Array.from(data, BigInt), shape)
          : new Tensor('float32', Float32Array.from(data), shape);
      return [name, tensor];
    }),
  );
}

function targets({ outputs }: ExportRecord, tensors: ReadonlyMap<string, Stored>): Record<string, Tensor> {
  return Object.fromEntries(
    outputs.map((output) => {
      const { shape, data } = get(tensors, `target/${output}`);
      return [targetOf(output), new Tensor('float32', Float32Array.from(data), shape)];
    }),
  );
}

function floats(tensors: ReadonlyMap<string, Stored>, name: string): Float32Array {
  return Float32Array.from(get(tensors, name).data);
}

function get(tensors: ReadonlyMap<string, Stored>, name: string): Stored {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`zoo.py has recorded no '${name}'`);
  return tensor;
}
