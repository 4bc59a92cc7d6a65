import type { Value } from '../graph/value.js';
import type { Dim } from '../shape/dim.js';
import { printShape, type Shape } from '../shape/shape.js';
import type { InferContext, Operator } from './operator.js';

/**
 * Einstein's summation: each axis of an input has a letter, and the sum goes over all letters that the output lacks.
 * The gradient of an input is the summation of the cotangent with the other inputs.
 */
export const Einsum: Operator = {
  op: 'Einsum',
  since: 12,
  notes: 'no gradient where a letter repeats within one input',
  infer(ctx) {
    const shapes = Array.from({ length: ctx.inputCount }, (_, i) => ctx.shape(i));
    const { terms, result } = parseEquation(ctx, shapes);
    const lengths = new Map<string, Dim>();
    terms.forEach((term, i) => {
      term.forEach((letter, axis) => {
        const [dim] = ctx.broadcast([lengths.get(letter) ?? 1], [shapes[i][axis]]);
        lengths.set(letter, dim);
      });
    });
    return [{ dtype: ctx.dtype(0), shape: result.map((letter) => lengths.get(letter) ?? 1) }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const inputs = Array.from({ length: ctx.inputCount }, (_, i) => ctx.input(i));
    const { terms, result } = parseEquation(
      ctx,
      inputs.map((input) => ctx.shape(input)),
    );
    return inputs.map((input, i): Value | undefined => {
      if (!ctx.needs(i)) return undefined;
      const letters = terms[i];
      if (new Set(letters).size < letters.length) {
        ctx.fail(`'${letters.join('')}' takes a diagonal, through which no gradient is known; write it otherwise`);
      }
      const others = [...terms.filter((_, j) => j !== i), result];
      // Letters of this input alone are summed over: every element along them gets the same cotangent.
      const present = letters.filter((letter) => others.some((term) => term.includes(letter)));
      const equation = `${others.map((term) => term.join('')).join()}->${present.join('')}`;
      const sum = e.node('Einsum', [...inputs.filter((_, j) => j !== i), ctx.grad()], { equation });
      const absent = [...letters.keys()].filter((axis) => !present.includes(letters[axis]));
      const spread = absent.length === 0 ? sum : e.node('Expand', [e.unsqueeze(sum, absent), e.shapeOf(input)]);
      return ctx.unbroadcast(spread, i);
    });
  },
};

/** The letters of the axes of every input and of the output; those that '...' stands for get letters of their own. */
function parseEquation(
  ctx: Pick<InferContext, 'node' | 'fail'>,
  shapes: readonly Shape[],
): { terms: readonly (readonly string[])[]; result: readonly string[] } {
  const equation = (ctx.node.attributes.string('equation') ?? ctx.fail("attribute 'equation' is missing")).replace(
    / /g,
    '',
  );
  const [left, right] = equation.split('->');
  const written = left.split(',');
  if (written.length !== shapes.length)
    ctx.fail(`'${equation}' has ${written.length} terms for ${shapes.length} inputs`);
  const counts = written.map((term, i) => {
    const named = term.replace('...', '').length;
    const extra = shapes[i].length - named;
    if (extra < 0 || (extra > 0 && !term.includes('...'))) {
      ctx.fail(`'${term}' in '${equation}' does not fit its input of shape ${printShape(shapes[i])}`);
    }
    return extra;
  });
  const spare = Array.from('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ').filter(
    (letter) => !equation.includes(letter),
  );
  const most = Math.max(...counts);
  const rest = spare.slice(0, most);
  // Like shapes in broadcasting, the axes of '...' line up at the end.
  const letters = (term: string, count: number) => Array.from(term.replace('...', rest.slice(most - count).join('')));
  const terms = written.map((term, i) => letters(term, counts[i]));
  if (equation.includes('->')) return { terms, result: letters(right, most) };
  const all = written.join('').replaceAll('.', '');
  const single = [...new Set(all)].filter((letter) => all.indexOf(letter) === all.lastIndexOf(letter)).sort();
  return { terms, result: [...rest, ...single] };
}
