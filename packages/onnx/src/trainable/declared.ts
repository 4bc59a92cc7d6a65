import type { Model } from '../model/model.js';

/** What the module that was exported has a tensor as. */
export type Declaration = 'parameter' | 'buffer' | 'constant';

/** The key under which PyTorch's dynamo exporter says it, beside the type of the value. */
const KEY = 'pkg.torch.export.graph_signature.InputSpec.kind';

const DECLARATIONS: Readonly<Record<string, Declaration | undefined>> = {
  PARAMETER: 'parameter',
  BUFFER: 'buffer',
  CONSTANT_TENSOR: 'constant',
};

/**
 * What a model says itself of its initializers, by name; empty for files that do not say it, and for those that have no
 * parameters: there weights have been made buffers, which says nothing. Initializers that the exporter has made, of several
 * parameters say, are not among them.
 */
export function declarations({ proto, graph }: Model): ReadonlyMap<string, Declaration> {
  const found = new Map<string, Declaration>();
  for (const { name, metadataProps } of [...(proto.graph?.valueInfo ?? []), ...graph.valueInfo]) {
    const declared = DECLARATIONS[metadataProps.find(({ key }) => key === KEY)?.value ?? ''];
    if (declared !== undefined) found.set(name, declared);
  }
  return [...found.values()].includes('parameter') ? found : new Map();
}
