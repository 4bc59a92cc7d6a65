import { join, resolve } from 'node:path';
import type { TrainingState } from '@adakit/core';
import { kinds, type OptionKind } from '@adakit/core/states';
import { StateFileError } from '../file/error.js';
import { requireOptions } from '../file/given.js';
import { fileError, requirePlace } from './file-access.js';
import { disk, type FileSystem } from './file-system.js';
import { LastingFolder } from './lasting-folder.js';
import { statePath } from './state-path.js';
import { openState, READ_OPTIONS, readState, type ReadStateOptions } from './state-reader.js';
import { removeState, WRITE_OPTIONS, writeState, type WriteOptions } from './state-writer.js';
import { isLockOn, removeStale } from './temporary-files.js';

/** Which states {@link Checkpoints} keeps, and how it writes them. */
export interface CheckpointsOptions extends WriteOptions {
  /** How many of the newest to keep, at least 1. Default: 3. */
  readonly keep?: number;
  /** Keep the one with the best metric as well, and which is better. Default: none is kept for its metric. */
  readonly best?: 'min' | 'max';
}

const OPTIONS: Readonly<Record<keyof CheckpointsOptions, OptionKind>> = {
  ...WRITE_OPTIONS,
  keep: kinds.kind(
    'a whole number of at least 1, or Infinity',
    (keep) => (Number.isSafeInteger(keep) || keep === Infinity) && Number(keep) >= 1,
  ),
  best: kinds.oneOf('min', 'max'),
};

/** One saved state in a directory of checkpoints. */
export interface Checkpoint {
  /** Its file, or the index of its shards. */
  readonly path: string;
  /** Number of the save in this directory; later saves have larger ones, whatever their step. */
  readonly number: number;
  /** Optimizer steps taken. */
  readonly step: number;
  /** How good it is, if that was said. */
  readonly metric?: number;
  /** Why it cannot be opened, if it cannot. */
  readonly problem?: StateFileError;
}

/** A checkpoint that was read and found valid. */
export interface LoadedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly state: TrainingState;
  /** Those that would have come first, but are not valid, and why. */
  readonly skipped: readonly { readonly path: string; readonly problem: StateFileError }[];
}

/**
 * A directory of checkpoints of one run. A save that has resolved survives whatever happens to the process; whoever opens
 * the directory later finds the newest valid one. A directory that two processes save to is noticed: the one that finds
 * a checkpoint of the other saves no more.
 *
 * @example
 * ```ts
 * const checkpoints = await Checkpoints.open('run/checkpoints', { keep: 3, best: 'min' });
 * const latest = await checkpoints.latest();
 * if (latest !== undefined) await session.load(latest.state);
 * // …
 * await checkpoints.save(await session.state(), { metric: validationLoss });
 * ```
 */
export class Checkpoints {
  readonly #folder: LastingFolder;
  readonly #options: CheckpointsOptions;
  readonly #keep: number;
  readonly #fileSystem: FileSystem;
  /** Files do not change under their names, so their headers are read once. */
  readonly #known = new Map<string, Checkpoint>();
  /** Paths of the checkpoints that were there when the directory was opened, or have been saved since. */
  readonly #expected: Set<string>;
  /** The end of the queue of saves. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(folder: LastingFolder, options: CheckpointsOptions, present: readonly NamedCheckpoint[]) {
    const { keep = 3, fileSystem = disk } = options;
    this.#folder = folder;
    this.#options = options;
    this.#keep = keep;
    this.#fileSystem = fileSystem;
    this.#expected = new Set(present.map(({ path }) => path));
  }

  /**
   * Opens a directory, and makes it if it is not there.
   *
   * @throws StateFileError `cannot-write`
   */
  static async open(path: string, options: CheckpointsOptions = {}): Promise<Checkpoints> {
    requirePlace('cannot-write', 'checkpoints are kept at', path, options, OPTIONS);
    const { fileSystem = disk } = options;
    try {
      const folder = await LastingFolder.open(path, fileSystem);
      await removeStale(folder.path, fileSystem);
      return new Checkpoints(folder, options, await listFiles(folder.path, fileSystem));
    } catch (error) {
      throw fileError(error, 'cannot-write', resolve(path));
    }
  }

  /** Its absolute path: the process may go to another directory. */
  get directory(): string {
    return this.#folder.path;
  }

  /** Whether the checkpoint with the smallest or the largest metric is kept; undefined where none is kept for its metric. */
  get keepsBest(): 'min' | 'max' | undefined {
    return this.#options.best;
  }

  /**
   * Saves a state, then removes what is neither among the newest nor the best. Saves are carried out in the order made.
   *
   * @param options `metric`: how good the state is; one that is not finite counts as none
   * @returns the new checkpoint, which is on the disk
   * @throws StateFileError `cannot-write` with what to do about it, a disk that is not mounted any more included; later saves
   * work when that is done. `other-writer` when another process saves to this directory
   */
  save(state: TrainingState, options: { readonly metric?: number } = {}): Promise<Checkpoint> {
    requireOptions('Checkpoints.save()', options, { metric: kinds.number });
    const { metric } = options;
    const saved = this.#last.then(async () => {
      try {
        return await this.#save(state, metric);
      } catch (error) {
        throw fileError(error, 'cannot-write', this.directory);
      }
    });
    this.#last = saved.catch(() => undefined);
    return saved;
  }

  async #save(state: TrainingState, metric: number | undefined): Promise<Checkpoint> {
    // Somebody may have removed it: what has been trained since must not be lost as well.
    await this.#folder.ensure();
    const before = await listFiles(this.directory, this.#fileSystem);
    this.#refuseOthers(before);
    await this.#removeHalves();
    const number = nextNumber(before, this.directory);
    const path = join(this.directory, `${String(number).padStart(6, '0')}-step-${state.step}.safetensors`);
    const { shardBytes, finite } = this.#options;
    await writeState(path, state, {
      fileSystem: this.#fileSystem,
      ...(shardBytes !== undefined && { shardBytes }),
      ...(finite !== undefined && { finite }),
      ...(metric !== undefined && Number.isFinite(metric) ? { metric } : {}),
    });
    const checkpoints = await this.list();
    const saved = checkpoints.find((checkpoint) => checkpoint.number === number && checkpoint.step === state.step);
    if (saved === undefined) throw new StateFileError('other-writer', 'it has been removed again', { file: path });
    this.#expected.add(saved.path);
    await this.#prune(checkpoints);
    return saved;
  }

  /** All checkpoints there are, oldest first; their tensors have not been looked at. */
  async list(): Promise<readonly Checkpoint[]> {
    const checkpoints: Checkpoint[] = [];
    for (const file of await listFiles(this.directory, this.#fileSystem)) {
      let checkpoint = this.#known.get(file.path);
      if (checkpoint === undefined) {
        checkpoint = { ...file, ...(await readMetric(file.path, this.#fileSystem)) };
        if (checkpoint.problem === undefined) this.#known.set(file.path, checkpoint);
      }
      checkpoints.push(checkpoint);
    }
    return checkpoints;
  }

  /**
   * The newest valid checkpoint; every byte has been checked.
   *
   * @returns undefined if there are no checkpoints
   * @throws StateFileError `no-valid-checkpoint` if there are some, but none is valid
   */
  async latest(options: ReadStateOptions = {}): Promise<LoadedCheckpoint | undefined> {
    requireOptions('Checkpoints.latest()', options, READ_OPTIONS);
    return this.#firstValid((checkpoints) => [...checkpoints].reverse(), options);
  }

  /**
   * The valid checkpoint with the best metric, the first of equals; as {@link latest}.
   *
   * @returns undefined if no checkpoint has a metric
   */
  async best(options: ReadStateOptions = {}): Promise<LoadedCheckpoint | undefined> {
    requireOptions('Checkpoints.best()', options, READ_OPTIONS);
    return this.#firstValid((checkpoints) => this.#ranked(checkpoints), options);
  }

  /** Those with a metric, best first. */
  #ranked(checkpoints: readonly Checkpoint[]): Checkpoint[] {
    const sign = this.#options.best === 'max' ? -1 : 1;
    return checkpoints
      .flatMap((checkpoint) =>
        checkpoint.metric === undefined ? [] : [{ checkpoint, rank: sign * checkpoint.metric }],
      )
      .sort((a, b) => a.rank - b.rank || a.checkpoint.number - b.checkpoint.number)
      .map(({ checkpoint }) => checkpoint);
  }

  async #firstValid(
    order: (checkpoints: readonly Checkpoint[]) => readonly Checkpoint[],
    options: ReadStateOptions,
  ): Promise<LoadedCheckpoint | undefined> {
    const checkpoints = await this.list();
    const skipped: { path: string; problem: StateFileError }[] = [];
    for (const checkpoint of order(checkpoints)) {
      try {
        if (checkpoint.problem !== undefined) throw checkpoint.problem;
        return {
          checkpoint,
          state: await readState(checkpoint.path, { fileSystem: this.#fileSystem, ...options }),
          skipped,
        };
      } catch (error) {
        if (!(error instanceof StateFileError)) throw error;
        skipped.push({ path: checkpoint.path, problem: error });
      }
    }
    if (skipped.length === 0) return undefined;
    // A training process may have replaced them all in the meantime.
    const now = await listFiles(this.directory, this.#fileSystem);
    if (now.some(({ path }) => !checkpoints.some((seen) => seen.path === path)))
      return this.#firstValid(order, options);
    const reasons = skipped.map(({ problem }) => `\n  ${problem.message}`).join('');
    throw new StateFileError(
      'no-valid-checkpoint',
      `none of the ${skipped.length} checkpoints is valid:${reasons}`,
      { file: this.directory },
      { cause: skipped[0].problem },
    );
  }

  /** Two runs in one directory would remove each other's checkpoints. */
  #refuseOthers(present: readonly NamedCheckpoint[]): void {
    const unexpected = present.find(({ path }) => !this.#expected.has(path));
    if (unexpected === undefined) return;
    throw new StateFileError(
      'other-writer',
      'another process has saved this checkpoint since the directory was opened; give every run a directory of its own, ' +
        'or, if it has ended, open the directory again to go on after it',
      { file: unexpected.path },
    );
  }

  /** Removes checkpoints that are neither new nor best. Broken ones stay for people to look at, and count for nothing. */
  async #prune(checkpoints: readonly Checkpoint[]): Promise<void> {
    const sound = checkpoints.filter(({ problem }) => problem === undefined);
    const kept = new Set(sound.slice(-this.#keep));
    if (this.#options.best !== undefined) {
      for (const best of this.#ranked(sound).slice(0, 1)) kept.add(best);
    }
    for (const checkpoint of sound) {
      if (!kept.has(checkpoint)) await removeState(checkpoint.path, { fileSystem: this.#fileSystem });
    }
  }

  /** Removes shards without an index: what is left of a save or a removal that was cut short. */
  async #removeHalves(): Promise<void> {
    const shards = (await this.#fileSystem.readdir(this.directory)).flatMap((name) => SHARD_STEM.exec(name)?.[1] ?? []);
    if (shards.length === 0) return;
    // Whoever writes them holds a lock until the index is there, so that it is one or the other that is seen now.
    const locks = await removeStale(this.directory, this.#fileSystem);
    const stems = (await listFiles(this.directory, this.#fileSystem)).map(({ path }) => statePath(path).stem);
    for (const stem of new Set(shards)) {
      const file = `${stem}.safetensors`;
      if (stems.includes(stem) || locks.some((lock) => isLockOn(file, lock))) continue;
      await removeState(join(this.directory, file), { fileSystem: this.#fileSystem });
    }
  }
}

type NamedCheckpoint = Pick<Checkpoint, 'path' | 'number' | 'step'>;

/** The files and indices in the directory, oldest first. */
async function listFiles(directory: string, fileSystem: FileSystem): Promise<NamedCheckpoint[]> {
  const names = await fileSystem.readdir(directory).catch((error: unknown) => {
    throw fileError(error, 'cannot-read', directory);
  });
  return names
    .flatMap((name) => {
      const match = CHECKPOINT.exec(name);
      const number = Number(match?.[1]);
      if (match === null || !Number.isSafeInteger(number)) return [];
      return [{ path: join(directory, name), number, step: Number(match[2]) }];
    })
    .sort((a, b) => a.number - b.number || a.step - b.step);
}

/** @throws StateFileError where there is no larger one */
function nextNumber(present: readonly NamedCheckpoint[], directory: string): number {
  const last = present.at(-1);
  const next = (last?.number ?? 0) + 1;
  if (Number.isSafeInteger(next)) return next;
  const problem = 'no later checkpoint could have a larger number than this one; rename it';
  throw new StateFileError('cannot-write', problem, { file: last?.path ?? directory });
}

/** Numbers of up to sixteen digits; larger ones than 2⁵³ − 1 do not count. */
const CHECKPOINT = /^(\d{6,16})-step-(\d+)\.safetensors(?:\.index\.json)?$/;
const SHARD_STEM = /^(\d{6,16}-step-\d+)-\d{5}-of-\d{5}(?:\.\d+)?\.safetensors$/;

async function readMetric(path: string, fileSystem: FileSystem): Promise<Pick<Checkpoint, 'metric' | 'problem'>> {
  try {
    const state = await openState(path, { fileSystem });
    await state.close();
    return state.document.metric === undefined ? {} : { metric: state.document.metric };
  } catch (error) {
    if (error instanceof StateFileError) return { problem: error };
    throw error;
  }
}
