import type { GradientContext, InferContext, Operator } from '../entry/operator.js';
import { FACTOR } from '../entry/role.js';
import type { Value } from '../graph/value.js';
import type { Dim } from '../shape/dim.js';
import { printShape, type Shape } from '../shape/shape.js';

/**
 * Einstein's summation: each axis of an input has a letter, and the sum goes over all letters that the output lacks.
 * The gradient of an input is the summation of the cotangent with the other inputs.
 */
export const Einsum: Operator = {
  op: 'Einsum',
  since: 12,
  roles: [FACTOR],
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
      const others = [...terms.filter((_, j) => j !== i), result];
      // Letters of this input alone are summed over: every element along them gets the same cotangent.
      const present = [...new Set(letters)].filter((letter) => others.some((term) => term.includes(letter)));
      const equation = `${others.map((term) => term.join('')).join()}->${present.join('')}`;
      const sum = e.node('Einsum', [...inputs.filter((_, j) => j !== i), ctx.grad()], { equation });
      const isFirst = (axis: number) => letters.indexOf(letters[axis]) === axis;
      const absent = [...letters.keys()].filter((axis) => !isFirst(axis) || !present.includes(letters[axis]));
      const whole = absent.length === 0 ? sum : e.node('Expand', [e.unsqueeze(sum, absent), e.shapeOf(input)]);
      // A letter that comes again takes the diagonal, so only that gets something.
      const spread = absent
        .filter((axis) => !isFirst(axis))
        .reduce((value, axis) => {
          const diagonal = onDiagonal(ctx, input, letters.indexOf(letters[axis]), axis);
          return e.where(diagonal, value, e.scalar(0, value));
        }, whole);
      return ctx.unbroadcast(spread, i);
    });
  },
};

/** True where the places along two axes of a value are the same; it broadcasts against the value. */
function onDiagonal({ e, shape }: GradientContext, value: Value, a: number, b: number): Value {
  const length = e.gather(e.shapeOf(value), e.scalar(a, 'int64'));
  const places = e.node('Range', [e.scalar(0, 'int64'), length, e.scalar(1, 'int64')]);
  const along = (axis: number) =>
    e.unsqueeze(
      places,
      [...shape(value).keys()].filter((each) => each !== axis),
    );
  return e.equal(along(a), along(b));
}

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
