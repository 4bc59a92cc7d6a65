import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a process of `adakit` has said. */
export interface Ended {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs `adakit` with arguments. */
export type Launch = (args: readonly string[], options?: { readonly timeout?: number }) => Promise<Ended>;

const program = fileURLToPath(new URL('../bin/adakit.js', import.meta.url));

/**
 * A process of its own: what one does to memory, threads and crashes is no other's.
 *
 * @param options `timeout`: milliseconds after which it is killed. Default: never
 */
export const inItsOwnProcess: Launch = (args, { timeout } = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(timeout !== undefined && { timeout, killSignal: 'SIGKILL' }),
    });
    let [output, errors] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code, signal, output, errors });
    });
  });
