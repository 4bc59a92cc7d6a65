import { requireDType } from '../../model/dtype.js';
import { addDims, floorDivideDims } from '../../shape/dim.js';
import type { Operator } from '../operator.js';

/** The weights that turn a spectrum [dft_length / 2 + 1] into `num_mel_bins` bands. */
export const MelWeightMatrix: Operator = {
  op: 'MelWeightMatrix',
  since: 17,
  shape: 'values',
  infer(ctx) {
    const { node } = ctx;
    const [bands, length] = [ctx.contents(0)?.[0], ctx.contents(1)?.[0]];
    const rows = length === undefined ? ctx.unknownDim() : addDims(floorDivideDims(length, 2), 1);
    const dtype = requireDType(node.attributes.int('output_datatype', 1), node.label);
    return [{ dtype, shape: [rows, bands ?? ctx.unknownDim()] }];
  },
  gradient: 'none',
};
