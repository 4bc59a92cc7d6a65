import { type AttributeRecord, float } from '@adakit/onnx';
import fc from 'fast-check';
import { randomNumbers } from '../testing/compare.js';
import type { Numbers } from '../testing/session.js';
import { sizeOf } from './tensor.js';

/** An input of a node under test. */
export interface Input {
  readonly numbers: Numbers;
  /** Variables are fed, and differentiated when they are floats; constants are initializers, as in exported models. */
  readonly role: 'variable' | 'constant';
  /** The axes declared as free dimensions. */
  readonly free: readonly number[];
}

/** One application of an operator. */
export interface Example {
  readonly attributes: AttributeRecord;
  /** Undefined where an optional input is left out. */
  readonly inputs: readonly (Input | undefined)[];
  /** 1 when left out. */
  readonly outputs?: number;
  /** Outputs that are random: the reference is given them. */
  readonly random?: readonly number[];
}

type Dims = readonly number[];

/** Takes a number from [−1, 1) to where an operator is to be tried. */
type Domain = (x: number) => number;

// Domains -------------------------------------------------------------------------------------------------------------
// Differences are no derivatives across a kink or a jump, so there the numbers keep a distance of MARGIN.

const MARGIN = 0.05;

const anywhere: Domain = (x) => 2 * x;
const positive: Domain = (x) => 1.1 + 0.8 * x;

/** Within [−reach, reach], away from the given places. */
function avoiding(places: readonly number[], reach = 2): Domain {
  return (x) => {
    const value = reach * x;
    const near = places.find((place) => Math.abs(value - place) < MARGIN);
    return near === undefined ? value : near + (value < near ? -MARGIN : MARGIN);
  };
}

const halves = Array.from({ length: 17 }, (_, i) => (i - 8) / 2);

// Inputs --------------------------------------------------------------------------------------------------------------

const seed = fc.nat(1_000_000);
const length = fc.integer({ min: 1, max: 3 });
const dimsOf = (minRank: number, maxRank: number, dim = length) =>
  fc.array(dim, { minLength: minRank, maxLength: maxRank });
/** Half of the axes as negative numbers. */
const signed = (axis: number, rank: number) => fc.constantFrom(axis, axis - rank);
const axisOf = (rank: number) => fc.integer({ min: -rank, max: rank - 1 });
const flag = fc.constantFrom(0, 1);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const freedom = (rank: number) =>
  fc.constantFrom(
    [],
    [0].slice(0, rank),
    Array.from({ length: rank }, (_, i) => i),
  );

const floats = (dims: Dims, from: number, domain: Domain): Numbers => ({
  dtype: 'float32',
  dims,
  data: randomNumbers(sizeOf(dims), from).map((x) => Math.fround(domain(x))),
});

/** A differentiated input, with no, the first, or every dimension free. */
const variable = (dims: Dims, domain = anywhere): fc.Arbitrary<Input> =>
  fc.record({
    numbers: seed.map((from) => floats(dims, from, domain)),
    role: fc.constant('variable' as const),
    free: freedom(dims.length),
  });

const fixed = (input: fc.Arbitrary<Input>): fc.Arbitrary<Input> => input.map((each) => ({ ...each, free: [] }));

/** Inputs whose elements all differ by at least twice the margin, among each other too. */
const distinct = (...shapes: Dims[]): fc.Arbitrary<Input[]> =>
  seed.chain((from) => {
    const total = shapes.reduce((sum, dims) => sum + sizeOf(dims), 0);
    const random = randomNumbers(total, from);
    const ranks = random.map((x) => random.filter((y) => y < x).length);
    let used = 0;
    return fc.tuple(
      ...shapes.map((dims) => {
        const data = ranks
          .slice(used, (used += sizeOf(dims)))
          .map((rank) => Math.fround((rank - total / 2) * 3 * MARGIN));
        return fc.record({
          numbers: fc.constant<Numbers>({ dtype: 'float32', dims, data }),
          role: fc.constant('variable' as const),
          free: freedom(dims.length),
        });
      }),
    );
  });

const constant = (dtype: Numbers['dtype'], dims: Dims, data: readonly number[]): Input => ({
  numbers: { dtype, dims, data },
  role: 'constant',
  free: [],
});
const ints = (data: readonly number[]) => constant('int64', [data.length], data);
const scalar = (value: number) => constant('float32', [], [Math.fround(value)]);
const bools = (dims: Dims): fc.Arbitrary<Input> =>
  fc.record({
    numbers: fc
      .array(flag, { minLength: sizeOf(dims), maxLength: sizeOf(dims) })
      .map((data): Numbers => ({ dtype: 'bool', dims, data })),
    role: fc.constant('variable' as const),
    free: freedom(dims.length),
  });
/** Indices into an axis, from the front or the back, constant or fed. */
const indices = (dims: Dims, bound: number): fc.Arbitrary<Input> =>
  fc.record({
    numbers: fc
      .array(axisOf(bound), { minLength: sizeOf(dims), maxLength: sizeOf(dims) })
      .map((data): Numbers => ({ dtype: 'int64', dims, data })),
    role: fc.constantFrom('variable' as const, 'constant' as const),
    free: fc.constant([]),
  });

// Families ------------------------------------------------------------------------------------------------------------

const example = (
  inputs: readonly (Input | undefined)[],
  attributes: AttributeRecord = {},
  more: Partial<Example> = {},
): Example => ({ inputs, attributes, ...more });

const unary = (domain = anywhere, attributes: fc.Arbitrary<AttributeRecord> = fc.constant({})) =>
  dimsOf(0, 3).chain((dims) => fc.tuple(variable(dims, domain), attributes).map(([x, given]) => example([x], given)));

/** Shapes that broadcast together: leading axes missing, others of length 1. */
const broadcastShapes = (count: number): fc.Arbitrary<Dims[]> =>
  dimsOf(0, 3).chain((dims) =>
    fc.tuple(
      ...Array.from({ length: count }, () =>
        fc
          .tuple(fc.nat(dims.length), fc.array(fc.boolean(), { minLength: dims.length, maxLength: dims.length }))
          .map(([missing, stretched]) => dims.map((dim, i) => (stretched[i] ? 1 : dim)).slice(missing)),
      ),
    ),
  );

const binary = (a = anywhere, b = anywhere, attributes: AttributeRecord = {}) =>
  broadcastShapes(2).chain(([left, right]) =>
    fc.tuple(variable(left, a), variable(right, b)).map((inputs) => example(inputs, attributes)),
  );

const comparison = () =>
  broadcastShapes(2)
    .chain((shapes) => distinct(...shapes))
    .map((inputs) => example(inputs));

const logic = () =>
  broadcastShapes(2)
    .chain((shapes) => fc.tuple(...shapes.map(bools)))
    .map((inputs) => example(inputs));

const variadic = (inputs: (shapes: Dims[]) => fc.Arbitrary<Input[]>) =>
  fc
    .integer({ min: 1, max: 3 })
    .chain(broadcastShapes)
    .chain(inputs)
    .map((all) => example(all));

const reduction = (input: (dims: Dims) => fc.Arbitrary<Input>) =>
  dimsOf(0, 3).chain((dims) =>
    fc
      .record({
        x: input(dims),
        axes: fc
          .subarray(dims.map((_, axis) => axis))
          .chain((axes) => fc.tuple(...axes.map((axis) => signed(axis, dims.length)))),
        given: fc.boolean(),
        keepdims: fc.constantFrom(0, 1, undefined),
        noop: fc.constantFrom(0, 1, undefined),
      })
      .map(({ x, axes, given, keepdims, noop }) =>
        example(given ? [x, ints(axes)] : [x], { keepdims, noop_with_empty_axes: noop }),
      ),
  );

const alongAxis = (input = variable, attributes: fc.Arbitrary<AttributeRecord> = fc.constant({})) =>
  dimsOf(1, 3).chain((dims) =>
    fc
      .tuple(input(dims), optional(axisOf(dims.length)), attributes)
      .map(([x, axis, given]) => example([x], { axis, ...given })),
  );

// Windows -------------------------------------------------------------------------------------------------------------

interface SlidingAxis {
  readonly length: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly after: number;
}

const reachOf = (kernel: number, dilation: number) => dilation * (kernel - 1) + 1;

/** One to three spatial axes on which at least one window fits. */
const slidingAxes = (options: { dilated?: boolean; padding: 'any' | 'below kernel' }): fc.Arbitrary<SlidingAxis[]> =>
  fc.tuple(fc.constantFrom(1, 2, 2, 3), fc.boolean(), fc.boolean()).chain(([rank, strided, padded]) => {
    const axis = fc
      .record({
        kernel: fc.integer({ min: 1, max: rank === 3 ? 2 : 3 }),
        stride: fc.integer({ min: 1, max: strided ? 3 : 1 }),
        dilation: options.dilated === false ? fc.constant(1) : fc.constantFrom(1, 1, 2),
      })
      .chain(({ kernel, stride, dilation }) => {
        const reach = reachOf(kernel, dilation);
        const pad = fc.nat(padded ? (options.padding === 'any' ? 2 : kernel - 1) : 0);
        return fc.record({
          kernel: fc.constant(kernel),
          stride: fc.constant(stride),
          dilation: fc.constant(dilation),
          before: pad,
          after: pad,
          length: fc.integer({ min: reach, max: reach + (rank === 1 ? 5 : rank === 2 ? 2 : 1) }),
        });
      });
    return fc.array(axis, { minLength: rank, maxLength: rank });
  });

/** The attributes of sliding windows, written out or left to `auto_pad`. */
const windowAttributes = (axes: readonly SlidingAxis[], autoPad: string): AttributeRecord => {
  const dilated = axes.some(({ dilation }) => dilation > 1);
  // ONNX Runtime pads convolutions automatically only without dilation, and no window with a stride beyond its size.
  const same = autoPad.startsWith('SAME') && !dilated && axes.every(({ kernel, stride }) => kernel >= stride);
  const pads = [...axes.map(({ before }) => before), ...axes.map(({ after }) => after)];
  return {
    strides: axes.map(({ stride }) => stride),
    dilations: dilated ? axes.map(({ dilation }) => dilation) : undefined,
    auto_pad: same || autoPad === 'VALID' ? autoPad : undefined,
    pads: same || autoPad === 'VALID' ? undefined : pads,
  };
};

const autoPadding = fc.constantFrom('NOTSET', 'NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID');

/** Channels stay fixed, and space too where the padding would depend on it. */
const freeToSlide = (x: Input, attributes: AttributeRecord): Input => {
  const onlyBatch = attributes['auto_pad'] === 'SAME_UPPER' || attributes['auto_pad'] === 'SAME_LOWER';
  return { ...x, free: x.free.filter((axis) => axis === 0 || (axis > 1 && !onlyBatch)) };
};

/** Channels of weights, [groups·outputs, inputs, …kernel]. */
interface Channels {
  readonly groups: number;
  readonly inputs: number;
  readonly outputs: number;
}

const fewChannels = fc.constantFrom<Channels>(
  { groups: 1, inputs: 1, outputs: 1 },
  { groups: 1, inputs: 2, outputs: 3 },
  { groups: 2, inputs: 2, outputs: 2 },
  { groups: 2, inputs: 1, outputs: 2 },
  { groups: 3, inputs: 1, outputs: 1 },
);

interface Convolving {
  readonly axes: readonly SlidingAxis[];
  readonly channels: Channels;
}

/**
 * Convolutions of few channels; of many over many and over few positions, where the gradient is computed otherwise; and of whole
 * blocks of channels.
 */
const convolving: fc.Arbitrary<Convolving> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ axes: slidingAxes({ padding: 'any' }), channels: fewChannels }) },
  { weight: 2, arbitrary: manyChannels(9, 1, 11) },
  { weight: 1, arbitrary: manyChannels(9, 5, 5) },
  { weight: 1, arbitrary: manyChannels(16, 16, 4, 2) },
);

function manyChannels(inputs: number, outputs: number, length: number, rank = 1): fc.Arbitrary<Convolving> {
  const axis = fc.record({
    length: fc.constant(length),
    kernel: fc.constantFrom(1, 2),
    stride: fc.constant(1),
    dilation: fc.constantFrom(1, 2),
    before: fc.nat(1),
    after: fc.nat(1),
  });
  return fc.record({
    axes: fc.array(axis, { minLength: rank, maxLength: rank }),
    channels: fc.constant({ groups: 1, inputs, outputs }),
  });
}

const convolution = fc
  .record({ convolving, autoPad: autoPadding, batch: fc.integer({ min: 1, max: 2 }), bias: fc.boolean() })
  .chain(({ convolving: { axes, channels }, autoPad, batch, bias }) => {
    const { groups, inputs, outputs } = channels;
    const attributes = { ...windowAttributes(axes, autoPad), group: groups === 1 ? undefined : groups };
    return fc
      .tuple(
        variable([batch, groups * inputs, ...axes.map(({ length }) => length)]),
        fixed(variable([groups * outputs, inputs, ...axes.map(({ kernel }) => kernel)])),
        fixed(variable([groups * outputs])),
      )
      .map(([x, w, b]) => example([freeToSlide(x, attributes), w, ...(bias ? [b] : [])], attributes));
  });

/** The same windows read backwards: as many positions as the convolution has come in. */
const transposedConvolution = fc
  .record({
    convolving,
    mode: fc.constantFrom('pads', 'output_padding', 'SAME_UPPER', 'SAME_LOWER', 'VALID', 'output_shape'),
    autoPad: fc.constantFrom(undefined, 'SAME_UPPER', 'SAME_LOWER'),
    batch: fc.integer({ min: 1, max: 2 }),
    bias: fc.boolean(),
    shorter: fc.nat(2),
  })
  .chain(({ convolving: { axes, channels }, mode, autoPad, batch, bias, shorter }) => {
    const { groups, inputs, outputs } = channels;
    const places = axes.map(
      ({ length, kernel, stride, dilation }) => Math.floor((length - reachOf(kernel, dilation)) / stride) + 1,
    );
    const full = axes.map(({ kernel, stride, dilation }, i) => (places[i] - 1) * stride + reachOf(kernel, dilation));
    // Padding must leave something of the result.
    const pads = [
      ...axes.map(({ before }, i) => (full[i] > 4 ? before : 0)),
      ...axes.map(({ after }, i) => (full[i] > 4 ? after : 0)),
    ];
    const same = mode.startsWith('SAME');
    const attributes: AttributeRecord = {
      group: groups === 1 ? undefined : groups,
      strides: axes.map(({ stride }) => stride),
      dilations: axes.map(({ dilation }) => dilation),
      pads: mode === 'pads' || mode === 'output_padding' ? pads : undefined,
      output_padding:
        mode === 'output_padding' ? axes.map(({ stride, dilation }) => Math.max(stride, dilation) - 1) : undefined,
      auto_pad: same || mode === 'VALID' ? mode : mode === 'output_shape' ? autoPad : undefined,
      output_shape: mode === 'output_shape' ? full.map((dim) => Math.max(dim - shorter, 1)) : undefined,
    };
    return fc
      .tuple(
        variable([batch, groups * outputs, ...places]),
        fixed(variable([groups * outputs, inputs, ...axes.map(({ kernel }) => kernel)])),
        fixed(variable([groups * inputs])),
      )
      .map(([x, w, b]) =>
        example(
          [mode === 'output_shape' ? { ...x, free: [] } : freeToSlide(x, {}), w, ...(bias ? [b] : [])],
          attributes,
        ),
      );
  });

/** Pools are computed without dilation where `dilated` is false, with ceil_mode in half of the cases. */
const pool = (
  options: { dilated: boolean; outputs: number },
  input: (dims: Dims) => fc.Arbitrary<Input>,
  more: fc.Arbitrary<AttributeRecord>,
) =>
  fc
    .record({
      axes: slidingAxes({ padding: 'below kernel', dilated: options.dilated }),
      autoPad: autoPadding,
      ceil: flag,
      batch: fc.integer({ min: 1, max: 2 }),
      channels: fc.integer({ min: 1, max: 2 }),
      more,
    })
    .chain(({ axes, autoPad, ceil, batch, channels, more: given }) => {
      const attributes = {
        kernel_shape: axes.map(({ kernel }) => kernel),
        ...windowAttributes(axes, autoPad),
        ceil_mode: ceil,
        ...given,
      };
      return input([batch, channels, ...axes.map(({ length }) => length)]).map((x) =>
        example([freeToSlide(x, attributes)], attributes, { outputs: options.outputs }),
      );
    });

const spatialDims = dimsOf(3, 4);

// Padding, slices, indices --------------------------------------------------------------------------------------------

const padding = fc.constantFrom('constant', 'reflect', 'edge', undefined).chain((mode) =>
  dimsOf(1, 3).chain((dims) => {
    const copies = mode === 'reflect' || mode === 'edge';
    // Copies reach at most across the value; constants may also cut, but must leave something.
    const amounts = (dim: number) =>
      fc.tuple(
        ...[0, 1].map(() => fc.integer({ min: copies || dim < 3 ? 0 : -1, max: mode === 'reflect' ? dim - 1 : 2 })),
      );
    return fc
      .record({
        x: variable(dims),
        axes: optional(
          fc.subarray(
            dims.map((_, axis) => axis),
            { minLength: 1 },
          ),
        ),
        amounts: fc.tuple(...dims.map(amounts)),
        value: optional(fixed(variable([]))),
      })
      .map(({ x, axes, amounts: all, value }) => {
        const chosen = axes ?? dims.map((_, axis) => axis);
        const pads = ints([...chosen.map((axis) => all[axis][0]), ...chosen.map((axis) => all[axis][1])]);
        const last = axes === undefined ? [] : [ints(axes.map((axis) => axis - dims.length))];
        const fill = copies ? undefined : value;
        return example([x, pads, ...(last.length > 0 || fill !== undefined ? [fill] : []), ...last], { mode });
      });
  }),
);

const slice = dimsOf(1, 3, fc.integer({ min: 1, max: 5 })).chain((dims) =>
  fc
    .record({
      x: variable(dims),
      axes: fc.subarray(
        dims.map((_, axis) => axis),
        { minLength: 1 },
      ),
      bounds: fc.tuple(
        ...dims.map((dim) => fc.tuple(fc.integer({ min: -dim, max: dim }), fc.integer({ min: -dim, max: 9 }))),
      ),
      steps: optional(fc.tuple(...dims.map(() => fc.constantFrom(1, 2, 3, -1, -2)))),
    })
    .map(({ x, axes, bounds, steps }) => {
      const inputs = [
        ints(axes.map((axis) => bounds[axis][0])),
        ints(axes.map((axis) => bounds[axis][1])),
        ints(axes.map((axis) => axis - dims.length)),
        ...(steps === undefined ? [] : [ints(axes.map((axis) => steps[axis]))]),
      ];
      return example([x, ...inputs]);
    }),
);

const gather = dimsOf(1, 3).chain((dims) =>
  axisOf(dims.length).chain((axis) =>
    dimsOf(0, 2).chain((shape) =>
      fc.tuple(variable(dims), indices(shape, dims.at(axis) ?? 1)).map((inputs) => example(inputs, { axis })),
    ),
  ),
);

/** A shape no longer than another on any axis. */
const within = (dims: Dims) => fc.tuple(...dims.map((dim) => fc.integer({ min: 1, max: dim })));

const gatherElements = dimsOf(1, 3).chain((dims) =>
  fc
    .tuple(axisOf(dims.length), within(dims))
    .chain(([axis, shape]) =>
      fc.tuple(variable(dims), indices(shape, dims.at(axis) ?? 1)).map((inputs) => example(inputs, { axis })),
    ),
);

const gatherND = dimsOf(1, 3).chain((dims) =>
  fc.integer({ min: 1, max: dims.length }).chain((count) =>
    fc.tuple(fc.nat(dims.length - count), dimsOf(0, 2)).chain(([batch, outer]) => {
      const rows = [...dims.slice(0, batch), ...outer];
      const bounds = dims.slice(batch, batch + count);
      return fc
        .tuple(variable(dims), coordinates(rows, bounds))
        .map((inputs) => example(inputs, { batch_dims: batch === 0 ? undefined : batch }));
    }),
  ),
);

/** Rows of coordinates into the leading axes of a value. */
const coordinates = (rows: Dims, bounds: Dims): fc.Arbitrary<Input> =>
  fc
    .array(fc.tuple(...bounds.map(axisOf)), { minLength: sizeOf(rows), maxLength: sizeOf(rows) })
    .map((all) => constant('int64', [...rows, bounds.length], all.flat()));

const REDUCTIONS = fc.constantFrom('add', 'none', 'mul', 'min', 'max', undefined);

/** What is written and into what: all different where the least or largest of them wins. */
const written = (reduction: string | undefined, data: Dims, updates: Dims) =>
  reduction === 'min' || reduction === 'max'
    ? distinct(data, updates)
    : fc.tuple(variable(data), variable(updates)).map((inputs): Input[] => inputs);

/** Overwriting says which update wins only where no place is named twice. */
const scatterElements = dimsOf(1, 3).chain((dims) =>
  fc.tuple(axisOf(dims.length), within(dims), REDUCTIONS).chain(([axis, shape, reduction = 'none']) => {
    const place = axis < 0 ? axis + dims.length : axis;
    const distinctPlaces = fc
      .shuffledSubarray(
        Array.from({ length: dims[place] }, (_, i) => i),
        { minLength: shape[place], maxLength: shape[place] },
      )
      .map((along) => constant('int64', shape, spread(shape, place, along)));
    return fc
      .tuple(reduction === 'none' ? distinctPlaces : indices(shape, dims[place]), written(reduction, dims, shape))
      .map(([places, [x, updates]]) => example([x, places, updates], { axis, reduction }));
  }),
);

/** A tensor that repeats a vector along one axis. */
function spread(shape: Dims, axis: number, along: readonly number[]): number[] {
  const inner = sizeOf(shape.slice(axis + 1));
  return Array.from({ length: sizeOf(shape) }, (_, i) => along[Math.floor(i / inner) % shape[axis]]);
}

const scatterND = dimsOf(1, 3).chain((dims) =>
  fc.tuple(fc.integer({ min: 1, max: dims.length }), REDUCTIONS).chain(([count, reduction]) => {
    const bounds = dims.slice(0, count);
    // Also for sums no place is named twice: ONNX Runtime loses additions there.
    const places = bounds.reduce<number[][]>(
      (heads, bound) => heads.flatMap((head) => Array.from({ length: bound }, (_, i) => [...head, i])),
      [[]],
    );
    return fc
      .shuffledSubarray(places, { minLength: 1 })
      .chain((rows) =>
        written(reduction, dims, [rows.length, ...dims.slice(count)]).map(([x, updates]) =>
          example([x, constant('int64', [rows.length, count], rows.flat()), updates], { reduction }),
        ),
      );
  }),
);

/** Matrices of up to four rows, alone or in batches. */
const det = fc
  .tuple(dimsOf(0, 2), fc.integer({ min: 1, max: 4 }))
  .chain(([batch, size]) => variable([...batch, size, size]))
  .map((x) => example([{ ...x, free: x.free.filter((axis) => axis < x.numbers.dims.length - 2) }]));

/** Of one axis without dilation: ONNX Runtime 1.30 puts other channels than the first into wrong places then. */
const col2im = fc.tuple(fc.integer({ min: 1, max: 2 }), length, length).chain(([rank, batch, channels]) =>
  fc
    .array(
      fc.record({
        block: fc.integer({ min: 1, max: 3 }),
        count: length,
        stride: fc.integer({ min: 1, max: 2 }),
        dilation: fc.integer({ min: 1, max: rank }),
        begin: fc.nat(1),
        end: fc.nat(1),
        rest: flag,
      }),
      { minLength: rank, maxLength: rank },
    )
    .chain((axes) => {
      // Of the pixels left over after the last block there are fewer than a stride.
      const lengths = axes.map(({ block, count, stride, dilation, begin, end, rest }) => {
        const covered = dilation * (block - 1) + 1 + stride * (count - 1) + rest * (stride - 1);
        return covered - begin - end;
      });
      const usable = lengths.every((each) => each > 0);
      const pads = usable ? [...axes.map(({ begin }) => begin), ...axes.map(({ end }) => end)] : undefined;
      const sizes = usable ? lengths : lengths.map((each, i) => each + axes[i].begin + axes[i].end);
      const attributes = {
        pads,
        strides: axes.map(({ stride }) => stride),
        dilations: axes.map(({ dilation }) => dilation),
      };
      const block = axes.map((axis) => axis.block);
      const blocks = sizeOf(axes.map(({ count }) => count));
      return variable([batch, channels * sizeOf(block), blocks]).map((x) =>
        example([{ ...x, free: x.free.slice(0, 1) }, ints(sizes), ints(block)], attributes),
      );
    }),
);

/** Real or complex, whole, cut or filled up; of real numbers half of the spectrum too. */
const dft = fc
  .record({
    dims: dimsOf(2, 3, fc.integer({ min: 2, max: 5 })),
    parts: fc.integer({ min: 1, max: 2 }),
    inverse: flag,
    half: flag,
    size: optional(fc.integer({ min: 2, max: 6 })),
  })
  .chain(({ dims, parts, inverse, half, size }) =>
    fc.tuple(fc.integer({ min: 1, max: dims.length - 1 }), variable([...dims, parts])).map(([axis, x]) => {
      const free = x.free.filter((each) => each < dims.length && (size === undefined || each !== axis));
      const inputs = [{ ...x, free }, ...(size === undefined ? [] : [constant('int64', [], [size])])];
      return example(inputs, { axis, inverse, onesided: parts === 1 && inverse === 0 ? half : 0 });
    }),
  );

const stft = fc
  .record({
    batch: length,
    size: fc.integer({ min: 2, max: 4 }),
    rest: fc.nat(5),
    step: length,
    onesided: optional(flag),
    windowed: fc.boolean(),
  })
  .chain(({ batch, size, rest, step, onesided, windowed }) =>
    fc
      .tuple(variable([batch, size + rest, 1]), fixed(variable([size])))
      .map(([x, window]) =>
        example(
          [
            { ...x, free: x.free.filter((axis) => axis < 2) },
            constant('int64', [], [step]),
            windowed ? window : undefined,
            constant('int64', [], [size]),
          ],
          { onesided },
        ),
      ),
  );

/** Places up to three pixels outside, off the pixels and off the middles between them, where derivatives jump. */
const gridSample = fc
  .record({
    lengths: dimsOf(2, 3, fc.integer({ min: 1, max: 4 })),
    outer: fc.tuple(length, length),
    mode: fc.constantFrom(undefined, 'nearest', 'bicubic'),
    padding_mode: fc.constantFrom(undefined, 'border', 'reflection'),
    align_corners: flag,
  })
  .chain(({ lengths, outer: [batch, channels], mode, padding_mode, align_corners }) =>
    dimsOf(lengths.length, lengths.length).chain((points) => {
      const reversed = [...lengths].reverse();
      const count = batch * sizeOf(points);
      const places = fc.array(
        fc.tuple(
          ...reversed.map((size) =>
            fc.tuple(fc.integer({ min: -3, max: size + 1 }), fc.constantFrom(0.2, 0.3, 0.7, 0.8)),
          ),
        ),
        { minLength: count, maxLength: count },
      );
      const onGrid = (place: number, size: number) =>
        align_corners === 0 ? (2 * place + 1) / size - 1 : (2 * place) / Math.max(size - 1, 1) - 1;
      const grid = places.map((all): Input => {
        const data = all.flatMap((point) => point.map(([at, off], i) => Math.fround(onGrid(at + off, reversed[i]))));
        const numbers: Numbers = { dtype: 'float32', dims: [batch, ...points, lengths.length], data };
        return { numbers, role: 'variable', free: [] };
      });
      const attributes = { mode, padding_mode, align_corners };
      const freeBatch = freedom(1).chain((free) => grid.map((each) => ({ ...each, free })));
      return fc.tuple(variable([batch, channels, ...lengths]), freeBatch).map((inputs) => example(inputs, attributes));
    }),
  );

// Shapes --------------------------------------------------------------------------------------------------------------

const concat = dimsOf(1, 3).chain((dims) =>
  fc
    .tuple(axisOf(dims.length), fc.array(length, { minLength: 1, maxLength: 3 }))
    .chain(([axis, lengths]) =>
      fc.tuple(...lengths.map((each) => variable(dims.with(axis, each)))).map((inputs) => example(inputs, { axis })),
    ),
);

/** Given sizes, or equal pieces of which the last may be shorter. */
const split = dimsOf(1, 3).chain((dims) =>
  fc
    .tuple(axisOf(dims.length), fc.array(length, { minLength: 1, maxLength: 3 }), fc.boolean())
    .chain(([axis, sizes, given]) => {
      const pieces = given ? sizes : sizes.map((size, i) => (i < sizes.length - 1 ? Math.max(...sizes) : size));
      const total = pieces.reduce((a, b) => a + b);
      return variable(dims.with(axis, total)).map((x) =>
        given
          ? example([x, ints(sizes)], { axis }, { outputs: sizes.length })
          : example([x], { axis, num_outputs: sizes.length }, { outputs: sizes.length }),
      );
    }),
);

const reshape = fc
  .tuple(length, length, length)
  .chain(([a, b, c]) =>
    fc
      .constantFrom([a * b, c], [-1, c], [0, -1], [c, a, b], [a * b * c], [0, 0, -1, 1], [0, b * c])
      .chain((shape) => variable([a, b, c]).map((x) => example([x, ints(shape)]))),
  );

const flatten = dimsOf(0, 4).chain((dims) =>
  fc
    .tuple(variable(dims), optional(fc.integer({ min: -dims.length, max: dims.length })))
    .map(([x, axis]) => example([x], { axis: axis ?? (dims.length === 0 ? 0 : undefined) })),
);

const squeeze = fc.array(fc.boolean(), { maxLength: 4 }).chain((ones) => {
  const dims = ones.map((one) => (one ? 1 : 2));
  const axes = ones.flatMap((one, axis) => (one ? [axis] : []));
  return fc
    .tuple(variable(dims), optional(fc.subarray(axes, { minLength: Math.min(axes.length, 1) })))
    .map(([x, chosen]) =>
      // Without axes the rank depends on every dimension. (An empty list is read in two ways.)
      chosen === undefined || chosen.length === 0
        ? example([{ ...x, free: [] }])
        : example([x, ints(chosen.map((axis) => axis - dims.length))]),
    );
});

const unsqueeze = dimsOf(0, 3).chain((dims) =>
  fc
    .tuple(
      variable(dims),
      fc.subarray(
        Array.from({ length: dims.length + 2 }, (_, i) => i),
        { minLength: 2, maxLength: 2 },
      ),
    )
    .map(([x, axes]) => example([x, ints([axes[1], axes[0] - dims.length - 2])])),
);

const transpose = dimsOf(0, 4).chain((dims) => {
  const axes = dims.map((_, axis) => axis);
  return fc
    .tuple(variable(dims), optional(fc.shuffledSubarray(axes, { minLength: axes.length })))
    .map(([x, perm]) => example([x], { perm: dims.length === 0 ? undefined : perm }));
});

const expand = broadcastShapes(2).chain(([from, to]) => variable(from).map((x) => example([x, ints(to)])));

// Products ------------------------------------------------------------------------------------------------------------

const matMul = fc
  .record({
    stacks: broadcastShapes(2),
    m: length,
    inner: length,
    n: length,
    vector: fc.constantFrom('none', 'a', 'b', 'both', 'none'),
  })
  .chain(({ stacks: [left, right], m, inner, n, vector }) =>
    fc
      .tuple(
        variable(vector === 'a' || vector === 'both' ? [inner] : [...left, m, inner]),
        variable(vector === 'b' || vector === 'both' ? [inner] : [...right, inner, n]),
      )
      .map((inputs) => example(inputs)),
  );

const gemm = fc
  .record({
    m: length,
    inner: length,
    n: length,
    transA: flag,
    transB: flag,
    alpha: fc.constantFrom(undefined, 0.5, -1),
    beta: fc.constantFrom(undefined, 2),
    bias: fc.constantFrom('none', 'full', 'row', 'column', 'vector', 'scalar'),
  })
  .chain(({ m, inner, n, transA, transB, alpha, beta, bias }) => {
    const biasDims: Record<string, Dims> = { full: [m, n], row: [1, n], column: [m, 1], vector: [n], scalar: [] };
    return fc
      .tuple(
        variable(transA === 1 ? [inner, m] : [m, inner]),
        variable(transB === 1 ? [n, inner] : [inner, n]),
        variable(biasDims[bias] ?? []),
      )
      .map(([a, b, c]) =>
        example(bias === 'none' ? [a, b] : [a, b, c], {
          transA,
          transB,
          alpha: alpha === undefined ? undefined : float(alpha),
          beta: beta === undefined ? undefined : float(beta),
        }),
      );
  });

// Others --------------------------------------------------------------------------------------------------------------

const clip = fc
  .record({ low: fc.boolean(), high: fc.boolean() })
  .chain(({ low, high }) =>
    unary(avoiding([-0.5, 0.75])).map(({ inputs, attributes }) =>
      example(
        [inputs[0], ...(low || high ? [low ? scalar(-0.5) : undefined] : []), ...(high ? [scalar(0.75)] : [])],
        attributes,
      ),
    ),
  );

const where = broadcastShapes(3).chain(([condition, a, b]) =>
  fc.tuple(bools(condition), variable(a), variable(b)).map((inputs) => example(inputs)),
);

const dropout = fc.tuple(unary(), fc.constantFrom(undefined, 0.25, 0.5), fc.constantFrom(undefined, 0, 1)).map(
  ([
    {
      inputs: [x],
    },
    ratio,
    training,
  ]) =>
    example(
      [
        x,
        ...(ratio === undefined && training === undefined ? [] : [ratio === undefined ? undefined : scalar(ratio)]),
        ...(training === undefined ? [] : [constant('bool', [], [training])]),
      ],
      {},
      { outputs: 2, random: [1] },
    ),
);

// Normalization -------------------------------------------------------------------------------------------------------
// Over axes of length 3 and more, and with a large ε: standardizing two numbers leaves next to nothing of them.

const long = fc.integer({ min: 3, max: 4 });
const epsilon = fc.constantFrom(0.1, 0.5).map(float);
const image = fc
  .tuple(length, fc.integer({ min: 2, max: 3 }), dimsOf(1, 2, long))
  .map(([n, c, space]) => [n, c, ...space]);
const perChannel = (count: number) => fixed(variable([count]));
const channelsFixed = (x: Input): Input => ({ ...x, free: x.free.filter((axis) => axis !== 1) });

const batchNormalization = fc
  .tuple(image, epsilon, fc.boolean())
  .chain(([dims, eps, training]) =>
    fc
      .tuple(
        variable(dims[0] === 1 ? dims.with(0, 2) : dims).map(channelsFixed),
        perChannel(dims[1]),
        perChannel(dims[1]),
        perChannel(dims[1]),
        fixed(variable([dims[1]], positive)),
      )
      .map((inputs) =>
        training
          ? example(inputs, { epsilon: eps, training_mode: 1, momentum: float(0.75) }, { outputs: 3 })
          : example(inputs, { epsilon: eps }),
      ),
  );

const instanceNormalization = fc
  .tuple(image, epsilon)
  .chain(([dims, eps]) =>
    fc
      .tuple(variable(dims).map(channelsFixed), perChannel(dims[1]), perChannel(dims[1]))
      .map((inputs) => example(inputs, { epsilon: eps })),
  );

const groupNormalization = fc
  .tuple(image, epsilon, fc.constantFrom(1, 2), fc.boolean())
  .chain(([dims, eps, groups, each]) => {
    const channels = 2 * dims[1];
    const scales = each ? channels : groups;
    return fc
      .tuple(variable(dims.with(1, channels)).map(channelsFixed), perChannel(scales), perChannel(scales))
      .map((inputs) => example(inputs, { epsilon: eps, num_groups: groups }));
  });

/** The axes from `axis` on are normalized; scale and bias have their shape. */
const fromAxis = (op: { bias: boolean; outputs: number }) =>
  fc
    .tuple(dimsOf(0, 2), dimsOf(1, 2, long), epsilon, fc.boolean(), fc.boolean())
    .chain(([outer, inner, eps, bias, negative]) => {
      const rank = outer.length + inner.length;
      const last = inner.length === 1 && negative;
      return fc
        .tuple(variable([...outer, ...inner]), fixed(variable(inner)), fixed(variable(inner)))
        .map(([x, scale, b]) =>
          example(
            op.bias && bias ? [x, scale, b] : [x, scale],
            { epsilon: eps, axis: last ? undefined : negative ? outer.length - rank : outer.length },
            { outputs: op.outputs },
          ),
        );
    });

const meanVarianceNormalization = fc
  .tuple(length, length, long, long, fc.constantFrom(undefined, [2, 3], [0, -1]))
  .chain(([n, c, h, w, axes]) => variable([n, c, h, w]).map((x) => example([x], { axes })));

/** ONNX Runtime has it for odd sizes only. */
const lrn = fc
  .tuple(length, fc.integer({ min: 2, max: 5 }), length, fc.constantFrom(1, 3, 5), epsilon)
  .chain(([n, c, h, size, alpha]) =>
    variable([n, c, h, 2]).map((x) => example([x], { size, alpha, beta: float(0.5), bias: float(2) })),
  );

// Rearrangement, order, losses, quantization ---------------------------------------------------------------------------

const tile = dimsOf(0, 3).chain((dims) =>
  fc.tuple(variable(dims), fc.tuple(...dims.map(() => length))).map(([x, repeats]) => example([x, ints(repeats)])),
);

const trilu = fc
  .tuple(dimsOf(0, 1), length, length, optional(fc.integer({ min: -2, max: 2 })), optional(flag))
  .chain(([stack, rows, columns, k, upper]) =>
    variable([...stack, rows, columns]).map((x) =>
      example(k === undefined ? [x] : [x, constant('int64', [], [k])], { upper }),
    ),
  );

const blocksToChannels = fc
  .tuple(length, length, length, length, fc.constantFrom(1, 2))
  .chain(([n, c, h, w, size]) =>
    variable([n, c, h * size, w * size]).map((x) => example([{ ...x, free: [] }], { blocksize: size })),
  );

const channelsToBlocks = fc
  .tuple(length, length, length, length, fc.constantFrom(1, 2), fc.constantFrom(undefined, 'DCR', 'CRD'))
  .chain(([n, c, h, w, size, mode]) =>
    variable([n, c * size * size, h, w]).map((x) => example([channelsFixed(x)], { blocksize: size, mode })),
  );

const reverseSequence = fc
  .tuple(length, length, dimsOf(0, 1), fc.boolean())
  .chain(([time, n, rest, batchFirst]) =>
    fc
      .tuple(
        variable(batchFirst ? [n, time, ...rest] : [time, n, ...rest]),
        fc.array(fc.integer({ min: 1, max: time }), { minLength: n, maxLength: n }),
      )
      .map(([x, lengths]) => example([x, ints(lengths)], batchFirst ? { batch_axis: 0, time_axis: 1 } : {})),
  );

const cumSum = dimsOf(1, 3).chain((dims) =>
  fc
    .tuple(variable(dims), axisOf(dims.length), optional(flag), optional(flag))
    .map(([x, axis, reverse, exclusive]) => example([x, constant('int64', [], [axis])], { reverse, exclusive })),
);

const topK = dimsOf(1, 3).chain((dims) =>
  axisOf(dims.length).chain((axis) =>
    fc
      .tuple(distinct(dims), fc.integer({ min: 1, max: dims.at(axis) ?? 1 }), optional(flag))
      .map(([[x], k, largest]) => example([x, ints([k])], { axis, largest }, { outputs: 2 })),
  ),
);

/** Scores for labels, of which some may be ignored. */
const labelled = (outputs: number) =>
  fc
    .record({
      n: length,
      classes: fc.integer({ min: 2, max: 3 }),
      rest: dimsOf(0, 2),
      weighted: fc.boolean(),
      ignored: optional(fc.constantFrom(-1, 1)),
      reduction: fc.constantFrom(undefined, 'none', 'sum', 'mean'),
    })
    .chain(({ n, classes, rest, weighted, ignored, reduction }) => {
      const count = n * sizeOf(rest);
      // One label at least must count, or there is no mean.
      const label = fc.nat(classes - 1).map((given) => (given === 1 && ignored !== undefined ? ignored : given));
      return fc
        .tuple(
          variable([n, classes, ...rest]).map(channelsFixed),
          fc.array(label, { minLength: count, maxLength: count }).map((labels) => labels.with(0, 0)),
          seed.map((from) => constant('float32', [classes], floats([classes], from, positive).data)),
        )
        .map(([scores, labels, weights]) => {
          const inputs = [scores, constant('int64', [n, ...rest], labels)];
          return example(weighted ? [...inputs, weights] : inputs, { ignore_index: ignored, reduction }, { outputs });
        });
    });

/** The letters of each input by equation. */
const equations = {
  'ij,jk->ik': ['ij', 'jk'],
  'bij,bjk->bik': ['bij', 'bjk'],
  'ij->ji': ['ij'],
  'ij->i': ['ij'],
  'i,j->ij': ['i', 'j'],
  'ij,ij': ['ij', 'ij'],
  'ba,ab': ['ba', 'ab'],
  'ijk,jl,kl->il': ['ijk', 'jl', 'kl'],
  'bhqd,bhkd->bhqk': ['bhqd', 'bhkd'],
};

const einsum = fc
  .tuple(fc.constantFrom(...Object.entries(equations)), fc.array(length, { minLength: 26, maxLength: 26 }))
  .chain(([[equation, terms], lengths]) => {
    const dims = (term: string) => Array.from(term).map((letter) => lengths[letter.charCodeAt(0) - 'a'.charCodeAt(0)]);
    return fc.tuple(...terms.map((term) => fixed(variable(dims(term))))).map((inputs) => example(inputs, { equation }));
  });

/** The slope is broadcast to x. */
const pRelu = dimsOf(0, 3).chain((dims) =>
  fc
    .tuple(fc.nat(dims.length), fc.array(fc.boolean(), { minLength: dims.length, maxLength: dims.length }))
    .chain(([missing, stretched]) =>
      fc
        .tuple(variable(dims, avoiding([0])), variable(dims.map((dim, i) => (stretched[i] ? 1 : dim)).slice(missing)))
        .map(([x, slope]) =>
          example([
            { ...x, free: [] },
            { ...slope, free: [] },
          ]),
        ),
    ),
);

const lpPool = pool(
  { dilated: false, outputs: 1 },
  (dims) => variable(dims, avoiding([0])),
  fc.constantFrom({}, { p: 1 }, { p: 3 }),
).map((each): Example => ({ ...each, attributes: { ...each.attributes, ceil_mode: undefined } }));

/** Of 32-bit integers, for which ONNX Runtime has no zero point. */
const dequantizeLinear = fc
  .tuple(length, length, length, fc.boolean())
  .chain(([n, c, w, vector]) =>
    fc
      .tuple(
        fc.array(fc.integer({ min: -100, max: 100 }), { minLength: n * c * w, maxLength: n * c * w }),
        fixed(variable(vector ? [c] : [], positive)),
      )
      .map(([data, scale]) =>
        example([{ numbers: { dtype: 'int32', dims: [n, c, w], data }, role: 'variable', free: [] }, scale]),
      ),
  );

const bitwise = (attributes: AttributeRecord = {}) =>
  broadcastShapes(2).chain((shapes) =>
    fc
      .tuple(...shapes.map((dims) => fc.array(fc.nat(20), { minLength: sizeOf(dims), maxLength: sizeOf(dims) })))
      .map((data) =>
        example(
          shapes.map((dims, i) => constant('int64', dims, data[i])),
          attributes,
        ),
      ),
  );

const eyeLike = fc
  .tuple(length, length, optional(fc.integer({ min: -1, max: 1 })))
  .chain(([n, m, k]) => variable([n, m]).map((x) => example([x], { k })));

// The table -----------------------------------------------------------------------------------------------------------

/**
 * Images made larger and smaller, by sizes or by scales that are exact in binary: places between pixels then fall on
 * the same side in every precision. Not for aligned corners of one pixel, which ONNX Runtime takes for no corner.
 */
const resizing = fc
  .record({
    spatial: fc.array(fc.integer({ min: 2, max: 4 }), { minLength: 2, maxLength: 2 }),
    batch: length,
    channels: length,
    mode: fc.constantFrom('nearest', 'linear', 'cubic'),
    coordinates: fc.constantFrom('half_pixel', 'pytorch_half_pixel', 'asymmetric', 'align_corners'),
    nearest: fc.constantFrom('round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'),
    cubic: fc.constantFrom<AttributeRecord>({}, { cubic_coeff_a: float(-0.5) }, { exclude_outside: 1 }),
    factors: fc.array(fc.constantFrom(0.5, 1, 1.5, 2), { minLength: 2, maxLength: 2 }),
    bySizes: fc.boolean(),
  })
  .chain(({ spatial, batch, channels, mode, coordinates, nearest, cubic, factors, bySizes }) => {
    const target = spatial.map((dim, i) => Math.max(2, Math.floor(dim * factors[i])));
    const scales = spatial.map((dim, i) => (dim * factors[i] < 2 ? 1 : factors[i]));
    const attributes = {
      mode,
      coordinate_transformation_mode: coordinates,
      ...(mode === 'nearest' ? { nearest_mode: nearest } : {}),
      ...(mode === 'cubic' && coordinates !== 'align_corners' ? cubic : {}),
    };
    return fixed(variable([batch, channels, ...spatial])).map((x) =>
      example(
        bySizes
          ? [x, undefined, undefined, ints([batch, channels, ...target])]
          : [x, undefined, constant('float32', [4], [1, 1, ...scales])],
        attributes,
      ),
    );
  });

/** Sequences of different lengths, in every direction and layout, with the optional inputs or without. */
const recurrent = (
  gates: number,
  { cell = false, attributes = fc.constant({}) }: { cell?: boolean; attributes?: fc.Arbitrary<AttributeRecord> } = {},
) =>
  fc
    .record({
      steps: length,
      batch: length,
      width: length,
      hidden: length,
      direction: fc.constantFrom('forward', 'reverse', 'bidirectional'),
      layout: flag,
      given: attributes,
    })
    .chain(({ steps, batch, width, hidden, direction, layout, given }) => {
      const directions = direction === 'bidirectional' ? 2 : 1;
      const weights = (...dims: number[]) => fixed(variable([directions, ...dims], (x) => x));
      const state = optional(fixed(variable(layout === 1 ? [batch, directions, hidden] : [directions, batch, hidden])));
      const lengths = fc
        .array(fc.integer({ min: 1, max: steps }), { minLength: batch, maxLength: batch })
        .map((data) => constant('int32', [batch], data));
      const { activations, ...rest } = given;
      return fc
        .tuple(
          variable(layout === 1 ? [batch, steps, width] : [steps, batch, width]),
          weights(gates * hidden, width),
          weights(gates * hidden, hidden),
          optional(weights(2 * gates * hidden)),
          optional(lengths),
          state,
          ...(cell ? [state, optional(weights(3 * hidden))] : []),
        )
        .map((inputs) =>
          example(
            inputs,
            {
              ...rest,
              ...(Array.isArray(activations) ? { activations: activations.slice(0, directions) as string[] } : {}),
              hidden_size: hidden,
              direction,
              layout,
            },
            { outputs: cell ? 3 : 2 },
          ),
        );
    });

/** Applications of every operator, by name. Adding an operator without a line here fails a test. */
export const EXAMPLES: Readonly<Record<string, fc.Arbitrary<Example>>> = {
  Abs: unary(avoiding([0])),
  Acos: unary((x) => 0.9 * x),
  Acosh: unary((x) => 2 + 0.8 * x),
  Add: binary(),
  And: logic(),
  ArgMax: alongAxis(
    (dims) => distinct(dims).map(([x]) => x),
    fc.record({ keepdims: fc.constantFrom(0, 1, undefined) }),
  ),
  ArgMin: alongAxis(
    (dims) => distinct(dims).map(([x]) => x),
    fc.record({ select_last_index: fc.constantFrom(0, 1, undefined) }),
  ),
  Asin: unary((x) => 0.9 * x),
  Asinh: unary(),
  Atan: unary(),
  Atanh: unary((x) => 0.9 * x),
  AveragePool: pool(
    { dilated: false, outputs: 1 },
    variable,
    fc.record({ count_include_pad: fc.constantFrom(0, 1, undefined) }),
  ),
  BatchNormalization: batchNormalization,
  BitwiseAnd: bitwise(),
  BitwiseNot: bitwise().map(({ inputs: [x] }) => example([x])),
  BitwiseOr: bitwise(),
  BitwiseXor: bitwise(),
  CastLike: unary().map(({ inputs: [x] }) => example([x, scalar(0)])),
  Ceil: unary(avoiding(halves)),
  Celu: unary(avoiding([0]), fc.constantFrom({}, { alpha: float(0.5) })),
  Clip: clip,
  Col2Im: col2im,
  Concat: concat,
  Conv: convolution,
  ConvTranspose: transposedConvolution,
  Cos: unary(),
  Cosh: unary(),
  CumSum: cumSum,
  DFT: dft,
  Det: det,
  DepthToSpace: channelsToBlocks,
  DequantizeLinear: dequantizeLinear,
  Div: binary(anywhere, positive),
  Dropout: dropout,
  Einsum: einsum,
  Elu: unary(avoiding([0]), fc.constantFrom({}, { alpha: float(0.5) })),
  Equal: comparison(),
  Erf: unary(),
  Exp: unary(),
  Expand: expand,
  EyeLike: eyeLike,
  Flatten: flatten,
  Floor: unary(avoiding(halves)),
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  Gelu: unary(anywhere, fc.constantFrom({}, { approximate: 'tanh' })),
  GRU: recurrent(3, { attributes: fc.constantFrom({}, { linear_before_reset: 1 }) }),
  Gemm: gemm,
  GlobalAveragePool: spatialDims.chain((dims) => variable(dims).map((x) => example([x]))),
  GlobalLpPool: spatialDims.chain((dims) => variable(dims, avoiding([0])).map((x) => example([x], { p: 2 }))),
  GlobalMaxPool: spatialDims.chain((dims) => distinct(dims).map((inputs) => example(inputs))),
  Greater: comparison(),
  GreaterOrEqual: comparison(),
  GridSample: gridSample,
  GroupNormalization: groupNormalization,
  HardSigmoid: unary(avoiding([-1.5, 2.5], 4), fc.constantFrom({ alpha: float(0.25), beta: float(0.375) })),
  HardSwish: unary(avoiding([-3, 3], 5)),
  Identity: unary(),
  InstanceNormalization: instanceNormalization,
  LayerNormalization: fromAxis({ bias: true, outputs: 3 }),
  LeakyRelu: unary(avoiding([0]), fc.constantFrom({}, { alpha: float(0.25) })),
  Less: comparison(),
  LessOrEqual: comparison(),
  Log: unary(positive),
  LogSoftmax: alongAxis(),
  LpNormalization: alongAxis((dims) => variable(dims, positive), fc.constantFrom({}, { p: 1 }, { p: 2 })),
  LpPool: lpPool,
  LSTM: recurrent(4, { cell: true }),
  LRN: lrn,
  MatMul: matMul,
  Max: variadic((shapes) => distinct(...shapes)),
  MaxPool: pool({ dilated: true, outputs: 2 }, (dims) => distinct(dims).map(([x]) => x), fc.constant({})),
  Mean: variadic((shapes) => fc.tuple(...shapes.map((dims) => variable(dims)))),
  MeanVarianceNormalization: meanVarianceNormalization,
  Min: variadic((shapes) => distinct(...shapes)),
  Mish: unary(),
  Mul: binary(),
  Neg: unary(),
  NegativeLogLikelihoodLoss: labelled(1),
  Not: logic().map(({ inputs: [x] }) => example([x])),
  Or: logic(),
  Pad: padding,
  Pow: binary(positive, anywhere),
  PRelu: pRelu,
  Reciprocal: unary(positive),
  ReduceL1: reduction((dims) => variable(dims, avoiding([0]))),
  ReduceL2: reduction((dims) => variable(dims, positive)),
  ReduceLogSum: reduction((dims) => variable(dims, positive)),
  ReduceLogSumExp: reduction(variable),
  ReduceMax: reduction((dims) => distinct(dims).map(([x]) => x)),
  ReduceMean: reduction(variable),
  ReduceMin: reduction((dims) => distinct(dims).map(([x]) => x)),
  ReduceProd: reduction((dims) => variable(dims, (x) => (x < -0.6 ? 0 : 2 * x))),
  ReduceSum: reduction(variable),
  ReduceSumSquare: reduction(variable),
  Relu: unary(avoiding([0])),
  Reshape: reshape,
  Resize: resizing,
  ReverseSequence: reverseSequence,
  RNN: recurrent(1, { attributes: fc.constantFrom({}, { activations: ['Sigmoid', 'Sigmoid'] }) }),
  RMSNormalization: fromAxis({ bias: false, outputs: 1 }),
  Round: unary(avoiding(halves)),
  STFT: stft,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  Selu: unary(avoiding([0])),
  Shrink: unary(avoiding([-0.75, 0.75]), fc.constant({ lambd: float(0.75), bias: float(0.25) })),
  Sigmoid: unary(),
  Sign: unary(avoiding([0])),
  Sin: unary(),
  Sinh: unary(),
  Slice: slice,
  Softmax: alongAxis(),
  SoftmaxCrossEntropyLoss: labelled(2),
  Softplus: unary(),
  Softsign: unary(avoiding([0])),
  SpaceToDepth: blocksToChannels,
  Split: split,
  Sqrt: unary(positive),
  Squeeze: squeeze,
  Sub: binary(),
  Sum: variadic((shapes) => fc.tuple(...shapes.map((dims) => variable(dims)))),
  Swish: unary(anywhere, fc.constantFrom({}, { alpha: float(0.5) })),
  Tan: unary((x) => x),
  Tanh: unary(),
  ThresholdedRelu: unary(avoiding([0.5]), fc.constant({ alpha: float(0.5) })),
  Tile: tile,
  TopK: topK,
  Transpose: transpose,
  Trilu: trilu,
  Unsqueeze: unsqueeze,
  Where: where,
  Xor: logic(),
};
