import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { kinds } from '@adakit/core';
import { requireOptions, requirePath } from '../error.js';
import { makeFolder } from '@adakit/state/node';
import { scalarsOf, type Callback } from '../loop/callback.js';
import { encodeEvents, type TensorBoardEvent } from '../logs/events.js';
import { LogFile } from './log-file.js';

/** Where events are written. */
export interface TensorBoardOptions {
  /** Logs the loss of every so many steps. Default: 1. */
  readonly every?: number;
}

/**
 * A log for `tensorboard --logdir DIR`: `loss/train` a step, `loss/epoch` and `lr` an epoch, `<metric>/validation`. Each run adds a
 * file; one that is resumed voids what came after the checkpoint.
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
      // As TensorFlow names them: TensorBoard reads the files of a directory in the order of their names.
      const second = Math.max(Math.floor(now()), lastSecond(directory) + 1);
      const name = `events.out.tfevents.${String(second).padStart(10, '0')}.${hostname()}.${process.pid}.${Date.now() % 1000}`;
      file = new LogFile(join(directory, name), 'a', encodeEvents);
      add({ time: now(), step: 0, version: 'brain.Event:2' });
      add({ time: now(), step: resumed === undefined ? 0 : resumed.step + 1, start: true });
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
    onSave: () => {
      file?.flush();
    },
    onEnd: () => {
      file?.close();
      file = undefined;
    },
  };
}

/** When the last of the files in a directory says that it was begun: clocks may be set back, and two runs begin in one second. */
function lastSecond(directory: string): number {
  const seconds = readdirSync(directory).map((name) =>
    Number(/^events\.out\.tfevents\.(\d{10})\./.exec(name)?.[1] ?? 0),
  );
  return Math.max(0, ...seconds);
}
