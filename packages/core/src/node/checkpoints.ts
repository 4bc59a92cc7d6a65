import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { StateFileError } from '../state-file/error.js';
import type { TrainingState } from '../state/training-state.js';
import { removeStale, syncDirectory } from './atomic-file.js';
import { fileError } from './file-access.js';
import { statePath } from './state-path.js';
import { openState, readState, type ReadStateOptions } from './state-reader.js';
import { removeState, writeState, type WriteOptions } from './state-writer.js';

export interface CheckpointsOptions extends WriteOptions {
  /** How many of the newest to keep, at least 1. Default: 3. */
  readonly keep?: number;
  /** Keep the one with the best metric as well, and which is better. Default: none is kept for its metric. */
  readonly best?: 'min' | 'max';
}

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
 * A directory of checkpoints, for one writing process at a time. A save that has resolved survives whatever happens to
 * the process; whoever opens the directory later finds the newest valid one.
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
  readonly directory: string;
  readonly #options: CheckpointsOptions;
  readonly #keep: number;
  /** Files do not change under their names, so their headers are read once. */
  readonly #known = new Map<string, Checkpoint>();
  /** The end of the queue of saves. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(directory: string, options: CheckpointsOptions, keep: number) {
    this.directory = directory;
    this.#options = options;
    this.#keep = keep;
  }

  /** Opens a directory, and makes it if it is not there. */
  static async open(directory: string, options: CheckpointsOptions = {}): Promise<Checkpoints> {
    const { keep = 3 } = options;
    if (!(keep >= 1)) throw new RangeError(`Checkpoints: keep must be at least 1, got ${keep}`);
    try {
      const made = await mkdir(directory, { recursive: true });
      if (made !== undefined) await syncAncestors(directory, made);
      await removeStale(directory);
    } catch (error) {
      throw fileError(error, 'cannot-write', directory);
    }
    return new Checkpoints(directory, options, keep);
  }

  /**
   * Saves a state, then removes what is neither among the newest nor the best. Saves are carried out in the order made.
   *
   * @param metric how good the state is; one that is not finite counts as none
   * @returns the new checkpoint, which is on the disk
   */
  save(state: TrainingState, { metric }: { readonly metric?: number } = {}): Promise<Checkpoint> {
    const save = async (): Promise<Checkpoint> => {
      const number = Math.max(0, ...(await this.#files()).map((file) => file.number)) + 1;
      const path = join(this.directory, `${String(number).padStart(6, '0')}-step-${state.step}.safetensors`);
      await writeState(path, state, {
        ...this.#options,
        ...(metric !== undefined && Number.isFinite(metric) ? { metric } : {}),
      });
      const checkpoints = await this.list();
      await this.#prune(checkpoints);
      return checkpoints[checkpoints.length - 1];
    };
    const saved = this.#last.then(save);
    this.#last = saved.catch(() => undefined);
    return saved;
  }

  /** All checkpoints there are, oldest first; their tensors have not been looked at. */
  async list(): Promise<readonly Checkpoint[]> {
    const checkpoints: Checkpoint[] = [];
    for (const file of await this.#files()) {
      let checkpoint = this.#known.get(file.path);
      if (checkpoint === undefined) {
        checkpoint = { ...file, ...(await readMetric(file.path)) };
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
    return this.#firstValid((checkpoints) => [...checkpoints].reverse(), options);
  }

  /**
   * The valid checkpoint with the best metric, the newer of equals; as {@link latest}.
   *
   * @returns undefined if no checkpoint has a metric
   */
  async best(options: ReadStateOptions = {}): Promise<LoadedCheckpoint | undefined> {
    return this.#firstValid((checkpoints) => this.#ranked(checkpoints), options);
  }

  /** Those with a metric, best first. */
  #ranked(checkpoints: readonly Checkpoint[]): Checkpoint[] {
    const sign = this.#options.best === 'max' ? -1 : 1;
    return checkpoints
      .flatMap((checkpoint) =>
        checkpoint.metric === undefined ? [] : [{ checkpoint, rank: sign * checkpoint.metric }],
      )
      .sort((a, b) => a.rank - b.rank || b.checkpoint.number - a.checkpoint.number)
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
        return { checkpoint, state: await readState(checkpoint.path, options), skipped };
      } catch (error) {
        if (!(error instanceof StateFileError)) throw error;
        skipped.push({ path: checkpoint.path, problem: error });
      }
    }
    if (skipped.length === 0) return undefined;
    // A training process may have replaced them all in the meantime.
    const now = await this.#files();
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

  /** Removes checkpoints that are neither new nor best. Broken ones stay for people to look at, and count for nothing. */
  async #prune(checkpoints: readonly Checkpoint[]): Promise<void> {
    const sound = checkpoints.filter(({ problem }) => problem === undefined);
    const kept = new Set(sound.slice(-this.#keep));
    if (this.#options.best !== undefined) {
      for (const best of this.#ranked(sound).slice(0, 1)) kept.add(best);
    }
    for (const checkpoint of sound) {
      if (!kept.has(checkpoint)) await removeState(checkpoint.path);
    }
    // Shards without an index are what is left of a save or a removal that was cut short.
    const stems = new Set(checkpoints.map(({ path }) => statePath(path).stem));
    for (const name of await readdir(this.directory)) {
      const stem = SHARD_STEM.exec(name)?.[1];
      if (stem !== undefined && !stems.has(stem)) await removeState(join(this.directory, `${stem}.safetensors`));
    }
  }

  /** The files and indices in the directory, oldest first. */
  async #files(): Promise<Pick<Checkpoint, 'path' | 'number' | 'step'>[]> {
    const names = await readdir(this.directory).catch((error: unknown) => {
      throw fileError(error, 'cannot-read', this.directory);
    });
    return names
      .flatMap((name) => {
        const match = CHECKPOINT.exec(name);
        if (match === null) return [];
        return [{ path: join(this.directory, name), number: Number(match[1]), step: Number(match[2]) }];
      })
      .sort((a, b) => a.number - b.number || a.step - b.step);
  }
}

/** Makes directories durable that were made on the way from `topmost` down to `directory`. */
async function syncAncestors(directory: string, topmost: string): Promise<void> {
  for (let made = resolve(directory); made.length >= resolve(topmost).length; made = dirname(made)) {
    await syncDirectory(dirname(made));
  }
}

const CHECKPOINT = /^(\d{6,15})-step-(\d+)\.safetensors(?:\.index\.json)?$/;
const SHARD_STEM = /^(\d{6,15}-step-\d+)-\d{5}-of-\d{5}(?:\.\d+)?\.safetensors$/;

async function readMetric(path: string): Promise<Pick<Checkpoint, 'metric' | 'problem'>> {
  try {
    const state = await openState(path);
    await state.close();
    return state.document.metric === undefined ? {} : { metric: state.document.metric };
  } catch (error) {
    if (error instanceof StateFileError) return { problem: error };
    throw error;
  }
}
