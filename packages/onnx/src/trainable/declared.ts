/** What PyTorch modules call parameters, rarely buffers, at the end of the path of their module; `D` and `A_log` of state spaces. */
const OF_PARAMETERS = /\.(weight|bias|alpha|beta|gamma|logit_scale|logit_bias|temperature|original[01]|D|A_log)$/;

/** Scales are buffers as well; with a bias beside them they are learned. */
const SCALE = /\.scale$/;

/**
 * Whether a tensor has the name of a parameter of a PyTorch module: the TorchScript exporter keeps the names of parameters and
 * buffers, and does not say which is which.
 *
 * @param names of all tensors of the file
 */
export function isNamedAsParameter(name: string, names: ReadonlySet<string>): boolean {
  return OF_PARAMETERS.test(name) || (SCALE.test(name) && names.has(name.replace(SCALE, '.bias')));
}
