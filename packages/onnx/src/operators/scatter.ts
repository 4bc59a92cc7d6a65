import type { Operator } from './operator.js';

/** The name of ScatterElements before opset 11. */
export const Scatter: Operator = {
  op: 'Scatter',
  since: 9,
  infer: (ctx) => ctx.fail('opset 11 took it out; its name is ScatterElements since then'),
  gradient: 'none',
  upgrade: ({ node, opset, e }) =>
    opset < 11 ? [e.node('ScatterElements', node.inputs, { axis: node.attributes.int('axis', 0) })] : undefined,
};
