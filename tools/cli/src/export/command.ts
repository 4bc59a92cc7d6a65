import { join } from 'node:path';
import { clipByGlobalNorm, ema, type Optimizer } from '@adakit/core';
import {
  ARTIFACT_TARGETS,
  exportArtifacts,
  type ArtifactTarget,
  type ComputePrecision,
  type Manifest,
} from '@adakit/onnx';
import { loadOptimizer } from '@adakit/plugins';
import { writeArtifacts } from '@adakit/runner-onnx';
import type { Command } from 'commander';
import { addMemoryOptions, memoryLimitOf, type MemoryOptions } from '../memory-limit.js';
import { computePrecision, positive, repeated, whole } from '../option-values.js';
import { requireFolder } from '../output-place.js';
import { oneLine, print } from '../printable.js';
import * as factories from '../rules.js';
import { addSelectionOptions, selectionOf, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, openModel, type SpecializeOptions } from '../specialize.js';
import { losses, lossOf } from '../train/choices.js';
import { hyperparametersOf } from '../train/prepare.js';
import { known } from '../train/words.js';

interface Options extends SpecializeOptions, SelectionOptions, MemoryOptions {
  readonly loss: string;
  readonly optimizer: string;
  readonly set: readonly string[];
  readonly clip?: number;
  readonly ema?: number;
  readonly stepsPerRun: number;
  readonly feedRandom?: true;
  readonly externalData?: true;
  readonly target: string;
  readonly precision: ComputePrecision;
  readonly out: string;
  readonly json?: true;
}

/** Registers `adakit export`. */
export function addExportCommand(program: Command): void {
  addMemoryOptions(addSelectionOptions(addSpecializeOptions(program.command('export'))))
    .summary('training graphs that run without adakit')
    .description(
      'Writes graphs that train a model in any program with an ONNX runtime, with the initial state and a manifest that\n' +
        'says what is fed and what feeds what: training_model.onnx, optimizer_model.onnx, eval_model.onnx, train_step.onnx,\n' +
        'checkpoint.safetensors, manifest.json. Exit code: 0 written, 2 the model cannot be trained, or an option, file or\n' +
        'package is wrong.',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option(
      '--loss <name>',
      `${Object.keys(losses).join(', ')}; settings as cross-entropy:labelSmoothing=0.1,classAxis=2`,
      'cross-entropy',
    )
    .option(
      '--optimizer <name>',
      'one that comes with the command, a package, or the path of a module or a package; see adakit optimizers',
      'adam',
    )
    .option('--set <name=value>', 'hyperparameter of the optimizer; may be repeated', repeated, [])
    .option('--clip <norm>', 'clip gradients to this norm over all parameters', positive)
    .option('--ema <decay>', 'average the weights over steps, in the slots ema.…', positive)
    .option('--steps-per-run <k>', 'steps in one run of train_step.onnx, over as many minibatches', whole(1), 1)
    .option('--feed-random', 'dropout and noise are fed, in the place of nodes that draw them')
    .option('--target <where>', `where the graphs are to run: ${Object.keys(ARTIFACT_TARGETS).join(', ')}`, 'cpu')
    .option(
      '--precision <type>',
      'what products are computed in: float32 or, with --target cuda, bfloat16; weights stay float32',
      computePrecision,
      'float32',
    )
    .option('--external-data', 'constants in files of their own, as from 2 GiB on in any case')
    .requiredOption('--out <dir>', 'folder to write to; it is made, and files of these names in it are replaced')
    .option('--json', 'print the manifest')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit export mnist-cnn.onnx --optimizer adam --set lr=0.001 --out artifacts\n' +
        '  adakit export net.onnx --loss mse --optimizer sgd --set lr=0.1 --set momentum=0.9 --clip 1 --out artifacts\n' +
        '  adakit export resnet.onnx --train "/^fc/" --target webgpu --out artifacts\n' +
        '  adakit export lm.onnx --loss cross-entropy:classAxis=2 --steps-per-run 16 --target cuda --out artifacts\n' +
        '  adakit export resnet.onnx --memory-limit 512MiB --memory-for batch=64 --out artifacts\n' +
        '  adakit export net.onnx --out artifacts --json | jq .graphs.step.inputs',
    )
    .action((path: string, options: Options) => exportCommand(path, options));
}

async function exportCommand(path: string, options: Options): Promise<void> {
  const { loss } = lossOf(options.loss);
  known('--target', options.target, ARTIFACT_TARGETS);
  const target = options.target as ArtifactTarget;
  const { plugin } = await loadOptimizer(options.optimizer, { included: factories });
  const rule = plugin.load(hyperparametersOf(plugin, options.set));
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
function composed(rule: Optimizer, { clip, ema: decay }: Options): Optimizer {
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
