/** What a parameter is to its layer. */
export type ParameterRole = 'weight' | 'bias' | 'norm' | 'embedding';

/** A parameter as optimizers see it. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role?: ParameterRole;
  /** Which axis counts the layer's outputs: the first, as in PyTorch and ONNX (default), or the last, as in TensorFlow.js. */
  readonly units?: 'first' | 'last';
}

/** Conditions on a parameter; all that are given must hold. */
export interface ParameterConditions {
  readonly name?: string | RegExp;
  /** Number of axes: exactly, or within bounds. */
  readonly rank?: number | { readonly atLeast?: number; readonly atMost?: number };
  readonly shape?: readonly number[];
  readonly role?: ParameterRole | readonly ParameterRole[];
}

/** Which parameters: an exact name, a regular expression searched in names, conditions, or a function. */
export type ParameterMatch = string | RegExp | ParameterConditions | ((parameter: ParameterSpec) => boolean);

/** A match as data, as states keep it. A function becomes the names it chose. */
export type MatchData =
  | string
  | { readonly pattern: string; readonly flags: string }
  | { readonly names: readonly string[] }
  | {
      readonly conditions: Omit<ParameterConditions, 'name'> & {
        readonly name?: string | { readonly pattern: string; readonly flags: string };
      };
    };

/** Every parameter with two axes or more. */
export const matrices: ParameterConditions = { rank: { atLeast: 2 } };
