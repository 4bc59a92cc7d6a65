import { objectives, type Objective } from '@adakit/testing';
import type { functionNames } from '../known-names.js';

/** A function of two numbers, and the part of the plane that shows what matters of it. */
export interface Landscape {
  readonly objective: Objective;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  /** Where it is least. */
  readonly minima: readonly (readonly [number, number])[];
}

/** Logarithms of a function's values on a grid, rows from the top, and levels between them: valleys would be one level else. */
export function isocontours({ objective, x, y }: Landscape, cells: number, levels: number) {
  const at = ([low, high]: readonly [number, number], i: number): number => low + ((high - low) * (i + 0.5)) / cells;
  const values = Array.from({ length: cells * cells }, (_, i) =>
    Math.log1p(objective.value([at(x, i % cells), at(y, cells - 1 - Math.floor(i / cells))])),
  );
  const [least, most] = values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
  const thresholds = Array.from({ length: levels }, (_, i) => least + ((most - least) * (i + 0.5)) / levels);
  return { grid: { values, width: cells, height: cells }, least, most, thresholds };
}

/** Functions by name. */
export const landscapes: Readonly<Record<(typeof functionNames)[number], Landscape>> = {
  rosenbrock: { objective: objectives.rosenbrock, x: [-2, 2], y: [-1, 3], minima: [[1, 1]] },
  beale: { objective: objectives.beale, x: [-1, 4.5], y: [-2, 2], minima: [[3, 0.5]] },
  rastrigin: { objective: objectives.rastrigin, x: [-2.5, 2.5], y: [-2.5, 2.5], minima: [[0, 0]] },
  himmelblau: {
    objective: objectives.himmelblau,
    x: [-5, 5],
    y: [-5, 5],
    minima: [
      [3, 2],
      [-2.805118, 3.131313],
      [-3.77931, -3.283186],
      [3.584428, -1.848127],
    ],
  },
  parabola: { objective: objectives.parabola, x: [-3, 5], y: [-6, 2], minima: [[1, -2]] },
};
