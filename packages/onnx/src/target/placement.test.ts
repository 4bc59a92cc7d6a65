import { adam } from '@adakit/adam';
import { makePlan } from '@adakit/core';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Graph } from '../graph/graph.js';
import { graphFromModel } from '../graph/from-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { inferShapes } from '../inference/infer.js';
import { crossEntropy } from '../loss/cross-entropy.js';
import type { ComputePrecision } from '../model/dtype.js';
import { parseModel, readModel, writeModel } from '../model/model.js';
import { specialize } from '../model/specialize.js';
import { operators } from '../operators/index.js';
import { symbol } from '../shape/dim.js';
import { gradientsGraph, trainStepGraph } from '../training/graphs.js';
import { placement } from './placement.js';
import { targets } from './targets.js';

const data = join(import.meta.dirname, '../../../../tools/fixtures/data');
const cuda = targets['ort-cuda'];

/** A whole step with Adam for CUDA, and where its nodes run. */
async function placed(file: string, classAxis: number, precision: ComputePrecision = 'float32') {
  const free = await readModel(join(data, file));
  const names = free.graph.input.flatMap(({ type }) =>
    type?.value.case === 'tensorType'
      ? (type.value.value.shape?.dim ?? []).flatMap(({ value }) => (value.case === 'dimParam' ? [value.value] : []))
      : [],
  );
  const model = specialize(free, { dims: Object.fromEntries(names.map((name) => [name, 4])) });
  const options = { loss: crossEntropy({ classAxis }), target: cuda, precision };
  const { parameters } = gradientsGraph(model, options);
  const step = trainStepGraph(model, { ...options, plan: makePlan(adam(), parameters) });
  const graph = graphFromModel(parseModel(writeModel(step.model)));
  inferShapes(graph, operators);
  const { onCpu, uploads, downloads } = placement(graph, cuda);
  return {
    onCpu: onCpu.map(({ label }) => label),
    copies: [...uploads, ...downloads].map(({ name }) => name),
    doubles: [...graph.nodes.flatMap(({ outputs }) => outputs)].filter((value) => value?.dtype === 'float64'),
    casts: graph.nodes.filter(({ op }) => op === 'Cast'),
  };
}

describe('with a fixed batch, nothing of a step on CUDA runs on the CPU and nothing is copied', () => {
  test.each([
    ['mnist-cnn.onnx', 1],
    ['mlp.onnx', 1],
    ['exported/gpt.onnx', 2],
    ['exported/bert.onnx', 1],
    ['exported/lstm.onnx', 2],
    ['exported/gru.onnx', 2],
    ['exported/vit.onnx', 1],
    ['exported/resnet18.onnx', 1],
    ['exported/unet.onnx', 1],
    ['exported/mobilenetv3.onnx', 1],
  ])('%s', async (file, classAxis) => {
    const { casts, ...place } = await placed(file, classAxis);
    expect(place).toEqual({ onCpu: [], copies: [], doubles: [] });
    expect(casts.length).toBeLessThanOrEqual(2);
  });
});

describe('nor in half precision, with few conversions, none of them twice', () => {
  // Those of a CNN: of x, of eight weights and biases and their gradients, of what the pools scatter, of the scores.
  test.each([
    ['mnist-cnn.onnx', 1, 'float16', 21],
    ['mnist-cnn.onnx', 1, 'bfloat16', 8],
    ['mlp.onnx', 1, 'float16', 23],
    ['exported/gpt.onnx', 2, 'float16', 76],
    ['exported/gpt.onnx', 2, 'bfloat16', 88],
    ['exported/lstm.onnx', 2, 'float16', 22],
    // Twenty-one weights there and back, and each of twenty normalizations in and out, forward and backward.
    ['exported/resnet18.onnx', 1, 'float16', 131],
  ] as const)('%s in axis %i in %s: %i', async (file, classAxis, precision, most) => {
    const { casts, ...place } = await placed(file, classAxis, precision);
    expect(place).toEqual({ onCpu: [], copies: [], doubles: [] });
    expect(casts.length).toBeLessThanOrEqual(most);
    const distinct = new Set(casts.map(({ inputs, outputs }) => `${inputs[0]?.name ?? ''} ${outputs[0]?.dtype ?? ''}`));
    expect(distinct.size).toBe(casts.length);
  });
});

test('what lacks a kernel runs on the CPU, between copies, and what is computed from its results alone stays there', () => {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 4] });
  const tangent = e.node('Tan', [e.exp(x)]);
  const rows = e.node('Shape', [x], { end: 1 });
  const twice = e.add(rows, rows);
  graph.outputs.push(e.mul(e.neg(tangent), e.cast(twice, 'float32')));
  const { onCpu, uploads, downloads } = placement(graph, cuda);
  expect(onCpu.map(({ op }) => op)).toEqual(['Tan', 'Add', 'Neg', 'Cast', 'Mul']);
  expect(uploads).toEqual([]);
  expect(downloads.map(({ producer }) => producer?.op)).toEqual(['Exp']);
});
