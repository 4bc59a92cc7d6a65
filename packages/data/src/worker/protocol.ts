import { kindOf } from '@adakit/core';
import { DataError } from '../error.js';

/**
 * The other side of a worker: a `Worker`, `parentPort` of `node:worker_threads`, `self` in a browser's worker, or a
 * `MessagePort`.
 */
export type Port = PortOfNode | PortOfBrowser;

/** As Node's workers are: an emitter of values. */
export interface PortOfNode {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  on(event: 'message', listener: (value: unknown) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  /** Of a worker: -1 once it has ended. */
  readonly threadId?: number;
  /** Whether what it may still say keeps the process running. */
  ref?(): unknown;
  unref?(): unknown;
}

/** As browsers' workers are: a target of events. */
export interface PortOfBrowser {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: string, listener: (event: PortEvent) => void): void;
  /** Lets messages through, of a `MessagePort`. */
  start?(): void;
}

/** Of a browser: a message with its data, or an error. */
export interface PortEvent {
  readonly type: string;
  readonly data?: unknown;
  readonly message?: string;
}

/** What the reading side asks for. Streams are numbered by it, so that several passes may be read at once. */
export type Request =
  | { readonly ask: 'description' }
  | {
      readonly ask: 'read';
      readonly stream: number;
      readonly pass: number;
      readonly from: number;
      readonly ahead: number;
    }
  /** One has been taken, and one more may be sent. */
  | { readonly ask: 'more'; readonly stream: number }
  | { readonly ask: 'end'; readonly stream: number };

/** What the side with the data answers. */
export type Answer =
  | { readonly tell: 'description'; readonly description: string; readonly length?: number | undefined }
  | { readonly tell: 'element'; readonly stream: number; readonly element: unknown }
  | { readonly tell: 'end'; readonly stream: number }
  | { readonly tell: 'failure'; readonly stream: number; readonly failure: Failure };

/** An error, whose class does not pass. */
export interface Failure {
  readonly message: string;
  /** Of a `DataError`. */
  readonly code?: DataError['code'];
}

/** @throws DataError `invalid-argument` for what nothing can be sent by */
export function requirePort(what: string, port: unknown): void {
  const { postMessage, on, addEventListener } = Object(port) as Readonly<Record<string, unknown>>;
  if (typeof postMessage === 'function' && (typeof on === 'function' || typeof addEventListener === 'function')) return;
  throw new DataError('invalid-argument', `${what} takes a Worker, parentPort or self, got ${kindOf(port)}`);
}

/** Hears what the other side says; no one else speaks through the port. */
export function hear(port: Port, listener: (message: unknown) => void): void {
  if ('addEventListener' in port) {
    port.addEventListener('message', ({ data }) => {
      listener(data);
    });
    port.start?.();
  } else port.on('message', listener);
}

/** Is told when the other side ends, and why, where that can be known. */
export function hearEnd(port: Port, listener: (why: string) => void): void {
  if ('addEventListener' in port) {
    port.addEventListener('error', ({ message }) => {
      listener(message ?? 'it could not be loaded');
    });
    return;
  }
  if (port.threadId === -1) listener('it had ended before');
  port.on('error', (error) => {
    // Anything may be thrown there.
    listener(error instanceof Error ? error.message : String(error));
  });
  port.on('exit', (code: number) => {
    listener(`it ended with code ${code}`);
  });
}
