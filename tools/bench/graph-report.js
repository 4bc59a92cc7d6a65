/**
 * Of training graphs (forward, backward and Adam) for a target: how many nodes they have, and which of them run on the CPU.
 *
 *     node tools/bench/graph-report.js [TARGET] [--free] [--operators] MODEL.onnx…
 *
 * Free dimensions are fixed at 4 (or `--dim=NAME=SIZE`); `--free` leaves them free.
 */
import { adam } from '@adakit/adam';
import { makePlan } from '@adakit/core';
import {
  crossEntropy,
  gradientsGraph,
  graphFromModel,
  inferShapes,
  operators,
  parseModel,
  placement,
  readModel,
  specialize,
  targets,
  trainStepGraph,
  writeModel,
} from '@adakit/onnx';
import { basename } from 'node:path';

const args = process.argv.slice(2);
const options = args.filter((arg) => arg.startsWith('--'));
const names = args.filter((arg) => !arg.startsWith('--'));
const target = targets[names[0] in targets ? names.shift() : 'ort-cuda'];
const given = Object.fromEntries(
  options.filter((option) => option.startsWith('--dim=')).map((option) => option.slice(6).split('=')),
);

for (const path of names) {
  try {
    report(path, await readModel(path));
  } catch (error) {
    console.log(`${basename(path)}: ${String(error.message).split('\n')[0]}`);
  }
}

function report(path, file) {
  const model = options.includes('--free') ? file : specialize(file, { dims: sizes(file) });
  const started = performance.now();
  const classAxis = file.graph.output[0].type.value.value.shape.dim.length === 3 ? 2 : 1;
  const training = { loss: crossEntropy({ classAxis }), target };
  const { parameters } = gradientsGraph(model, training);
  const step = trainStepGraph(model, { ...training, plan: makePlan(adam(), parameters) });
  const elapsed = performance.now() - started;
  const graph = graphFromModel(parseModel(writeModel(step.model)));
  inferShapes(graph, operators);
  const { onCpu, uploads, downloads } = placement(graph, target);
  const update = graph.nodes.filter(({ name }) => name.includes('_update')).length;
  console.log(
    `${basename(path)}: ${graph.nodes.length} nodes, ${update} of them of the update; on the CPU ${onCpu.length} ` +
      `(${counts(onCpu)}), copies ${uploads.length} up, ${downloads.length} down; written in ${elapsed.toFixed(0)} ms`,
  );
  for (const value of [...uploads, ...downloads]) {
    console.log(
      `  ${value.name}, ${value.producer?.op ?? 'an input'}: copied ${uploads.includes(value) ? 'up' : 'down'}`,
    );
  }
  if (options.includes('--operators'))
    console.log(`  ${counts(graph.nodes.filter(({ name }) => !name.includes('_update')))}`);
}

function sizes({ graph }) {
  const free = graph.input.flatMap(({ type }) =>
    (type?.value.value.shape?.dim ?? []).flatMap(({ value }) => (value.case === 'dimParam' ? [value.value] : [])),
  );
  return Object.fromEntries(free.map((name) => [name, Number(given[name] ?? 4)]));
}

function counts(nodes) {
  const found = new Map();
  for (const { op } of nodes) found.set(op, (found.get(op) ?? 0) + 1);
  return [...found]
    .sort(([, a], [, b]) => b - a)
    .map(([op, count]) => `${count} ${op}`)
    .join(', ');
}
