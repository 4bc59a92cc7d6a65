import type { AttributeRecord, Emitter } from '../../graph/emitter.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import type { DefinitionContext, InferContext } from '../operator.js';
import type { InputConvolution } from './input-gradient.js';
import type { WeightConvolution } from './weight-gradient.js';
import { requireChannels, type PlacedWindows } from './windows.js';

/** The windows of a convolution as attributes, its padding spelled out. */
function attributesOf({ kernel, strides, dilations, begin, end }: PlacedWindows, groups: number) {
  return { kernel_shape: kernel, strides, dilations, pads: [...begin, ...end], group: groups };
}

/** Writes the cotangent of the input of a convolution as the canonical operator, of the weights, dy and x. */
export function convolutionInputGradient(
  e: Emitter,
  convolution: {
    readonly weights: Value;
    readonly dy: Value;
    /** The input, or any value with its spatial dimensions. */
    readonly x: Value;
    readonly windows: PlacedWindows;
    readonly groups?: number;
  },
): Value {
  const { weights, dy, x, windows, groups = 1 } = convolution;
  return e.node('adakit::ConvInputGradient', [weights, dy, x], attributesOf(windows, groups));
}

/** Writes the cotangent of the weights of a convolution as the canonical operator, of x, dy and the weights. */
export function convolutionWeightGradient(
  e: Emitter,
  convolution: {
    readonly x: Value;
    readonly dy: Value;
    readonly weights: Value;
    readonly windows: PlacedWindows;
    readonly groups: number;
  },
): Value {
  const { x, dy, weights, windows, groups } = convolution;
  return e.node('adakit::ConvWeightGradient', [x, dy, weights], attributesOf(windows, groups));
}

/** Writes the cotangent of the input of a MaxPool, with its windows, as the canonical operator. */
export function maxPoolGradient({ e, node }: DefinitionContext, x: Value, y: Value, dy: Value): Value {
  return e.node('adakit::MaxPoolGradient', [x, y, dy], poolAttributes(node));
}

/** The attributes that say how the windows of a pool lie. */
export function poolAttributes({ attributes }: Node): AttributeRecord {
  return {
    auto_pad: attributes.string('auto_pad'),
    ceil_mode: attributes.int('ceil_mode'),
    dilations: attributes.ints('dilations'),
    kernel_shape: attributes.ints('kernel_shape'),
    pads: attributes.ints('pads'),
    strides: attributes.ints('strides'),
  };
}

/** Reads a ConvInputGradient node. */
export function inputConvolutionOf(ctx: DefinitionContext): InputConvolution {
  const [weights, dy, x] = [ctx.input(0), ctx.input(1), ctx.input(2)];
  const windows = windowsOf(ctx, x, dy);
  return { weights, dy, x, windows, channels: requireChannels(ctx, ctx.shape(weights)) };
}

/** Reads a ConvWeightGradient node. */
export function weightConvolutionOf(ctx: DefinitionContext): WeightConvolution {
  const [x, dy, weights] = [ctx.input(0), ctx.input(1), ctx.input(2)];
  const windows = windowsOf(ctx, x, dy);
  return { x, dy, windows, channels: requireChannels(ctx, ctx.shape(weights)) };
}

function windowsOf(ctx: DefinitionContext, x: Value, dy: Value): PlacedWindows {
  const { attributes } = ctx.node;
  const read = (name: string) => attributes.ints(name) ?? ctx.fail(`lacks its attribute '${name}'`);
  const pads = read('pads');
  const rank = pads.length / 2;
  return {
    kernel: read('kernel_shape'),
    strides: read('strides'),
    dilations: read('dilations'),
    begin: pads.slice(0, rank),
    end: pads.slice(rank),
    input: ctx.shape(x).slice(2),
    output: ctx.shape(dy).slice(2),
  };
}

/** The shape of the input of a convolution, by the node of its cotangent. */
export function convolutionInputShape(ctx: InferContext) {
  const [, inputs] = ctx.shape(0);
  const groups = ctx.node.attributes.int('group', 1);
  const channels = typeof inputs === 'number' ? inputs * groups : ctx.fail('the number of its channels is unknown');
  return [ctx.shape(1)[0], channels, ...ctx.shape(2).slice(2)];
}
