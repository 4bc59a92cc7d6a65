/**
 * What an operator does with one of its inputs:
 * - `weight`: a learned tensor whenever it is constant;
 * - `factor`: one side of a product of matrices, learned when the other side is not constant;
 * - `operand`: added to, multiplied with or put beside activations; learned if these were computed by a layer;
 * - `lookup`: a table that is read at computed places;
 * - `data`: passes through, so that what the output is used for counts;
 * - `statistic`: kept by the runtime of the training, not learned;
 * - `aside`: used, but not learned: bounds, exponents, indices;
 * - `setting`: says how to compute (axes, sizes, scales of an image), as an attribute would.
 */
export type RoleKind = 'weight' | 'factor' | 'operand' | 'lookup' | 'data' | 'statistic' | 'aside' | 'setting';

/** What an input of an operator is for, which decides whether a constant there is trained. */
export interface Role {
  readonly kind: RoleKind;
  /** What a constant at this input is, as shown to the user. */
  readonly what: string;
}

/** A role of one operator alone; those that several have are below. */
export const role = (kind: RoleKind, what: string): Role => ({ kind, what });

export const DATA = role('data', 'in a place that weights do not take');
export const SETTING = role('setting', 'a setting of the operator');
export const KERNEL = role('weight', 'convolution kernel');
export const BIAS = role('weight', 'bias');
export const GAIN = role('weight', 'scale of a normalization');
export const FACTOR = role('factor', 'weight matrix');
/** A bias or a position embedding. */
export const ADDED = role('operand', 'added to activations');
/** A gain or a temperature. */
export const SCALES = role('operand', 'scales activations');
export const SUBTRACTED = role('aside', 'subtracted, like a mean');
/** A threshold, say, that activations are compared with. */
export const MINUEND = role('operand', 'what activations are subtracted from');
export const STATE = role('aside', 'an initial state');
export const DIVISOR = role('aside', 'a divisor, like a deviation');
/** A class token, a prompt. */
export const JOINED = role('operand', 'joined to activations');
/** What a condition chooses: activations, or what stands in their place. */
export const FILLED = role('operand', 'filled into activations');
export const INDICES = role('aside', 'indices');
export const BOUND = role('aside', 'a bound');
/** A position code is the sine or cosine of a position times a frequency. */
export const ANGLE = role('aside', 'angles of a sine or cosine');
