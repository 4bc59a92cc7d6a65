import { openTensors } from '@adakit/state/node';
import { gradcheck, TrainingError, type Batch, type BatchTensor, type Gradcheck } from '@adakit/runner-onnx';
import { InvalidArgumentError, type Command } from 'commander';
import { oneLine, print } from '../printable.js';
import { Progress } from '../progress.js';
import { addSelectionOptions, selectionOf, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, openModel, type SpecializeOptions } from '../specialize.js';
import { UsageError } from '../usage-error.js';

/** Registers `adakit gradcheck`. */
export function addGradcheckCommand(program: Command): void {
  addSelectionOptions(addSpecializeOptions(program.command('gradcheck')))
    .summary('are the gradients of this ONNX model right?')
    .description(
      'Compares the compiled gradient with central differences of the original model in ONNX Runtime.\n' +
        'Inputs are random: numbers, valid indices, sizes that the model runs on. Exit code: 0 they agree, 1 they do not\n' +
        'or nothing can be said, 2 the model cannot be read or run.',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option('--loss <name>', 'mse, cross-entropy, sum, the name of an output, or an ONNX file that computes it', 'mse')
    .option('--inputs <file>', 'safetensors file with inputs by name; random ones by default')
    .option('--seed <n>', 'of all that is random', count, 0)
    .option('--directions <k>', 'random directions for every parameter', count, 2)
    .option(
      '--limit <seconds>',
      'begin no further parameter after that time; those left are said to be unchecked',
      count,
    )
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit gradcheck model.onnx --loss cross-entropy --directions 4\n' +
        '  adakit gradcheck model.onnx --loss loss.onnx\n' +
        '  adakit gradcheck detector.onnx --dim height=640 --dim width=640 --limit 60\n' +
        '  adakit gradcheck vad.onnx --fix sr=16000 --inputs speech.safetensors\n' +
        'Verdicts: ok; wrong; dead (nothing that was fed reaches the loss through the parameter); kink (a corner of the\n' +
        'loss); noise (hidden by the rounding of float32); unchecked (the time was up).',
    )
    .action(async (path: string, options: Options) => {
      const { loss, seed, directions, limit } = options;
      if (directions < 1) throw new UsageError('--directions must be at least 1');
      const inputs = options.inputs === undefined ? {} : { inputs: await readInputs(options.inputs) };
      const model = await openModel(path, options);
      const progress = new Progress();
      const result = await gradcheck(model, {
        loss,
        seed,
        directions,
        ...inputs,
        ...selectionOf(options),
        ...(limit === undefined ? {} : { timeLimit: limit }),
        onProgress: ({ done, total, name }) => {
          progress.update(`${done} of ${total} parameters checked, now ${name}`);
        },
      }).catch((error: unknown) => {
        throw error instanceof TrainingError ? new UsageError(error.message) : error;
      });
      progress.clear();
      print(options.json ? `${JSON.stringify(result, null, 2)}\n` : formatGradcheck(path, result));
      if (!result.ok) process.exitCode = 1;
    });
}

interface Options extends SpecializeOptions, SelectionOptions {
  readonly loss: string;
  readonly inputs?: string;
  readonly seed: number;
  readonly directions: number;
  readonly limit?: number;
  readonly json?: true;
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number is needed.');
  return Number(text);
}

/** Array type and name in ONNX Runtime by safetensors dtype. */
const TYPES = {
  F32: [Float32Array, 'float32'],
  F64: [Float64Array, 'float64'],
  I64: [BigInt64Array, 'int64'],
  I32: [Int32Array, 'int32'],
  U8: [Uint8Array, 'uint8'],
  BOOL: [Uint8Array, 'bool'],
} as const;

async function readInputs(path: string): Promise<Batch> {
  const file = await openTensors(path);
  try {
    const inputs: [string, BatchTensor][] = [];
    for (const name of file.tensors.keys()) {
      const { dtype, shape, bytes } = await file.read(name);
      if (!(dtype in TYPES)) {
        throw new UsageError(`${path}: '${name}' is ${dtype}; inputs can be ${Object.keys(TYPES).join(', ')}`);
      }
      const [array, type] = TYPES[dtype as keyof typeof TYPES];
      // A copy, which starts at a multiple of the element size.
      inputs.push([name, { data: new array(new Uint8Array(bytes).buffer), dims: shape, type }]);
    }
    return Object.fromEntries(inputs);
  } finally {
    await file.close();
  }
}

/** The findings as text for people. */
function formatGradcheck(path: string, { loss, parameters, maxRelError, ok }: Gradcheck): string {
  const width = Math.max(9, ...parameters.map(({ name }) => oneLine(name).length));
  const columns = (name: string, ...rest: string[]) =>
    `${name.padEnd(width)}${rest.map((text) => text.padStart(12)).join('')}`;
  const short = (value: number) => (Number.isNaN(value) ? '–' : value.toPrecision(4));
  const error = (value: number) => (Number.isNaN(value) ? '–' : value.toExponential(1));
  return [
    `${path}: ${ok ? 'the gradients agree with differences' : 'NOT CONFIRMED'}`,
    `loss ${short(loss)}, largest relative error ${maxRelError.toExponential(1)}; ${summary(parameters)}`,
    columns('parameter', '|gradient|', 'slope', 'numeric', 'rel. error', 'verdict'),
    ...parameters.map(({ name, norm, directional, numeric, relError, verdict }) =>
      columns(oneLine(name), short(norm), short(directional), short(numeric), error(relError), verdict),
    ),
    '',
  ].join('\n');
}

/** How many parameters there are of each verdict. */
function summary(parameters: Gradcheck['parameters']): string {
  const counts = new Map<string, number>();
  for (const { verdict } of parameters) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  return [...counts].map(([verdict, number]) => `${number} ${verdict}`).join(', ');
}
