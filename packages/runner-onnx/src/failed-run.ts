import { TrainingError } from './error.js';
import { NativeError } from './native/native-error.js';

/**
 * What to throw where a run of ONNX Runtime has failed, in either way of reaching it: a token beyond its table, say, which only
 * the run finds out.
 *
 * @param signal what the run was to end at; its reason is thrown as it is
 * @returns TrainingError `failed-run` with the runtime's words; the cause itself where no run has begun
 */
export function failedRun(cause: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true || !(cause instanceof Error)) return cause;
  if (cause instanceof NativeError ? !cause.isOfStatus : cause.constructor !== Error) return cause;
  const said = cause.message.replace(/^\w+: (?=Non-zero status code)/, '').trim();
  return new TrainingError('failed-run', `ONNX Runtime fails on this batch, and nothing has changed: ${said}`, {
    cause,
  });
}
