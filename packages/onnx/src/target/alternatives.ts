import { convolutionInBlocks } from './blocked.js';
import { affineByNormalization, channelAffineForCpu } from './channel-affine.js';
import {
  inputGradientByConvolution,
  inputGradientByProducts,
  inputGradientByTransposed,
  weightGradientByColumns,
  weightGradientByConvolution,
  weightGradientByOffsets,
  weightGradientByRows,
  weightGradientByProducts,
  weightGradientForCuda,
} from './convolution.js';
import { maskBoundedByProduct, maskByProduct, maskBySelection } from './mask.js';
import { scatterByIndices, unpoolOrScatter } from './max-pool.js';
import { fusedProduct } from './products.js';
import { recurrenceByScan, recurrenceInSteps } from './recurrence.js';
import { meanBySum, sumInTurn } from './sums.js';
import type { Formulation, Target } from './target.js';
import {
  convolutionByRows,
  inputGradientByRows,
  inputGradientForCpu,
  weightGradientByWindows,
  weightGradientForCpu,
} from './window-rows.js';

/**
 * Every formulation there is, by operator and name; `default` is the definition of the operator, or the operator itself. Tests
 * compare the numbers of all, measurements their times.
 */
export const ALTERNATIVES: Readonly<Record<string, Readonly<Record<string, Formulation>>>> = {
  'adakit::ChannelAffine': { cpu: channelAffineForCpu, normalization: affineByNormalization },
  'adakit::ConvInputGradient': {
    convolution: inputGradientByConvolution,
    cpu: inputGradientForCpu,
    products: inputGradientByProducts,
    transposed: inputGradientByTransposed,
    windows: inputGradientByRows,
  },
  'adakit::ConvWeightGradient': {
    columns: weightGradientByColumns,
    convolution: weightGradientByConvolution,
    cpu: weightGradientForCpu,
    cuda: weightGradientForCuda,
    offsets: weightGradientByOffsets,
    products: weightGradientByProducts,
    rows: weightGradientByRows,
    windows: weightGradientByWindows,
  },
  'adakit::LinearRecurrence': { scan: recurrenceByScan, steps: recurrenceInSteps },
  'adakit::Mask': { bounded: maskBoundedByProduct, product: maskByProduct, selection: maskBySelection },
  'adakit::MaxPoolGradient': { scatter: scatterByIndices, unpool: unpoolOrScatter },
  Conv: { blocks: convolutionInBlocks, windows: convolutionByRows },
  MatMul: { fused: fusedProduct },
  ReduceMean: { sum: meanBySum },
  ReduceSum: { turns: sumInTurn },
};

/**
 * A target with other formulations.
 *
 * @param changes names of {@link ALTERNATIVES} by operator, or `default`
 * @throws {Error} for a name that is none
 */
export function withFormulations(target: Target, changes: Readonly<Record<string, string>>): Target {
  const formulations = { ...target.formulations };
  const partly = { ...target.partly };
  for (const [key, name] of Object.entries(changes)) {
    const known = ALTERNATIVES[key] as Readonly<Record<string, Formulation>> | undefined;
    if (name === 'default') {
      // Its own operators are lowered by their definitions, others stay as they are.
      Reflect.deleteProperty(formulations, key);
      if (!key.includes('::')) Reflect.deleteProperty(partly, key);
      continue;
    }
    const formulation = known?.[name];
    if (formulation === undefined) {
      throw new Error(`${key} has the formulations ${Object.keys(known ?? {}).join(', ')} and default, not '${name}'`);
    }
    formulations[key] = formulation;
  }
  const names = Object.entries(changes).map(([key, name]) => `${key} ${name}`);
  return { ...target, name: `${target.name} with ${names.join(', ')}`, formulations, partly };
}
