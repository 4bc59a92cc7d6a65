import type { Optimizer } from '@adakit/core';
import {
  isReferenceRun,
  parseReferenceRun,
  parseTrajectory,
  referenceOptimizer,
  replay,
  replayReference,
  type ReferenceReport,
  type ReferenceRun,
  type ReplayReport,
  type Trajectory,
} from '@adakit/testing';
import { readTextFile } from '../json-file.js';
import { backendNames } from '../known-names.js';
import { print } from '../printable.js';
import { withProgress } from '../progress.js';
import { UsageError } from '../usage-error.js';
import { missingBackend, parseBackends, withBackend } from './backends.js';
import type { ReplayOptions } from './command.js';
import { formatReports } from './format.js';
import { RecordedRules } from './recorded-rules.js';

/** One line of the result: one recorded run on one backend. */
export type FileReport =
  | (ReplayReport & { readonly file: string })
  | (Omit<ReferenceReport, 'device'> & { readonly file: string; readonly optimizer: string; readonly backend: string })
  /** A run of something that adakit does not have. */
  | { readonly file: string; readonly optimizer: string; readonly skipped: string }
  /** A backend that is not installed, or does not start here. */
  | { readonly backend: string; readonly missing: string };

type Case = { readonly file: string } & (
  | { readonly trajectory: Trajectory; readonly optimizer: Optimizer }
  | { readonly reference: ReferenceRun; readonly optimizer: Optimizer }
  | { readonly reference: ReferenceRun; readonly skipped: string }
);

/** Runs `adakit replay`. */
export async function replayAll(files: readonly string[], options: ReplayOptions): Promise<void> {
  const backends = parseBackends(options.backend);
  const reports = await withProgress((say) =>
    replayFiles(files, backends, options.plugin, (file, backend) => {
      say(`replaying ${file} on ${backend}`);
    }),
  );
  print(options.json ? `${JSON.stringify(reports, null, 2)}\n` : formatReports(reports));
  if (reports.some((report) => 'ok' in report && !report.ok)) process.exitCode = 1;
}

/**
 * Replays every file on every backend.
 *
 * @param backends by name, which must be there; `all`: as far as they are
 * @param plugins packages and modules to look for rules in first
 * @param onReplay told what comes next
 * @throws UsageError naming every file that cannot be used, or a backend that is not there; nothing has been replayed then
 */
export async function replayFiles(
  files: readonly string[],
  backends: 'all' | readonly string[],
  plugins: readonly string[] = [],
  onReplay?: (file: string, backend: string) => void,
): Promise<FileReport[]> {
  const problems: string[] = [];
  const cases: Case[] = [];
  const rules = await RecordedRules.of(plugins);
  for (const file of files) {
    try {
      cases.push(await readCase(file, await readTextFile(file), rules));
    } catch (error) {
      problems.push(describe(file, error));
    }
  }
  if (problems.length > 0) throw new UsageError(problems.join('\n'));

  const reports: FileReport[] = [];
  const available: string[] = [];
  for (const backend of backends === 'all' ? backendNames : backends) {
    const missing = await missingBackend(backend);
    if (missing === undefined) available.push(backend);
    else if (backends === 'all') reports.push({ backend, missing });
    else throw new UsageError(`--backend ${backend}: ${missing}`);
  }
  for (const one of cases) {
    if ('skipped' in one) {
      reports.push({ file: one.file, optimizer: one.reference.optimizer, skipped: one.skipped });
      continue;
    }
    for (const backend of available) {
      onReplay?.(one.file, backend);
      reports.push(await replayCase(one, backend));
    }
  }
  return reports;
}

async function readCase(file: string, text: string, rules: RecordedRules): Promise<Case> {
  if (!looksLikeReference(text)) {
    const trajectory = parseTrajectory(text, file);
    const optimizer = await rules.make((byName) => byName(trajectory.optimizer, trajectory.hyperparameters));
    return { file, trajectory, optimizer };
  }
  const reference = parseReferenceRun(text, file);
  const optimizer = await rules.make((byName) => referenceOptimizer(reference, byName));
  return typeof optimizer === 'string' ? { file, reference, skipped: optimizer } : { file, reference, optimizer };
}

function looksLikeReference(text: string): boolean {
  try {
    return isReferenceRun(JSON.parse(text));
  } catch {
    return false;
  }
}

function replayCase(one: Exclude<Case, { readonly skipped: string }>, backend: string): Promise<FileReport> {
  const { file, optimizer } = one;
  return withBackend(backend, async (device): Promise<FileReport> => {
    if ('trajectory' in one) return { file, ...(await replay(one.trajectory, optimizer, device)), backend };
    const { steps, worst, where, tolerance, ok } = await replayReference(one.reference, optimizer, device);
    return { file, optimizer: one.reference.optimizer, backend, steps, worst, where, tolerance, ok };
  });
}

function describe(file: string, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const saysWhere = [file, `cannot read ${file}`].some((start) => message.startsWith(start));
  return saysWhere ? message : `${file}: ${message}`;
}
