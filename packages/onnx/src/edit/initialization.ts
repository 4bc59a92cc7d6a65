import { elementCount, kinds, optionsProblem } from '@adakit/core';
import { OnnxError } from '../error.js';
import { Tensor } from '../model/tensor.js';

/**
 * How new weights are drawn, in PyTorch's terms (`torch.nn.init`), where `in` and `out` are the numbers of inputs and
 * outputs of a unit, times the size of the kernel:
 * - `kaiming-uniform`: U(−1/√in, 1/√in), what `torch.nn.Linear` and `Conv2d` start with (He et al. 2015 with a = √5);
 * - `kaiming-normal`: N(0, 2/in), for layers that a ReLU follows;
 * - `xavier-uniform`: U(−√(6/(in + out)), √(6/(in + out))), Keras's default `glorot_uniform` (Glorot and Bengio 2010);
 * - `xavier-normal`: N(0, 2/(in + out));
 * - `zeros`;
 * - `{ normal: σ }`: N(0, σ²).
 */
export type Initialization =
  'kaiming-uniform' | 'kaiming-normal' | 'xavier-uniform' | 'xavier-normal' | 'zeros' | { readonly normal: number };

/** Numbers of inputs and outputs of a unit. */
interface Fan {
  readonly in: number;
  readonly out: number;
}

type Draw = (random: Random, fan: Fan) => number;

const uniform =
  (bound: (fan: Fan) => number): Draw =>
  (random, fan) =>
    (2 * random.uniform() - 1) * bound(fan);
const normal =
  (deviation: (fan: Fan) => number): Draw =>
  (random, fan) =>
    random.normal() * deviation(fan);

const DRAWS: Readonly<Record<Extract<Initialization, string>, Draw>> = {
  'kaiming-uniform': uniform((fan) => 1 / Math.sqrt(fan.in)),
  'kaiming-normal': normal((fan) => Math.sqrt(2 / fan.in)),
  'xavier-uniform': uniform((fan) => Math.sqrt(6 / (fan.in + fan.out))),
  'xavier-normal': normal((fan) => Math.sqrt(2 / (fan.in + fan.out))),
  zeros: () => 0,
};

/** An {@link Initialization} in options. */
export const INITIALIZATION = kinds.kind(
  `one of ${Object.keys(DRAWS).join(', ')} or { normal: σ }`,
  (value) =>
    (typeof value === 'string' && Object.hasOwn(DRAWS, value)) ||
    optionsProblem(value, { normal: kinds.required(kinds.within({ atLeast: 0 })) }) === undefined,
);

/** A tensor of drawn numbers: for a seed and a name always the same. @throws {OnnxError} `too-large` */
export function drawTensor(
  dtype: 'float32' | 'float64',
  dims: readonly number[],
  options: { initialization: Initialization; fan: Fan; seed: number; name: string },
): Tensor {
  const { initialization, fan, seed, name } = options;
  const random = new Random(seed, name);
  const draw = typeof initialization === 'string' ? DRAWS[initialization] : normal(() => initialization.normal);
  const size = elementCount(dims);
  const data = zeros(dtype, size) ?? tooLarge(name, dims);
  for (let i = 0; i < size; i++) data[i] = draw(random, fan);
  return Tensor.of(dtype, dims, data);
}

/** Zeros; `undefined` for more than an array holds here. */
function zeros(dtype: 'float32' | 'float64', size: number): Float32Array | Float64Array | undefined {
  try {
    return dtype === 'float32' ? new Float32Array(size) : new Float64Array(size);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function tooLarge(name: string, dims: readonly number[]): never {
  throw new OnnxError(
    'too-large',
    `'${name}' would be [${dims.join(', ')}], more than memory holds here; choose a smaller size`,
  );
}

/** Random numbers from a seed and a name (Mulberry32), the same on every machine. */
class Random {
  #state: number;

  constructor(seed: number, name: string) {
    // FNV-1a, so that tensors of one seed differ.
    let hash = 0x811c9dc5;
    for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
    this.#state = (hash ^ Math.imul(seed, 0x9e3779b1)) >>> 0;
  }

  /** In (0, 1). */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  }

  /** Of mean 0 and deviation 1 (Box and Muller 1958). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }
}
