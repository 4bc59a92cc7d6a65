import type { ComputePrecision } from '@adakit/onnx';
import { InvalidArgumentError } from 'commander';

/** For an option that may be repeated: all its values. */
export const repeated = (text: string, before: readonly string[]): readonly string[] => [...before, text];

/** A whole number of at least so many, and of at most so many. @throws InvalidArgumentError from what it returns */
export function whole(least: number, most = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const range = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`a whole number ${range} is needed.`);
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

/** A number of bytes: `1500000`, `512MiB`, `2GiB`, `1.5GB`. @throws InvalidArgumentError */
export function byteSize(text: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?) ?([KMGT]i?B)?$/i.exec(text) ?? [];
  const power = 'KMGT'.indexOf(unit.charAt(0).toUpperCase()) + 1;
  const bytes = Math.floor(Number(digits) * (/i/i.test(unit) ? 1024 : 1000) ** (unit === '' ? 0 : power));
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError('bytes are needed, such as 512MiB or 2GiB.');
}

/** name=number, several of them. @throws InvalidArgumentError */
export function pair(text: string, before: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  // Names may contain the sign themselves: the last one counts.
  const at = text.lastIndexOf('=');
  const value = Number(text.slice(at + 1));
  if (at < 1 || text.slice(at + 1).trim() === '' || !Number.isFinite(value)) {
    throw new InvalidArgumentError('name=number is needed.');
  }
  return { ...before, [text.slice(0, at)]: value };
}
