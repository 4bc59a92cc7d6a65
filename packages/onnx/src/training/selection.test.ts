import { fromBinary } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import { ModelProtoSchema } from 'onnx-buf';
import { expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { mse } from '../loss/regression.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { gradientsGraph } from './graphs.js';
import { initialParameters, withoutValues, withParameters } from './trained-model.js';

/** Two layers with a position embedding in between, and a batch normalization that is used as it is. */
function model() {
  const graph = new Graph('positions');
  const e = emitterOf(graph);
  const weight = (name: string, dims: number[], make: (i: number) => number = (i) => Math.sin(3 * i * i + 1)) => {
    const size = dims.reduce((a, b) => a * b, 1);
    return graph.addInitializer(
      name,
      Tensor.of(
        'float32',
        dims,
        Float32Array.from({ length: size }, (_, i) => make(i)),
      ),
    );
  };
  const x = graph.addInput('x', { dtype: 'float32', shape: [8, 4] });
  const hidden = e.add(e.matMul(x, weight('w', [4, 4])), weight('positions', [8, 4]));
  const statistics = ['gain', 'shift', 'mean', 'variance'].map((name) => weight(name, [4], () => 1));
  const normalized = e.node('BatchNormalization', [e.matMul(hidden, weight('v', [4, 4])), ...statistics]);
  graph.outputs.push(normalized);
  return parseModel(writeModel(modelFromGraph(graph)));
}

/** The memory that a message refers to, at any depth. */
function memoryOf(value: unknown): readonly ArrayBufferLike[] {
  if (typeof value !== 'object' || value === null) return [];
  return value instanceof Uint8Array ? [value.buffer] : Object.values(value).flatMap(memoryOf);
}

test('a model without values is the same otherwise, and keeps nothing of the file that it was read from', () => {
  const written = fromBinary(ModelProtoSchema, writeModel(model()));
  written.graph?.initializer.forEach((tensor) => (tensor.docString = ''));
  written.graph?.node.forEach(
    (node) => (node.$unknown = [{ no: 99, wireType: WireType.LengthDelimited, data: Uint8Array.of(1, 7) }]),
  );
  // Of a Buffer, slices are views.
  const file = Buffer.from(writeModel(written));
  const read = parseModel(file);
  expect(memoryOf(read.proto).includes(file.buffer)).toBe(true);
  const specs = [
    { name: 'w', dtype: 'float32', shape: [4, 4] },
    { name: 'positions', dtype: 'float32', shape: [8, 4] },
    { name: 'v', dtype: 'float32', shape: [4, 4] },
  ] as const;
  const names = specs.map(({ name }) => name);
  const hollow = withoutValues(read, names);
  expect(memoryOf([hollow.proto, hollow.graph]).includes(file.buffer)).toBe(false);
  const emptied = hollow.graph.initializer.flatMap(({ name, rawData }) => (rawData.length === 0 ? [name] : []));
  expect(emptied).toEqual(names);
  expect(writeModel(withParameters(hollow, initialParameters(read, specs)))).toEqual(Uint8Array.from(file));
});

test('what was chosen once is trained, whatever its values look like later', () => {
  const original = model();
  const options = { loss: mse(), freeze: ['mean', 'gain', 'shift'] };
  const first = gradientsGraph(original, options);
  expect(first.parameters.map(({ name }) => name)).toEqual(['w', 'positions', 'v']);
  expect(first.statistics).toEqual([]);
  // Positions that count up look like a grid, which nobody trains.
  const data = Float32Array.from({ length: 32 }, (_, i) => Math.floor(i / 4));
  const hollow = withoutValues(original, ['positions']);
  expect(hollow.graph.initializer.find(({ name }) => name === 'positions')?.rawData).toHaveLength(0);
  const trained = withParameters(hollow, { positions: { dtype: 'float32', shape: [8, 4], data } });
  expect(gradientsGraph(trained, options).parameters.map(({ name }) => name)).toEqual(['w', 'v']);
  const again = gradientsGraph(trained, { loss: mse(), selection: first.selection });
  expect(again.parameters).toEqual(first.parameters);
  expect(again.statistics).toEqual([]);
  expect(again.model.graph?.node).toEqual(first.model.graph?.node);
});
