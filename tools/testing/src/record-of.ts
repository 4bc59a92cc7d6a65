import { z } from 'zod';

/** A schema of values by any names: `z.record` leaves `__proto__` out without a word. */
export function recordOf<T>(value: z.ZodType<T>): z.ZodType<Readonly<Record<string, T>>> {
  const entries = (given: unknown): unknown =>
    typeof given === 'object' && given !== null && !Array.isArray(given) ? new Map(Object.entries(given)) : given;
  return z
    .preprocess(
      entries,
      z.map(z.string(), value, { error: ({ input }) => (input === undefined ? undefined : 'must be an object') }),
    )
    .transform((map): Readonly<Record<string, T>> => Object.fromEntries(map));
}
