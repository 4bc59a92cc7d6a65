import type { Program } from '@adakit/core';
import { clone, engine, keep, tensor1d, tidy, variable, type KernelBackend, type Tensor } from '@tensorflow/tfjs-core';
import { Cell } from '../cell.js';
import type { Loop, Loops, LoopsMaker } from '../loops.js';

/**
 * Loops that have been tried. None of what they rely on is promised by TensorFlow.js: results must arrive where they belong
 * and nowhere else.
 */
export function tried(make: (backend: KernelBackend) => Loops): LoopsMaker {
  return (backend) => {
    const loops = make(backend);
    const results = attempt(loops);
    try {
      judge(
        results,
        results.map(({ tensor }) => tensor.dataSync()),
      );
    } finally {
      for (const { tensor } of results) tensor.dispose();
    }
    return loops;
  };
}

/** As {@link tried}, for backends that cannot be read at once: until it is known, updates are sequences of operations. */
export function triedLater(make: (backend: KernelBackend) => Loops): LoopsMaker {
  return async (backend) => {
    const loops = make(backend);
    // The first call only begins to compile it.
    loops.compile(trial);
    const reason = (await loops.declined?.())?.get(trial.name);
    if (reason !== undefined) throw new Error(reason);
    if (engine().backend !== backend) throw new Error('another backend became the current one during the trial');
    const results = attempt(loops);
    try {
      judge(results, await Promise.all(results.map(({ tensor }) => tensor.data())));
    } finally {
      for (const { tensor } of results) tensor.dispose();
    }
    return loops;
  };
}

/** θ ← θ + g, slot ← θ. */
const trial: Program = {
  name: 'trial',
  hash: 'trial',
  instructions: [
    { form: 'input', type: { place: 'device', shape: 'param', dtype: 'float32' }, name: 'param' },
    { form: 'input', type: { place: 'device', shape: 'param', dtype: 'float32' }, name: 'grad' },
    { form: 'elementwise', op: 'add', args: [0, 1], type: { place: 'device', shape: 'param', dtype: 'float32' } },
  ],
  outputs: { param: 2, 'slot.s': 0 },
};

/** A kept tensor, and what it must hold. */
interface Result {
  readonly tensor: Tensor;
  readonly expected: string;
}

function judge(results: readonly Result[], found: readonly ArrayLike<number>[]): void {
  results.forEach(({ expected }, i) => {
    const text = Array.from(found[i]).join();
    if (text !== expected) throw new Error(`a trial on a small variable gave ${text} instead of ${expected}`);
  });
}

/** Some steps on a small variable. */
function attempt(loops: Loops): readonly Result[] {
  const loop = loops.compile(trial);
  if (loop === undefined) throw new Error('the program of the trial does not compile');
  const results: Result[] = [];
  const expect = (tensor: Tensor, expected: string): void => {
    results.push({ tensor: keep(clone(tensor)), expected });
  };
  tidy(() => {
    takeSteps(loops, loop, expect);
  });
  return results;
}

function takeSteps(loops: Loops, loop: Loop, expect: (tensor: Tensor, expected: string) => void): void {
  const trained = variable(tensor1d([1, 2, 3, 4, 5]), false, 'adakit trial');
  const gradient = tensor1d([1, 1, 1, 1, 9]);
  const [param, grad, slot] = [new Cell(trained), new Cell(5), new Cell(5)];
  const step = (mask?: Tensor): void => {
    const buffers = { param, grad, 'slot.s': slot };
    loop([{ buffers, shape: [5], extents: { rows: 5, cols: 1 } }], [new Float64Array(3)], mask);
  };
  const check = (cells: readonly Cell[], bad: readonly number[]): Tensor | undefined => {
    const found = loops.nonFinite(cells);
    if ('each' in found) {
      expect(found.each, cells.map((_, i) => (bad.includes(i) ? '0' : '1')).join());
      expect(found.whole, bad.length > 0 ? '0' : '1');
      return found.whole;
    }
    if (found.join() !== bad.join()) throw new Error(`a trial found infinities in ${found.join()}, not ${bad.join()}`);
    return undefined;
  };
  try {
    grad.lend(gradient);
    step();
    expect(trained, '2,3,4,5,14');
    step(check([param, grad], []));
    step();
    check([param, slot, grad], []);
    grad.lend(tensor1d([0, 0, 0, 0, Infinity]));
    const mask = check([param, grad], [1]);
    if (mask !== undefined) step(mask);
    expect(trained, '4,5,6,7,32');
    expect(slot.tensor([5]), '3,4,5,6,23');
    expect(gradient, '1,1,1,1,9');
  } finally {
    for (const cell of [grad, slot]) cell.dispose();
    trained.dispose();
  }
}
