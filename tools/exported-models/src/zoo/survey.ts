import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { result, type Result } from './examine.js';
import type { ExportRecord } from './record.js';

export interface SurveyOptions {
  /** Seconds a model may take. */
  readonly timeout: number;
  /** Megabytes that the JavaScript of a model may take. */
  readonly memory: number;
  /** Whether to examine again what has been. */
  readonly again: boolean;
  /** The commit that is measured. */
  readonly code: string;
}

const examined = z.object({
  /** The commit that it was measured with. */
  code: z.string(),
  result,
});

/** A result, and what it was measured with. */
export type Examined = z.infer<typeof examined>;

/** Examines a model in a process of its own, unless there is a result already that is not older than the model. */
export async function survey(record: ExportRecord, { again, code, ...limits }: SurveyOptions): Promise<Examined> {
  const path = join(record.folder, `${record.label}.result.json`);
  const isThere = existsSync(path) && statSync(path).mtimeMs >= statSync(join(record.folder, record.model)).mtimeMs;
  if (!again && isThere) return examined.parse(JSON.parse(readFileSync(path, 'utf8')));
  const found = { code, result: await inChild(record, limits) };
  writeFileSync(path, `${JSON.stringify(found)}\n`);
  return found;
}

/** The last commit that has changed what is measured, with a plus where the working tree differs from it. */
export function codeVersion(): string {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const source = 'packages/onnx/src';
  return `${git('log', '-1', '--format=%h', '--', source)}${git('status', '--porcelain', '--', source) === '' ? '' : '+'}`;
}

function inChild(
  { folder, label }: ExportRecord,
  { timeout, memory }: Omit<SurveyOptions, 'again' | 'code'>,
): Promise<Result> {
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
