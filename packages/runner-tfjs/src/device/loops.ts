import type { Binding, Program } from '@adakit/core';
import { clone, engine, tensor1d, tidy, variable, type KernelBackend, type Tensor } from '@tensorflow/tfjs-core';
import { Cell } from './cell.js';
import { heapLoops } from './heap-loops.js';
import { hostLoops } from './host-loops.js';

/** How a backend's memory is worked on directly: a rule is one loop over it. Works inside `tf.tidy`. */
export interface Loops {
  /** The positions of those that hold an infinity or NaN. */
  nonFinite(cells: readonly Cell[]): number[];
  compile(program: Program): Loop;
}

/** Runs a program on parameters in turn; see `BoundKernel.run`. */
export type Loop = (bindings: readonly Binding<Cell>[], scalars: readonly Float64Array[]) => void;

/** By backend; none where only the operations of TensorFlow.js reach its tensors. */
const known = new WeakMap<KernelBackend, Loops | undefined>();

/** The loops over the current backend's memory, if there are any and they work here. */
export function currentLoops(): Loops | undefined {
  const { backend, backendName } = engine();
  if (!known.has(backend)) known.set(backend, loopsOf(backend, backendName));
  return known.get(backend);
}

/**
 * None of this is promised by TensorFlow.js, so it is tried before it is used: results must arrive where they belong and
 * nowhere else.
 */
function loopsOf(backend: KernelBackend, name: string): Loops | undefined {
  try {
    const loops = name === 'cpu' ? hostLoops() : name === 'wasm' ? heapLoops(backend) : undefined;
    return loops !== undefined && tidy(() => works(loops)) ? loops : undefined;
  } catch {
    return undefined;
  }
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
