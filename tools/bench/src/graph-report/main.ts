import { basename } from 'node:path';
import { adam } from '@adakit/adam';
import { AdakitError, closestName, makePlan } from '@adakit/core';
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
  type Model,
  type Node,
  type Target,
} from '@adakit/onnx';
import { main, parse, UsageError } from '../command-line.js';
import { classAxisOf, fixedSizes, sizesOf } from '../model-files.js';

const help = `Of training graphs (forward, backward and Adam) for a target: how many nodes they have, and which run on the CPU.

usage: npm run graph-report -- [TARGET] MODEL.onnx… [options]

TARGET is ${Object.keys(targets).join(', ')}; ort-cuda by default.

  --dim NAME=SIZE  size of a free dimension (default 4); may be repeated
  --free           leave free dimensions free
  --operators      count operators outside of the update too
  --help           this text

Examples:
  npm run graph-report -- model.onnx
  npm run graph-report -- ort-webgpu resnet.onnx gpt.onnx --dim=batch=32 --operators`;

interface Options {
  readonly target: Target;
  /** Sizes of free dimensions; undefined where they stay free. */
  readonly dims: Readonly<Record<string, number>> | undefined;
  readonly operators: boolean;
}

await main({
  name: 'graph-report',
  help,
  async run(args) {
    const { options, paths } = parseOptions(args);
    for (const path of paths) {
      try {
        console.log(report(path, await readModel(path), options));
      } catch (error) {
        // The others are reported nevertheless.
        if (!(error instanceof AdakitError)) throw error;
        console.error(`${basename(path)}: ${error.message.split('\n')[0]}`);
        process.exitCode = 1;
      }
    }
  },
});

/** @throws UsageError */
function parseOptions(args: readonly string[]): { readonly options: Options; readonly paths: readonly string[] } {
  const { values, positionals } = parse({
    args: [...args],
    allowPositionals: true,
    options: {
      dim: { type: 'string', multiple: true },
      free: { type: 'boolean', default: false },
      operators: { type: 'boolean', default: false },
    },
  });
  const named = targetNamed(positionals.at(0));
  const paths = named === undefined ? positionals : positionals.slice(1);
  if (paths.length === 0) throw new UsageError('name the ONNX files to report on');
  if (values.free && values.dim !== undefined) throw new UsageError('--free leaves no dimension to give a size: --dim');
  return {
    options: {
      target: named ?? targets['ort-cuda'],
      dims: values.free ? undefined : sizesOf(values.dim),
      operators: values.operators,
    },
    paths,
  };
}

/** The target of a name, undefined for a file. @throws UsageError for what looks like neither */
function targetNamed(name = ''): Target | undefined {
  const known: Readonly<Record<string, Target>> = targets;
  if (Object.hasOwn(known, name)) return known[name];
  const suggestion = closestName(name, Object.keys(known));
  if (suggestion !== undefined) throw new UsageError(`there is no target ${name}, did you mean ${suggestion}?`);
  return undefined;
}

function report(path: string, file: Model, options: Options): string {
  const model = options.dims === undefined ? file : specialize(file, { dims: fixedSizes(file, options.dims) });
  const started = performance.now();
  const training = { loss: crossEntropy({ classAxis: classAxisOf(file) }), target: options.target };
  const { parameters } = gradientsGraph(model, training);
  const step = trainStepGraph(model, { ...training, plan: makePlan(adam(), parameters) });
  const elapsed = performance.now() - started;
  const graph = graphFromModel(parseModel(writeModel(step.model)));
  inferShapes(graph, operators);
  const { onCpu, uploads, downloads } = placement(graph, options.target);
  const others = graph.nodes.filter(({ name }) => !name.includes('_update'));
  const copied = [
    ...uploads.map((value) => ({ value, way: 'up' })),
    ...downloads.map((value) => ({ value, way: 'down' })),
  ];
  return [
    `${basename(path)}: ${graph.nodes.length} nodes, ${graph.nodes.length - others.length} of them of the update; on the CPU ` +
      `${onCpu.length} (${counts(onCpu)}), copies ${uploads.length} up, ${downloads.length} down; written in ${elapsed.toFixed(0)} ms`,
    ...copied.map(({ value, way }) => `  ${value.name}, ${value.producer?.op ?? 'an input'}: copied ${way}`),
    ...(options.operators ? [`  ${counts(others)}`] : []),
  ].join('\n');
}

/** How many nodes of each operator, the most first. */
function counts(nodes: readonly Node[]): string {
  const found = new Map<string, number>();
  for (const { op } of nodes) found.set(op, (found.get(op) ?? 0) + 1);
  return [...found]
    .sort(([, a], [, b]) => b - a)
    .map(([op, count]) => `${count} ${op}`)
    .join(', ');
}
