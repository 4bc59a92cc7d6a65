import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '@adakit/state/node';
import type { Callback, Resumed } from '../loop/callback.js';
import { requirePath } from '../error.js';
import { LogFile } from './log-file.js';

/**
 * A log with one JSON object a line: `{"event":"step","step":1,"epoch":1,"batch":1,"loss":2.3,"time":…}`, `"validation"` with `values`,
 * `"epoch"` with the mean loss and the learning rate, `"end"` with the reason. A file that is there is written anew; in a run that is resumed, cut
 * back to where it goes on from. Times are seconds since 1970.
 */
export function jsonLines(path: string): Callback {
  requirePath('jsonLines', path);
  let file: LogFile<object> | undefined;
  const add = (event: string, fields: object): void => {
    file?.add({ event, ...fields, time: Date.now() / 1000 });
  };
  return {
    name: `jsonLines('${path}')`,
    onStart: async ({ resumed }) => {
      await makeFolder(dirname(path));
      if (resumed !== undefined && existsSync(path)) cutBack(path, resumed);
      file = new LogFile(path, resumed === undefined ? 'w' : 'a', linesOf);
    },
    onStep: ({ step, epoch, batch, loss }) => {
      add('step', { step, epoch, batch, loss });
    },
    onValidation: ({ step, epoch, values }) => {
      add('validation', { step, epoch, values });
    },
    onEpoch: ({ step, epoch, loss, lr }) => {
      add('epoch', { step, epoch, loss, ...(lr !== undefined && { lr }) });
    },
    onSave: () => {
      file?.sync();
    },
    onEnd: (result) => {
      if (result !== undefined) add('end', { step: result.step, reason: result.reason });
      file?.close();
      file = undefined;
    },
  };
}

function linesOf(entries: readonly object[]): Uint8Array {
  return Buffer.from(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
}

/** Cuts off what was logged after the checkpoint, and a last line that was not finished. */
function cutBack(path: string, resumed: Resumed): void {
  const descriptor = openSync(path, 'r+');
  try {
    ftruncateSync(
      descriptor,
      endOfLines(descriptor, (line) => isBefore(line, resumed)),
    );
  } finally {
    closeSync(descriptor);
  }
}

/** Bytes that are read at a time. */
const CHUNK = 2 ** 16;
const NEWLINE = 10;

/** Where the last line ends that stays. They are looked at from the end: the log of a long run is too large for a text. */
function endOfLines(descriptor: number, stays: (line: string) => boolean): number {
  // Bytes [start, start + bytes.length) are those in which no line has been found to stay.
  let start = fstatSync(descriptor).size;
  let bytes = Buffer.alloc(0);
  for (;;) {
    const end = bytes.lastIndexOf(NEWLINE);
    const before = end < 1 ? -1 : bytes.lastIndexOf(NEWLINE, end - 1);
    if (end >= 0 && (before >= 0 || start === 0)) {
      if (stays(bytes.toString('utf8', before + 1, end))) return start + end + 1;
      bytes = bytes.subarray(0, before + 1);
    } else if (start === 0) {
      return 0;
    } else {
      const length = Math.min(CHUNK, start);
      const chunk = Buffer.alloc(length);
      start -= length;
      readSync(descriptor, chunk, 0, length, start);
      bytes = Buffer.concat([chunk, bytes]);
    }
  }
}

/** Whether a line tells of something that the checkpoint has. */
function isBefore(line: string, { step, epochs, batch, lastValidation }: Resumed): boolean {
  const entry = parsed(line);
  switch (entry?.event) {
    case 'step':
      // Batches that are collected for a step are told of with the step before.
      if (entry.step !== step || epochs === undefined || batch === undefined) return entry.step <= step;
      return entry.epoch <= epochs || (entry.epoch === epochs + 1 && entry.batch <= batch);
    case 'validation':
      if (entry.step !== lastValidation?.step) return entry.step <= (lastValidation?.step ?? step);
      return entry.epoch <= lastValidation.epoch;
    case 'epoch':
      return epochs === undefined ? entry.step <= step : entry.epoch <= epochs;
    default:
      return false;
  }
}

/** What a line says; undefined for one that is none. */
function parsed(
  line: string,
): { readonly event: string; readonly step: number; readonly epoch: number; readonly batch: number } | undefined {
  try {
    return JSON.parse(line) as ReturnType<typeof parsed>;
  } catch {
    return undefined;
  }
}
