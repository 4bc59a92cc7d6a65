import type { ComputePrecision } from '@adakit/onnx';
import { InvalidArgumentError, type Command } from 'commander';
import { optimizerNames } from '../known-names.js';
import { addMemoryOptions, type MemoryOptions } from '../memory-options.js';
import { computePrecision, whole } from '../option-values.js';
import { dataHelp } from './known-data.js';
import {
  addLoopOptions,
  addOptimizerOptions,
  addTrainingOptions,
  dataOption,
  type LoopOptions,
  type OptimizerOptions,
  type TrainingOptions,
} from './training-options.js';

/** What `adakit train` has to be told. */
export interface TrainOptions extends TrainingOptions, OptimizerOptions, LoopOptions, MemoryOptions {
  readonly checkpoint?: string;
  readonly keep?: number;
  readonly resume?: true;
  readonly backend: readonly string[];
  readonly precision: ComputePrecision;
  readonly stepsPerRun: number;
  readonly exportPrecision: 'file' | 'float32';
  readonly out?: string;
  readonly plot?: string;
  readonly log?: string;
  readonly quiet?: true;
  readonly json?: true;
}

/** Registers `adakit train`. */
export function addTrainCommand(program: Command): void {
  const command = addTrainingOptions(program.command('train').requiredOption(...dataOption));
  addMemoryOptions(addLoopOptions(addOptimizerOptions(command)))
    .summary('train an ONNX model on data')
    .description(
      'Trains a model and writes it with the trained weights: an inference model again.\n' +
        'Exit code: 0 trained, 1 training failed (what there was is saved), 2 an option, file or package is wrong,\n' +
        '130 interrupted by Ctrl-C, SIGTERM or a closed terminal (what there was is saved).',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option('--checkpoint <dir>', 'save the training there, to go on from')
    .option('--keep <n>', 'checkpoints to keep (3)', whole(1))
    .option('--resume', 'go on from the newest checkpoint, or start if there is none')
    .option(
      '--precision <type>',
      'what products are computed in: float32, float16 (with a scaled loss) or, with cuda, bfloat16; weights stay float32',
      computePrecision,
      'float32',
    )
    .option(
      '--steps-per-run <k>',
      'steps that one run of ONNX Runtime makes: on cuda without koffi, weights and state cross once for all of them',
      whole(1),
      1,
    )
    .option(
      '--export-precision <which>',
      'element types of the written model: those of the file, or float32',
      exportPrecision,
      'file',
    )
    .option('--out <file>', 'where the trained model goes (NAME-trained.onnx in the current folder)')
    .option('--plot <file>', 'draw the training loss: .svg, or .png with the package sharp')
    .option('--log <dir>', 'log to DIR/log.jsonl, and for tensorboard --logdir DIR')
    .option('--quiet', 'no progress')
    .option('--json', 'print what came out as JSON')
    .addHelpText('after', `\n${dataHelp}\n\n${optimizerHelp}\n${examples}`)
    .action(async (path: string, options: TrainOptions) => {
      const { train } = await import('./run.js');
      await train(path, options);
    });
}

const optimizerHelp = `Optimizers: ${optimizerNames.join(', ')}; adakit optimizers NAME says what --set takes.`;

const examples =
  '\nExamples:\n' +
  '  adakit train mnist-cnn.onnx --data mnist --optimizer adadiff --epochs 3 --metrics accuracy --plot loss.svg\n' +
  '  adakit train mlp.onnx --data iris --val 0.2 --set lr=0.01 --epochs 100 --early-stop 10\n' +
  '  adakit train net.onnx --data houses.csv --target price --loss mse --checkpoint run --every 100\n' +
  '  adakit train net.onnx --data houses.csv --target price --loss mse --checkpoint run --every 100 --resume\n' +
  '  adakit train lm.onnx --data text:book.txt --loss cross-entropy:classAxis=2 --schedule cosine --warmup 100 --clip 1';

function exportPrecision(text: string): 'file' | 'float32' {
  if (text === 'file' || text === 'float32') return text;
  throw new InvalidArgumentError('it is file or float32.');
}
