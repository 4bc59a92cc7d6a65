import type { InputConvolution } from '../entry/window/input-gradient.js';
import type { WeightConvolution } from '../entry/window/weight-gradient.js';
import { convolutionWindows, type Channels, type PlacedWindows } from '../entry/window/windows.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isStatic, type Dim } from '../shape/dim.js';
import { isStaticShape, type Shape } from '../shape/shape.js';

/** A convolution of known sizes without groups, in float32; its batch may be free. */
export interface FixedConvolution {
  readonly windows: FixedWindows;
  readonly channels: Channels;
  readonly batch: Dim;
}

export interface FixedWindows extends PlacedWindows {
  readonly input: readonly number[];
  readonly output: readonly number[];
}

/** The convolution of a Conv node; undefined where it is of another kind. */
export function fixedConvolutionOf(node: Node): FixedConvolution | undefined {
  const [x, weights] = node.inputs;
  if (x?.dtype !== 'float32' || x.shape === undefined || weights?.shape === undefined) return undefined;
  const [outputs, inputs, ...kernel] = weights.shape;
  const groups = node.attributes.int('group', 1);
  if (!isStatic(outputs) || !isStatic(inputs) || !isStaticShape(kernel)) return undefined;
  const fail = (what: string): never => {
    throw new Error(`${node.label}: ${what}`);
  };
  const windows = convolutionWindows({ node, fail }, x.shape.slice(2), kernel);
  return fixed(windows, { groups, inputs, outputs }, x);
}

/** The convolution behind a gradient; undefined where it is of another kind. */
export function asFixed({ windows, channels, dy }: InputConvolution | WeightConvolution): FixedConvolution | undefined {
  return fixed(windows, channels, dy);
}

function fixed(
  windows: Omit<PlacedWindows, 'begin' | 'end'> & { begin: Shape; end: Shape },
  channels: Channels,
  { dtype, shape }: Value,
): FixedConvolution | undefined {
  const { input, output, begin, end } = windows;
  if (channels.groups > 1 || dtype !== 'float32' || shape === undefined) return undefined;
  if (!isStaticShape(input) || !isStaticShape(output) || !isStaticShape(begin) || !isStaticShape(end)) return undefined;
  if (begin.some((pad) => pad < 0) || [...input, ...output].some((length) => length < 1)) return undefined;
  return { windows: { ...windows, input, output, begin, end }, channels, batch: shape[0] };
}
