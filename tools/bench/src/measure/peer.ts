import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Contender } from '@adakit/cli/internal/measure';
import { UsageError } from '../command-line.js';

/** A Python process that measures itself: it answers every line of JSON with one. */
export class Peer {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string, undefined>;

  private constructor(python: string, script: string, args: readonly string[]) {
    const file = fileURLToPath(new URL(`../../python/${script}`, import.meta.url));
    this.#process = spawn(python, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#process;
    if (stdout === null) throw new Error(`${python} has no output to read`);
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]() as AsyncIterator<string, undefined>;
  }

  /**
   * Starts a script of `python/`, or tells why there is no such peer.
   *
   * @param variable the environment variable that names the Python to use
   * @throws UsageError where it names none that can be started
   */
  static async start(variable: string, script: string, ...args: readonly string[]): Promise<Peer | undefined> {
    const python = process.env[variable];
    if (python === undefined) {
      console.error(`${variable} names no Python; measured without what ${script} would compare with`);
      return undefined;
    }
    const peer = new Peer(python, script, args);
    try {
      await once(peer.#process, 'spawn');
    } catch (error) {
      throw new UsageError(`${variable} is ${python}, which cannot be started: ${String(error)}`, { cause: error });
    }
    return peer;
  }

  async ask(request: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>> {
    this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the Python process has ended; its message is above');
    return JSON.parse(line.value) as Record<string, unknown>;
  }

  /** A contender whose time is the `milliseconds` of the answer. */
  contender(request: Readonly<Record<string, unknown>>): Contender {
    return async () => Number((await this.ask(request))['milliseconds']);
  }

  end(): void {
    this.#process.stdin?.end();
  }
}
