import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FitResult } from '@adakit/fit';
import { makeFolder, writeFileAtomically } from '@adakit/state/node';
import { INTERRUPTED } from '../interruption.js';
import type { Launch } from '../own-process.js';
import { UsageError } from '../usage-error.js';

/** A training of a comparison. */
export interface Run {
  /** For people: `adam, seed 2`. */
  readonly name: string;
  readonly seed: number;
  readonly model: string;
  /** Where it is kept. */
  readonly folder: string;
  /** What decides on the result: options of `adakit train`. */
  readonly options: readonly string[];
}

/** How a run has ended. */
export type Outcome =
  | { readonly status: 'finished'; readonly history: FitResult['history']; readonly reason: FitResult['reason'] }
  /** Training failed: the loss became infinite, say. */
  | { readonly status: 'failed'; readonly message: string }
  | { readonly status: 'interrupted' };

/** What is kept of a run that has ended. */
interface Kept {
  readonly key: string;
  readonly options: readonly string[];
  readonly outcome: Outcome;
}

/**
 * Does what is left of runs, so many at a time; those that ended before are read, those that were interrupted go on.
 *
 * @param threads for each run, where several share the machine
 * @throws UsageError where a folder holds another run, or where `adakit train` refuses the options
 */
export async function doRuns(
  runs: readonly Run[],
  {
    jobs,
    threads,
    launch,
    signal,
    onEnd,
  }: {
    readonly jobs: number;
    readonly threads: number | undefined;
    readonly launch: Launch;
    readonly signal: AbortSignal;
    readonly onEnd: (run: Run, outcome: Outcome, before: boolean) => void;
  },
): Promise<Outcome[]> {
  const outcomes: Outcome[] = runs.map(() => ({ status: 'interrupted' }));
  const left: number[] = [];
  // All are looked at before one begins: what is in the way is said at once.
  for (const [index, run] of runs.entries()) {
    const kept = await keptOutcome(run);
    if (kept === undefined) left.push(index);
    else {
      outcomes[index] = kept;
      onEnd(run, kept, true);
    }
  }
  let refused: Error | undefined;
  const work = async (): Promise<void> => {
    for (;;) {
      const index = signal.aborted || refused !== undefined ? undefined : left.shift();
      if (index === undefined) return;
      try {
        outcomes[index] = await take(runs[index], threads, launch);
      } catch (error) {
        refused ??= error instanceof Error ? error : new Error(String(error));
        return;
      }
      onEnd(runs[index], outcomes[index], false);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, left.length) }, work));
  if (refused !== undefined) throw refused;
  return outcomes;
}

async function keptOutcome(run: Run): Promise<Outcome | undefined> {
  const path = resultFile(run);
  if (!existsSync(path)) return undefined;
  const kept = JSON.parse(await readFile(path, 'utf8')) as Kept;
  if (kept.key === (await keyOf(run))) return kept.outcome;
  const now = run.options.join(' ');
  const then = kept.options.join(' ');
  throw new UsageError(
    `${run.folder} holds the result of another run ${
      now === then ? 'from another model file' : `(adakit train ${then})`
    }; remove it, or name another folder with --out`,
  );
}

const resultFile = ({ folder }: Run): string => join(folder, 'result.json');

/** Model and options in a word. */
async function keyOf({ model, options }: Run): Promise<string> {
  const bytes = await readFile(model).catch((error: unknown) => {
    throw new UsageError(`cannot read ${model}: ${error instanceof Error ? error.message : String(error)}`);
  });
  return createHash('sha256').update(bytes).update(JSON.stringify(options)).digest('hex');
}

async function take(run: Run, threads: number | undefined, launch: Launch): Promise<Outcome> {
  const { folder, model, options } = run;
  await makeFolder(folder);
  const checkpoints = join(folder, 'checkpoints');
  const { code, signal, output, errors } = await launch([
    ...['train', model, ...options],
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
    ...['--checkpoint', checkpoints, '--keep', '1', '--resume'],
    ...['--out', join(folder, 'trained.onnx'), '--json', '--quiet'],
  ]);
  const message = errors.trim().replace(/^adakit: /, '');
  if (code === INTERRUPTED) return { status: 'interrupted' };
  if (code === 2) throw new UsageError(`${run.name}: ${message}`);
  if (code !== 0 && code !== 1) {
    throw new Error(`${run.name}: the process ended with ${signal ?? `code ${String(code)}`}\n${message}`);
  }
  const outcome: Outcome = code === 0 ? finished(output) : { status: 'failed', message: message.split('\n')[0] };
  const kept: Kept = { key: await keyOf(run), options, outcome };
  await writeFileAtomically(resultFile(run), Buffer.from(`${JSON.stringify(kept)}\n`));
  await rm(checkpoints, { recursive: true, force: true });
  return outcome;
}

function finished(output: string): Outcome {
  const { history, reason } = JSON.parse(output) as FitResult;
  return { status: 'finished', history, reason };
}
