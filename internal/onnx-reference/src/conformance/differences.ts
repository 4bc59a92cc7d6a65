/**
 * What differences of f say about a derivative at 0:
 * - `agrees`: it is what central differences tend to;
 * - `kink`: the slopes to the two sides stay apart, and the derivative is one of them or between;
 * - `edge`: f jumps here, leaves its domain, or has an infinite slope; a derivative does not exist;
 * - `wrong`: none of these.
 */
export type Finding = 'agrees' | 'kink' | 'edge' | 'wrong';

export interface Accuracy {
  /** Steps tried, from the longest, each a tenth of the one before. */
  readonly steps: readonly number[];
  /** Of the derivative, absolute. */
  readonly tolerance: number;
  /** Rounding error of f, absolute. */
  readonly noise: number;
}

/** @param f a function on the line along which the derivative is taken */
export async function compare(
  f: (t: number) => number | Promise<number>,
  derivative: number,
  { steps, tolerance, noise }: Accuracy,
): Promise<Finding> {
  const middle = await f(0);
  const sides: { step: number; ahead: number; behind: number }[] = [];
  for (const step of steps) {
    const ahead = ((await f(step)) - middle) / step;
    const behind = (middle - (await f(-step))) / step;
    if (Math.abs((ahead + behind) / 2 - derivative) <= tolerance + noise / step) return 'agrees';
    sides.push({ step, ahead, behind });
  }
  const [{ ahead, behind, step }] = sides.slice(-1);
  if (!Number.isFinite(ahead + behind)) return 'edge';
  // A slope that grows as the step gets shorter, by √10 at least, has no limit.
  const grows = (slopes: readonly number[]) =>
    Math.abs(slopes[slopes.length - 1]) > (100 * noise) / step &&
    slopes.every((slope, i) => i === 0 || Math.abs(slope) > 2 * Math.abs(slopes[i - 1]));
  if (grows(sides.map((side) => side.ahead)) || grows(sides.map((side) => side.behind))) return 'edge';
  const [low, high] = [Math.min(ahead, behind), Math.max(ahead, behind)];
  const margin = 10 * tolerance + (10 * noise) / step + 1e-3 * Math.max(Math.abs(low), Math.abs(high));
  return high - low > margin && derivative > low - margin && derivative < high + margin ? 'kink' : 'wrong';
}
