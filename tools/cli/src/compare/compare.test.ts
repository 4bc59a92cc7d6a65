import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { errorText } from '../error-text.js';
import type { Launch } from '../own-process.js';
import { runCommand } from '../testing/run-command.js';
import { smallClassifier } from '../testing/small-classifier.js';
import { addTrainCommand } from '../train/command.js';
import { addCompareCommand } from './command.js';
import { bandPlot } from './plot.js';
import { epochSpreads, spread } from './statistics.js';

let folder: string;
let before: string;
let launched: (readonly string[])[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-compare-'));
  before = process.cwd();
  process.chdir(folder);
  writeFileSync('net.onnx', smallClassifier(4, 3));
  const rows = Array.from({ length: 60 }, (_, i) => [i % 7, (i * 3) % 5, i % 3, (i * i) % 11, i % 3].join(','));
  writeFileSync('table.csv', `a,b,c,d,kind\n${rows.join('\n')}\n`);
});
beforeEach(() => {
  launched = [];
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

/** Runs `adakit train` in this process: that processes of their own work is seen in the slow suite. */
const here: Launch = (args) => {
  launched.push(args);
  // One after the other: a process has one standard output.
  const ended = last.then(() => trainHere(args));
  last = ended;
  return ended;
};
let last: Promise<unknown> = Promise.resolve();
async function trainHere(args: readonly string[]) {
  try {
    const { output, exitCode } = await runCommand(addTrainCommand, ...args);
    return { code: exitCode, signal: null, output, errors: '' };
  } catch (error) {
    const failed = error instanceof Error && error.name === 'TrainingFailure';
    return { code: failed ? 1 : 2, signal: null, output: '', errors: errorText(error) ?? String(error) };
  }
}
const compare = (...args: readonly string[]) =>
  runCommand(
    (program) => {
      addCompareCommand(program, here);
    },
    'compare',
    ...args,
    '--quiet',
  );
const data = ['--data', 'table.csv', '--target', 'kind', '--val', '0.2', '--batch', '8', '--metrics', 'accuracy'];

/** What `--json` prints, as far as it is looked at. */
interface Report {
  readonly seeds: readonly number[];
  readonly monitor: string;
  readonly contenders: readonly {
    readonly name: string;
    readonly set: Readonly<Record<string, unknown>>;
    readonly runs: readonly { readonly seed: number; readonly status: string; readonly message?: string }[];
    readonly epochs: ReturnType<typeof epochSpreads>;
  }[];
}
const report = async (...args: readonly string[]) => JSON.parse((await compare(...args, '--json')).output) as Report;
const configuration = (name: string, content: unknown) => {
  writeFileSync(name, typeof content === 'string' ? content : JSON.stringify(content));
  return ['--config', name] as const;
};

describe('statistics', () => {
  test('the standard deviation is that of a sample', () => {
    expect(spread([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ mean: 5, deviation: Math.sqrt(32 / 7), runs: 8 });
    expect(spread([3])).toEqual({ mean: 3, runs: 1 });
  });

  test('epochs are taken over the runs that came as far', () => {
    const event = (epoch: number, loss: number) => ({
      epoch,
      step: epoch,
      loss,
      validation: { loss: 2 * loss, all: [[1]] },
    });
    const spreads = epochSpreads([[event(1, 1), event(2, 3)], [event(1, 3)]]);
    expect(spreads[0]).toEqual({
      epoch: 1,
      loss: { mean: 2, deviation: Math.SQRT2, runs: 2 },
      validation: { loss: { mean: 4, deviation: 2 * Math.SQRT2, runs: 2 } },
    });
    expect(spreads[1].loss).toEqual({ mean: 3, runs: 1 });
  });
});

describe('the plot', () => {
  const points = [1, 2, 3].map((epoch) => ({ epoch, value: { mean: 1 / epoch, deviation: 0.1, runs: 3 } }));
  const text = { title: 'A title', subtitle: 'under it', axis: 'validation loss', logarithmic: true };

  it('has a line, a band and a legend entry for every contender, and names its axes', async () => {
    const svg = await bandPlot(
      Array.from({ length: 9 }, (_, i) => ({ name: `curve ${i}`, points })),
      text,
    );
    for (const word of ['epoch', 'validation loss', 'A title', 'under it', 'curve 0', 'curve 8'])
      expect(svg).toContain(`>${word}<`);
    expect(svg.match(/<path [^>]*opacity="0.16"/g)).toHaveLength(9);
    // One legend, which shows lines.
    expect(svg.match(/>curve 8</g)).toHaveLength(1);
    // Colours come again with other dashes.
    expect(svg).toMatch(/stroke="#0072b2"[^>]*stroke-dasharray="6,3"/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('copes with one epoch, and with bands down to below zero', async () => {
    const one = await bandPlot(
      [{ name: 'a', points: [{ epoch: 1, value: { mean: 0.1, deviation: 0.5, runs: 2 } }] }],
      text,
    );
    expect(one).toContain('>a<');
    expect(one).not.toMatch(/NaN|Infinity/);
  });
});

describe('adakit compare', () => {
  const options = ['net.onnx', ...data, '--optimizers', 'adam,adabelief', '--epochs', '3', '--seeds', '2'];

  it('trains with every optimizer from every seed, once, and reports means and deviations', async () => {
    const { output, exitCode } = await compare(...options, '--plot', 'accuracy.svg', '--monitor', 'accuracy');
    expect(exitCode).toBe(0);
    expect(
      launched.map((args) => args.slice(args.indexOf('--optimizer'), args.indexOf('--seed') + 2).join(' ')),
    ).toEqual(['adam', 'adabelief'].flatMap((name) => [0, 1].map((seed) => `--optimizer ${name} --seed ${seed}`)));
    expect(output).toMatch(
      /^ +runs +epochs +training loss +validation loss +validation accuracy\nadam +2 +3 +[\d.]+ ± [\d.]+ .*\nadabelief +2 +3 .*\nmean ± [^\n]+\nplot: accuracy\.svg\n$/,
    );
    expect(readFileSync('accuracy.svg', 'utf8')).toContain('>validation accuracy<');
    expect(readdirSync('comparison/adam-seed0')).toEqual(['result.json', 'trained.onnx']);
    launched = [];
    const again = await report(...options, '--monitor', 'accuracy');
    expect(launched).toEqual([]);
    const [adam] = again.contenders;
    expect(adam.runs.map(({ seed, status }) => [seed, status])).toEqual([
      [0, 'finished'],
      [1, 'finished'],
    ]);
    expect(adam.epochs.map(({ loss }) => loss.runs)).toEqual([2, 2, 2]);
    expect(again.monitor).toBe('accuracy');
  });

  it('takes a run up where it was interrupted, and says that there is more to do', async () => {
    const out = ['--out', 'interrupted'];
    let first = true;
    const interrupting: Launch = (args) => {
      if (!first) return here(args);
      first = false;
      process.emit('SIGINT');
      return Promise.resolve({ code: 130, signal: null, output: '', errors: '' });
    };
    const { exitCode } = await runCommand(
      (program) => {
        addCompareCommand(program, interrupting);
      },
      'compare',
      ...[...options, ...out, '--quiet'],
    );
    expect([exitCode, launched.length]).toEqual([130, 0]);
    expect(existsSync('interrupted/adam-seed0/result.json')).toBe(false);
    expect((await compare(...options, ...out)).exitCode).toBe(0);
    expect(launched).toHaveLength(4);
    expect(launched[0]).toContain('--resume');
  });

  it('takes contenders, settings and options from a file; a list stands for a contender with each', async () => {
    const config = configuration('many.json', {
      model: 'net-{seed}.onnx',
      seeds: 1,
      options: { data: 'table.csv', target: 'kind', val: 'none', epochs: 1 },
      contenders: [
        { optimizer: 'adam', options: { clip: 1 } },
        { name: 'SGD', optimizer: 'sgd', set: { momentum: 0.9, lr: [0.1, 0.01] } },
      ],
    });
    writeFileSync('net-4.onnx', smallClassifier(4, 3));
    const { contenders, seeds } = await report(
      ...config,
      '--seed',
      '4',
      '--batch',
      '30',
      '--out',
      'many',
      '--jobs',
      '2',
    );
    expect(seeds).toEqual([4]);
    expect(contenders.map(({ name, set }) => [name, set])).toEqual([
      ['adam', {}],
      ['SGD lr=0.1', { momentum: 0.9, lr: 0.1 }],
      ['SGD lr=0.01', { momentum: 0.9, lr: 0.01 }],
    ]);
    // Two run at a time: which is launched first is nobody's business.
    const [adam] = launched.filter((args) => args.includes('adam'));
    expect(adam.slice(0, 2)).toEqual(['train', 'net-4.onnx']);
    expect(adam.join(' ')).toContain('--epochs 1 --batch 30 --clip 1 --optimizer adam --seed 4 --threads');
  });

  it('a training that fails is part of the report, exit code 1, and is not tried again', async () => {
    const config = configuration('failing.json', {
      contenders: [{ name: 'far', optimizer: 'sgd', set: { lr: 1e38 } }, { optimizer: 'adam' }],
    });
    const args = ['net.onnx', ...data, ...config, '--seeds', '1', '--epochs', '2', '--out', 'failing'];
    const { output, exitCode } = await compare(...args);
    expect(exitCode).toBe(1);
    expect(output).toMatch(/\nfar +0 of 1 +0\n[^]*\nfailed: far, seed 0: the loss is Infinity at step \d+/);
    launched = [];
    expect((await compare(...args)).exitCode).toBe(1);
    expect(launched).toEqual([]);
  });
});

describe('mistakes are named before anything is trained:', () => {
  const usual = ['net.onnx', ...data, '--out', 'mistakes'];
  const one = { optimizer: 'adam' };
  test.each<[string, () => readonly string[], string]>([
    ['no model', () => [...data, '--optimizers', 'adam'], 'which model? Name an ONNX file, or "model"'],
    ['no optimizer', () => usual, 'which optimizers? Give --optimizers a,b,… or --config FILE'],
    ['no data', () => ['net.onnx', '--optimizers', 'adam'], 'which data? Give --data'],
    [
      'an unknown optimizer',
      () => [...usual, '--optimizers', 'adam,adma'],
      "there is no optimizer 'adma', did you mean 'adam'?",
    ],
    [
      'a missing learning rate',
      () => [...usual, '--optimizers', 'sgd'],
      'sgd: lr is required; give it with "set": { "lr": … } in a file for --config',
    ],
    [
      'one twice',
      () => [...usual, '--optimizers', 'adam,adam'],
      "there are two contenders 'adam'; give one another name",
    ],
    [
      'no seed',
      () => [...usual, '--optimizers', 'adam', '--seed', 'none'],
      '--seed none: a comparison goes from seed to seed',
    ],
    ['a plot of another kind', () => [...usual, '--optimizers', 'adam', '--plot', 'a.pdf'], '--plot a.pdf: plots are'],
    ['a model that is not there', () => ['nte.onnx', ...data, '--optimizers', 'adam'], 'cannot read nte.onnx'],
    ['an unknown option', () => [...usual, '--optimizers', 'adam', '--epoch', '1'], "unknown option '--epoch'"],
    [
      'a file that is not there',
      () => [...usual, '--config', 'none.json'],
      'cannot read none.json: there is no such file',
    ],
    ['a file that is no JSON', () => [...usual, ...configuration('a.json', 'a\nb')], '"a\\nb" is not valid JSON'],
    ['a file without contenders', () => [...usual, ...configuration('b.json', {})], 'b.json: contenders is missing'],
    [
      'an unknown key',
      () => [...usual, ...configuration('c.json', { contenders: [one], sedes: 3 })],
      "c.json: there is no 'sedes', did you mean 'seeds'?",
    ],
    [
      'an unknown key of a contender',
      () => [...usual, ...configuration('d.json', { contenders: [{ ...one, sets: {} }] })],
      "d.json: contenders[0]: there is no 'sets', did you mean 'set'?",
    ],
    [
      'an option that is decided by the command',
      () => [...usual, ...configuration('e.json', { contenders: [one], options: { seed: 3 } })],
      "e.json: the option 'seed' is what adakit compare decides itself",
    ],
    [
      'an unknown option in a file',
      () => [...usual, ...configuration('f.json', { contenders: [one], options: { epoch: 3 } })],
      'adam, seed 0: ',
    ],
    [
      'an unknown hyperparameter',
      () => [...usual, ...configuration('g.json', { contenders: [{ ...one, set: { beta: 1 } }] })],
      'adam: unknown hyperparameter "beta", did you mean "beta1"?',
    ],
    [
      'what adakit train refuses',
      () => [...usual, '--optimizers', 'adam', '--metrics', 'acuracy'],
      "adam, seed 0: --metrics: there is no 'acuracy', did you mean 'accuracy'?",
    ],
  ])('%s', async (_, args, message) => {
    const error: unknown = await compare(...args()).catch((thrown: unknown) => thrown);
    expect(errorText(error) ?? String(error)).toContain(message);
  });

  test('a folder that holds another comparison', async () => {
    const args = (epochs: string) => [
      'net.onnx',
      ...data,
      '--optimizers',
      'adam',
      '--seeds',
      '1',
      '--out',
      'taken',
      '--epochs',
      epochs,
    ];
    await compare(...args('1'));
    await expect(compare(...args('2'))).rejects.toThrow(
      /taken\/adam-seed0 holds the result of another run \(adakit train .*--epochs 1 .*\); remove it, or name another folder with --out/,
    );
  });

  test('a process that dies is no result', async () => {
    const dying: Launch = () =>
      Promise.resolve({ code: null, signal: 'SIGKILL' as const, output: '', errors: 'out of memory' });
    const run = runCommand(
      (program) => {
        addCompareCommand(program, dying);
      },
      'compare',
      ...usual,
      '--optimizers',
      'adam',
      '--quiet',
    );
    await expect(run).rejects.toThrow('adam, seed 0: the process ended with SIGKILL\nout of memory');
    expect(existsSync('mistakes/adam-seed0/result.json')).toBe(false);
  });
});
