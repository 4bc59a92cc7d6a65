import { join } from 'node:path';
import { clipByGlobalNorm, ema, type Optimizer } from '@adakit/core';
import { ARTIFACT_TARGETS, exportArtifacts, type ArtifactTarget, type Manifest } from '@adakit/onnx';
import { loadOptimizer } from '@adakit/plugins';
import { writeArtifacts } from '@adakit/runner-onnx';
import { loadRule } from '../load-rule.js';
import { memoryLimitOf } from '../memory-limit.js';
import { openModel } from '../open-model.js';
import { requireFolder } from '../output-place.js';
import { oneLine, print } from '../printable.js';
import { included } from '../included.js';
import { selectionOf } from '../selection.js';
import { lossOf } from '../train/choices.js';
import { hyperparametersOf } from '../train/prepare.js';
import { known } from '../train/words.js';
import type { ExportOptions } from './command.js';

/** Runs `adakit export`. */
export async function exportGraphs(path: string, options: ExportOptions): Promise<void> {
  const { loss } = lossOf(options.loss);
  known('--target', options.target, ARTIFACT_TARGETS);
  const target = options.target as ArtifactTarget;
  const { plugin } = await loadOptimizer(options.optimizer, { included });
  const rule = loadRule(plugin, hyperparametersOf(plugin, options.set));
  await requireFolder('--out', options.out);
  const model = await openModel(path, options);
  const artifacts = await exportArtifacts(model, {
    loss,
    optimizer: composed(rule, options),
    target,
    stepsPerRun: options.stepsPerRun,
    feedRandom: options.feedRandom === true,
    precision: options.precision,
    ...memoryLimitOf(model, options),
    ...selectionOf(options),
  });
  const manifest = await writeArtifacts(options.out, artifacts, {
    ...(options.externalData === true && { externalData: true }),
  });
  print(options.json === true ? `${JSON.stringify(manifest, null, 2)}\n` : summary(options.out, manifest));
}

/** Clipping inside averages, as when training. */
function composed(rule: Optimizer, { clip, ema: decay }: ExportOptions): Optimizer {
  const clipped = clip === undefined ? rule : clipByGlobalNorm(clip, rule);
  return decay === undefined ? clipped : ema(decay, clipped);
}

function summary(folder: string, { files, tensors, graphs, target, stepsPerRun, draws }: Manifest): string {
  const count = (role: string): number => tensors.filter((tensor) => tensor.role === role).length;
  const fed = graphs.step.inputs.filter(({ tensor }) => tensor === undefined);
  const lines = [
    `${count('parameter')} parameters, ${count('slot')} slots, ${count('statistic')} statistics, for ${target.name}`,
    ...Object.entries(files).map(([name, { bytes }]) => `${join(folder, name)}  ${bytes.toLocaleString('en')} bytes`),
    join(folder, 'manifest.json'),
    `train_step.onnx takes ${stepsPerRun === 1 ? 'one step' : `${stepsPerRun} steps`} a run and is fed, beside what it gave back:`,
    ...fed.map(
      ({ name, dtype, shape, role, value }) =>
        `  ${name}  ${dtype} [${shape.join(', ')}]  ${role}${value === undefined ? '' : ` ${value}`}`,
    ),
    ...(draws.length === 0 ? [] : [`drawn by the runtime: ${draws.join(', ')}; --feed-random makes these inputs`]),
  ];
  return `${lines.map(oneLine).join('\n')}\n`;
}
