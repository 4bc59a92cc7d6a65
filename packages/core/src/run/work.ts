/**
 * Work that waits where it must: a generator that yields promises, and the values that devices give at once. One text
 * serves backends that answer at once, as `tf.Optimizer.applyGradients` has to, and those that do not.
 */
export type Work<T> = Generator<unknown, T, unknown>;

/** Waits inside {@link Work}. */
export function* wait<T>(value: T | Promise<T>): Generator<unknown, T, unknown> {
  return (value instanceof Promise ? yield value : value) as T;
}
