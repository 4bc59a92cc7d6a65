/** A function to minimize, with its gradient. */
export interface Objective {
  readonly name: string;
  /** Where optimization begins. */
  readonly start: readonly number[];
  readonly value: (x: readonly number[]) => number;
  readonly gradient: (x: readonly number[]) => readonly number[];
}

/** Functions that optimizers are tried on. Sources: Rosenbrock 1960, Beale 1958, Rastrigin 1974, Himmelblau 1972; all are 0 at their minimum. */
export const objectives = {
  /** ((x − 1)² + 10(y + 2)²)/2. */
  parabola: {
    name: 'parabola',
    start: [-1, 1],
    value: ([x, y]) => ((x - 1) ** 2 + 10 * (y + 2) ** 2) / 2,
    gradient: ([x, y]) => [x - 1, 10 * (y + 2)],
  },
  /** (1 − x)² + 100(y − x²)²: a bent valley. */
  rosenbrock: {
    name: 'rosenbrock',
    start: [-1.2, 1],
    value: ([x, y]) => (1 - x) ** 2 + 100 * (y - x * x) ** 2,
    gradient: ([x, y]) => [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)],
  },
  /** (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²: flat far out, minimum at (3, 0.5). */
  beale: {
    name: 'beale',
    start: [1, 1],
    value: ([x, y]) => [1.5, 2.25, 2.625].reduce((sum, c, k) => sum + (c - x + x * y ** (k + 1)) ** 2, 0),
    gradient: ([x, y]) => {
      const terms = [1.5, 2.25, 2.625].map((c, k) => ({ r: c - x + x * y ** (k + 1), k }));
      return [
        terms.reduce((sum, { r, k }) => sum + 2 * r * (y ** (k + 1) - 1), 0),
        terms.reduce((sum, { r, k }) => sum + 2 * r * x * (k + 1) * y ** k, 0),
      ];
    },
  },
  /** Σ x² + 10(1 − cos 2πx): a minimum in every unit cell; started in the cell of the least. */
  rastrigin: {
    name: 'rastrigin',
    start: [0.35, -0.3],
    value: (x) => x.reduce((sum, xi) => sum + xi * xi + 10 * (1 - Math.cos(2 * Math.PI * xi)), 0),
    gradient: (x) => x.map((xi) => 2 * xi + 20 * Math.PI * Math.sin(2 * Math.PI * xi)),
  },
  /** (x² + y − 11)² + (x + y² − 7)²: four minima, of which (3, 2) is one; started between them. */
  himmelblau: {
    name: 'himmelblau',
    start: [0, -1],
    value: ([x, y]) => (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
    gradient: ([x, y]) => {
      const [a, b] = [x * x + y - 11, x + y * y - 7];
      return [4 * x * a + 2 * b, 2 * a + 4 * y * b];
    },
  },
} as const satisfies Readonly<Record<string, Objective>>;

/** Names of {@link objectives}. */
export type ObjectiveName = keyof typeof objectives;
