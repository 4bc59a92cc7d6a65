import {
  defineOptimizer,
  mean,
  nonNegative,
  norm,
  oneMinus,
  scalar,
  sum,
  where,
  type Condition,
  type Optimizer,
  type Scalar,
  type Slot,
  type Tensor,
} from '@adakit/core';

/**
 * An optimizer whose rule is made up from a list of natural numbers, for comparing backends on rules that nobody would
 * write: every operation and reduction, scalars, statistics and tensors mixed. Any list is valid, equal lists give
 * equal rules, and shorter lists of smaller numbers give simpler rules, so that property-based testing libraries shrink
 * a failure to something readable.
 *
 * Its hyperparameters are `lr` (default 0.1) and `beta` (default 0.9). It has 0 to 2 slots, `a` and `b`. Values may
 * overflow or become NaN.
 */
export function inventedOptimizer(choices: readonly number[]): Optimizer {
  const slots = inventedSlots.slice(0, (choices[0] ?? 0) % (inventedSlots.length + 1));
  return defineOptimizer({
    name: 'invented',
    hyperparameters: { lr: nonNegative(0.1), beta: nonNegative(0.9) },
    slots: () => slots,
    update({ param, grad, slots: before, hyper, step }) {
      const values = new Values(
        choices.slice(1),
        [param, ...slots.map(({ name }) => before[name]), grad],
        [scalar(-0.75), step, hyper.beta, hyper.lr],
      );
      values.extend();
      return {
        param: values.newest(0),
        slots: Object.fromEntries(slots.map(({ name }, i) => [name, values.newest(i + 1)])),
      };
    },
  })();
}

const inventedSlots: readonly Slot<'a' | 'b'>[] = [
  { name: 'a', initial: 0 },
  { name: 'b', initial: 0.5 },
];

/** The values a rule has so far; choices pick among them, the newest first. */
class Values {
  readonly #choices: readonly number[];
  readonly #tensors: Tensor[];
  readonly #scalars: Scalar[];
  #next = 0;

  constructor(choices: readonly number[], tensors: readonly Tensor[], scalars: readonly Scalar[]) {
    this.#choices = choices;
    this.#tensors = [...tensors];
    this.#scalars = [...scalars];
  }

  /** Adds values until the choices are used up. */
  extend(): void {
    while (this.#next < this.#choices.length) {
      if (this.#choose(4) === 3) this.#scalars.push(this.#pick(scalarForms)(this));
      else this.#tensors.push(this.#pick(tensorForms)(this));
    }
  }

  newest(age: number): Tensor {
    return this.#tensors[this.#tensors.length - 1 - age];
  }

  tensor(): Tensor {
    return this.#pick(this.#tensors.toReversed());
  }

  /** A tensor that is no statistic, as reductions want it. */
  elements(): Tensor {
    return this.#pick(this.#tensors.filter(({ node }) => node.kind === 'tensor').toReversed());
  }

  scalar(): Scalar {
    return this.#pick(this.#scalars.toReversed());
  }

  operand(): Tensor | Scalar {
    return this.#choose(2) === 0 ? this.tensor() : this.scalar();
  }

  condition(): Condition<'tensor'> | Condition<'scalar'> {
    const compare = this.#pick(comparisons);
    return this.#choose(3) === 2 ? this.scalar()[compare](this.scalar()) : this.tensor()[compare](this.operand());
  }

  #choose(count: number): number {
    return (this.#choices[this.#next++] ?? 0) % count;
  }

  #pick<T>(options: readonly T[]): T {
    return options[this.#choose(options.length)];
  }
}

const comparisons = ['less', 'lessOrEqual', 'greater', 'greaterOrEqual', 'equal'] as const;

const tensorForms: readonly ((v: Values) => Tensor)[] = [
  (v) => v.tensor().add(v.operand()),
  (v) => v.tensor().sub(v.operand()),
  (v) => v.tensor().mul(v.operand()),
  (v) => v.tensor().div(v.operand()),
  (v) => v.scalar().sub(v.tensor()),
  (v) => v.scalar().div(v.tensor()),
  (v) => v.tensor().square(),
  (v) => v.tensor().abs(),
  (v) => v.tensor().abs().sqrt(),
  (v) => v.tensor().neg(),
  (v) => v.tensor().sign(),
  (v) => v.tensor().min(v.operand()),
  (v) => v.tensor().max(v.operand()),
  (v) => v.tensor().clip(v.scalar(), v.operand()),
  (v) => v.tensor().exp(),
  (v) => v.tensor().abs().log(),
  (v) => v.tensor().abs().pow(v.operand()),
  (v) => v.tensor().pow(3),
  (v) => where(v.condition(), v.tensor(), v.operand()),
  (v) => where(v.condition(), v.scalar(), v.tensor()),
  (v) => sum(v.elements()),
  (v) => mean(v.elements()),
  (v) => norm(v.elements()),
];

const scalarForms: readonly ((v: Values) => Scalar)[] = [
  (v) => v.scalar().add(v.scalar()),
  (v) => v.scalar().mul(v.scalar()),
  (v) => v.scalar().div(v.scalar()),
  (v) => oneMinus(v.scalar()),
  (v) => v.scalar().abs().sqrt(),
  (v) => v.scalar().abs().pow(v.scalar()),
  (v) => where(v.scalar().less(v.scalar()), v.scalar(), v.scalar()),
];
