import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import {
  bytesMoved,
  compare,
  differenceOf,
  precisely,
  ratioOf,
  triad,
  update,
  type Contender,
} from '@adakit/cli/internal/measure';
import { cosine, elementCount, groups, jsDevice, wasmDevice, type Optimizer } from '@adakit/core';
import { Peer } from '../measure/peer.js';
import type { Row, Suite, SuiteOptions } from '../suite.js';

type Shapes = readonly (readonly number[])[];

/** Parameters by the name of the case; those of one entry are measured in the same rounds. */
const sizes: readonly Readonly<Record<string, Shapes>>[] = [
  { '16.8M': [[4096, 4096]] },
  { '1M': [[1024, 1024]] },
  { '300×1,000': Array.from({ length: 300 }, () => [1000]), '300,000': [[300_000]] },
];
/** Milliseconds after which the other process is asleep. */
const REST = 1;
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
  const torch = await Peer.start('ADAKIT_PYTHON', 'optimizer.py', '1');
  try {
    for (const together of sizes) {
      const cases = Object.entries(together).filter(([size]) => size.includes(only));
      if (cases.length > 0) yield* measureCases(cases, rounds, torch);
    }
  } finally {
    torch?.end();
  }
}

/** Something that is measured: in which case, what, and the bytes that it has to move. */
interface Measured {
  readonly size: string;
  readonly name: string;
  readonly bytes: number;
  readonly contender: Contender;
}

async function* measureCases(
  cases: readonly (readonly [string, Shapes])[],
  rounds: number,
  torch: Peer | undefined,
): AsyncIterable<Row> {
  const all: Measured[] = [];
  for (const [size, shapes] of cases) all.push(...(await contendersOf(size, shapes, torch)));
  const key = (size: string, name: string) => `${size} ${name}`;
  const contenders = Object.fromEntries(all.map(({ size, name, contender }) => [key(size, name), contender]));
  const most = Math.max(...cases.map(([, shapes]) => countOf(shapes)));
  // Small cases are repeated more often, which costs nothing.
  const times = await compare(contenders, { rounds: most > 4e6 ? rounds : 20 * rounds, rest: REST, runUp: 1 });

  for (const [size, shapes] of cases) {
    const own = all.filter((measured) => measured.size === size);
    const bytes = Object.fromEntries(own.map((measured) => [measured.name, measured.bytes]));
    const timesOf = (name: string) => times[key(size, name)];
    const limit = bytes['triad'] / timesOf('triad').median;
    const [whole] = cases.map(([other]) => other).filter((other) => other !== size);
    for (const { name } of own) {
      const ours = name !== 'triad' && !name.startsWith('torch');
      const ratios: Record<string, number> = {};
      for (const peer of ours ? own.filter((other) => other.name.startsWith('torch')) : []) {
        const ratio = ratioOf(timesOf(name), timesOf(peer.name));
        ratios[peer.name] = ratio;
        ratios[`${peer.name}, by bytes`] = (ratio * bytes['adam']) / bytes[name];
      }
      const one = shapes.length > 1 ? times[key(whole, name.replace(' and groups', ''))] : undefined;
      yield {
        case: size,
        name,
        ms: timesOf(name).median,
        more: {
          'ns a parameter': (1e6 * timesOf(name).median) / countOf(shapes),
          'GB/s': bytes[name] / timesOf(name).median / 1e6,
          'of the limit': bytes[name] / timesOf(name).median / limit,
          ...(one && { 'µs more than one tensor': 1e3 * differenceOf(timesOf(name), one) }),
          ...(name.startsWith('adam, ') && { '% more than adam': 100 * (ratioOf(timesOf(name), timesOf('adam')) - 1) }),
        },
        ratios,
      };
    }
  }
}

async function contendersOf(size: string, shapes: Shapes, torch: Peer | undefined): Promise<Measured[]> {
  const parameters = shapes.map((shape, i) => ({ name: `w${String(i)}`, shape }));
  const all: Measured[] = [];
  const add = (name: string, contender: Contender, bytes: number) => {
    all.push({ size, name, bytes, contender });
  };
  add('triad', precisely(triad(countOf(shapes))), 12 * countOf(shapes));
  for (const [name, rule] of Object.entries(rules)) {
    const configured = rule();
    add(name, precisely(update(wasmDevice(), configured, parameters)), bytesMoved(configured, parameters));
  }
  const scheduled = shapes.length > 1 ? composed() : adam().withSchedules({ lr: cosine(1_000_000) });
  const what = shapes.length > 1 ? 'adam, schedule and groups' : 'adam, schedule';
  add(what, precisely(update(wasmDevice(), scheduled, parameters)), bytesMoved(scheduled, parameters));
  add('adam on js', precisely(update(jsDevice(), adam(), parameters)), bytesMoved(adam(), parameters));
  for (const kind of torch === undefined ? [] : ['fused', 'foreach']) {
    const setup = `${size} ${kind}`;
    await torch?.ask({ setup, kind, shapes });
    if (torch !== undefined) add(`torch ${kind}`, torch.contender({ step: setup }), bytesMoved(adam(), parameters));
  }
  return all;
}

function countOf(shapes: Shapes): number {
  return shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
}

/** Three groups, each with a rate of its own, under a schedule. */
function composed(): Optimizer {
  const group = (name: string, match: RegExp, lr: number) => ({ name, match, hyperparameters: { lr } });
  return groups([group('first', /0$/, 1e-4), group('second', /1$/, 1e-5)], adam()).withSchedules({
    lr: cosine(1_000_000),
  });
}
