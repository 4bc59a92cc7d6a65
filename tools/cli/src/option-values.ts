import type { ComputePrecision } from '@adakit/onnx';
import { InvalidArgumentError } from 'commander';

/** For an option that may be repeated: all its values. */
export const repeated = (text: string, before: readonly string[]): readonly string[] => [...before, text];

/** A whole number of at least so many. @throws InvalidArgumentError from what it returns */
export function whole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`a whole number of at least ${least} is needed.`);
  };
}

/** A number above 0. @throws InvalidArgumentError */
export function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('a number above 0 is needed.');
}

/** What products are computed in. @throws InvalidArgumentError */
export function computePrecision(text: string): ComputePrecision {
  if (text === 'float32' || text === 'float16' || text === 'bfloat16') return text;
  throw new InvalidArgumentError('it is float32, float16 or bfloat16.');
}
