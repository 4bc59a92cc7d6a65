import type { Kernel, Kernels } from './kernel.js';
import { broadcastAt, elementAt, indicesOf, positiveAxis, sum, tabulate, type Tensor } from './tensor.js';

function mean(elements: readonly number[]): number {
  return sum(elements) / elements.length;
}

/** The mean of the squared distances from the mean. */
function variance(elements: readonly number[]): number {
  const center = mean(elements);
  return mean(elements.map((x) => (x - center) ** 2));
}

type Axes = ReadonlySet<number>;

/** A statistic of the elements along some axes, which stay as axes of length 1. */
function along(x: Tensor, axes: Axes, statistic: (elements: readonly number[]) => number): Tensor {
  const inside = indicesOf(x.dims.map((dim, axis) => (axes.has(axis) ? dim : 1)));
  return tabulate(
    'float32',
    x.dims.map((dim, axis) => (axes.has(axis) ? 1 : dim)),
    (index) =>
      statistic(
        inside.map((offset) =>
          elementAt(
            x,
            offset.map((place, axis) => place + index[axis]),
          ),
        ),
      ),
  );
}

/** (x − mean) / √(variance + ε), with the statistics of the elements along some axes. */
function standardize(x: Tensor, axes: Axes, epsilon: number): Tensor {
  const [center, spread] = [along(x, axes, mean), along(x, axes, variance)];
  return tabulate(
    x.dtype,
    x.dims,
    (index) => (elementAt(x, index) - broadcastAt(center, index)) / Math.sqrt(broadcastAt(spread, index) + epsilon),
  );
}

/** The axes from `first` to the last. */
const axesFrom = (first: number, { dims }: Tensor) => new Set([...dims.keys()].slice(first));

const batchNormalization: Kernel = ({ input, attributes }) => {
  const [x, scale, bias, runningMean, runningVariance] = [0, 1, 2, 3, 4].map(input);
  const epsilon = attributes.float('epsilon', 1e-5);
  const affine = (channel: number, element: number) => scale.data[channel] * element + bias.data[channel];
  if (attributes.int('training_mode', 0) === 0) {
    return tabulate(x.dtype, x.dims, (index) => {
      const c = index[1];
      return affine(c, (elementAt(x, index) - runningMean.data[c]) / Math.sqrt(runningVariance.data[c] + epsilon));
    });
  }
  const axes = new Set([...x.dims.keys()].filter((axis) => axis !== 1));
  const momentum = attributes.float('momentum', 0.9);
  const moved = (running: Tensor, batch: Tensor) => ({
    ...running,
    data: running.data.map((now, c) => momentum * now + (1 - momentum) * batch.data[c]),
  });
  const batch = standardize(x, axes, epsilon);
  return [
    tabulate(x.dtype, x.dims, (index) => affine(index[1], elementAt(batch, index))),
    moved(runningMean, along(x, axes, mean)),
    moved(runningVariance, along(x, axes, variance)),
  ];
};

const instanceNormalization: Kernel = ({ input, attributes }) => {
  const [x, scale, bias] = [0, 1, 2].map(input);
  const standard = standardize(x, axesFrom(2, x), attributes.float('epsilon', 1e-5));
  return tabulate(x.dtype, x.dims, (index) => scale.data[index[1]] * elementAt(standard, index) + bias.data[index[1]]);
};

const groupNormalization: Kernel = ({ input, attributes }) => {
  const [x, scale, bias] = [0, 1, 2].map(input);
  const [batch, channels, ...rest] = x.dims;
  const groups = attributes.int('num_groups', 1);
  const grouped: Tensor = { ...x, dims: [batch, groups, channels / groups, ...rest] };
  const standard = standardize(grouped, axesFrom(2, grouped), attributes.float('epsilon', 1e-5));
  // Opset 18 has one scale a group, opset 21 one a channel.
  const perScale = channels / scale.data.length;
  return tabulate(x.dtype, x.dims, (index) => {
    const place = Math.floor(index[1] / perScale);
    return scale.data[place] * elementAt({ ...standard, dims: x.dims }, index) + bias.data[place];
  });
};

const layerNormalization: Kernel = ({ input, inputs, attributes }) => {
  const [x, scale, bias] = [input(0), input(1), inputs[2]];
  const epsilon = attributes.float('epsilon', 1e-5);
  const axes = axesFrom(positiveAxis(attributes.int('axis', -1), x.dims.length), x);
  const standard = standardize(x, axes, epsilon);
  return [
    tabulate(
      x.dtype,
      x.dims,
      (index) =>
        broadcastAt(scale, index) * elementAt(standard, index) + (bias === undefined ? 0 : broadcastAt(bias, index)),
    ),
    along(x, axes, mean),
    along(x, axes, (elements) => 1 / Math.sqrt(variance(elements) + epsilon)),
  ];
};

const rmsNormalization: Kernel = ({ input, attributes }) => {
  const [x, scale] = [input(0), input(1)];
  const axes = axesFrom(positiveAxis(attributes.int('axis', -1), x.dims.length), x);
  const epsilon = attributes.float('epsilon', 1e-5);
  const root = along(x, axes, (elements) => Math.sqrt(mean(elements.map((element) => element ** 2)) + epsilon));
  return tabulate(
    x.dtype,
    x.dims,
    (index) => (broadcastAt(scale, index) * elementAt(x, index)) / broadcastAt(root, index),
  );
};

const meanVarianceNormalization: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const axes = new Set((attributes.ints('axes') ?? [0, 2, 3]).map((axis) => positiveAxis(axis, x.dims.length)));
  const center = along(x, axes, mean);
  const deviation = along(x, axes, (elements) => Math.sqrt(variance(elements)) + 1e-9);
  return tabulate(
    x.dtype,
    x.dims,
    (index) => (elementAt(x, index) - broadcastAt(center, index)) / broadcastAt(deviation, index),
  );
};

const lpNormalization: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const axes = new Set([positiveAxis(attributes.int('axis', -1), x.dims.length)]);
  const p = attributes.int('p', 2);
  const norm = along(x, axes, (elements) => sum(elements.map((element) => Math.abs(element) ** p)) ** (1 / p));
  return tabulate(x.dtype, x.dims, (index) => {
    const length = broadcastAt(norm, index);
    return length === 0 ? 0 : elementAt(x, index) / length;
  });
};

const lrn: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const size = attributes.int('size', 1);
  const [alpha, beta, bias] = [
    attributes.float('alpha', 0.0001),
    attributes.float('beta', 0.75),
    attributes.float('bias', 1),
  ];
  return tabulate(x.dtype, x.dims, (index) => {
    const first = Math.max(index[1] - Math.floor((size - 1) / 2), 0);
    const last = Math.min(index[1] + Math.ceil((size - 1) / 2), x.dims[1] - 1);
    const around = Array.from({ length: last - first + 1 }, (_, i) => elementAt(x, index.with(1, first + i)));
    return elementAt(x, index) / (bias + (alpha / size) * sum(around.map((element) => element ** 2))) ** beta;
  });
};

export const normalization: Kernels = {
  BatchNormalization: batchNormalization,
  GroupNormalization: groupNormalization,
  InstanceNormalization: instanceNormalization,
  LayerNormalization: layerNormalization,
  LpNormalization: lpNormalization,
  LRN: lrn,
  MeanVarianceNormalization: meanVarianceNormalization,
  RMSNormalization: rmsNormalization,
};
