import { existsSync } from 'node:fs';
import { closestName } from '@adakit/core';
import { parse, UsageError, wholeNumber } from '../command-line.js';
import { sizesOf } from '../model-files.js';
import { networks } from '../networks.js';
import { written } from './written.js';

export const help = `Where a training step goes: ONNX Runtime's own profile, by operator.

usage: npm run profile -- MODEL [options]

MODEL is an ONNX file, or one of the networks of the benchmarks: ${Object.keys(networks).join(', ')}.
With ADAKIT_PYTHON, a Python that has PyTorch, a network is that of PyTorch, which trains and profiles it as well, and
both stand beside each other by what the work is for. Without, PyTorch's side is left out, and of the networks there are
${Object.keys(written).join(' and ')}. Times are of a process that profiles, which is slower than one that does not: shares and
ratios are what to read.

  --steps N         steps after the first (default 5)
  --threads N       threads of each side (default 1)
  --provider NAME   execution provider (default cpu)
  --update HOW      where the update is computed: auto (default), fused or graph
  --dim NAME=SIZE   size of a free dimension of a file (default 4); may be repeated
  --class-axis N    axis of the classes in the output of a file (default 2 of three axes, 1 otherwise)
  --json            everything as JSON
  --help            this text

Examples:
  npm run profile -- cnn --threads=2
  ADAKIT_PYTHON=python3 npm run profile -- resnet18 --threads=2 --json
  npm run profile -- model.onnx --dim=batch=32 --update=graph`;

/** Where the update is computed, as `TrainingSession` takes it. */
const UPDATES = ['auto', 'fused', 'graph'] as const;

export interface Options {
  /** The path of a file, or the name of a network. */
  readonly model: string;
  readonly steps: number;
  readonly threads: number;
  readonly provider: string;
  readonly update: (typeof UPDATES)[number];
  /** Sizes of free dimensions. */
  readonly dims: Readonly<Record<string, number>>;
  readonly classAxis: number | undefined;
  readonly json: boolean;
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parse({
    args: [...args],
    allowPositionals: true,
    options: {
      steps: { type: 'string', default: '5' },
      threads: { type: 'string', default: '1' },
      provider: { type: 'string', default: 'cpu' },
      update: { type: 'string', default: 'auto' },
      dim: { type: 'string', multiple: true },
      'class-axis': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const update = UPDATES.find((name) => name === values.update);
  if (update === undefined) throw new UsageError(`--update must be ${UPDATES.join(', ')}, got '${values.update}'`);
  const axis = values['class-axis'];
  const model = modelOf(positionals);
  if (Object.hasOwn(networks, model) && (values.dim !== undefined || axis !== undefined)) {
    throw new UsageError(`--dim and --class-axis are for files; ${model} has its own`);
  }
  return {
    model,
    steps: wholeNumber('--steps', values.steps),
    threads: wholeNumber('--threads', values.threads),
    provider: values.provider,
    update,
    dims: sizesOf(values.dim),
    classAxis: axis === undefined ? undefined : wholeNumber('--class-axis', axis),
    json: values.json,
  };
}

function modelOf(positionals: readonly string[]): string {
  const names = Object.keys(networks);
  if (positionals.length !== 1) {
    throw new UsageError(`name one model, an ONNX file or ${names.join(', ')}; got ${positionals.length}`);
  }
  const [model] = positionals;
  if (Object.hasOwn(networks, model) || existsSync(model)) return model;
  const suggestion = closestName(model, names);
  throw new UsageError(
    `${model} is neither a file nor a network of the benchmarks (${names.join(', ')})` +
      (suggestion === undefined ? '' : `, did you mean ${suggestion}?`),
  );
}
