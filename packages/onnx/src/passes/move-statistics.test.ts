import { describe, expect, it } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { float } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { mse } from '../loss/regression.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import type { Target } from '../target/target.js';
import { targets } from '../target/targets.js';
import { gradientsGraph } from '../training/graphs.js';

/** Normalizations one after the other, of three channels, each with its momentum. */
function normalizations(momentums: readonly number[], target?: Target) {
  const graph = new Graph('normalizations');
  const e = emitterOf(graph);
  let x: Value = graph.addInput('x', { dtype: 'float32', shape: [4, 3] });
  momentums.forEach((momentum, i) => {
    const vectors = ['scale', 'bias', 'mean', 'variance'].map((name) =>
      graph.addInitializer(`${name}${i}`, Tensor.filled('float32', [3], 0.5)),
    );
    x = e.node('BatchNormalization', [x, ...vectors], { momentum: float(momentum) });
  });
  graph.outputs.push(x);
  const model = parseModel(writeModel(modelFromGraph(graph)));
  return gradientsGraph(model, { loss: mse(), ...(target && { target }) });
}

const makersOf = ({ model, statistics }: ReturnType<typeof normalizations>) =>
  statistics.map(({ output }) => model.graph?.node.find((node) => node.output.includes(output)));

describe('running statistics', () => {
  it('that move alike are moved together', () => {
    const makers = makersOf(normalizations([0.9, 0.9]));
    expect(new Set(makers).size).toBe(1);
    expect(makers[0]).toMatchObject({ opType: 'Split', output: expect.objectContaining({ length: 4 }) as string[] });
  });

  it('are kept apart where they move otherwise', () => {
    const makers = makersOf(normalizations([0.9, 0.8]));
    expect(new Set(makers).size).toBe(2);
    expect(makers.map((maker) => maker?.output.length)).toEqual([2, 2, 2, 2]);
  });

  it('are moved one by one where a node may not have so many inputs', () => {
    const makers = makersOf(normalizations([0.9, 0.9], targets['ort-webgpu']));
    expect(makers.map((maker) => maker?.opType)).toEqual(['Add', 'Add', 'Add', 'Add']);
  });
});
