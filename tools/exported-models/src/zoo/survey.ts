import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { result, type Result } from './examine.js';
import type { ExportRecord } from './record.js';

export interface SurveyOptions {
  /** Seconds a model may take. */
  readonly timeout: number;
  /** Megabytes that the JavaScript of a model may take. */
  readonly memory: number;
  /** Whether to examine again what has been. */
  readonly again: boolean;
}

/** Examines a model in a process of its own, unless the result is there already. */
export async function survey(record: ExportRecord, { again, ...limits }: SurveyOptions): Promise<Result> {
  const path = join(record.folder, `${record.label}.result.json`);
  if (!again && existsSync(path)) return result.parse(JSON.parse(readFileSync(path, 'utf8')));
  const found = await inChild(record, limits);
  writeFileSync(path, `${JSON.stringify(found)}\n`);
  return found;
}

function inChild({ folder, label }: ExportRecord, { timeout, memory }: Omit<SurveyOptions, 'again'>): Promise<Result> {
  const child = fileURLToPath(new URL('child.js', import.meta.url));
  const limits = { timeout: timeout * 1000, maxBuffer: 2 ** 26, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    const args = [`--max-old-space-size=${memory}`, child, folder, label];
    execFile(process.execPath, args, limits, (error, stdout, stderr) => {
      if (error === null) {
        resolve(result.parse(JSON.parse(stdout)));
        return;
      }
      const said = stderr.split('\n').find((line) => /Error|error:/.test(line));
      const ended =
        error.killed === true ? `no result after ${timeout} s` : `ended by ${error.signal ?? error.code ?? 'an error'}`;
      resolve({ failure: said ?? ended });
    });
  });
}
