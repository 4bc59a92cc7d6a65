import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { words, type Dataset, type DataTensor, type Example } from '@adakit/data';
import { dataFile } from '@adakit/fixtures';
import { outputOf, Programs, seeded } from '@adakit/fixtures/programs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { smallClassifier } from '../testing/small-classifier.js';
import { loadData } from './data-spec.js';

// ADAKIT_KILLS=300 npm run test:slow -- tools/cli/src/train/killed-training
const KILLS = Math.ceil(Number(process.env.ADAKIT_KILLS ?? 4) / 2);

let folder: string;
let programs: Programs;

// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-killed-'));
  const home = join(import.meta.dirname, '../..');
  const { dependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const packages = readdirSync(join(home, '../../packages')).filter((name) => `@adakit/${name}` in dependencies);
  programs = new Programs(home, [...packages, 'cli']);
  writeFileSync(join(folder, 'net.onnx'), smallClassifier(2, 3));
  const rows = Array.from({ length: 60 }, (_, i) => `${i % 7},${(i * i) % 11},${i % 3}`);
  writeFileSync(join(folder, 'table.csv'), `a,b,kind\n${rows.join('\n')}\n`);
  writeFileSync(join(folder, 'images.jsonl'), pictures(48).join('\n'));
  // The pages of this project are the text that is there everywhere.
  const docs = join(home, '../../docs');
  const pages = readdirSync(docs).filter((name) => name.endsWith('.md'));
  const text = pages
    .map((name) => readFileSync(join(docs, name), 'utf8'))
    .join('\n')
    .split(' ');
  writeFileSync(join(folder, 'book.txt'), text.slice(0, 20_000).join(' '));
  writeFileSync(join(folder, 'chapter.txt'), text.slice(-4_000).join(' '));
}, 300_000);

/** Pictures [3, 32, 32] of stripes, wider from class to class, in noise. */
function pictures(count: number): string[] {
  const random = seeded(2);
  return Array.from({ length: count }, (_, i) => {
    const target = i % 3;
    const image = [0, 1, 2].map(() =>
      Array.from({ length: 32 }, (_, y) =>
        Array.from({ length: 32 }, (_, x) => Number((Math.sin((x + y) / (1 + target)) + random()).toFixed(3))),
      ),
    );
    return JSON.stringify({ image, target });
  });
}

afterAll(() => {
  rmSync(folder, { recursive: true });
  programs.remove();
});

const program = `
  import { Command } from 'commander';
  import { addTrainCommand } from './node_modules/@adakit/cli/src/train/command.js';
  process.chdir(process.argv.pop());
  const program = new Command();
  addTrainCommand(program);
  await program.parseAsync();`;
/** What is trained, and with which options. */
interface Job {
  readonly args: () => readonly string[];
  /** Kept checkpoints are written after so many steps. */
  readonly every: number;
  readonly trained: RegExp;
  /** Data without which it is left out. */
  readonly needs?: string;
  /** What else holds of the trained model and of what was printed. */
  readonly check?: (model: string, output: string) => void | Promise<void>;
}

/** Pictures to train on and to validate with. */
const CLOTHES = 480;

const jobs: Readonly<Record<string, Job>> = {
  'a small classifier': {
    args: () => [
      'net.onnx',
      '--data',
      'table.csv',
      '--target',
      'kind',
      '--val',
      '0.2',
      '--batch',
      '8',
      '--epochs',
      '30',
    ],
    every: 7,
    trained: /^trained: 180 steps, 30 epochs/,
  },
  // A new head on a network that somebody has trained, as torchvision exports it: frozen layers, their statistics as they
  // are, validation, early stopping with the best weights, clipping and a schedule.
  'the head of a ResNet-18': {
    args: () => [
      ...[dataFile('exported/resnet18.onnx'), '--data', 'images.jsonl', '--freeze-before', 'fc'],
      ...['--val', '0.25', '--batch', '12', '--epochs', '400', '--metrics', 'accuracy', '--early-stop', '6'],
      ...['--optimizer', 'adam', '--set', 'lr=0.3', '--schedule', 'cosine', '--warmup', '4', '--clip', '1'],
    ],
    every: 3,
    trained: /^early-stop: \d+ steps, \d+ epochs on cpu; no better loss in 6 validations/,
  },
  // The last stage and the head learn clothes.
  'a ResNet-18 on Fashion-MNIST': {
    args: () => [
      ...[dataFile('exported/resnet18.onnx'), '--data', 'fashion-mnist', '--take', String(CLOTHES), '--val', '0.25'],
      ...['--freeze-before', 'layer4', '--batch', '24', '--epochs', '30', '--set', 'lr=0.003', '--clip', '1'],
      ...['--schedule', 'cosine', '--warmup', '4', '--augment', 'crop:2,flip'],
      ...['--metrics', 'accuracy', '--monitor', 'accuracy', '--early-stop', '4'],
    ],
    every: 5,
    trained: /^early-stop: \d+ steps, \d+ epochs on cpu; no better accuracy in 4 validations/,
    needs: '/usr/share/datasets/fashion-mnist',
    check: async (model, output) => {
      const { data } = await loadData('fashion-mnist', {
        inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 3, 32, 32] }],
        classifies: true,
        folder,
      });
      const [, validation] = data.take(CLOTHES).split([0.75, 0.25], { seed: 0 });
      const accuracy = await deployedAccuracy(model, validation);
      // Far from chance, and what was said of the best weights, to its four digits.
      expect(accuracy).toBeGreaterThan(0.4);
      expect(output).toContain(`best validation: ${Number(accuracy.toPrecision(4))} at step`);
    },
  },
  // An LSTM with its state from window to window, the ten most frequent words and all others.
  'the words of a text': {
    args: () => [
      ...[
        dataFile('carried-state.onnx'),
        '--data',
        'words:book.txt',
        '--val',
        'words:chapter.txt',
        '--vocabulary',
        '11',
      ],
      ...['--loss', 'cross-entropy:output=logits,classAxis=2', '--carry', 'h=h_next,c=c_next', '--batch', '20'],
      ...['--metrics', 'perplexity', '--epochs', '3', '--set', 'lr=0.01', '--clip', '0.25'],
    ],
    every: 100,
    trained: /^trained: \d+ steps, 3 epochs/,
    check: (_, output) => {
      const read = (name: string) => readFileSync(join(folder, name), 'utf8');
      const { ids, vocabulary } = words(read('book.txt'), { most: 11 });
      const counts = vocabulary.map((__, id) => ids.reduce((sum, each) => sum + (each === id ? 1 : 0), 0));
      const following = words(read('chapter.txt'), { vocabulary }).ids;
      const surprise = following.reduce((sum, id) => sum - Math.log(counts[id] / ids.length), 0);
      const [, perplexity] = /perplexity ([\d.]+)/.exec(output) ?? [];
      // Better than the frequencies of words, which know nothing of the words before.
      expect(Number(perplexity)).toBeLessThan(0.95 * Math.exp(surprise / following.length));
    },
  },
};

/** The share of examples that a model classifies rightly in ONNX Runtime alone. */
async function deployedAccuracy(path: string, examples: Dataset<Example>): Promise<number> {
  const session = await InferenceSession.create(path);
  let [right, count] = [0, 0];
  for await (const { input, target } of examples) {
    const { data, dims } = input as DataTensor;
    const feeds = { [session.inputNames[0]]: new Tensor('float32', data as Float32Array, [1, ...dims]) };
    const scores = Array.from((await session.run(feeds))[session.outputNames[0]].data as Float32Array);
    if (scores.indexOf(Math.max(...scores)) === Number((target as DataTensor).data?.[0] ?? target)) right++;
    count++;
  }
  await session.release();
  return right / count;
}

const start = (job: Job, ...options: readonly string[]) =>
  programs.start(program, ['train', ...job.args(), '--quiet', ...options, folder]);

const possible = Object.keys(jobs).filter((name) => existsSync(jobs[name].needs ?? '/'));

test.each(possible)(
  `%s: a training killed ${KILLS} times goes on with --resume and ends with the same bytes`,
  { timeout: 3_600_000 },
  async (name) => {
    const job = jobs[name];
    const random = seeded(1);
    const run = name.replaceAll(' ', '-');
    const checkpoints = join(folder, run);
    const [inParts, whole] = [`${run}-resumed.onnx`, `${run}-whole.onnx`];
    const newest = (): string | undefined =>
      existsSync(checkpoints) ? readdirSync(checkpoints).sort().at(-1) : undefined;
    const resumed = () => start(job, '--checkpoint', run, '--every', String(job.every), '--resume', '--out', inParts);
    for (let kill = 0; kill < KILLS; kill++) {
      const child = resumed();
      const closed = new Promise((resolve) =>
        child.once('close', (_, signal) => {
          resolve(signal);
        }),
      );
      // Once it has begun to save, it is in the middle of things.
      const before = newest();
      while (newest() === before && child.exitCode === null) await setTimeout(1);
      await setTimeout(10 * random());
      child.kill('SIGKILL');
      expect(await closed).toBe('SIGKILL');
      expect(existsSync(join(folder, inParts))).toBe(false);
    }
    const output = await outputOf(resumed());
    expect(output).toMatch(job.trained);
    expect(await outputOf(start(job, '--out', whole))).toBe(output.replaceAll(inParts, whole));
    expect(readFileSync(join(folder, inParts))).toEqual(readFileSync(join(folder, whole)));
    await job.check?.(join(folder, inParts), output);
  },
);
