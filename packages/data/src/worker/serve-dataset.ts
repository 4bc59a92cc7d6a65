import type { NumericArray } from '@adakit/core';
import type { Dataset } from '../dataset/dataset.js';
import { isTensor } from '../dataset/example.js';
import { DataError } from '../error.js';
import { hear, type Answer, type Failure, type Port, type Request } from './protocol.js';

/**
 * Gives the elements of a dataset to the thread that started this worker, which reads them with `fromWorker`. Elements are
 * prepared here, ahead of what has been taken there.
 *
 * ```ts fragment
 * // batches.js
 * import { parentPort, workerData } from 'node:worker_threads';
 * serveDataset((await csvFile(workerData)).map(toExample).batch(32), parentPort);
 * ```
 *
 * @param port `parentPort` of `node:worker_threads`, or `self` in a browser
 * @throws DataError `invalid-argument` for null, which `parentPort` is outside of a worker
 */
export function serveDataset(dataset: Dataset<unknown>, port: Port | null): void {
  if (port === null) {
    throw new DataError('invalid-argument', 'serveDataset: there is no port; run this module as a worker');
  }
  const streams = new Map<number, Stream>();
  const tell: Tell = (answer, transfer = []) => {
    port.postMessage(answer, transfer);
  };
  const describe = (): void => {
    tell({ tell: 'description', description: dataset.description, length: dataset.length });
  };
  hear(port, (message) => {
    const request = message as Request;
    switch (request.ask) {
      case 'description':
        describe();
        return;
      case 'read': {
        const { stream, pass, from, ahead } = request;
        const served = new Stream(stream, dataset.read(pass, from)[Symbol.asyncIterator](), tell);
        streams.set(stream, served);
        served.more(ahead);
        return;
      }
      case 'more':
        streams.get(request.stream)?.more(1);
        return;
      case 'end':
        streams.get(request.stream)?.end();
        streams.delete(request.stream);
    }
  });
  // Whoever asked before this module was ready may not have been heard.
  describe();
}

type Tell = (answer: Answer, transfer?: ArrayBuffer[]) => void;

/** A pass that is being read. */
class Stream {
  readonly #number: number;
  readonly #elements: AsyncIterator<unknown>;
  readonly #tell: Tell;
  #wanted = 0;
  #sending = false;
  #ended = false;

  constructor(number: number, elements: AsyncIterator<unknown>, tell: Tell) {
    this.#number = number;
    this.#elements = elements;
    this.#tell = tell;
  }

  more(count: number): void {
    this.#wanted += count;
    if (!this.#sending) void this.#send();
  }

  end(): void {
    this.#ended = true;
    // What it has to say no one waits for.
    void this.#elements.return?.().then(undefined, () => undefined);
  }

  async #send(): Promise<void> {
    const stream = this.#number;
    this.#sending = true;
    try {
      while (this.#wanted > 0 && !this.#ended) {
        const result = await this.#elements.next();
        if (result.done === true) {
          this.#ended = true;
          this.#tell({ tell: 'end', stream });
        } else {
          this.#wanted--;
          const { element, buffers } = packed(result.value);
          this.#tell({ tell: 'element', stream, element }, buffers);
        }
      }
    } catch (error) {
      this.#ended = true;
      this.#tell({ tell: 'failure', stream, failure: failureOf(error) });
    }
    this.#sending = false;
  }
}

/**
 * An element whose arrays are copies, which pass to the other thread as they are. Those of the data stay: the next pass may
 * read them again.
 */
function packed(element: unknown): { readonly element: unknown; readonly buffers: ArrayBuffer[] } {
  if (typeof element !== 'object' || element === null) return { element, buffers: [] };
  const buffers: ArrayBuffer[] = [];
  const fields = Object.entries(element).map(([name, value]: [string, unknown]) => {
    if (!isTensor(value)) return [name, value] as const;
    const data: NumericArray = value.data.slice();
    buffers.push(data.buffer as ArrayBuffer);
    return [name, { ...value, data }] as const;
  });
  return { element: Object.fromEntries(fields), buffers };
}

function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof DataError ? { message, code: error.code } : { message };
}
