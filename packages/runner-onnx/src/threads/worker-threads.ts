import { availableParallelism } from 'node:os';
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import {
  elementCount,
  type KernelCall,
  type KernelThreads,
  type Plan,
  type ThreadCode,
  type WasmMemory,
  type WasmModule,
} from '@adakit/core';
import type { SessionOptions } from '../runtime/runtime.js';

/** More threads than this bring nothing: updates wait for memory, which a few of them keep busy. */
const MOST = 8;

/** Words that threads share: those of all together, then some for each. */
const WORDS = { ready: 0, pending: 1, failed: 2 } as const;
const COMMON = 3;
/** Of each thread: a count of its calls, the number of the code, and the two numbers of the call. */
const OWN = 4;

/** Times that a thread looks for what it waits for before it goes to sleep: some 20 µs, less than waking it takes. */
const SPINS = 5000;

/** Half a millisecond's work or more, for waking a thread may take as long. */
const LEAST_SHARE = 2 ** 19;

/**
 * Threads for the updates of a plan: as many as the runtime computes gradients with; `undefined` where one is enough.
 *
 * @param options those of the runtime's session
 */
export function updateThreads(
  { parameters }: Pick<Plan, 'parameters'>,
  { intraOpNumThreads = 0 }: Pick<SessionOptions, 'intraOpNumThreads'>,
): WorkerThreads | undefined {
  const elements = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const most = intraOpNumThreads > 0 ? intraOpNumThreads : availableParallelism();
  return most > 1 && elements >= 2 * LEAST_SHARE ? new WorkerThreads(most) : undefined;
}

/**
 * Options with which the runtime's threads leave their cores as soon as the gradients are there. Otherwise they look out for
 * the next run for as long as an update takes, on the cores that it is to have.
 */
export function withoutSpinning(options: SessionOptions): SessionOptions {
  const { session, ...others } = options.extra ?? {};
  const own = typeof session === 'object' ? session : {};
  return { ...options, extra: { session: { force_spinning_stop: '1', ...own }, ...others } };
}

/** Threads that have been started. What listens to them must not know who uses them, who could not be forgotten then. */
interface Crew {
  readonly control: Int32Array;
  readonly workers: Worker[];
  readonly ports: MessagePort[];
  /** Whether one of them is gone. */
  lost: boolean;
}

/** Ends threads that nobody can use any more: they hold the memory that they compute in. */
const forgotten = new FinalizationRegistry(endCrew);

/**
 * Threads of Node.js that share the update of the parameters with the thread that trains. They are started when they are
 * asked for, sleep between updates, and do not keep the process alive.
 */
export class WorkerThreads implements KernelThreads {
  readonly most: number;
  readonly leastShare = LEAST_SHARE;
  readonly #codes = new Map<ThreadCode, number>();
  #crew: Crew | undefined;
  #ended = false;

  /** @param most how many may compute at the same time, the caller's among them */
  constructor(most: number) {
    this.most = Math.min(most, MOST);
  }

  available(): number {
    if (this.#ended) return 1;
    if (this.#crew === undefined) {
      this.#crew = startCrew(this.most - 1);
      forgotten.register(this, this.#crew, this);
    }
    const { control, lost } = this.#crew;
    return lost || Atomics.load(control, WORDS.ready) < this.most - 1 ? 1 : this.most;
  }

  run(code: ThreadCode, calls: readonly KernelCall[], own: () => void): void {
    const crew = this.#crew;
    if (crew === undefined) throw new Error('threads that are not there cannot be called');
    const { control } = crew;
    const number = this.#numberOf(code, crew);
    Atomics.store(control, WORDS.pending, calls.length);
    calls.forEach(([from, count], i) => {
      const at = COMMON + OWN * i;
      control.set([number, from, count], at + 1);
      Atomics.add(control, at, 1);
      Atomics.notify(control, at);
    });
    try {
      own();
    } finally {
      for (let spins = 0; Atomics.load(control, WORDS.pending) > 0 && spins < SPINS; spins++);
      for (let left; (left = Atomics.load(control, WORDS.pending)) > 0;) Atomics.wait(control, WORDS.pending, left);
    }
    if (Atomics.exchange(control, WORDS.failed, 0) > 0) {
      throw new Error(`a thread could not compute its share of an update: ${String(failureOf(crew))}`);
    }
  }

  /** Ends the threads; everything is computed in the caller's from now on. */
  end(): void {
    this.#ended = true;
    forgotten.unregister(this);
    if (this.#crew !== undefined) endCrew(this.#crew);
    this.#crew = undefined;
    // They hold memory.
    this.#codes.clear();
  }

  #numberOf(code: ThreadCode, { ports }: Crew): number {
    let number = this.#codes.get(code);
    if (number === undefined) {
      this.#codes.set(code, (number = this.#codes.size));
      for (const port of ports) port.postMessage(code);
    }
    return number;
  }
}

/** A thread that cannot be had, or that is lost, leaves everything to the caller's. */
function startCrew(count: number): Crew {
  const shared = new SharedArrayBuffer(4 * (COMMON + OWN * count));
  const crew: Crew = { control: new Int32Array(shared), workers: [], ports: [], lost: false };
  const lose = (): void => {
    crew.lost = true;
  };
  const source = `(${serve.toString()})(require('node:worker_threads'))`;
  try {
    for (let i = 0; i < count; i++) {
      const { port1, port2 } = new MessageChannel();
      const workerData: ThreadData = { shared, port: port2, at: COMMON + OWN * i, words: WORDS, spins: SPINS };
      const own = { name: 'adakit update', execArgv: [], workerData, transferList: [port2] };
      const worker = new Worker(source, { eval: true, ...own });
      worker.unref();
      port1.unref();
      worker.on('error', lose).on('exit', lose);
      crew.workers.push(worker);
      crew.ports.push(port1);
    }
  } catch {
    // Node's permissions may forbid threads.
    lose();
    endCrew(crew);
  }
  return crew;
}

function endCrew({ workers }: Crew): void {
  for (const worker of workers) void worker.terminate();
}

function failureOf({ ports }: Crew): unknown {
  for (const port of ports) {
    const received: { readonly message: unknown } | undefined = receiveMessageOnPort(port);
    if (received !== undefined) return received.message;
  }
  return undefined;
}

/** What a thread has of Node.js. */
interface ThreadGlobals {
  readonly receiveMessageOnPort: typeof receiveMessageOnPort;
  readonly workerData: unknown;
}

/** What a thread is told when it starts. */
interface ThreadData {
  readonly shared: SharedArrayBuffer;
  /** On which codes come, in the order of their numbers. */
  readonly port: MessagePort;
  /** Where its own words begin. */
  readonly at: number;
  /** Where those of all are. */
  readonly words: typeof WORDS;
  readonly spins: number;
}

/**
 * What a thread does for ever. Its text is evaluated there, which bundlers cannot lose as they can lose a file: nothing of
 * this module may be named in it.
 */
function serve({ receiveMessageOnPort: receive, workerData }: ThreadGlobals): void {
  const { shared, port, at, words, spins } = workerData as ThreadData;
  const control = new Int32Array(shared);
  const functions: ((from: number, count: number) => void)[] = [];
  const { Instance } = (globalThis as unknown as { readonly WebAssembly: WebAssemblyInstances }).WebAssembly;
  Atomics.add(control, words.ready, 1);
  for (let calls = 0; ; calls = (calls + 1) | 0) {
    for (let spin = 0; Atomics.load(control, at) === calls && spin < spins; spin++);
    // A call that was seen while spinning may wake the thread once more, when it is done with it.
    while (Atomics.load(control, at) === calls) Atomics.wait(control, at, calls);
    try {
      while (functions.length <= control[at + 1]) {
        const { module, memory, name } = (receive(port) as { readonly message: ThreadCode }).message;
        const { exp, log, pow } = Math;
        // Elementwise programs call nothing of these.
        const names = ['matMul', 'transpose', 'repeat', 'factor', 'random'];
        const others = Object.fromEntries(names.map((own) => [own, () => undefined]));
        functions.push(new Instance(module, { e: { m: memory, exp, log, pow, ...others } }).exports[name]);
      }
      functions[control[at + 1]](control[at + 2], control[at + 3]);
    } catch (error) {
      port.postMessage(String(error));
      Atomics.store(control, words.failed, 1);
    }
    if (Atomics.sub(control, words.pending, 1) === 1) Atomics.notify(control, words.pending);
  }
}

/** The part of WebAssembly that a thread needs. */
interface WebAssemblyInstances {
  readonly Instance: new (
    module: WasmModule,
    imports: { readonly e: Readonly<Record<string, WasmMemory | ((...numbers: number[]) => unknown)>> },
  ) => { readonly exports: Readonly<Record<string, (from: number, count: number) => void>> };
}
