import { adam } from '@adakit/adam';
import { makePlan } from '@adakit/core';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Graph } from '../graph/graph.js';
import { graphFromModel } from '../graph/from-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { inferShapes } from '../inference/infer.js';
import { crossEntropy } from '../loss/cross-entropy.js';
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
async function placed(file: string, classAxis: number, dims: Readonly<Record<string, number>>) {
  const model = specialize(await readModel(join(data, file)), { dims });
  const options = { loss: crossEntropy({ classAxis }), target: cuda };
  const { parameters } = gradientsGraph(model, options);
  const step = trainStepGraph(model, { ...options, plan: makePlan(adam(), parameters) });
  const graph = graphFromModel(parseModel(writeModel(step.model)));
  inferShapes(graph, operators);
  const { onCpu, uploads, downloads } = placement(graph, cuda);
  return {
    onCpu: onCpu.map(({ label }) => label),
    copies: [...uploads, ...downloads].map(({ name }) => name),
    doubles: [...graph.nodes.flatMap(({ outputs }) => outputs)].filter((value) => value?.dtype === 'float64'),
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
    const { graph } = await readModel(join(data, file));
    const free = graph.input.flatMap(({ type }) =>
      type?.value.case === 'tensorType'
        ? (type.value.value.shape?.dim ?? []).flatMap(({ value }) => (value.case === 'dimParam' ? [value.value] : []))
        : [],
    );
    const dims = Object.fromEntries(free.map((name) => [name, 4]));
    expect(await placed(file, classAxis, dims)).toEqual({ onCpu: [], copies: [], doubles: [] });
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
