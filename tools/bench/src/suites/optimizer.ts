import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import {
  buildProgram,
  cosine,
  deviceInputs,
  elementCount,
  evaluateScalars,
  groups,
  jsDevice,
  makePlan,
  Run,
  scalar,
  tensor32,
  wasmDevice,
  type Device,
  type HostBuffer,
  type Optimizer,
} from '@adakit/core';
import { compare, ratioOf, type Contender } from '../measure/compare.js';
import { Peer } from '../measure/peer.js';
import type { Row, Suite, SuiteOptions } from '../suite.js';

type Shapes = readonly (readonly number[])[];

const sizes: Readonly<Record<string, Shapes>> = {
  '16.8M': [[4096, 4096]],
  '1M': [[1024, 1024]],
  '300×1,000': Array.from({ length: 300 }, () => [1000]),
  '300,000': [[300_000]],
};
const rules = { adam, adadiff, adabelief, adabound };

export const optimizer: Suite = {
  title: 'The update of the parameters',
  method:
    'All that a step does with gradients that are there: the check that they are finite, host scalars, kernels; on one ' +
    'thread, on the device that training on the CPU uses, against Adam of PyTorch. Bytes are those that a step has to ' +
    'move: every array read once, every array written once, and the gradient once more for the check. The limit is a ' +
    'triad, a ← b + s·c, by one of our kernels in the same rounds. Ratios `by bytes` are divided by the bytes that the ' +
    'rule moves and multiplied by those of Adam.',
  measure,
};

async function* measure({ only, rounds = 15 }: SuiteOptions): AsyncIterable<Row> {
  const torch = Peer.start('ADAKIT_PYTHON', 'optimizer.py', '1');
  try {
    for (const [size, shapes] of Object.entries(sizes)) {
      if (size.includes(only)) yield* measureSize(size, shapes, rounds, torch);
    }
  } finally {
    torch?.end();
  }
}

async function* measureSize(size: string, shapes: Shapes, rounds: number, torch: Peer | undefined): AsyncIterable<Row> {
  const count = shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  const contenders: Record<string, Contender> = {};
  const bytes: Record<string, number> = {};
  const add = (name: string, contender: Contender, moved: number) => {
    contenders[name] = contender;
    bytes[name] = moved;
  };
  add('triad', precise(triadOf(count)), 12 * count);
  for (const [name, rule] of Object.entries(rules)) {
    const configured = rule();
    add(name, precise(stepOf(wasmDevice(), configured, shapes)), bytesOf(configured, shapes));
  }
  const all = shapes.length > 1 ? composed() : adam().withSchedules({ lr: cosine(1_000_000) });
  const what = shapes.length > 1 ? 'adam, schedule and groups' : 'adam, schedule';
  add(what, precise(stepOf(wasmDevice(), all, shapes)), bytesOf(all, shapes));
  add('adam on js', precise(stepOf(jsDevice(), adam(), shapes)), bytesOf(adam(), shapes));
  const peers = torch === undefined ? [] : ['fused', 'foreach'];
  for (const kind of peers) {
    await torch?.ask({ setup: kind, shapes });
    if (torch !== undefined) add(`torch ${kind}`, torch.contender({ step: kind }), bytesOf(adam(), shapes));
  }
  // Small cases are repeated more often, which costs nothing.
  const times = await compare(contenders, count > 4e6 ? rounds : 20 * rounds);
  const limit = bytes['triad'] / times['triad'].median;
  for (const [name, { median }] of Object.entries(times)) {
    const ours = name !== 'triad' && !name.startsWith('torch');
    const ratios: Record<string, number> = {};
    for (const kind of ours ? peers : []) {
      const ratio = ratioOf(times[name], times[`torch ${kind}`]);
      ratios[`torch ${kind}`] = ratio;
      ratios[`torch ${kind}, by bytes`] = (ratio * bytes['adam']) / bytes[name];
    }
    yield {
      case: size,
      name,
      ms: median,
      more: {
        'ns a parameter': (1e6 * median) / count,
        'GB/s': bytes[name] / median / 1e6,
        'of the limit': bytes[name] / median / limit,
      },
      ratios,
    };
  }
}

/** Three groups, each with a rate of its own, under a schedule. */
function composed(): Optimizer {
  const group = (name: string, match: RegExp, lr: number) => ({ name, match, hyperparameters: { lr } });
  return groups([group('first', /0$/, 1e-4), group('second', /1$/, 1e-5)], adam()).withSchedules({
    lr: cosine(1_000_000),
  });
}

function wave(length: number, phase: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, (_, i) => Math.sin(i + phase));
}

/** What a program is built from. */
type Node = Parameters<typeof buildProgram>[1][string];

/** A run whose gradients are there already; gives one step. */
function stepOf<B extends HostBuffer>(device: Device<B>, configured: Optimizer, shapes: Shapes): () => void {
  const parameters = shapes.map(
    (shape, i) => [`w${String(i)}`, tensor32(wave(elementCount(shape), i), shape)] as const,
  );
  const run = Run.start(device, configured, Object.fromEntries(parameters));
  Object.values(run.buffers.gradients).forEach((gradient, i) => {
    device.write(gradient, wave(elementCount(shapes[i]), i + 0.5));
  });
  return () => {
    run.stepNow({ evaluate: () => ({}) });
  };
}

/** Bytes that a step moves. */
function bytesOf(configured: Optimizer, shapes: Shapes): number {
  const plan = makePlan(
    configured,
    shapes.map((shape, i) => ({ name: `w${String(i)}`, shape })),
    { allowEmptyGroups: true },
  );
  let bytes = 0;
  for (const stage of plan.stages) {
    for (const { program, parameters } of stage.kind === 'parameters' ? stage.calls : []) {
      const arrays = deviceInputs(program).length + Object.keys(program.outputs).length;
      for (const { shape } of parameters) bytes += 4 * (arrays + 1) * elementCount(shape);
    }
  }
  return bytes;
}

/** a ← b + s·c over so many elements. */
function triadOf(length: number): () => void {
  const device = wasmDevice();
  const type = { place: 'device', shape: 'param', dtype: 'float32' } as const;
  const input = (name: string): Node => ({ node: { form: 'input', name, type } });
  const apply = (op: 'add' | 'mul', a: Node, b: Node): Node => ({
    node: { form: 'elementwise', op, type, args: [a, b] },
  });
  const program = buildProgram('triad', { a: apply('add', input('b'), apply('mul', input('c'), scalar(1.5))) });
  const [[a, b, c]] = device.allocate([[length, length, length]]);
  device.write(b, wave(length, 0));
  device.write(c, wave(length, 1));
  const shape = [length];
  const bound = device.compile(program).bind([{ buffers: { a, b, c }, shape, extents: { rows: length, cols: 1 } }]);
  const scalars = [evaluateScalars(program, () => NaN)];
  return () => {
    void bound.run(scalars);
  };
}

/** Steps that take microseconds, by the clock that has nanoseconds. */
function precise(step: () => void): Contender {
  return () => {
    const start = process.hrtime.bigint();
    step();
    return Number(process.hrtime.bigint() - start) / 1e6;
  };
}
