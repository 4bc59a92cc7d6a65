import type { Model } from '@adakit/onnx';
import { UsageError, wholeNumber } from './command-line.js';

/** Sizes of `--dim NAME=SIZE`, by name. @throws UsageError */
export function sizesOf(pairs: readonly string[] = []): Readonly<Record<string, number>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      // Names may contain the sign themselves: the last one counts.
      const at = pair.lastIndexOf('=');
      if (at < 1) throw new UsageError(`--dim must be NAME=SIZE, got '${pair}'`);
      const name = pair.slice(0, at);
      return [name, wholeNumber(`--dim ${name}`, pair.slice(at + 1))];
    }),
  );
}

/** A size for every free dimension of a model's inputs: those given, 4 for the others. */
export function fixedSizes(
  { graph }: Model,
  given: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const free = graph.input.flatMap(shapeOf).flatMap(({ value }) => (value.case === 'dimParam' ? [value.value] : []));
  return { ...Object.fromEntries(free.map((name) => [name, 4])), ...given };
}

/** The axis of the classes in a model's first output: the last of three, where a sample is a sequence, or the second. */
export function classAxisOf({ graph: { output } }: Model): number {
  return output.length > 0 && shapeOf(output[0]).length === 3 ? 2 : 1;
}

function shapeOf({ type }: Model['graph']['input'][number]) {
  return type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : [];
}
