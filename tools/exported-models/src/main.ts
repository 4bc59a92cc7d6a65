// How exported networks compare with PyTorch, as a table in Markdown.
//
//   npm run build && node tools/exported-models/dist/main.js [FOLDER] [--only REGEXP] [--seconds 60] [--python PYTHON]
//
// FOLDER is one that exported_models.py has written, by default that of the repository. With PYTHON, an interpreter
// that has PyTorch, training steps are timed against its eager ones, in turn, with two threads each; that takes a FOLDER
// of full size. Gradients are compared with differences for so many SECONDS a model.

import { dataFile } from '@adakit/fixtures';
import { readModel } from '@adakit/onnx';
import { parseArgs } from 'node:util';
import {
  compareDifferences,
  compareGradients,
  compareTraining,
  trainingSession,
  worst,
  type Deviation,
} from './compare.js';
import { EagerPyTorch } from './eager.js';
import { modelsOf, readFixtures, readReference, type ExportedModel } from './fixture.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '60' },
    python: { type: 'string' },
  },
});

const HEADER = [
  'model',
  'exporter',
  'parameters',
  'nodes',
  'confirmed by differences',
  'worst',
  'loss',
  'gradients',
  'statistics',
  '20 steps',
];
const TIMING = ['ms a step', 'eager PyTorch'];

const digits = (value: number) => value.toExponential(0);
const largest = (deviations: readonly Deviation[]) =>
  deviations.length === 0 ? '' : digits(Math.max(...deviations.map(({ error }) => error)));

/** The largest deviation, in bold where it is beyond its bound. */
function judged(deviations: readonly Deviation[]): string {
  if (deviations.length === 0) return '';
  const { error, bound } = worst(deviations);
  return error <= bound ? largest(deviations) : `**${largest(deviations)}**`;
}

async function rowOf(exported: ExportedModel): Promise<string[]> {
  const { fixture, file, path } = exported;
  const reference = await readReference(exported);
  const model = await readModel(path);
  const nodes = model.graph.node.length;
  const { loss, gradients, statistics } = await compareGradients(exported, reference);
  const training = await compareTraining(exported, reference);
  const check = await compareDifferences(exported, reference, { timeLimit: Number(options.seconds) });
  const confirmed = check.parameters.filter(({ verdict }) => verdict === 'ok').length;
  const { exporter, opset } = fixture.models[file];
  return [
    file.replace('.onnx', ''),
    `${exporter}, opset ${opset}`,
    fixture.parameterCount.toLocaleString('en'),
    String(nodes),
    `${check.parameters.some(({ verdict }) => verdict === 'wrong') ? '**wrong** ' : ''}${confirmed} of ${check.parameters.length}`,
    digits(check.maxRelError),
    judged([loss]),
    judged(gradients),
    judged(statistics),
    judged(training),
  ];
}

/** The fastest of a few rounds, in turn: what else the machine does slows both down. */
async function timed(exported: ExportedModel, python: string): Promise<string[]> {
  const { batches } = await readReference(exported);
  const session = await trainingSession(exported, await readModel(exported.path), 2);
  const eager = await EagerPyTorch.start(python, exported.fixture.network);
  const steps = 3;
  let [ours, theirs] = [Infinity, Infinity];
  for (let round = 0; round < 5; round++) {
    const began = performance.now();
    for (let step = 0; step < steps; step++) await session.step(batches[0]);
    ours = Math.min(ours, (performance.now() - began) / steps);
    theirs = Math.min(theirs, await eager.time(steps));
  }
  await eager.stop();
  await session.dispose();
  return [ours.toFixed(0), theirs.toFixed(0)];
}

const { python } = options;
const line = (cells: readonly string[]) => {
  console.log(`| ${cells.join(' | ')} |`);
};
const header = python === undefined ? HEADER : [...HEADER, ...TIMING];
line(header);
line(header.map((_, column) => (column < 2 ? '---' : '---:')));
for (const fixture of readFixtures(positionals[0] ?? dataFile('exported'))) {
  for (const exported of modelsOf(fixture)) {
    if (!new RegExp(options.only).test(exported.file)) continue;
    line([...(await rowOf(exported)), ...(python === undefined ? [] : await timed(exported, python))]);
  }
}
