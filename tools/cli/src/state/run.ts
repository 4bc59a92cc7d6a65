import type { MappingHint } from '@adakit/state';
import { writeFileAtomically } from '@adakit/state/node';
import { z } from 'zod';
import { isSameFile, requireFolderOf } from '../output-place.js';
import { oneLine, print, printable } from '../printable.js';
import { withProgress } from '../progress.js';
import { requireOneStandardInput, STANDARD, withSource, withTarget } from '../standard-streams.js';
import { UsageError } from '../usage-error.js';
import type {
  ConvertCommandOptions,
  DiffCommandOptions,
  FromTorchOptions,
  ToTorchOptions,
  VerifyCommandOptions,
} from './command.js';
import { convertFile, formatConversion, readMappings, type ConvertOptions } from './convert.js';
import { diffFiles, formatDifference } from './diff.js';
import type { TorchReport } from './torch/from-torch.js';
import { formatVerifications, verifyFile, type Verification } from './verify.js';

/** Runs `adakit state convert`. */
export async function convert(source: string, target: string, flags: ConvertCommandOptions): Promise<void> {
  const { dtype, like, hint, optimizer, set, slot } = flags;
  const options: ConvertOptions = {
    ...(dtype && { dtype }),
    ...(flags.mapping !== undefined && { mapping: await readMappings(flags.mapping) }),
    ...(like !== undefined && { like }),
    ...(hint && { hints: hint.map(parseHint) }),
    ...(optimizer !== undefined && { optimizer }),
    ...(set && { hyperparameters: set }),
    ...(slot && { slots: slot }),
    plugins: flags.plugin,
    ...(flags.inPlace && { inPlace: true }),
  };
  if (flags.saveMapping !== undefined) {
    if (like === undefined) throw new UsageError('--save-mapping writes what --like derives; give --like FILE');
    requireFolderOf('--save-mapping', flags.saveMapping);
  }
  const report = await withProgress((say) =>
    between(source, target, (from, to) => convertFile(from, to, { ...options, say })),
  );
  if (flags.saveMapping !== undefined) {
    await writeFileAtomically(flags.saveMapping, Buffer.from(json(report.mappings ?? [])));
  }
  say(target, flags.json ? json(report) : formatConversion(named(target), report));
}

/** Runs `adakit state diff`. */
export async function diff(a: string, b: string, flags: DiffCommandOptions): Promise<void> {
  requireOneStandardInput([a, b]);
  const difference = await withSource(a, (first) =>
    withSource(b, (second) => diffFiles(first, second, flags.tolerance)),
  );
  print(flags.json ? json(difference) : formatDifference(difference, flags.tolerance));
  if (!difference.same) process.exitCode = 1;
}

/** Runs `adakit state verify`. */
export async function verify(files: readonly string[], flags: VerifyCommandOptions): Promise<void> {
  requireOneStandardInput(files);
  const finite = flags.finite === true;
  const verifications: Verification[] = [];
  await withProgress(async (say) => {
    for (const file of files) {
      const onPart = (tensor: string): void => {
        say(`${file}: reading ${tensor}`);
      };
      const options = { finite, plugins: flags.plugin, onPart };
      verifications.push(await withSource(file, (path) => verifyFile(path, options)));
    }
  });
  print(flags.json ? json(verifications) : formatVerifications(verifications));
  if (verifications.some(({ valid }) => !valid)) process.exitCode = 1;
}

/** Runs `adakit state from-torch`. */
export async function convertFromTorch(source: string, target: string, flags: FromTorchOptions): Promise<void> {
  const { fromTorch } = await import('./torch/from-torch.js');
  const report = await betweenFiles(source, target, (from, to) => fromTorch(from, to, flags.step));
  say(target, flags.json ? json(report) : formatTorchReport(named(target), report));
}

/** Runs `adakit state to-torch`. */
export async function convertToTorch(source: string, target: string, flags: ToTorchOptions): Promise<void> {
  const { toTorch } = await import('./torch/to-torch.js');
  const report = await betweenFiles(source, target, toTorch);
  say(target, flags.json ? json(report) : formatTorchReport(named(target), report));
}

/** From a file to another, either of which may be a standard stream. */
function between<T>(source: string, target: string, work: (from: string, to: string) => Promise<T>): Promise<T> {
  return withSource(source, (from) => withTarget(target, (to) => work(from, to)));
}

/** The same for what the other side may have no place for: the source stays. @throws UsageError */
async function betweenFiles<T>(
  source: string,
  target: string,
  work: (from: string, to: string) => Promise<T>,
): Promise<T> {
  if (source !== STANDARD && (await isSameFile(source, target))) {
    throw new UsageError(`${target} is the file that is converted; name another one`);
  }
  return between(source, target, work);
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

/** @throws UsageError */
function parseHint(hint: unknown): MappingHint {
  const result = hintSchema.safeParse(hint);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw new UsageError(`--hint ${JSON.stringify(hint)}: ${path.map(String).join('.') || 'it'}: ${message}`);
}
