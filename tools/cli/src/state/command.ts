import { InvalidArgumentError, Option, type Command } from 'commander';
import { whole } from '../option-values.js';
import { pluginOption } from '../plugin-option.js';

/** What `adakit state convert` has to be told. */
export interface ConvertCommandOptions {
  readonly dtype?: 'float32' | 'float64';
  readonly mapping?: string;
  readonly like?: string;
  readonly hint?: readonly unknown[];
  readonly saveMapping?: string;
  readonly optimizer?: string;
  readonly set?: Readonly<Record<string, number | boolean | string>>;
  readonly slot?: Readonly<Record<string, string>>;
  readonly plugin: readonly string[];
  readonly inPlace?: true;
  readonly json?: true;
}

/** What `adakit state diff` has to be told. */
export interface DiffCommandOptions {
  readonly tolerance: number;
  readonly json?: true;
}

/** What `adakit state verify` has to be told. */
export interface VerifyCommandOptions {
  readonly finite?: true;
  readonly plugin: readonly string[];
  readonly json?: true;
}

/** What `adakit state from-torch` has to be told. */
export interface FromTorchOptions {
  readonly step?: number;
  readonly json?: true;
}

/** What `adakit state to-torch` has to be told. */
export interface ToTorchOptions {
  readonly json?: true;
}

/** Registers `adakit state` with its subcommands. */
export function addStateCommand(program: Command): void {
  const state = program
    .command('state')
    .summary('convert, compare and check training states')
    .description('Works on training states in files. `adakit inspect` shows what is in one.');
  addConvert(state);
  addDiff(state);
  addVerify(state);
  addFromTorch(state);
  addToTorch(state);
}

function addConvert(state: Command): void {
  state
    .command('convert')
    .summary('another element type, other names and layouts, another optimizer')
    .description(
      'Writes a training state anew: under other names and in other layouts, for another optimizer or with other ' +
        'hyperparameters, in another element type; in this order. Prints what was done.',
    )
    .argument('<in>', 'training state; - for standard input')
    .argument('<out>', 'where to write; - for standard output, and the report goes to standard error')
    .addOption(new Option('--dtype <type>', 'element type of parameters and slots').choices(['float32', 'float64']))
    .addOption(new Option('--mapping <file>', 'names and layouts: JSON, see docs/switching.md').conflicts('like'))
    .option('--like <file>', 'names and layouts of this state, ONNX model or safetensors file; derived')
    .option('--hint <json>', 'with --like: what is ambiguous, e.g. {"from":"a","to":"b"}; may be repeated', parseHint)
    .option('--save-mapping <file>', 'also write the mapping that was derived')
    .option('--optimizer <name>', 'go on with this optimizer, found as adakit train finds it')
    .option('--set <name=value>', 'a hyperparameter, e.g. lr=1e-4; may be repeated', parseSetting)
    .option('--slot <new=old>', 'take the saved slot "old" as the slot "new"; may be repeated', parseSlot)
    .addOption(pluginOption())
    .option('--in-place', 'the file may be replaced by what becomes of it')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
Examples:
  adakit state convert tfjs.safetensors onnx.safetensors --like model.onnx --save-mapping map.json
  adakit state convert adam.safetensors belief.safetensors --optimizer adabelief --set lr=1e-3
  adakit state convert run.safetensors lower.safetensors --set lr=1e-5
  adakit state convert run.safetensors double.safetensors --dtype float64`,
    )
    .action(async (source: string, target: string, options: ConvertCommandOptions) => {
      const { convert } = await import('./run.js');
      await convert(source, target, options);
    });
}

function addDiff(state: Command): void {
  state
    .command('diff')
    .summary('compare two training states')
    .description(
      'Compares two training states, or two safetensors files: optimizer, hyperparameters, steps, and every tensor. ' +
        'Exit code: 0 the same, 1 different, 2 a file is wrong.',
    )
    .argument('<a>', 'file; - for standard input')
    .argument('<b>', 'file; - for standard input')
    .option('--tolerance <t>', "allowed |a - b|, relative to a tensor's largest magnitude", parseTolerance, 0)
    .option('--json', 'print the comparison as JSON')
    .addHelpText(
      'after',
      `
Examples:
  adakit state diff interrupted.safetensors uninterrupted.safetensors
  adakit state diff tfjs.safetensors onnx.safetensors --tolerance 1e-5`,
    )
    .action(async (a: string, b: string, options: DiffCommandOptions) => {
      const { diff } = await import('./run.js');
      await diff(a, b, options);
    });
}

function addVerify(state: Command): void {
  state
    .command('verify')
    .summary('check structure and checksums')
    .description(
      'Checks that files are training states as they were written, every byte of them, in constant memory. ' +
        'Exit code: 0 all valid, 1 some not.',
    )
    .argument('<file...>', 'training states; - for standard input')
    .option('--finite', 'also refuse infinities and NaN in parameters and slots')
    .addOption(pluginOption())
    .option('--json', 'print an array of results')
    .addHelpText(
      'after',
      `
Examples:
  adakit state verify run/*.safetensors
  adakit state verify run/step-1000.safetensors --finite`,
    )
    .action(async (files: readonly string[], options: VerifyCommandOptions) => {
      const { verify } = await import('./run.js');
      await verify(files, options);
    });
}

function addFromTorch(state: Command): void {
  state
    .command('from-torch')
    .summary('a training state from what PyTorch saved')
    .description(
      'Converts the model and optimizer that the Python function save() in docs/switching.md wrote: torch.optim.Adam, ' +
        'AdamW, SGD, RMSprop, Rprop, Adagrad, Adadelta, Adamax, NAdam, RAdam and Adafactor, ' +
        "and the authors' AdaBelief, AdaBound and AdaDiff.",
    )
    .argument('<in>', 'safetensors file from PyTorch; - for standard input')
    .argument('<out>', 'training state to write; - for standard output')
    .option('--step <n>', 'steps of the run, for optimizers that do not count them', whole(0))
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
Examples:
  adakit state from-torch torch.safetensors run.safetensors
  adakit state from-torch sgd.safetensors run.safetensors --step 500`,
    )
    .action(async (source: string, target: string, options: FromTorchOptions) => {
      const { convertFromTorch } = await import('./run.js');
      await convertFromTorch(source, target, options);
    });
}

function addToTorch(state: Command): void {
  state
    .command('to-torch')
    .summary('a training state for PyTorch')
    .description('Converts a training state to what the Python function load() in docs/switching.md reads.')
    .argument('<in>', 'training state; - for standard input')
    .argument('<out>', 'safetensors file to write; - for standard output')
    .option('--json', 'print the report as JSON')
    .addHelpText('after', '\nExample:\n  adakit state to-torch run/step-1000.safetensors torch.safetensors')
    .action(async (source: string, target: string, options: ToTorchOptions) => {
      const { convertToTorch } = await import('./run.js');
      await convertToTorch(source, target, options);
    });
}

/** JSON; what it has to say is checked where it is used. */
function parseHint(text: string, earlier: readonly unknown[] = []): readonly unknown[] {
  try {
    return [...earlier, JSON.parse(text)];
  } catch {
    throw new InvalidArgumentError('It is not JSON.');
  }
}

function parseSetting(
  text: string,
  earlier: Record<string, number | boolean | string> = {},
): Record<string, number | boolean | string> {
  const [name, value] = split(text);
  const booleans: Readonly<Record<string, boolean>> = { true: true, false: false };
  if (Object.hasOwn(booleans, value)) return { ...earlier, [name]: booleans[value] };
  if (value.trim() === '') throw new InvalidArgumentError('The value is missing.');
  // A word is a choice of the optimizer, which says whether it has it.
  return { ...earlier, [name]: Number.isFinite(Number(value)) ? Number(value) : value };
}

function parseSlot(text: string, earlier: Record<string, string> = {}): Record<string, string> {
  const [name, source] = split(text);
  return { ...earlier, [name]: source };
}

function split(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('It must be <name>=<value>.');
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseTolerance(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0)) throw new InvalidArgumentError('It must be a number that is not negative.');
  return value;
}
