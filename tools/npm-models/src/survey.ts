import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Entry } from './catalogue.js';
import type { Examination } from './examine.js';
import { fetchModel } from './registry.js';
import type { Outcome } from './report.js';

export interface SurveyOptions {
  readonly steps: number;
  readonly limit: number;
  readonly large: boolean;
  readonly timeout: number;
  readonly cache: string;
}

/** Downloads the model of an entry and examines it in a process of its own. */
export async function survey(entry: Entry, { cache, timeout, ...options }: SurveyOptions): Promise<Outcome> {
  const path = await fetchModel(entry.package, entry.file, cache);
  const helpers: Record<string, string> = {};
  for (const [name, { package: from, file }] of Object.entries(entry.training?.helpers ?? {})) {
    helpers[name] = await fetchModel(from, file, cache);
  }
  return { entry, found: await inChild({ id: entry.id, path, helpers, ...options }, timeout) };
}

function inChild(task: object, timeout: number): Promise<Outcome['found']> {
  const child = fileURLToPath(new URL('child.js', import.meta.url));
  const limits = { timeout: timeout * 1000, maxBuffer: 2 ** 28, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, [child, JSON.stringify(task)], limits, (error, stdout, stderr) => {
      if (error === null) {
        resolve(JSON.parse(stdout) as Examination);
        return;
      }
      const lines = stderr.split('\n').filter((line) => /Error|error:/.test(line));
      const reason =
        error.killed === true
          ? `no result after ${timeout} s`
          : (lines.at(-1) ?? `ended by ${error.signal ?? error.code ?? 'an error'}`);
      resolve({ failure: reason.trim() });
    });
  });
}
