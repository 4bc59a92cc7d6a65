import type { GraphProto } from 'onnx-buf';

/** What the module that was exported has a tensor as. */
export type Declaration = 'parameter' | 'buffer' | 'constant';

/** The key under which PyTorch's dynamo exporter writes the signature of the graph that it was given. */
const KEY = 'pkg.torch.export.ExportedProgram.graph_signature';

/** A line of it: `p_fc_weight: PARAMETER target='fc.weight'`, `b_mask: BUFFER target='mask' persistent=True`. */
const LINE = /: (PARAMETER|BUFFER|CONSTANT_TENSOR) target='([^']+)'/g;

const DECLARATIONS: Readonly<Record<string, Declaration>> = {
  PARAMETER: 'parameter',
  BUFFER: 'buffer',
  CONSTANT_TENSOR: 'constant',
};

/**
 * What a file says itself of the tensors of the module, by name, which is that of their initializers; empty for files that do
 * not say it, and for those without parameters: there weights have been made buffers, which says nothing. What the exporter
 * has computed from tensors of the module has other names.
 */
export function declarations(graph: Pick<GraphProto, 'metadataProps'>): ReadonlyMap<string, Declaration> {
  const signature = graph.metadataProps.find(({ key }) => key === KEY)?.value ?? '';
  const found = new Map(Array.from(signature.matchAll(LINE), ([, kind, name]) => [name, DECLARATIONS[kind]]));
  return [...found.values()].includes('parameter') ? found : new Map();
}
