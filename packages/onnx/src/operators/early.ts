import { dtypeCode, type DType } from '../model/dtype.js';
import type { UpgradeContext } from './operator.js';
import { intsToInput } from './upgrade.js';

/** A form that an operator had before some opset, and what makes it the one of opset 7. */
interface EarlyForm {
  readonly before: number;
  readonly upgrade: (ctx: UpgradeContext) => void;
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

const broadcasting: EarlyForm = { before: 7, upgrade: broadcastFromAxis };

/** An attribute that says nothing of a graph for inference, or nothing that the outputs do not say. */
const dropping = (before: number, ...names: readonly string[]): EarlyForm => ({
  before,
  upgrade: ({ node }) => {
    for (const name of names) node.attributes.delete(name);
  },
});

const defaulting = (before: number, attributes: Readonly<Record<string, number | { float: number }>>): EarlyForm => ({
  before,
  upgrade: ({ node }) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (!node.attributes.has(name)) node.attributes.set(name, value);
    }
  },
});

/** One slope for every channel, which is axis 1. */
function slopePerChannel({ node, e }: UpgradeContext): void {
  const [x, slope] = [node.inputs[0], node.inputs[1]];
  const rank = x?.shape?.length ?? 0;
  if (slope?.shape?.length !== 1 || slope.shape[0] === 1 || rank <= 2) return;
  node.inputs[1] = e.unsqueeze(
    slope,
    Array.from({ length: rank - 2 }, (_, i) => 1 + i),
  );
}

const DTYPES: Readonly<Record<string, DType>> = {
  FLOAT: 'float32',
  DOUBLE: 'float64',
  FLOAT16: 'float16',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  BOOL: 'bool',
};

function castByName({ node, fail }: UpgradeContext): void {
  const name = node.attributes.string('to') ?? fail("lacks its attribute 'to'");
  node.attributes.set('to', dtypeCode(DTYPES[name] ?? fail(`casts to '${name}', which is not supported`)));
}

/** p was a float. */
function integerOrder({ node }: UpgradeContext): void {
  const p = node.attributes.float('p');
  if (p !== undefined) node.attributes.set('p', Math.round(p));
}

function renamedPads({ node }: UpgradeContext): void {
  const pads = node.attributes.ints('paddings');
  node.attributes.delete('paddings');
  if (pads !== undefined) node.attributes.set('pads', pads);
}

/** What opsets 1 to 6 wrote otherwise than opset 7, of the operators in the table. */
const EARLY: Readonly<Record<string, readonly EarlyForm[]>> = {
  Add: [broadcasting],
  And: [broadcasting],
  BatchNormalization: [dropping(7, 'is_test')],
  Cast: [{ before: 6, upgrade: castByName }],
  Concat: [defaulting(4, { axis: 1 })],
  Div: [broadcasting],
  Dropout: [dropping(7, 'is_test')],
  Equal: [broadcasting],
  Gemm: [dropping(7, 'broadcast')],
  GlobalLpPool: [{ before: 2, upgrade: integerOrder }],
  Greater: [broadcasting],
  GRU: [dropping(7, 'output_sequence')],
  Less: [broadcasting],
  LpPool: [{ before: 2, upgrade: integerOrder }],
  LSTM: [dropping(7, 'output_sequence')],
  Mul: [broadcasting],
  Or: [broadcasting],
  Pad: [{ before: 2, upgrade: renamedPads }],
  Pow: [broadcasting],
  PRelu: [{ before: 7, upgrade: slopePerChannel }],
  Reshape: [
    {
      before: 5,
      upgrade: (ctx) => {
        intsToInput(ctx, 'shape', 1);
      },
    },
  ],
  RNN: [dropping(7, 'output_sequence')],
  Selu: [defaulting(6, { alpha: { float: 1.6732 }, gamma: { float: 1.0507 } })],
  Sub: [broadcasting],
  Tile: [{ before: 6, upgrade: ({ opset, fail }) => fail(`is in the form of opset ${opset}, one axis at a time`) }],
  Xor: [broadcasting],
};

/** Brings a node of an opset before 7, from which on ONNX Runtime executes models, to the form of opset 7, in place. */
export function upgradeEarly(ctx: UpgradeContext): void {
  // A hint for reusing memory.
  ctx.node.attributes.delete('consumed_inputs');
  for (const { before, upgrade } of EARLY[ctx.node.key] ?? []) if (ctx.opset < before) upgrade(ctx);
}
