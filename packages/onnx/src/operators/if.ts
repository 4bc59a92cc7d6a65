import type { Operator } from './operator.js';

/** One of two subgraphs. The condition must be known before the model runs, and the branch it selects takes its place. */
export const If: Operator = {
  op: 'If',
  since: 16,
  infer: (ctx) => ctx.fail('its condition depends on the data; only conditions known from shapes and constants work'),
  gradient: 'none',
  upgrade({ node, inline, fail }) {
    const condition = node.inputs[0];
    const known = condition?.contents?.[0] ?? condition?.constant?.toNumbers()[0];
    if (typeof known !== 'number') return undefined;
    const branch = known === 0 ? 'else_branch' : 'then_branch';
    return inline(node.attributes.graph(branch) ?? fail(`lacks its ${branch}`));
  },
};
