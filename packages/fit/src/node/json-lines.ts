import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder, writeFileAtomically } from '@adakit/state/node';
import type { Callback, RunStart } from '../loop/callback.js';
import { LogFile } from './log-file.js';

/**
 * A log with one JSON object a line: `{"event":"step","step":1,"epoch":1,"loss":2.3,"time":…}`, `"validation"` with `values`,
 * `"epoch"` with the mean loss, `"end"` with the reason. A file that is there is written anew; in a run that is resumed, cut
 * back to where it goes on from. Times are seconds since 1970.
 */
export function jsonLines(path: string): Callback {
  let file: LogFile<object> | undefined;
  const add = (event: string, fields: object): void => {
    file?.add({ event, ...fields, time: Date.now() / 1000 });
  };
  return {
    name: `jsonLines('${path}')`,
    onStart: async ({ resumed }) => {
      await makeFolder(dirname(path));
      // What was logged before must survive a crash while it is cut; a log that begins has nothing to lose.
      if (resumed !== undefined) await writeFileAtomically(path, Buffer.from(linesUpTo(path, resumed)));
      file = new LogFile(path, resumed === undefined ? 'w' : 'a', linesOf);
    },
    onStep: ({ step, epoch, loss }) => {
      add('step', { step, epoch, loss });
    },
    onValidation: ({ step, epoch, values }) => {
      add('validation', { step, epoch, values });
    },
    onEpoch: ({ step, epoch, loss }) => {
      add('epoch', { step, epoch, loss });
    },
    onSave: () => {
      file?.flush();
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

/** What was logged before the checkpoint. The last line may be cut off. */
function linesUpTo(path: string, { step, epochs }: Required<RunStart>['resumed']): string {
  if (!existsSync(path)) return '';
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => {
      const entry = parsed(line);
      if (entry === undefined || entry.event === 'end' || !(entry.step <= step)) return false;
      return entry.event !== 'epoch' || entry.epoch <= epochs;
    })
    .map((line) => `${line}\n`)
    .join('');
}

function parsed(line: string): { readonly event: string; readonly step: number; readonly epoch: number } | undefined {
  try {
    return JSON.parse(line) as { event: string; step: number; epoch: number };
  } catch {
    return undefined;
  }
}
