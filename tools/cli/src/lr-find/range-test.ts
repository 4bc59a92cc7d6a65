/** A step of a range test. */
export interface RangePoint {
  readonly lr: number;
  /** Of the batch, before the step. */
  readonly loss: number;
  /** Averaged over steps, later ones counting more. */
  readonly smoothed: number;
}

/** What a range test has found. */
export interface RangeResult {
  readonly points: readonly RangePoint[];
  /** Why it ended: all steps taken, the loss grew past four times its least, or was no number any more. */
  readonly end: 'completed' | 'diverged' | 'not-finite';
  /** Where the smoothed loss falls fastest over the logarithm of the rate; undefined where it never falls. */
  readonly steepest?: number;
  /** A tenth of the rate at the least smoothed loss; undefined where that is the first. */
  readonly minimumTenth?: number;
}

/** How a range test goes. */
export interface RangeOptions {
  readonly from: number;
  readonly to: number;
  readonly steps: number;
}

/** Weight of what was before in the average of losses. */
const SMOOTHING = 0.9;

/** A loss that is so many times the least has diverged. */
const DIVERGED = 4;

/** Losses of so many steps are needed to speak of divergence: the average of fewer is one batch. */
const SETTLED = 5;

/**
 * Takes steps with learning rates that grow exponentially (Smith 2017, "Cyclical Learning Rates for Training Neural
 * Networks", section 3.3, with the exponential scale that is usual since) until all are taken or the loss diverges.
 *
 * @param step takes one step with a rate; gives the loss before it, or undefined where that, or the gradient, is no number
 */
export async function rangeTest(
  { from, to, steps }: RangeOptions,
  step: (lr: number) => Promise<number | undefined>,
): Promise<RangeResult> {
  const points: RangePoint[] = [];
  let [average, weight, least] = [0, 0, Infinity];
  for (let i = 0; i < steps; i++) {
    const lr = from * (to / from) ** (i / (steps - 1));
    const loss = await step(lr);
    if (loss === undefined) return { points, end: 'not-finite', ...suggestions(points) };
    // The start corrected as Adam corrects its moments.
    average = SMOOTHING * average + (1 - SMOOTHING) * loss;
    weight = SMOOTHING * weight + (1 - SMOOTHING);
    const smoothed = average / weight;
    points.push({ lr, loss, smoothed });
    least = Math.min(least, smoothed);
    // Losses below zero have no multiple that is larger.
    if (i >= SETTLED && least > 0 && smoothed > DIVERGED * least) {
      return { points, end: 'diverged', ...suggestions(points) };
    }
  }
  return { points, end: 'completed', ...suggestions(points) };
}

function suggestions(points: readonly RangePoint[]): Pick<RangeResult, 'steepest' | 'minimumTenth'> {
  if (points.length === 0) return {};
  const lowest = points.reduce((best, { smoothed }, i) => (smoothed < points[best].smoothed ? i : best), 0);
  if (lowest === 0) return {};
  let steepest: { readonly at: number; readonly slope: number } | undefined;
  // Up to the minimum, by central differences: steps are evenly spaced in the logarithm.
  for (let i = 1; i < Math.min(lowest + 1, points.length - 1); i++) {
    const slope = points[i + 1].smoothed - points[i - 1].smoothed;
    if (slope < 0 && (steepest === undefined || slope < steepest.slope)) steepest = { at: i, slope };
  }
  return {
    ...(steepest && { steepest: points[steepest.at].lr }),
    minimumTenth: points[lowest].lr / 10,
  };
}
