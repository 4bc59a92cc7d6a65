import { kinds } from '@adakit/core';
import { Dataset } from '../dataset/dataset.js';
import { DataError, requireOptions } from '../error.js';
import { hear, hearEnd, requirePort, type Answer, type Port, type Request } from './protocol.js';

/** How a dataset in a worker is read. */
export interface FromWorkerOptions {
  /** Elements that the worker prepares ahead. Default: 2. */
  readonly ahead?: number;
}

/**
 * The dataset that a worker serves with `serveDataset`: read, decoded and put together in another thread while this one
 * trains, also where a step keeps it busy. A stream, whose positions are those of the dataset itself. Its order is the
 * worker's affair: shuffle there.
 *
 * ```ts fragment
 * const batches = await fromWorker<Batch>(new Worker(new URL('./batches.js', import.meta.url), { workerData: 'houses.csv' }));
 * ```
 *
 * @param worker a `Worker` of `node:worker_threads` or of a browser; it ends with `worker.terminate()`, and does not keep
 *   Node running while nobody reads
 * @returns the dataset, as soon as the worker has made it
 * @throws DataError `cannot-read` where the worker ends before; reading throws it where it ends later
 */
export async function fromWorker<T>(worker: Port, options: FromWorkerOptions = {}): Promise<Dataset<T>> {
  requireOptions('fromWorker', options, { ahead: kinds.count(1) });
  const { ahead = 2 } = options;
  requirePort('fromWorker', worker);
  const connection = new Connection(worker);
  const { description, length } = await connection.description();
  return new Dataset<T>({
    description,
    ...(length !== undefined && { length }),
    read: (pass, from) => connection.read(pass, from, ahead) as AsyncIterable<T>,
  });
}

type Described = Extract<Answer, { readonly tell: 'description' }>;
type Said = Exclude<Answer, Described>;

/** What a worker says, sorted by streams, until it ends. */
class Connection {
  readonly #worker: Port;
  readonly #described = new Mailbox<Described>();
  readonly #streams = new Map<number, Mailbox<Said>>();
  #next = 0;
  /** How many wait for the worker to say something. */
  #waiting = 0;
  /** Why it says nothing any more. */
  #ended: DataError | undefined;

  constructor(worker: Port) {
    this.#worker = worker;
    hear(worker, (message) => {
      const answer = message as Answer;
      if (answer.tell === 'description') this.#described.put(answer);
      else this.#streams.get(answer.stream)?.put(answer);
    });
    hearEnd(worker, (why) => {
      this.#ended ??= new DataError('cannot-read', `the worker that serves the data has ended: ${why}`);
      for (const box of this.#streams.values()) box.close(this.#ended);
      this.#described.close(
        new DataError(
          'cannot-read',
          `${this.#ended.message}; its module has to call serveDataset(dataset, parentPort)`,
        ),
      );
    });
  }

  async description(): Promise<Described> {
    this.#ask({ ask: 'description' });
    return this.#taken(this.#described);
  }

  read(pass: number, from: number, ahead: number): AsyncIterable<unknown> {
    const box = new Mailbox<Said>();
    const elements = this.#elements(box, pass, from, ahead);
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => elements.next(),
        return: (): Promise<IteratorResult<unknown>> => {
          // Whoever still waits for an element does so no longer: it may never come, and would keep Node running.
          box.put({ tell: 'end', stream: NaN });
          return elements.return(undefined);
        },
      }),
    };
  }

  async *#elements(box: Mailbox<Said>, pass: number, from: number, ahead: number): AsyncGenerator {
    const stream = this.#next++;
    this.#streams.set(stream, box);
    if (this.#ended !== undefined) box.close(this.#ended);
    this.#ask({ ask: 'read', stream, pass, from, ahead });
    try {
      for (;;) {
        const said = await this.#taken(box);
        if (said.tell === 'end') return;
        if (said.tell === 'failure') throw errorOf(said.failure);
        this.#ask({ ask: 'more', stream });
        yield said.element;
      }
    } finally {
      this.#streams.delete(stream);
      this.#ask({ ask: 'end', stream });
    }
  }

  #ask(request: Request): void {
    this.#worker.postMessage(request, []);
  }

  /** What is in a box, or will be. Node runs on while somebody waits for it. */
  async #taken<M>(box: Mailbox<M>): Promise<M> {
    const worker = this.#worker;
    if (this.#waiting++ === 0 && 'ref' in worker) worker.ref();
    try {
      return await box.take();
    } finally {
      if (--this.#waiting === 0 && 'unref' in worker) worker.unref();
    }
  }
}

/** Messages in the order in which they came, for one who waits for the next. */
class Mailbox<M> {
  readonly #messages: M[] = [];
  #wake: (() => void) | undefined;
  #closed: Error | undefined;

  put(message: M): void {
    this.#messages.push(message);
    this.#wake?.();
  }

  /** What is there may still be taken. */
  close(reason: Error): void {
    this.#closed ??= reason;
    this.#wake?.();
  }

  async take(): Promise<M> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#closed !== undefined) throw this.#closed;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

function errorOf({ message, code }: Extract<Answer, { readonly tell: 'failure' }>['failure']): Error {
  return code === undefined ? new Error(message) : new DataError(code, message);
}
