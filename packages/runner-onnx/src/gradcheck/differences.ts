import type { FloatArray } from '@adakit/core';

/**
 * The largest relative error that counts as agreement. Central differences with Richardson's extrapolation leave about ε^(4/5) ≈ 3e-6 of a well-scaled float32 loss, and a
 * deep model loses two or three digits of that to the rounding of its layers, so that right gradients come out at 1e-3
 * and better; a wrong factor, sign, axis or missing term is off by 1e-1 and more. Directions whose own uncertainty is
 * above this are not called wrong but `noise`.
 */
export const TOLERANCE = 1e-2;

/** A deviation of this many uncertainties is no accident. */
const SIGNIFICANT = 4;

/**
 * Step lengths relative to the norm of the parameter, each a quarter of a neighbour, in the order tried: a ReLU network
 * has corners everywhere and needs short steps, a weak signal long ones.
 */
const STEPS = [-9, -11, -13, -15, -17, -19, -7, -5, -3].map((exponent) => 2 ** exponent);

/** Step, relative, that changes a loss by less than its rounding; differences along it show the rounding alone. */
const NOISE_STEP = 2 ** -19;

/**
 * What differences say about the gradient of a parameter:
 * - `ok`: they agree;
 * - `wrong`: they do not;
 * - `dead`: both are zero, nothing the check fed reaches the loss through it;
 * - `kink`: the loss has a corner here (a ReLU at 0) and the gradient is one of its slopes or between them;
 * - `noise`: the rounding of float32 hides the difference; nothing can be said.
 */
export type Verdict = 'ok' | 'wrong' | 'dead' | 'kink' | 'noise';

export interface Finding {
  /** Euclidean norm of the compiled gradient. */
  readonly norm: number;
  /** The slope along the worst direction by the compiled gradient… */
  readonly directional: number;
  /** …and by differences. */
  readonly numeric: number;
  /** How far apart they are, relative to the larger one or, where both are small, to what slopes usually are. */
  readonly relError: number;
  /** What rounding and curvature leave open of {@link numeric}, as estimated. */
  readonly uncertainty: number;
  readonly verdict: Verdict;
}

export interface Subject {
  /** The loss with the parameter at a point, which is overwritten between calls. */
  readonly at: (point: FloatArray) => Promise<number>;
  readonly loss: number;
  readonly point: FloatArray;
  readonly gradient: FloatArray;
  readonly directions: number;
  /** Numbers in [−1, 1). */
  readonly random: () => number;
}

/** Compares a gradient with differences along random directions. The finding is that of the worst direction. */
export async function checkGradient(subject: Subject): Promise<Finding> {
  const { gradient, directions, random } = subject;
  const norm = euclidean(gradient);
  if (!Number.isFinite(norm)) {
    const nothing = { directional: norm, numeric: NaN, uncertainty: Infinity };
    return { norm, ...nothing, relError: Infinity, verdict: 'wrong' };
  }
  // Large parameters count their memory in copies: one for the direction, one to move in.
  const unit = gradient.slice();
  const moved = gradient.slice();
  const found: Finding[] = [];
  for (let k = 0; k < directions; k++) {
    for (let i = 0; i < unit.length; i++) {
      const u = random();
      // Every other direction leans to the gradient: along the others the slope of a large tensor drowns in rounding.
      unit[i] = k % 2 === 0 && gradient[i] !== 0 ? Math.abs(u) * Math.sign(gradient[i]) : u;
    }
    const length = euclidean(unit) || 1;
    for (let i = 0; i < unit.length; i++) unit[i] /= length;
    found.push(await checkDirection(subject, unit, moved, norm));
  }
  const order: readonly Verdict[] = ['wrong', 'ok', 'kink', 'noise', 'dead'];
  const rank = ({ verdict }: Finding) => order.indexOf(verdict);
  return found.reduce((worst, next) =>
    rank(next) < rank(worst) || (rank(next) === rank(worst) && next.relError > worst.relError) ? next : worst,
  );
}

/** Two losses, one step ahead and one behind. */
interface Difference {
  readonly step: number;
  readonly slope: number;
  /** How far the slopes to the two sides are apart. */
  readonly gap: number;
  /** The larger of the two changes of the loss. */
  readonly change: number;
}

async function checkDirection(
  { at, loss, point, gradient }: Subject,
  unit: FloatArray,
  moved: FloatArray,
  norm: number,
): Promise<Finding> {
  // A parameter at zero has no scale of its own; a step of a thousandth of one each element is one then.
  const scale = euclidean(point) || Math.sqrt(point.length) * 1e-1;
  const along = (t: number) => {
    for (let i = 0; i < moved.length; i++) moved[i] = point[i] + t * unit[i];
    return at(moved);
  };
  let directional = 0;
  for (let i = 0; i < unit.length; i++) directional += gradient[i] * unit[i];

  const difference = async (step: number): Promise<Difference> => {
    const [ahead, behind] = [await along(step), await along(-step)];
    return {
      step,
      slope: (ahead - behind) / (2 * step),
      gap: (ahead - 2 * loss + behind) / step,
      change: Math.max(Math.abs(ahead - loss), Math.abs(behind - loss)),
    };
  };
  const judge = ({ slope: numeric, uncertainty }: Estimate) => {
    const error = Math.abs(directional - numeric);
    // Where the slope happens to be small in this one direction, the measure is what slopes usually are.
    const size = Math.max(Math.abs(directional), Math.abs(numeric), norm / Math.sqrt(unit.length));
    const relError = size === 0 ? 0 : error / size;
    const report = (verdict: Verdict): Finding => ({ norm, directional, numeric, relError, uncertainty, verdict });
    return { error, size, relError, report };
  };

  // From the longest step to the shortest.
  const differences: Difference[] = [];
  let noise: number | undefined;
  let best = judge(NOTHING_KNOWN);
  let known = NOTHING_KNOWN;
  for (const relative of STEPS) {
    const step = relative * scale;
    // Nothing is seen of steps that change the loss by less than its rounding.
    if (noise !== undefined && relative < STEPS[0] && 2 * noise > TOLERANCE * best.size * step) continue;
    differences.push(await difference(step));
    differences.sort((one, other) => other.step - one.step);
    known = estimate(differences, noise ?? 0);
    best = judge(known);
    if (best.size > 0 && best.relError <= TOLERANCE && known.uncertainty <= TOLERANCE * best.size) {
      return best.report('ok');
    }
    if (differences.length === 2) noise = await roundingOf(along, loss, scale * NOISE_STEP);
  }
  const rounding = noise ?? 0;
  const { error, relError, report } = best;
  // A loss that is no number any more is a change too.
  if (differences.every(({ change }) => change <= 3 * rounding)) {
    const expected = Math.abs(directional) * differences[0].step;
    return report(expected <= 10 * rounding + 1e-9 * Math.abs(loss) ? 'dead' : 'wrong');
  }
  if (relError <= TOLERANCE) return report('ok');
  if (isKink(differences, rounding, directional)) return report('kink');
  return report(error > SIGNIFICANT * known.uncertainty ? 'wrong' : 'noise');
}

interface Estimate {
  readonly slope: number;
  readonly uncertainty: number;
}

const NOTHING_KNOWN: Estimate = { slope: NaN, uncertainty: Infinity };

/**
 * The most certain slope that differences of falling steps give. Each is taken together with the next longer one, for
 * its error cannot be told from one alone, and is as uncertain as shorter ones contradict it.
 */
function estimate(differences: readonly Difference[], noise: number): Estimate {
  const rounding = differences.map(({ step }) => (2 * noise) / step);
  let best = NOTHING_KNOWN;
  for (let i = 1; i < differences.length; i++) {
    const [longer, coarse, fine] = [differences[i - 2] as Difference | undefined, differences[i - 1], differences[i]];
    const change = Math.abs(fine.slope - coarse.slope);
    const before = longer === undefined ? 0 : Math.abs(coarse.slope - longer.slope);
    // The error of a central difference of a smooth loss is O(step²): a sixteenth a step. Many corners make it O(step).
    const smooth = change <= before / 8 + rounding[i];
    const slope = smooth ? (16 * fine.slope - coarse.slope) / 15 : fine.slope;
    let uncertainty = smooth ? change / 4 : change;
    for (let j = i + 1; j < differences.length; j++) {
      uncertainty = Math.max(uncertainty, Math.abs(slope - differences[j].slope) - rounding[j]);
    }
    // Corners between the two ends of a step put the mean of two slopes in place of one; the gap bounds that.
    uncertainty += Math.abs(fine.gap) / 2 + rounding[i];
    if (uncertainty < best.uncertainty) best = { slope, uncertainty };
  }
  return best;
}

/** Whether the slopes to the two sides stay apart as the steps get shorter, and the gradient lies between them. */
function isKink(differences: readonly Difference[], noise: number, directional: number): boolean {
  const clear = differences.filter(({ gap, step }) => Math.abs(gap) > (20 * noise) / step);
  if (clear.length < 2) return false;
  const [coarse, fine] = clear.slice(-2);
  // The gap of a smooth function shrinks with the step, to a quarter here; that of a corner stays.
  if (Math.abs(fine.gap) < 0.7 * Math.abs(coarse.gap)) return false;
  return Math.abs(directional - fine.slope) <= Math.abs(fine.gap / 2) * (1 + TOLERANCE);
}

/**
 * The rounding error of a function, from the third differences along a tiny step (Moré and Wild, "Estimating
 * computational noise", SIAM J. Sci. Comput. 33, 2011): those of a smooth function vanish there.
 */
async function roundingOf(along: (t: number) => Promise<number>, loss: number, step: number): Promise<number> {
  let values: number[] = [];
  for (let i = -4; i <= 4; i++) values.push(i === 0 ? loss : await along(i * step));
  for (let order = 0; order < 3; order++) values = values.slice(1).map((value, i) => value - values[i]);
  // (3!)² / 6! = 1 / 20
  const variance = values.reduce((sum, value) => sum + value * value, 0) / (20 * values.length);
  // Even a loss that came out the same every time was rounded somewhere.
  return Math.max(Math.sqrt(variance), Math.abs(loss) * 2 ** -30);
}

/** Euclidean norm. */
export function euclidean(values: FloatArray): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}
