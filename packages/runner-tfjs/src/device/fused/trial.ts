import type { Program } from '@adakit/core';
import { clone, tensor1d, tidy, variable, type Tensor } from '@tensorflow/tfjs-core';
import { Cell } from '../cell.js';
import type { Loops, LoopsMaker } from '../loops.js';

/**
 * Loops that have been tried. None of what they rely on is promised by TensorFlow.js: results must arrive where they belong
 * and nowhere else.
 */
export function tried(make: LoopsMaker): LoopsMaker {
  return (backend) => {
    try {
      const loops = make(backend);
      return loops !== undefined && tidy(() => works(loops)) ? loops : undefined;
    } catch {
      return undefined;
    }
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

function works(loops: Loops): boolean {
  const trained = variable(tensor1d([1, 2, 3, 4, 5]), false, 'adakit trial');
  const gradient = tensor1d([1, 1, 1, 1, 9]);
  const [param, grad, slot] = [new Cell(trained), new Cell(5), new Cell(5)];
  try {
    grad.lend(gradient);
    const buffers = { param, grad, 'slot.s': slot };
    const loop = loops.compile(trial);
    const step = (): void => {
      loop([{ buffers, shape: [5], extents: { rows: 5, cols: 1 } }], [new Float64Array(3)]);
    };
    const text = (tensor: Tensor): string => String([...tensor.dataSync()]);
    step();
    const seen = clone(trained);
    step();
    step();
    const finite = loops.nonFinite([param, slot, grad]);
    const steps = [seen, trained, slot.tensor([5]), gradient].map(text);
    grad.lend(tensor1d([0, 0, 0, 0, Infinity]));
    const found = loops.nonFinite([param, grad]);
    return (
      String(steps) === '2,3,4,5,14,4,5,6,7,32,3,4,5,6,23,1,1,1,1,9' && finite.length === 0 && String(found) === '1'
    );
  } finally {
    for (const cell of [grad, slot]) cell.dispose();
    trained.dispose();
  }
}
