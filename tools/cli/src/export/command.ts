import type { ComputePrecision } from '@adakit/onnx';
import type { Command } from 'commander';
import { targetNames } from '../known-names.js';
import { addMemoryOptions, type MemoryOptions } from '../memory-options.js';
import { computePrecision, positive, whole } from '../option-values.js';
import { addSelectionOptions, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, type SpecializeOptions } from '../specialize-options.js';
import { addOptimizerOptions, lossOption, type OptimizerOptions } from '../train/training-options.js';

/** What `adakit export` has to be told. */
export interface ExportOptions extends SpecializeOptions, SelectionOptions, MemoryOptions, OptimizerOptions {
  readonly loss: string;
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
  const command = addMemoryOptions(addSelectionOptions(addSpecializeOptions(program.command('export'))));
  addOptimizerOptions(command.option(...lossOption))
    .summary('training graphs that run without adakit')
    .description(
      'Writes graphs that train a model in any program with an ONNX runtime, with the initial state and a manifest that\n' +
        'says what is fed and what feeds what: training_model.onnx, optimizer_model.onnx, eval_model.onnx, train_step.onnx,\n' +
        'checkpoint.safetensors, manifest.json. Exit code: 0 written, 2 the model cannot be trained, or an option, file or\n' +
        'package is wrong.',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option('--clip <norm>', 'clip gradients to this norm over all parameters', positive)
    .option('--ema <decay>', 'average the weights over steps, in the slots ema.…', positive)
    .option('--steps-per-run <k>', 'steps in one run of train_step.onnx, over as many minibatches', whole(1), 1)
    .option('--feed-random', 'dropout and noise are fed, in the place of nodes that draw them')
    .option('--target <where>', `where the graphs are to run: ${targetNames.join(', ')}`, 'cpu')
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
    .action(async (path: string, options: ExportOptions) => {
      const { exportGraphs } = await import('./run.js');
      await exportGraphs(path, options);
    });
}
