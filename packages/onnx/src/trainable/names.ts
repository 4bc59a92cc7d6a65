import type { Value } from '../graph/value.js';

/**
 * What PyTorch modules call parameters, rarely buffers, at the end of the path of their module, which the TorchScript exporter
 * keeps: `weight_hh_l0` of recurrent layers, `weight_orig` of pruned ones, `original0` of parametrizations, `D` and `A_log` of
 * state spaces.
 */
const OF_PARAMETERS =
  /(^|\.|_proj_)(weight|bias)(_[ih]h(_l\d+(_reverse)?)?|_orig)?$|\.(alpha|beta|gamma|logit_scale|logit_bias|temperature|original[01]?|D|A_log)$/;

/** Scales are buffers as well; with a bias beside them they are learned. */
const SCALE = /\.scale$/;

/**
 * Whether a tensor has the name of a parameter of a PyTorch module.
 *
 * @param has whether the file has a tensor of a name
 */
export function isNamedAsParameter(name: string, has: (name: string) => boolean): boolean {
  return OF_PARAMETERS.test(name) || (SCALE.test(name) && has(name.replace(SCALE, '.bias')));
}

/**
 * Whether a tensor is called a weight, or is a vector that is called a bias (`in_proj_bias`, `dense/bias:0`). Some begin as zeros
 * and ones (codes, identities, forget gates), whole numbers or evenly spaced. Masks are called biases as well, not vectors.
 */
export function isNamedAsWeight({ name, tensor }: Value): boolean {
  const isBias = /(^|[^a-z])bias([^a-z]|$)/i.test(name);
  return isBias ? tensor?.dims.length === 1 : OF_PARAMETERS.test(name);
}

/** Whether a name is that of a tensor of a module, not one that an exporter has made up for a constant. */
export function hasOwnName(name: string): boolean {
  if (!/^[A-Za-z_]\w*(\.\w+)*$/.test(name)) return false;
  return name.includes('.') || !/_\d+$|_output$|^constants?\d*$/i.test(name);
}
