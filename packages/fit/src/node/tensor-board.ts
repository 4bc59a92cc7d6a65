import { closeSync, fstatSync, openSync, readdirSync, readSync, truncateSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { kinds } from '@adakit/core';
import { requireOptions, requirePath } from '../error.js';
import { makeFolder } from '@adakit/state/node';
import { scalarsOf, type Callback, type Resumed } from '../loop/callback.js';
import { encodeEvents, type TensorBoardEvent } from '../logs/events.js';
import { LogFile } from './log-file.js';

/** Where events are written. */
export interface TensorBoardOptions {
  /** Logs the loss of every so many steps. Default: 1. */
  readonly every?: number;
}

/**
 * A log for `tensorboard --logdir DIR`: `loss/train` a step, `loss/epoch` and `lr` an epoch, `<metric>/validation`. Each run adds a
 * file; one that is resumed cuts back the file before to where it goes on from.
 */
export function tensorBoard(directory: string, options: TensorBoardOptions = {}): Callback {
  requirePath('tensorBoard', directory);
  requireOptions('tensorBoard', options, { every: kinds.count(1) });
  const { every = 1 } = options;
  let file: LogFile<TensorBoardEvent> | undefined;
  const now = (): number => Date.now() / 1000;
  const add = (event: TensorBoardEvent): void => {
    file?.add(event);
  };
  return {
    name: `tensorBoard('${directory}')`,
    onStart: async ({ resumed }) => {
      await makeFolder(directory);
      if (resumed !== undefined) cutBack(directory, textOf(resumed));
      // As TensorFlow names them: TensorBoard reads the files of a directory in the order of their names.
      const second = Math.max(Math.floor(now()), lastSecond(directory) + 1);
      const name = `events.out.tfevents.${String(second).padStart(10, '0')}.${hostname()}.${process.pid}.${Date.now() % 1000}`;
      file = new LogFile(join(directory, name), 'a', encodeEvents);
      add({ time: now(), step: 0, version: 'brain.Event:2' });
      add({ time: now(), step: resumed === undefined ? 0 : resumed.step + 1, start: true });
      if (resumed !== undefined) add({ time: now(), step: resumed.step, checkpoint: textOf(resumed) });
    },
    onStep: ({ step, loss, outcome }) => {
      if (outcome === 'taken' && step % every === 0) add({ time: now(), step, scalars: { 'loss/train': loss } });
    },
    onValidation: ({ step, values }) => {
      const scalars = Object.entries(scalarsOf(values)).map(([name, value]) => [`${name}/validation`, value] as const);
      add({ time: now(), step, scalars: Object.fromEntries(scalars) });
    },
    onEpoch: ({ step, loss, lr }) => {
      add({ time: now(), step, scalars: { 'loss/epoch': loss, ...(lr !== undefined && { lr }) } });
    },
    onSave: (place) => {
      add({ time: now(), step: place.step, checkpoint: textOf(place) });
      file?.sync();
    },
    onEnd: () => {
      file?.close();
      file = undefined;
    },
  };
}

/** A place in a training, as event files have it. */
function textOf({ step, epochs, batch, lastValidation }: Resumed): string {
  return JSON.stringify({ step, epochs, batch, lastValidation });
}

/**
 * Cuts off what was logged behind a checkpoint. TensorBoard takes what is of later steps for void by itself, and would show what
 * comes again of the same step twice: a validation, an epoch.
 */
function cutBack(directory: string, checkpoint: string): void {
  for (const name of eventFiles(directory).reverse()) {
    const path = join(directory, name);
    const [end, size] = endOfLast(path, Buffer.from(checkpoint));
    if (end === undefined) continue;
    // A record ends with its checksum.
    if (end + 4 < size) truncateSync(path, end + 4);
    return;
  }
}

/** Bytes that are read at a time. */
const CHUNK = 2 ** 20;

/** Where some bytes are in a file for the last time: the byte behind them. The file of a long run is too large to read at once. */
function endOfLast(path: string, bytes: Buffer): [end: number | undefined, size: number] {
  const descriptor = openSync(path, 'r');
  try {
    const { size } = fstatSync(descriptor);
    // Chunks overlap, for what lies across two.
    for (let end = size; end >= bytes.length; end += bytes.length - 1 - CHUNK) {
      const start = Math.max(0, end - CHUNK);
      const chunk = Buffer.alloc(end - start);
      readSync(descriptor, chunk, 0, chunk.length, start);
      const at = chunk.lastIndexOf(bytes);
      if (at >= 0) return [start + at + bytes.length, size];
    }
    return [undefined, size];
  } finally {
    closeSync(descriptor);
  }
}

/** When the last of the files in a directory says that it was begun: clocks may be set back, and two runs begin in one second. */
function lastSecond(directory: string): number {
  return Math.max(0, ...eventFiles(directory).map((name) => Number(EVENT_FILE.exec(name)?.[1])));
}

/** Names of event files, the oldest first. */
function eventFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => EVENT_FILE.test(name))
    .sort();
}

const EVENT_FILE = /^events\.out\.tfevents\.(\d{10})\./;
