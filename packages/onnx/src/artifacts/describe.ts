import type { ModelProto, ValueInfoProto } from 'onnx-buf';
import { describeValue } from '../graph/from-model.js';
import { Graph } from '../graph/graph.js';
import type { DType } from '../model/dtype.js';
import type { StateTensor } from './checkpoint.js';
import type { Manifest, ManifestInput, ManifestOutput, ManifestTensor } from './manifest.js';
import type { About, Roles } from './roles.js';

/** A graph as the manifest has it. */
export function graphEntry(
  file: string,
  { graph }: ModelProto,
  { inputs, outputs }: Roles,
): Manifest['graphs']['step'] {
  const shapes = new Graph(file);
  const tensor = (info: ValueInfoProto, what: About | undefined): ManifestInput => {
    if (what === undefined) throw new Error(`nothing is known of '${info.name}' in ${file}`);
    const { dtype, shape = [] } = describeValue(shapes, info);
    return {
      name: info.name,
      dtype: dtype ?? ('float32' satisfies DType),
      shape: shape.map((dim) => (typeof dim === 'number' ? dim : String(dim))),
      ...what,
    };
  };
  return {
    file,
    inputs: (graph?.input ?? []).map((info) => tensor(info, inputs.get(info.name))),
    outputs: (graph?.output ?? []).map((info): ManifestOutput => tensor(info, outputs.get(info.name))),
  };
}

/** A tensor of the checkpoint as the manifest has it. */
export function tensorEntry(name: string, { dtype, shape }: StateTensor, role: ManifestTensor['role']): ManifestTensor {
  return { name, dtype, shape: [...shape], role, start: 'checkpoint' };
}

/** Versions of the operator sets that models use, by domain. */
export function opsetsOf(models: readonly ModelProto[]): Record<string, number> {
  return Object.fromEntries(
    models.flatMap(({ opsetImport }) => opsetImport.map(({ domain, version }) => [domain, Number(version)] as const)),
  );
}
