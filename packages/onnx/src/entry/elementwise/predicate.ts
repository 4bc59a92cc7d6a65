import type { Dim } from '../../shape/dim.js';
import type { Operator, OperatorFacts } from '../operator.js';
import { broadcastContents } from './contents.js';

/**
 * An operator that answers true or false for every element (comparisons, logic), with broadcasting. It has no gradient.
 *
 * @param decide the answer on known integers (bools are 0 and 1); undefined when it cannot be told
 */
export function predicate(
  op: string,
  since: number,
  decide?: (...elements: Dim[]) => boolean | undefined,
  facts: OperatorFacts = {},
): Operator {
  return {
    ...facts,
    op,
    since,
    infer(ctx) {
      const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
      const shape = ctx.broadcast(...indices.map((i) => ctx.shape(i)));
      const contents =
        decide &&
        broadcastContents(
          indices.map((i) => ctx.contents(i)),
          shape,
          (...elements) => {
            const answer = decide(...elements);
            return answer === undefined ? undefined : Number(answer);
          },
        );
      return [{ dtype: 'bool', shape, contents }];
    },
    gradient: 'none',
  };
}
