import { AdakitError } from '@adakit/core';

/** ONNX Runtime's codes in their order, and what is found on this side of the border. */
const CODES = [
  'ok',
  'fail',
  'invalid-argument',
  'no-such-file',
  'no-model',
  'engine-error',
  'runtime-exception',
  'invalid-protobuf',
  'model-loaded',
  'not-implemented',
  'invalid-graph',
  'provider-fail',
  'load-canceled',
  'needs-compilation',
  'not-found',
] as const;

/** What went wrong in the C API or on the way there, for programs. */
export type NativeErrorCode =
  | (typeof CODES)[number]
  | 'unavailable'
  | 'released'
  | 'detached-memory'
  | 'unknown-name'
  | 'missing-input'
  | 'wrong-type'
  | 'wrong-shape'
  | 'unsupported';

/** An error of the native runtime; the process is unharmed. */
export class NativeError extends AdakitError<NativeErrorCode> {
  override readonly name = 'NativeError';

  /** Whether ONNX Runtime has said so, and not this side of the border. */
  get isOfStatus(): boolean {
    return (CODES as readonly string[]).includes(this.code);
  }

  /** @param code as in `OrtErrorCode` */
  static ofStatus(call: string, code: number, text: string): NativeError {
    return new NativeError(CODES.at(code) ?? 'fail', `${call}: ${text}`);
  }
}
