import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../fixtures/python/exported_models.py', import.meta.url));

/** PyTorch in a process of its own, taking training steps with the first batch of a network when it is asked to. */
export class EagerPyTorch {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  private constructor(python: string, network: string) {
    this.#child = spawn(python, [script, '--steps', network, '--size', 'full'], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** @param python the interpreter of an installation with PyTorch, torchvision and onnx */
  static async start(python: string, network: string): Promise<EagerPyTorch> {
    const process = new EagerPyTorch(python, network);
    if ((await process.#line()) !== 'ready') throw new Error(`${python} does not train ${network}`);
    return process;
  }

  /** Milliseconds of one of `count` steps. */
  async time(count: number): Promise<number> {
    this.#child.stdin.write(`${count}\n`);
    return Number(await this.#line());
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    await ended;
  }

  async #line(): Promise<string> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('PyTorch has ended; run exported_models.py --steps to see why');
    return line.value;
  }
}
