import { scaleChannels } from '../entry/standardize.js';
import { float } from '../graph/attribute.js';
import { Tensor } from '../model/tensor.js';
import type { Formulation } from './target.js';

/**
 * x a + b by channels as a batch normalization in inference form, of mean 0 and variance 1: one launch that reads and writes x
 * once, where a product and a sum are two. (On the CPU it runs in one thread.)
 */
export const affineByNormalization: Formulation = ({ e, input, shape }) => {
  const [x, a, b] = [input(0), input(1), input(2)];
  const [channels] = shape(a);
  if (typeof channels !== 'number' || x.dtype !== 'float32') return [scaleChannels(e, x, a, b)];
  const vector = (value: number) =>
    e.constant(
      Tensor.of('float32', [channels], new Float32Array(channels).fill(value)),
      value === 0 ? 'zeros' : 'ones',
    );
  return [e.node('BatchNormalization', [x, a, b, vector(0), vector(1)], { epsilon: float(0) })];
};
