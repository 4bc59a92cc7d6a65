import { readFile } from 'node:fs/promises';
import type { Runner } from '@adakit/core';
import { parseTrajectory, replay, type ReplayReport } from '@adakit/testing';
import type { Command } from 'commander';
import { optimizerByName } from '../optimizers.js';
import { UsageError } from '../usage-error.js';
import { parseBackends, startBackend, type BackendName } from './backends.js';
import { formatReports } from './format.js';

/** One line of the result: one trajectory on one backend. */
export interface FileReport extends ReplayReport {
  readonly file: string;
}

/** Registers `adakit replay`. */
export function addReplayCommand(program: Command): void {
  program
    .command('replay')
    .summary('replay recorded optimizer trajectories on every backend')
    .description(
      'Replays recorded trajectories (gradients in, parameters and slots out) and compares every step.\n' +
        'float64 must agree to 1e-12 relative; float32 within a bound that running error analysis derives for each\n' +
        'element and step. Exit code: 0 all ok, 1 some not ok, 2 a file or option is wrong.',
    )
    .argument('<file...>', 'trajectory files (JSON)')
    .option('-b, --backend <names>', 'backends, separated by commas, or "all"', 'all')
    .option('--json', 'print an array of reports instead of a table')
    .addHelpText(
      'after',
      `
Backends: reference (float64), reference-f32, js, onnx, tfjs-cpu, tfjs-wasm

Examples:
  adakit replay golden/adadiff-defaults.json
  adakit replay golden/*.json --backend reference,onnx
  adakit replay golden/*.json --json > report.json`,
    )
    .action(async (files: readonly string[], options: { backend: string; json?: true }) => {
      const reports = await replayFiles(files, parseBackends(options.backend));
      process.stdout.write(options.json ? `${JSON.stringify(reports, null, 2)}\n` : formatReports(reports));
      if (reports.some(({ ok }) => !ok)) process.exitCode = 1;
    });
}

/**
 * Replays every file on every backend.
 *
 * @throws UsageError naming every file that cannot be used; nothing has been replayed then
 */
export async function replayFiles(files: readonly string[], backends: readonly BackendName[]): Promise<FileReport[]> {
  const problems: string[] = [];
  const cases = [];
  for (const file of files) {
    try {
      const trajectory = parseTrajectory(await readFile(file, 'utf8'), file);
      cases.push({ file, trajectory, optimizer: optimizerByName(trajectory.optimizer, trajectory.hyperparameters) });
    } catch (error) {
      problems.push(describe(file, error));
    }
  }
  if (problems.length > 0) throw new UsageError(problems.join('\n'));

  const runners = new Map<BackendName, Runner>();
  for (const backend of backends) runners.set(backend, await startBackend(backend));
  const reports: FileReport[] = [];
  for (const { file, trajectory, optimizer } of cases) {
    for (const [backend, runner] of runners) {
      reports.push({ file, ...(await replay(trajectory, optimizer, runner)), backend });
    }
  }
  return reports;
}

function describe(file: string, error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return `${file}: no such file`;
  const message = error instanceof Error ? error.message : String(error);
  return message.startsWith(file) ? message : `${file}: ${message}`;
}
