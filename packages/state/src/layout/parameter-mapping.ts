import { AdakitError, kindOf } from '@adakit/core';
import { z } from 'zod';
import { kinds, type OptionKind } from '@adakit/core/states';
import { requireList } from '../file/given.js';

/** One of several runs of equal length into which the elements of a tensor, row by row, are cut. */
export interface Part {
  readonly index: number;
  readonly of: number;
}

/**
 * How one parameter of a run corresponds to one of another framework. The elements are viewed in shape `view`, their
 * axes permuted, and the result viewed in shape `shape`; slots move the same way. Plain data, see
 * {@link parseMappings}.
 *
 * A TensorFlow.js convolution kernel (height, width, in, out) becomes an ONNX one (out, in, height, width) by
 * `permute: [3, 2, 0, 1]`. A dense kernel after a flattened NHWC image becomes the transposed one after NCHW by
 * `view: [h, w, c, out], permute: [3, 2, 0, 1], shape: [out, c * h * w]`.
 */
export interface ParameterMapping {
  readonly from: string;
  readonly to: string;
  /** Only a part of `from`; other mappings take the others. Then `view` is the part's shape and must be given. */
  readonly fromPart?: Part;
  /** Shape in which axes are permuted; default: the tensor's own. */
  readonly view?: readonly number[];
  /** Axis i of the result is axis `permute[i]` of the view; default: unchanged. */
  readonly permute?: readonly number[];
  /** Slice i along an axis of the permuted view is what was slice `order[i]`: gates of recurrent layers. */
  readonly reorder?: { readonly axis: number; readonly order: readonly number[] };
  /** Shape of the result, with `toPart` of the whole of it; default: the permuted view's. */
  readonly shape?: readonly number[];
  /** Only a part of `to`; other mappings make the others. Then `shape` must be given. */
  readonly toPart?: Part;
  /**
   * For a parameter that is the sum of two elsewhere, as the bias of a recurrent layer: `zero` makes the second of the two
   * from it, zero in value with the same slots, since both have the same gradient; `add` adds the second to what the
   * mapping of the first made, whose slots hold. Slots that hold weights, such as averages of them, are sums as the value is.
   */
  readonly addend?: 'zero' | 'add';
  /**
   * Which axis of the result counts the layer's outputs, as rules and slots along rows and columns have to know; default:
   * as in the state. Only given where it changes.
   */
  readonly units?: 'first' | 'last';
}

const SIZES = kinds.kind(
  'a list of whole numbers',
  (sizes) => Array.isArray(sizes) && sizes.every((each) => Number.isSafeInteger(each) && each >= 0),
);
const PART = kinds.options({ index: kinds.required(kinds.count()), of: kinds.required(kinds.count(1)) });

/** How elements are rearranged, as it may be said. */
export const REARRANGEMENT = { view: SIZES, permute: SIZES, shape: SIZES };

/** A {@link ParameterMapping}, as it may be. */
export const MAPPING: Readonly<Record<keyof ParameterMapping, OptionKind>> = {
  ...REARRANGEMENT,
  from: kinds.text,
  to: kinds.text,
  fromPart: PART,
  toPart: PART,
  reorder: kinds.options({ axis: kinds.required(kinds.count()), order: kinds.required(SIZES) }),
  addend: kinds.oneOf('zero', 'add'),
  units: kinds.oneOf('first', 'last'),
};

const size = z.int().nonnegative();
const part = z
  .strictObject({ index: size, of: size })
  .refine(({ index, of }) => index < of, 'index must be less than of');

/** The form of a mapping in files. */
const parameterMappingSchema: z.ZodType<ParameterMapping> = z.strictObject({
  from: z.string(),
  to: z.string(),
  fromPart: part.exactOptional(),
  view: z.array(size).exactOptional(),
  permute: z.array(size).exactOptional(),
  reorder: z.strictObject({ axis: size, order: z.array(size) }).exactOptional(),
  shape: z.array(size).exactOptional(),
  toPart: part.exactOptional(),
  addend: z.enum(['zero', 'add']).exactOptional(),
  units: z.enum(['first', 'last']).exactOptional(),
});

/**
 * Checks mappings that were saved as JSON.
 *
 * @param source named in messages, e.g. the file
 * @throws AdakitError `invalid-mapping` listing all that is wrong
 */
export function parseMappings(value: unknown, source = 'the parameter mappings'): ParameterMapping[] {
  const result = z.array(parameterMappingSchema).safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => `${path.map(String).join('.') || 'it'}: ${message}`);
  throw new AdakitError('invalid-mapping', `${source}: not a list of mappings: ${issues.slice(0, 10).join('; ')}`);
}

/**
 * The mappings that undo `mappings`. Two parameters whose sum became one come back as that sum and zero.
 *
 * @param shapes the shape of every parameter in the original layout, by name
 * @throws AdakitError when a mapped parameter has no shape there
 */
export function inverseMappings(
  mappings: readonly ParameterMapping[],
  shapes: Readonly<Record<string, readonly number[]>>,
): ParameterMapping[] {
  requireList('invalid-mapping', 'mappings', mappings, ['from', 'to'], MAPPING);
  if (Object(shapes) !== shapes) {
    throw new AdakitError('invalid-mapping', `shapes are given by name, as { weight: [2, 3] }, got ${kindOf(shapes)}`);
  }
  return mappings.map((mapping) => {
    const { from, to, fromPart, reorder, toPart, addend, units } = mapping;
    if (!Object.hasOwn(shapes, from)) {
      throw new AdakitError('invalid-mapping', `the shape of "${from}", which a mapping starts from, is not given`);
    }
    const original = shapes[from];
    const view = mapping.view ?? original;
    const permute = mapping.permute ?? view.map((_, axis) => axis);
    return {
      from: to,
      to: from,
      ...(toPart && { fromPart: toPart }),
      view: permute.map((axis) => view[axis]),
      permute: permute.map((_, axis) => permute.indexOf(axis)),
      ...(reorder && { reorder: { axis: permute[reorder.axis], order: invert(reorder.order) } }),
      shape: original,
      ...(fromPart && { toPart: fromPart }),
      ...(addend && { addend: addend === 'zero' ? 'add' : 'zero' }),
      ...(units && { units: units === 'first' ? 'last' : 'first' }),
    };
  });
}

function invert(order: readonly number[]): number[] {
  return order.map((_, i) => order.indexOf(i));
}
