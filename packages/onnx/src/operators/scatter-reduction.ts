import type { GradientContext } from './operator.js';

/** What a scatter does where it meets an element, if it can be differentiated. */
export function scatterReduction(ctx: GradientContext): 'none' | 'add' {
  const reduction = ctx.node.attributes.string('reduction', 'none');
  if (reduction === 'none' || reduction === 'add') return reduction;
  return ctx.fail(`reduction '${reduction}' cannot be differentiated, only 'none' and 'add' can`);
}
