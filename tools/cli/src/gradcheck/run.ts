import { gradcheck, TrainingError, type Batch, type BatchTensor, type Gradcheck } from '@adakit/runner-onnx';
import { openTensors } from '@adakit/state/node';
import { openModel } from '../open-model.js';
import { oneLine, print } from '../printable.js';
import { withProgress } from '../progress.js';
import { selectionOf } from '../selection.js';
import { UsageError } from '../usage-error.js';
import type { GradcheckOptions } from './command.js';

/** Runs `adakit gradcheck`. */
export async function checkGradients(path: string, options: GradcheckOptions): Promise<void> {
  const { loss, seed, directions, limit } = options;
  const inputs = options.inputs === undefined ? {} : { inputs: await readInputs(options.inputs) };
  const model = await openModel(path, options);
  const result = await withProgress((say) =>
    gradcheck(model, {
      loss,
      seed,
      directions,
      ...inputs,
      ...selectionOf(options),
      ...(limit === undefined ? {} : { timeLimit: limit }),
      onProgress: ({ done, total, name }) => {
        say(`${done} of ${total} parameters checked, now ${name}`);
      },
    }),
  ).catch((error: unknown) => {
    throw error instanceof TrainingError ? new UsageError(error.message) : error;
  });
  print(options.json ? `${JSON.stringify(result, null, 2)}\n` : formatGradcheck(path, result));
  if (!result.ok) process.exitCode = 1;
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
