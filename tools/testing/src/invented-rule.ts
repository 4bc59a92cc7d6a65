import {
  bfloat16,
  float16,
  asMatrix,
  asParam,
  broadcast,
  cast,
  colIndex,
  count,
  definePhasedOptimizer,
  eigenvectors,
  defineWrapper,
  joinShapes,
  largest,
  leadingColumns,
  matMul,
  mean,
  nonNegative,
  norm,
  oneMinus,
  orthonormal,
  random,
  rankIndex,
  rowIndex,
  scalar,
  sum,
  transpose,
  where,
  type Condition,
  type Optimizer,
  type Scalar,
  type Shape,
  type SlotSource,
  type Tensor,
} from '@adakit/core';

/**
 * An optimizer whose rule is made up from a list of natural numbers, for comparing devices on rules that nobody would
 * write: every operation of the language on values of every shape, slots of every shape and start, numbers of all
 * parameters together, and perhaps something around the rule that changes gradients before it and weights after it, with a
 * view `averaged`. Any list is valid, equal lists give equal rules, and shorter lists of smaller numbers give simpler
 * rules, so that property-based testing libraries shrink a failure to something readable.
 *
 * Its hyperparameters are `lr` (default 0.1), `beta` (default 0.9) and `seed`. Values may overflow or become NaN.
 */
export function inventedOptimizer(choices: readonly number[]): Optimizer {
  const [slotCount = 0, structure = 0, ...rest] = choices;
  const around = structure % 4;
  const totals = Math.floor(structure / 4) % 2 === 1;
  const shares = shared(rest, around === 0 ? 1 : 2);
  const rule = inventedRule(slotCount % (ruleSlots.length + 1), totals, shares[0]);
  return around === 0 ? rule : inventedWrapper(around, totals, shares[1], rule);
}

const hyperparameters = { lr: nonNegative(0.1), beta: nonNegative(0.9), seed: count(7, 0) };

type SlotName = 'a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'g';

const RANK = 'rank 2';
/** A slot for every shape and every kind of start; rules take the first so many, of matrices alone that of a rank. */
const ruleSlots: readonly SlotSource<SlotName>[] = [
  { name: 'a' },
  { name: 'b', start: 0.5 },
  { name: 'c', shape: ['rows', 1], start: ({ param }) => mean(asMatrix(param), 'cols') },
  { name: 'd', shape: 'number', start: ({ param }) => largest(param.abs()) },
  { name: 'e', shape: ['rows', 'rows'], start: ({ param }) => gram(asMatrix(param)) },
  { name: 'f', shape: [1, 'cols'], start: 1 },
  { name: 'g', shape: ['rows', RANK], start: ({ param }) => leadingColumns(gram(asMatrix(param)), RANK) },
];
const gram = (x: Tensor): Tensor => matMul(x, transpose(x));

function inventedRule(slotCount: number, totals: boolean, choices: readonly number[]): Optimizer {
  const slotsOf = (matrix: boolean) => ruleSlots.slice(0, slotCount).filter(({ name }) => matrix || name !== 'g');
  const [measuring, totalling, updating] = totals ? shared(choices, 3) : [[], [], choices];
  return definePhasedOptimizer<typeof hyperparameters, SlotName, 'total' | 'peak'>({
    name: 'invented',
    hyperparameters,
    slots: (_, { matrix }) => slotsOf(matrix),
    globals: () => (totals ? ['total', { name: 'peak', start: 'initial.beta' }] : []),
    ...(totals && {
      measure(inputs) {
        const values = new Values(measuring, { ...inputs, tensors: [inputs.param, inputs.grad] });
        return {
          sums: { total: values.newestAs('number', 0) },
          largest: { peak: values.newestAs('number', 1) },
        };
      },
      total({ sums, largest: most, globals, hyper, step }) {
        const tensors = [globals.total, globals.peak, most.peak, sums.total];
        const values = new Values(totalling, { tensors, hyper, step });
        return { total: values.newestAs('number', 0), peak: values.newestAs('number', 1) };
      },
    }),
    update(inputs) {
      const { param, grad, globals } = inputs;
      const slots = slotsOf(inputs.matrix);
      const kept = slots.map(({ name }) => inputs.slots[name]);
      const numbers = totals ? [globals.total, globals.peak] : [];
      const values = new Values(updating, { ...inputs, tensors: [param, ...kept, ...numbers, grad] });
      return {
        param: values.newestAs('param', 0),
        slots: Object.fromEntries(slots.map(({ name, shape = 'param' }, i) => [name, values.newestAs(shape, i + 1)])),
      };
    },
  })();
}

/** @param phases 1: the gradient; 2: the parameter; 3: both. The average of the weights is the view. */
function inventedWrapper(phases: number, totals: boolean, choices: readonly number[], inner: Optimizer): Optimizer {
  const [measuring, before, after, viewing] = shared(choices, 4);
  return defineWrapper<typeof hyperparameters, 'average', 'scale'>({
    name: 'around',
    hyperparameters,
    slots: () => [{ name: 'average', start: 'param' }],
    globals: () => (totals ? ['scale'] : []),
    ...(totals && {
      measure(inputs) {
        const values = new Values(measuring, { ...inputs, tensors: [inputs.param, inputs.grad] });
        return { sums: { squares: values.newestAs('number', 0) } };
      },
      total: ({ sums }) => ({ scale: sums.squares.abs().sqrt() }),
    }),
    ...(phases !== 2 && {
      gradient(inputs) {
        const { param, grad, globals } = inputs;
        const tensors = totals ? [param, globals.scale, grad] : [param, grad];
        return { grad: new Values(before, { ...inputs, tensors }).newestAs('param', 0) };
      },
    }),
    after(inputs) {
      const { param, slots, hyper } = inputs;
      const values = new Values(after, { ...inputs, tensors: [inputs.before, slots.average, param] });
      const average = slots.average.mul(hyper.beta).add(values.newestAs('param', 0).mul(oneMinus(hyper.beta)));
      return phases === 1 ? { slots: { average } } : { param: values.newestAs('param', 0), slots: { average } };
    },
    views: {
      averaged: (inputs) =>
        new Values(viewing, { ...inputs, tensors: [inputs.param, inputs.slots.average] }).newestAs('param', 0),
    },
  })({}, inner);
}

/** Consecutive parts of about the same length. */
function shared(choices: readonly number[], parts: number): (readonly number[])[] {
  const length = Math.ceil(choices.length / parts);
  return Array.from({ length: parts }, (_, i) => choices.slice(i * length, (i + 1) * length));
}

interface Start {
  readonly tensors: readonly Tensor[];
  readonly hyper: Readonly<Record<'lr' | 'beta' | 'seed', Scalar>>;
  readonly step: Scalar;
  /** Missing where there is no parameter: only numbers are made then. */
  readonly key?: Scalar;
  readonly rows?: Scalar;
  readonly cols?: Scalar;
  readonly size?: Scalar;
}

/** The values a rule has so far; choices pick among them, the newest first. */
class Values {
  readonly #choices: readonly number[];
  readonly #start: Start;
  readonly #tensors: Tensor[];
  readonly #scalars: Scalar[];
  #next = 0;

  constructor(choices: readonly number[], start: Start) {
    this.#choices = choices;
    this.#start = start;
    this.#tensors = [...start.tensors];
    const { hyper, step, rows, cols, size } = start;
    const extents = [size, cols, rows].filter((extent) => extent !== undefined);
    this.#scalars = [...extents, scalar(-0.75), step, hyper.beta, hyper.lr];
    const forms = start.key === undefined ? numberForms : [...numberForms, ...tensorForms];
    while (this.#next < this.#choices.length) {
      if (this.choose(4) === 3) this.#scalars.push(this.pick(scalarForms)(this));
      else this.#tensors.push(this.pick(forms)(this));
    }
  }

  /** The newest but `age`, made to fit a shape. */
  newestAs(shape: Shape, age: number): Tensor {
    const { length } = this.#tensors;
    return fitted(this.#tensors[Math.max(0, length - 1 - age)], shape);
  }

  tensor(): Tensor {
    return this.#recent(this.#tensors);
  }

  /** A tensor that has elements to reduce. */
  elements(): Tensor {
    return this.#recent(this.#tensors.filter(({ type }) => type.shape !== 'number'));
  }

  matrix(): Tensor {
    return matrixOf(this.elements());
  }

  /** A matrix that `left` can be multiplied by: one there is, or `left` itself on its side. */
  factor(left: Tensor): Tensor {
    const [, inner] = left.type.shape as readonly [unknown, unknown];
    const fitting = this.#tensors
      .map((x) => (x.type.shape === 'param' ? asMatrix(x) : x))
      .filter(({ type: { shape } }) => {
        return typeof shape !== 'string' && shape[0] === inner;
      });
    return this.pick([transpose(left), ...fitting]);
  }

  /** A tensor that combines with `x` element by element. */
  partner(x: Tensor): Tensor {
    const { shape } = x.type;
    return this.#recent(this.#tensors.filter(({ type }) => joinShapes(shape, type.shape) !== undefined));
  }

  scalar(): Scalar {
    return this.#recent(this.#scalars);
  }

  operand(x: Tensor): Tensor | Scalar {
    return this.choose(2) === 0 ? this.partner(x) : this.scalar();
  }

  condition(x: Tensor): Condition<'tensor'> | Condition<'scalar'> {
    const compare = this.pick(comparisons);
    return this.choose(3) === 2 ? this.scalar()[compare](this.scalar()) : x[compare](this.operandOf(x));
  }

  /** An operand that does not widen the shape of `x`. */
  operandOf(x: Tensor): Tensor | Scalar {
    const operand = this.operand(x);
    return same(joinShapes(x.type.shape, operand.type.shape), x.type.shape) ? operand : this.scalar();
  }

  random(distribution: 'uniform' | 'normal'): Tensor {
    const { hyper, step, key = step } = this.#start;
    return random(distribution, { seed: hyper.seed, key, step }, this.choose(3));
  }

  choose(count: number): number {
    return (this.#choices[this.#next++] ?? 0) % count;
  }

  pick<T>(options: readonly T[]): T {
    return options[this.choose(options.length)];
  }

  /** One of the newest, rarely an old one: rules are then long chains rather than many values that nothing reads. */
  #recent<T>(options: readonly T[]): T {
    const age = Math.floor(options.length * (this.choose(97) / 97) ** 3);
    return options[options.length - 1 - age];
  }
}

function same(a: Shape | undefined, b: Shape): boolean {
  return String(a) === String(b);
}

function matrixOf(x: Tensor): Tensor {
  return x.type.shape === 'param' ? asMatrix(x) : x;
}

/** A value of another shape that takes its elements from `x`. */
function fitted(x: Tensor, shape: Shape): Tensor {
  if (x.type.shape === 'number' || same(x.type.shape, shape)) return x;
  if (shape === 'number') return sum(x);
  if (shape === 'param') {
    const fits = same(joinShapes(x.type.shape, ['rows', 'cols']), ['rows', 'cols']);
    return fits ? asParam(broadcast(x, ['rows', 'cols'])) : sum(x);
  }
  const m = matrixOf(x);
  if (same(joinShapes(m.type.shape, shape), shape)) return broadcast(m, shape);
  const [rows, cols] = m.type.shape as readonly [unknown, unknown];
  if (rows === shape[0] && shape[1] === 1) return mean(m, 'cols');
  if (cols === shape[1] && shape[0] === 1) return mean(m, 'rows');
  if (rows === shape[0] && rows === shape[1]) return gram(m);
  if (rows === 'rows' && shape[1] === RANK) return leadingColumns(gram(m), RANK);
  return sum(m);
}

const comparisons = ['less', 'lessOrEqual', 'greater', 'greaterOrEqual', 'equal'] as const;

type TensorForm = (v: Values) => Tensor;

/** An operation on one value and another that fits. */
const binary =
  (apply: (x: Tensor, y: Tensor | Scalar) => Tensor): TensorForm =>
  (v) => {
    const x = v.tensor();
    return apply(x, v.operand(x));
  };

/** Forms that keep numbers numbers. */
const numberForms: readonly TensorForm[] = [
  binary((x, y) => x.add(y)),
  binary((x, y) => x.sub(y)),
  binary((x, y) => x.mul(y)),
  binary((x, y) => x.div(y)),
  (v) => v.scalar().sub(v.tensor()),
  (v) => v.scalar().div(v.tensor()),
  (v) => v.tensor().square(),
  (v) => v.tensor().abs(),
  (v) => v.tensor().abs().sqrt(),
  (v) => v.tensor().neg(),
  (v) => v.tensor().sign(),
  binary((x, y) => x.min(y)),
  binary((x, y) => x.max(y)),
  (v) => {
    const x = v.tensor();
    return x.clip(v.scalar(), v.operand(x));
  },
  (v) => v.tensor().exp(),
  (v) => v.tensor().abs().log(),
  binary((x, y) => x.abs().pow(y)),
  (v) => v.tensor().pow(3),
  (v) => {
    const x = v.tensor();
    return where(v.condition(x), x, v.operand(x));
  },
  (v) => {
    const x = v.tensor();
    return where(v.condition(x), v.scalar(), x);
  },
  (v) => cast(v.tensor(), bfloat16),
  (v) => cast(v.tensor(), float16),
];

/** Forms that need the elements of a parameter. */
const tensorForms: readonly TensorForm[] = [
  (v) => sum(v.elements()),
  (v) => mean(v.elements()),
  (v) => norm(v.elements()),
  (v) => largest(v.elements()),
  (v) => sum(v.matrix(), 'cols'),
  (v) => sum(v.matrix(), 'rows'),
  (v) => mean(v.matrix(), 'cols'),
  (v) => mean(v.matrix(), 'rows'),
  (v) => norm(v.matrix(), 'cols'),
  (v) => norm(v.matrix(), 'rows'),
  (v) => largest(v.matrix(), 'cols'),
  (v) => largest(v.matrix(), 'rows'),
  (v) => v.matrix(),
  (v) => fitted(v.matrix(), 'param'),
  (v) => transpose(v.matrix()),
  (v) => {
    const left = v.matrix();
    return matMul(left, v.factor(left));
  },
  (v) => orthonormal(v.matrix()),
  (v) => {
    const x = v.matrix();
    const [rows, cols] = x.type.shape as readonly [unknown, unknown];
    return eigenvectors(rows === cols ? x : gram(x));
  },
  (v) => broadcast(v.scalar(), 'param'),
  (v) => fitted(v.matrix(), ['rows', 'cols']),
  () => rowIndex(),
  () => colIndex(),
  () => rankIndex(RANK),
  (v) => {
    const x = v.matrix();
    const [rows] = x.type.shape as readonly [unknown, unknown];
    return rows === 'rows' || rows === 'cols' ? leadingColumns(gram(x), RANK) : x;
  },
  (v) => v.random('uniform'),
  (v) => v.random('normal'),
];

const scalarForms: readonly ((v: Values) => Scalar)[] = [
  (v) => v.scalar().add(v.scalar()),
  (v) => v.scalar().mul(v.scalar()),
  (v) => v.scalar().div(v.scalar()),
  (v) => oneMinus(v.scalar()),
  (v) => v.scalar().abs().sqrt(),
  (v) => v.scalar().abs().pow(v.scalar()),
  (v) => where(v.scalar().less(v.scalar()), v.scalar(), v.scalar()),
  (v) => v.scalar().floor(),
  (v) => v.scalar().mod(v.scalar().abs().add(0.5)),
];
