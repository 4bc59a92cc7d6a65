import { makePlan } from '@adakit/core';
import { sgd } from '@adakit/sgd';
import { describe, expect, it } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { outputLoss } from '../loss/combine.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { float32, float64, Session } from '@adakit/onnx-reference';
import { gradientsGraph, trainStepGraph } from './graphs.js';
import { initialParameters, withParameters } from './trained-model.js';

/** The sum of x·w, a float32 vector, and v, a float64 one. */
function mixed() {
  const graph = new Graph('mixed');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
  const w = graph.addInitializer('w', Tensor.of('float32', [2], Float32Array.of(0.1, 2)));
  const v = graph.addInitializer('v', Tensor.of('float64', [2], Float64Array.of(0.1, 4)));
  graph.outputs.push(e.reduceSum(e.add(e.cast(e.mul(x, w), 'float64'), v)));
  return parseModel(writeModel(modelFromGraph(graph)));
}

describe('a model that has float64 parameters beside others', () => {
  const model = mixed();
  const options = { loss: outputLoss(), train: ['w', 'v'] };
  const graph = gradientsGraph(model, options);

  it('has all of them fed in float64, and gradients of float64', async () => {
    expect(graph.parameters.map(({ name, dtype }) => [name, dtype])).toEqual([
      ['w', 'float64'],
      ['v', 'float64'],
    ]);
    const session = await Session.fromBytes(writeModel(graph.model));
    const results = await session.run({ x: float32([2], [3, 5]), w: float64([2], [1, 2]), v: float64([2], [3, 4]) });
    await session.release();
    expect(results[graph.loss].data).toEqual([3 + 10 + 7]);
    expect(results[graph.gradients.w]).toEqual(float64([2], [3, 5]));
    expect(results[graph.gradients.v]).toEqual(float64([2], [1, 1]));
  });

  it('starts from what it holds, and takes its own element types back', () => {
    const values = initialParameters(model, graph.parameters);
    expect(values.w.data).toEqual(Float64Array.of(Math.fround(0.1), 2));
    const again = withParameters(model, {
      ...values,
      w: { dtype: 'float64', shape: [2], data: Float64Array.of(0.2, 1) },
    });
    expect(initialParameters(again, [{ name: 'w', dtype: 'float32', shape: [2] }]).w.data).toEqual(
      Float32Array.of(0.2, 1),
    );
  });

  it('is trained in float64 by a whole step', async () => {
    const step = trainStepGraph(model, { ...options, plan: makePlan(sgd({ lr: 0.1 }), graph.parameters) });
    const session = await Session.fromBytes(writeModel(step.model));
    const [{ input }] = step.plan.scalars;
    const feeds = { x: float32([2], [3, 5]), w: float64([2], [1, 2]), v: float64([2], [3, 4]) };
    const results = await session.run({ ...feeds, [input]: float64([1], [0.1]) });
    await session.release();
    expect(results[step.plan.parameters.w.output ?? '']).toEqual(float64([2], [1 - 3 * 0.1, 2 - 5 * 0.1]));
  });

  it('refuses the plan of another model', () => {
    const plan = makePlan(sgd({ lr: 0.1 }), [{ name: 'u', shape: [2] }]);
    expect(() => trainStepGraph(model, { ...options, plan })).toThrow(
      'the plan is for the parameters u, but v, w are trained; make it from the parameters of gradientsGraph()',
    );
  });
});
