import fc from 'fast-check';
import {
  asMatrix,
  asParam,
  broadcast,
  cast,
  colIndex,
  deviceInput,
  hostInput,
  largest,
  leadingColumns,
  eigenvectors,
  matMul,
  mean,
  norm,
  orthonormal,
  random,
  rankIndex,
  rowIndex,
  scalar,
  sum,
  transpose,
  where,
  type Condition,
  type Scalar,
  type Tensor,
} from '../../expression/expression.js';
import { equalShapes, joinShapes, shapeText, type Shape } from '../../expression/type.js';
import { bfloat16, float16 } from '../../tensor/narrow.js';
import { buildProgram, type Program } from '../../program/program.js';

/** Draws from an arbitrary. */
type Draw = fc.GeneratorValue;

const specials = [0, -0, 1, -1, NaN, Infinity, -Infinity, 1e-45, -1e-40, 3.4e38, 2 ** -14, 65504, 65520, 2 ** 24 + 2];

/** Float32 numbers of all magnitudes, special ones included. */
export const float32 = (): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.float({ min: -4, max: 4, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(...specials.map(Math.fround)) },
    { weight: 1, arbitrary: fc.float() },
  );

/** So many elements, from a seed: long arrays would take fast-check long to draw. */
export function elements(length: number, seed: number, ordinary = false): Float32Array {
  const data = new Float32Array(length);
  let state = seed >>> 0;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  for (let i = 0; i < length; i++) {
    const kind = next();
    data[i] = (next() * 2 - 1) * (kind < 0.9 ? 2 : 10 ** (next() * 60 - 40));
    if (!ordinary && kind > 0.97) data[i] = specials[Math.floor(next() * specials.length)];
  }
  return data;
}

const binary = ['add', 'sub', 'mul', 'div', 'min', 'max', 'pow'] as const;
const unary = ['neg', 'abs', 'sign', 'square', 'sqrt', 'exp', 'log'] as const;
const comparisons = ['equal', 'less', 'lessOrEqual', 'greater', 'greaterOrEqual'] as const;
const reduce = { sum, mean, norm, largest };
const axes = ['rows', 'cols'] as const;

type Flavour = 'flat' | 'matrix';

/**
 * A random program over `param`, `grad`, `slot.a` and host scalars; of the flavour `matrix` with `slot.r`, `[rows, 1]`,
 * `slot.c`, `[1, cols]`, and `slot.k`, `[rows, rank 2]`, and with everything that matrices allow. Outputs may be any of
 * these, numbers and totals.
 */
export function randomProgram(draw: Draw, flavour: Flavour): Program {
  const tensors: Tensor[] = [
    deviceInput('param', 'param'),
    deviceInput('grad', 'param'),
    deviceInput('slot.a', 'param'),
    deviceInput('global.x', 'number'),
  ];
  if (flavour === 'matrix') {
    tensors.push(deviceInput('slot.r', ['rows', 1]), deviceInput('slot.c', [1, 'cols']), rowIndex(), colIndex());
    tensors.push(deviceInput('slot.k', ['rows', 'rank 2']), rankIndex('rank 2'));
  }
  const scalars: Scalar[] = [hostInput('hyper.a'), hostInput('hyper.b'), hostInput('step'), scalar(0.5)];
  const pick = <T>(items: readonly T[]): T => items[draw(fc.nat, items.length - 1)];
  // The latest are the most interesting.
  const recent = <T>(items: readonly T[]): T => (draw(fc.boolean) ? pick(items.slice(-3)) : pick(items));
  const fitting = (shape: Shape): Tensor | Scalar => {
    const list = tensors.filter(({ type }) => joinShapes(type.shape, shape) !== undefined);
    return draw(fc.integer, { min: 0, max: 4 }) === 0 || list.length === 0 ? pick(scalars) : recent(list);
  };
  const condition = (shape: Shape): Condition<'tensor'> => {
    const left = draw(fc.integer, { min: 0, max: 3 }) === 0 ? pick(scalars) : fitting(shape);
    return (left as Tensor)[pick(comparisons)](fitting(left.type.shape));
  };
  const steps: (() => Tensor | undefined)[] = [
    () => {
      const x = recent(tensors);
      return x[pick(binary)](fitting(x.type.shape));
    },
    () => recent(tensors)[pick(unary)](),
    () => {
      const x = recent(tensors);
      const test = condition(x.type.shape);
      const shape = joinShapes(x.type.shape, test.node.type.shape);
      return shape === undefined ? undefined : where(test, x, fitting(shape));
    },
    () => {
      const x = recent(tensors);
      return x.type.shape === 'number' ? undefined : reduce[pick(['sum', 'mean', 'norm', 'largest'] as const)](x);
    },
    () => cast(recent(tensors), pick([float16, bfloat16])),
    () => {
      const [seed, key, step] = [scalar(7), hostInput('key'), hostInput('step')];
      return random(pick(['uniform', 'normal'] as const), { seed, key, step }, draw(fc.integer, { min: 0, max: 2 }));
    },
    () => {
      const { op, a, b } = { op: pick(binary), a: pick(scalars), b: pick(scalars) };
      scalars.push(a[op](b));
      return undefined;
    },
  ];
  const matrixSteps: (() => Tensor | undefined)[] = [
    () => {
      const x = recent(tensors);
      const { shape } = x.type;
      if (shape === 'param') return asMatrix(x);
      return equalShapes(shape, ['rows', 'cols']) ? asParam(x) : undefined;
    },
    () => {
      const matrices = tensors.filter(({ type }) => typeof type.shape !== 'string');
      return transpose(recent(matrices));
    },
    () => {
      const matrices = tensors.filter(({ type }) => typeof type.shape !== 'string');
      const a = recent(matrices);
      const others = matrices.filter((b) => b.type.shape[0] === a.type.shape[1]);
      return others.length === 0 ? undefined : matMul(a, recent(others));
    },
    () => {
      const x = recent(tensors.filter(({ type }) => typeof type.shape !== 'string'));
      return x.type.shape[0] === x.type.shape[1] && draw(fc.boolean) ? eigenvectors(x) : orthonormal(x);
    },
    () => {
      const squares = tensors.filter(({ type }) => /^(rows,rows|cols,cols)$/.test(String(type.shape)));
      return squares.length === 0 ? undefined : leadingColumns(recent(squares), 'rank 2');
    },
    () => {
      const x = recent(tensors);
      const op = reduce[pick(['sum', 'mean', 'norm', 'largest'] as const)];
      return typeof x.type.shape === 'string' ? undefined : op(x, pick(axes));
    },
    () => {
      const x = recent(tensors);
      const full: Shape = ['rows', 'cols'];
      const joined = joinShapes(x.type.shape, full);
      return joined !== undefined && equalShapes(joined, full) ? broadcast(x, full) : undefined;
    },
  ];
  const all = flavour === 'matrix' ? [...steps, ...matrixSteps, ...matrixSteps] : [...steps, steps[0], steps[1]];
  const count = draw(fc.integer, { min: 1, max: 14 });
  for (let i = 0; i < count; i++) {
    const made = pick(all)();
    if (made !== undefined) tensors.push(made);
  }
  return buildProgram('random', outputsOf(draw, tensors, flavour));
}

function outputsOf(draw: Draw, tensors: readonly Tensor[], flavour: Flavour): Record<string, Tensor> {
  const wanted: [string, Shape][] = [
    ['param', 'param'],
    ['slot.a', 'param'],
    ['grad', 'param'],
    ['global.x', 'number'],
    ['sum.s', 'number'],
    ['largest.l', 'number'],
    ...(flavour === 'matrix'
      ? ([
          ['slot.r', ['rows', 1]],
          ['slot.c', [1, 'cols']],
          ['slot.k', ['rows', 'rank 2']],
        ] as [string, Shape][])
      : []),
  ];
  const outputs: Record<string, Tensor> = {};
  for (const [name, shape] of wanted) {
    if (!draw(fc.boolean)) continue;
    const list = tensors.filter(({ type }) => type.shape === 'number' || shapeText(type.shape) === shapeText(shape));
    if (list.length === 0) continue;
    outputs[name] = broadcast(list[draw(fc.boolean) ? list.length - 1 : draw(fc.nat, list.length - 1)], shape);
  }
  return Object.keys(outputs).length > 0 ? outputs : { param: tensors[0].add(tensors[1]) };
}
