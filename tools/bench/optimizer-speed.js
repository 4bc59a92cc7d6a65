// How long the update of the parameters takes, on the device that training on the CPU uses, against the memory limit of
// the machine and against PyTorch.
//
//   npm run bench -- optimizer [--runs 15] [--threads 1] [--only 1M]
//   ADAKIT_PYTHON=/path/to/python npm run bench -- optimizer        # with PyTorch beside it
//
// A step is all that Run does with gradients that are there: the check that they are finite, host scalars, kernels. Steps
// of all contenders of a case are interleaved, and every round begins with another, so that whatever else the machine does
// meets all of them; the result is the median. Bytes are those that a step has to move: every array read once, every array
// written once, and the gradient once more for the check. The memory limit is that of a triad, a ← b + s·c, by one of
// our kernels, measured in the same rounds.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
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
} from '@adakit/core';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '15' },
    threads: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
});
const runs = Number(values.runs);

const sizes = {
  '16.8M': [[4096, 4096]],
  '1M': [[1024, 1024]],
  '300×1,000': Array.from({ length: 300 }, () => [1000]),
  '300,000': [[300_000]],
};
const rules = { adam, adadiff, adabelief, adabound };

/** Three groups, each with a rate of its own, under a schedule. */
const composed = (rule) => {
  const group = (name, match, lr) => ({ name, match, hyperparameters: { lr } });
  return groups([group('first', /0$/, 1e-4), group('second', /1$/, 1e-5)], rule()).withSchedules({
    lr: cosine(1_000_000),
  });
};

function wave(length, phase) {
  return Float32Array.from({ length }, (_, i) => Math.sin(i + phase));
}

/** A run whose gradients are there already; gives one step. */
function stepOf(device, optimizer, shapes) {
  const parameters = shapes.map((shape, i) => [`w${i}`, tensor32(wave(elementCount(shape), i), shape)]);
  const run = Run.start(device, optimizer, Object.fromEntries(parameters));
  Object.values(run.buffers.gradients).forEach((gradient, i) => {
    device.write(gradient, wave(elementCount(shapes[i]), i + 0.5));
  });
  return () => run.stepNow({ evaluate: () => ({}) });
}

/** Bytes that a step moves. */
function bytesOf(optimizer, shapes) {
  const plan = makePlan(
    optimizer,
    shapes.map((shape, i) => ({ name: `w${i}`, shape })),
    { allowEmptyGroups: true },
  );
  let bytes = 0;
  for (const { calls } of plan.stages) {
    for (const { program, parameters } of calls) {
      const arrays = deviceInputs(program).length + Object.keys(program.outputs).length;
      for (const { shape } of parameters) bytes += 4 * (arrays + 1) * elementCount(shape);
    }
  }
  return bytes;
}

/** a ← b + s·c over so many elements. */
function triadOf(length) {
  const device = wasmDevice();
  const input = (name) => ({
    node: { form: 'input', name, type: { place: 'device', shape: 'param', dtype: 'float32' } },
  });
  const times = (op, a, b) => ({
    node: { form: 'elementwise', op, type: input('b').node.type, args: [a, b] },
  });
  const program = buildProgram('triad', { a: times('add', input('b'), times('mul', input('c'), scalar(1.5))) });
  const [[a, b, c]] = device.allocate([[length, length, length]]);
  device.write(b, wave(length, 0));
  device.write(c, wave(length, 1));
  const shape = [length];
  const bound = device.compile(program).bind([{ buffers: { a, b, c }, shape, extents: { rows: length, cols: 1 } }]);
  const scalars = [evaluateScalars(program, () => NaN)];
  return () => bound.run(scalars);
}

/** PyTorch in a process of its own, which answers every line with one. */
class Torch {
  #lines;
  #process;

  constructor(python) {
    this.#process = spawn(python, [fileURLToPath(new URL('optimizer_speed.py', import.meta.url))], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async ask(request) {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the Python process has ended; its message is above');
    return JSON.parse(value);
  }

  end() {
    this.#process.stdin.end();
  }
}

/** A contender gives the nanoseconds of one step. */
const timed = (step) => () => {
  const start = process.hrtime.bigint();
  step();
  return Number(process.hrtime.bigint() - start);
};

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

/** Times of all contenders by name, in nanoseconds: the median and the best. */
async function compare(contenders, steps) {
  const names = Object.keys(contenders);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -3; round < steps; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round + 3) % names.length];
      const time = await contenders[name]();
      // The first rounds are for compilers and caches.
      if (round >= 0) times[name].push(time);
    }
  }
  return Object.fromEntries(
    names.map((name) => [name, { median: median(times[name]), best: Math.min(...times[name]) }]),
  );
}

const python = process.env.ADAKIT_PYTHON;
const torch = python === undefined ? undefined : new Torch(python);
if (torch)
  console.log(`PyTorch ${(await torch.ask({ threads: Number(values.threads) })).version}, ${values.threads} thread(s)`);
else console.log('ADAKIT_PYTHON names no Python with PyTorch; adakit alone is measured');

for (const [size, shapes] of Object.entries(sizes)) {
  if (values.only !== '' && values.only !== size) continue;
  const count = shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  const contenders = {};
  const bytes = {};
  const add = (name, contender, moved) => {
    contenders[name] = contender;
    bytes[name] = moved;
  };
  add('triad', timed(triadOf(count)), 12 * count);
  for (const [name, rule] of Object.entries(rules)) {
    const optimizer = rule();
    add(name, timed(stepOf(wasmDevice(), optimizer, shapes)), bytesOf(optimizer, shapes));
  }
  const all = shapes.length > 1 ? composed(adam) : adam().withSchedules({ lr: cosine(1_000_000) });
  const what = shapes.length > 1 ? 'adam, schedule and groups' : 'adam, schedule';
  add(what, timed(stepOf(wasmDevice(), all, shapes)), bytesOf(all, shapes));
  add('adam on js', timed(stepOf(jsDevice(), adam(), shapes)), bytesOf(adam(), shapes));
  for (const kind of torch ? ['fused', 'foreach'] : []) {
    await torch.ask({ setup: kind, shapes });
    add(`torch Adam ${kind}`, async () => (await torch.ask({ step: kind })).nanoseconds, bytesOf(adam(), shapes));
  }
  // Small cases are repeated more often, which costs nothing.
  const times = await compare(contenders, count > 4e6 ? runs : 20 * runs);
  const limit = bytes.triad / times.triad.median;
  console.log(`\n${size} parameters; triad ${limit.toFixed(1)} GB/s`);
  console.table(
    Object.fromEntries(
      Object.entries(times).map(([name, { median: time, best }]) => [
        name,
        {
          ms: Number((time / 1e6).toFixed(3)),
          'best ms': Number((best / 1e6).toFixed(3)),
          'ns a parameter': Number((time / count).toFixed(2)),
          'GB/s': Number((bytes[name] / time).toFixed(1)),
          'of the triad': Number((bytes[name] / time / limit).toFixed(2)),
          ...(torch && { 'against torch fused': Number((time / times['torch Adam fused'].median).toFixed(2)) }),
        },
      ]),
    ),
  );
}
torch?.end();
