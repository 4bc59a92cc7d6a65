import { Tensor } from '../model/tensor.js';
import type { EarlyForm, UpgradeContext } from './operator.js';

/** Puts a value at an input of a node; inputs before it that the node does not list count as left out. */
export function setInput(
  { node }: UpgradeContext,
  index: number,
  value: UpgradeContext['node']['inputs'][number],
): void {
  while (node.inputs.length < index) node.inputs.push(undefined);
  node.inputs[index] = value;
}

/** Turns an INTS attribute (or an INT) into the int64 vector that later opsets take as an input. */
export function intsToInput(ctx: UpgradeContext, attribute: string, index: number): void {
  const { node, e } = ctx;
  if (!node.attributes.has(attribute)) return;
  setInput(ctx, index, e.int64(node.attributes.ints(attribute, [])));
  node.attributes.delete(attribute);
}

/** Turns a FLOAT attribute into the scalar, of the dtype of the first input, that later opsets take as an input. */
export function floatToInput(ctx: UpgradeContext, attribute: string, index: number): void {
  const { node, e } = ctx;
  const value = node.attributes.float(attribute);
  if (value === undefined) return;
  setInput(ctx, index, e.scalar(value, node.inputs[0]?.dtype ?? 'float32'));
  node.attributes.delete(attribute);
}

/** Turns a FLOATS attribute into the float32 vector that later opsets take as an input. */
export function floatsToInput(ctx: UpgradeContext, attribute: string, index: number): void {
  const { node, e } = ctx;
  const values = node.attributes.floats(attribute);
  if (values === undefined) return;
  setInput(ctx, index, e.constant(Tensor.of('float32', [values.length], Float32Array.from(values)), attribute));
  node.attributes.delete(attribute);
}

/**
 * Before opset 7 the second input was broadcast only if `broadcast` said so: against the axes of the first from `axis` on,
 * or against the last ones.
 */
function broadcastFromAxis({ node, e, fail }: UpgradeContext): void {
  const axis = node.attributes.int('axis');
  const isBroadcast = node.attributes.int('broadcast', 0) === 1;
  node.attributes.delete('axis');
  node.attributes.delete('broadcast');
  if (!isBroadcast || axis === undefined) return;
  const [a, b] = [node.inputs[0], node.inputs[1]];
  if (a?.shape === undefined || b?.shape === undefined) return fail('is broadcast along an axis to an unknown rank');
  const first = axis < 0 ? axis + a.shape.length : axis;
  const missing = a.shape.length - first - b.shape.length;
  if (first < 0 || missing < 0) fail(`cannot be broadcast from axis ${axis}`);
  const last = b.shape.length;
  if (missing > 0) {
    node.inputs[1] = e.unsqueeze(
      b,
      Array.from({ length: missing }, (_, i) => last + i),
    );
  }
}

/** See {@link broadcastFromAxis}. */
export const broadcasting: EarlyForm = { before: 7, upgrade: broadcastFromAxis };

/** An attribute that says nothing of a graph for inference, or nothing that the outputs do not say. */
export const dropping = (before: number, ...names: readonly string[]): EarlyForm => ({
  before,
  upgrade: ({ node }) => {
    for (const name of names) node.attributes.delete(name);
  },
});

/** Attributes whose defaults were others. */
export const defaulting = (
  before: number,
  attributes: Readonly<Record<string, number | { float: number }>>,
): EarlyForm => ({
  before,
  upgrade: ({ node }) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (!node.attributes.has(name)) node.attributes.set(name, value);
    }
  },
});
