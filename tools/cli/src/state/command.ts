import { writeFile } from 'node:fs/promises';
import type { MappingHint } from '@adakit/state';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { z } from 'zod';
import { convertFile, formatConversion, readMappings, type ConvertOptions } from './convert.js';
import { diffFiles, formatDifference } from './diff.js';
import { fromTorch, type TorchReport } from './torch/from-torch.js';
import { toTorch } from './torch/to-torch.js';
import { formatVerifications, verifyFile, type Verification } from './verify.js';
import { pluginOption } from '../plugin-option.js';
import { requireOneStandardInput, STANDARD, withSource, withTarget } from '../standard-streams.js';
import { oneLine, print, printable } from '../printable.js';

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

interface ConvertFlags {
  dtype?: 'float32' | 'float64';
  mapping?: string;
  like?: string;
  hint?: MappingHint[];
  saveMapping?: string;
  optimizer?: string;
  set?: Record<string, number | boolean | string>;
  slot?: Record<string, string>;
  plugin: readonly string[];
  inPlace?: true;
  json?: true;
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
    .option('--hint <json>', 'with --like: what is ambiguous, e.g. {"from":"a","to":"b"}; repeatable', parseHint)
    .option('--save-mapping <file>', 'also write the mapping that was derived')
    .option('--optimizer <name>', 'go on with this optimizer, found as adakit train finds it')
    .option('--set <name=value>', 'a hyperparameter, e.g. lr=1e-4; repeatable', parseSetting)
    .option('--slot <new=old>', 'take the saved slot "old" as the slot "new"; repeatable', parseSlot)
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
    .action(async (source: string, target: string, flags: ConvertFlags) => {
      const { dtype, like, hint, optimizer, set, slot } = flags;
      const options: ConvertOptions = {
        ...(dtype && { dtype }),
        ...(flags.mapping !== undefined && { mapping: await readMappings(flags.mapping) }),
        ...(like !== undefined && { like }),
        ...(hint && { hints: hint }),
        ...(optimizer !== undefined && { optimizer }),
        ...(set && { hyperparameters: set }),
        ...(slot && { slots: slot }),
        plugins: flags.plugin,
        ...(flags.inPlace && { inPlace: true }),
      };
      const report = await between(source, target, (from, to) => convertFile(from, to, options));
      if (flags.saveMapping !== undefined) {
        await writeFile(flags.saveMapping, `${JSON.stringify(report.mappings ?? [], null, 2)}\n`);
      }
      say(target, flags.json ? json(report) : formatConversion(named(target), report));
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
    .action(async (a: string, b: string, flags: { tolerance: number; json?: true }) => {
      requireOneStandardInput([a, b]);
      const difference = await withSource(a, (first) =>
        withSource(b, (second) => diffFiles(first, second, flags.tolerance)),
      );
      print(flags.json ? json(difference) : formatDifference(difference, flags.tolerance));
      if (!difference.same) process.exitCode = 1;
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
    .action(async (files: readonly string[], flags: { finite?: true; plugin: readonly string[]; json?: true }) => {
      requireOneStandardInput(files);
      const options = { finite: flags.finite === true, plugins: flags.plugin };
      const verifications: Verification[] = [];
      for (const file of files) verifications.push(await withSource(file, (path) => verifyFile(path, options)));
      print(flags.json ? json(verifications) : formatVerifications(verifications));
      if (verifications.some(({ valid }) => !valid)) process.exitCode = 1;
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
    .option('--step <n>', 'steps of the run, for optimizers that do not count them', parseStep)
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
Examples:
  adakit state from-torch torch.safetensors run.safetensors
  adakit state from-torch sgd.safetensors run.safetensors --step 500`,
    )
    .action(async (source: string, target: string, flags: { step?: number; json?: true }) => {
      const report = await between(source, target, (from, to) => fromTorch(from, to, flags.step));
      say(target, flags.json ? json(report) : formatTorchReport(named(target), report));
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
    .action(async (source: string, target: string, flags: { json?: true }) => {
      const report = await between(source, target, toTorch);
      say(target, flags.json ? json(report) : formatTorchReport(named(target), report));
    });
}

/** From a file to another, either of which may be a standard stream. */
function between<T>(source: string, target: string, work: (from: string, to: string) => Promise<T>): Promise<T> {
  return withSource(source, (from) => withTarget(target, (to) => work(from, to)));
}

const named = (target: string): string => (target === STANDARD ? 'standard output' : target);

/** Prints a report, beside what is written to standard output. */
function say(target: string, report: string): void {
  if (target === STANDARD) process.stderr.write(printable(report));
  else print(report);
}

function formatTorchReport(target: string, report: TorchReport): string {
  const { class: torchClass, optimizer, step, parameters, groups, notes } = report;
  const lines = [
    `${target}: ${torchClass} of PyTorch, ${optimizer} here, at step ${step}`,
    `  ${parameters} parameters in ${groups} group${groups === 1 ? '' : 's'}`,
    ...notes.map((note) => `  note: ${note}`),
  ];
  return `${lines.map(oneLine).join('\n')}\n`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

const sizes = z.array(z.int().nonnegative());
const hintSchema: z.ZodType<MappingHint> = z.strictObject({
  from: z.string(),
  to: z.string().exactOptional(),
  view: sizes.exactOptional(),
  permute: sizes.exactOptional(),
  shape: sizes.exactOptional(),
  inputChannels: z.int().positive().exactOptional(),
  outputChannels: z.int().positive().exactOptional(),
});

function parseHint(text: string, earlier: MappingHint[] = []): MappingHint[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new InvalidArgumentError('It is not JSON.');
  }
  const result = hintSchema.safeParse(json);
  if (result.success) return [...earlier, result.data];
  const [{ path, message }] = result.error.issues;
  throw new InvalidArgumentError(`${path.map(String).join('.') || 'It'}: ${message}.`);
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

function parseStep(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError('It must be a count.');
  return value;
}
