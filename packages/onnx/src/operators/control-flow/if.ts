import { copiedGraph } from '../../graph/copy.js';
import type { Value } from '../../graph/value.js';
import { isDifferentiable } from '../../model/dtype.js';
import { hasUnknown, isStatic, type Dim } from '../../shape/dim.js';
import type { GradientContext, Operator, UpgradeContext } from '../../entry/operator.js';
import { addBodyOutput, bodyOf, eitherShape, recompute } from '../../entry/body.js';

const BRANCHES = ['then_branch', 'else_branch'] as const;

/**
 * One of two subgraphs. Where the condition is known before the model runs, the branch it selects takes its place.
 * Otherwise the cotangents of the values that the branches use are those of the branch taken, by an If again.
 */
export const If: Operator = {
  op: 'If',
  since: 16,
  notes:
    'replaced by the branch taken where the condition is known; that is computed again in the backward pass otherwise',
  infer(ctx) {
    const [a, b] = BRANCHES.map((name) => bodyOf(ctx, name).outputs);
    if (a.length !== b.length) ctx.fail(`its branches have ${a.length} and ${b.length} outputs`);
    return a.map((value, i) => ({
      dtype: value.dtype ?? b[i].dtype,
      shape: eitherShape(value.shape, b[i].shape, () => ctx.unknownDim(0)),
    }));
  },
  gradient(ctx) {
    const { e, captures } = ctx;
    const branches = BRANCHES.map((name) => [name, branchGradient(ctx, name)] as const);
    const gradients = e.control('If', [ctx.input(0)], Object.fromEntries(branches), {}, captures.length);
    gradients.forEach((gradient, i) => e.assume(gradient, ctx.shape(captures[i])));
    return [undefined, ...ctx.node.captures.map((value) => gradients.at(captures.indexOf(value)))];
  },
  upgrade(ctx) {
    const condition = ctx.node.inputs[0];
    const known = condition?.contents?.[0] ?? condition?.constant?.toNumbers()[0];
    if (typeof known === 'number') return ctx.inline(bodyOf(ctx, BRANCHES[known === 0 ? 1 : 0]), []);
    if (asksForLengthOne(condition) && ranksDiffer(ctx)) return ctx.inline(bodyOf(ctx, 'else_branch'), []);
    for (const name of BRANCHES) ctx.upgradeBody(bodyOf(ctx, name), []);
    return undefined;
  },
};

/**
 * Whether a condition is that a free dimension is 1. PyTorch exports squeeze(axis) as an If of that kind, whose branches
 * have different ranks; as in Squeeze, free dimensions then count as longer than 1.
 */
function asksForLengthOne(condition: Value | undefined): boolean {
  let test = condition?.producer;
  while (test !== undefined && PASSES.has(test.key)) test = test.inputs[0]?.producer;
  if (test?.key !== 'Equal') return false;
  const [a, b] = test.inputs.map((input) => (input?.contents?.length === 1 ? input.contents[0] : undefined));
  const isFree = (dim: Dim | undefined) => dim !== undefined && !isStatic(dim) && !hasUnknown(dim);
  return (a === 1 && isFree(b)) || (b === 1 && isFree(a));
}

const PASSES: ReadonlySet<string> = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze']);

function ranksDiffer(ctx: UpgradeContext): boolean {
  const [a, b] = BRANCHES.map((name) => {
    const trial = copiedGraph(bodyOf(ctx, name), ctx.e.graph, new Map(), ctx.node.name);
    ctx.upgradeBody(trial, []);
    return trial.outputs.map(({ shape }) => shape?.length);
  });
  return a.some((rank, i) => rank !== b[i]);
}

/** The cotangents of all captures by way of one branch. */
function branchGradient(ctx: GradientContext, name: string) {
  const inner = ctx.e.inside(name);
  const outputs = recompute(ctx, inner, bodyOf(ctx, name), new Map());
  const ends = outputs.flatMap((value, i): (readonly [Value, Value])[] => {
    if (!ctx.hasGrad(i) || !isDifferentiable(value.dtype)) return [];
    // The branch knows more about its shape than the node does.
    const cotangent = inner.node('Identity', [ctx.grad(i)]);
    return [[value, inner.assume(cotangent, value.shape ?? ctx.shape(ctx.output(i)))]];
  });
  const found = ctx.backward(inner, ends, ctx.captures);
  for (const value of ctx.captures) addBodyOutput(inner.graph, found.get(value) ?? inner.zerosLike(value));
  inner.graph.removeDead();
  return inner.graph;
}
