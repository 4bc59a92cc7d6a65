import { editDistance } from './errors.js';

/** The `count` known names closest to `given`, nearest first, however far: for filters that match nothing. */
export function nearestNames(given: string, known: Iterable<string>, count = 3): string[] {
  return [...known]
    .map((name) => ({ name, distance: editDistance(given.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ name }) => name);
}
