import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkModel, parseModel } from '@adakit/onnx';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { experimentsAt } from './experiments.js';
import { densenet, languageModel, resnet, vgg11 } from './networks/networks.js';
import { parseOptions, prepare } from './prepare.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-experiments-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Elements that are trained. */
function trained(bytes: Uint8Array): number {
  const check = checkModel(parseModel(bytes));
  expect(check.problems).toEqual([]);
  return check.parameters
    .filter(({ selected }) => selected)
    .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

describe('the networks', () => {
  const pictures = { channels: 3, size: 32, classes: 10 };

  it('are as large as the formulas say', () => {
    const w = 4;
    // A convolution of 3×3, the gain and bias after it.
    const conv = (from: number, to: number, kernel = 9) => kernel * from * to + 2 * to;
    expect(trained(vgg11({ ...pictures, width: w }, 0))).toBe(
      conv(3, w) +
        conv(w, 2 * w) +
        conv(2 * w, 4 * w) +
        conv(4 * w, 4 * w) +
        conv(4 * w, 8 * w) +
        3 * conv(8 * w, 8 * w) +
        10 * (8 * w + 1),
    );
    expect(trained(resnet({ ...pictures, width: w }, [1, 2], 0))).toBe(
      conv(3, w) + 2 * conv(w, w) + conv(w, 2 * w) + 3 * conv(2 * w, 2 * w) + conv(w, 2 * w, 1) + 10 * (2 * w + 1),
    );
    const layer = (from: number) => 2 * from + from * 4 * w + 2 * 4 * w + 9 * 4 * w * w;
    // 2w channels, w more by the layer, half of them in between, w more again.
    const half = (3 * w) / 2;
    expect(trained(densenet({ ...pictures, width: w }, [1, 1], 0))).toBe(
      9 * 3 * 2 * w + layer(2 * w) + 2 * 3 * w + 3 * w * half + layer(half) + 2 * (half + w) + 10 * (half + w + 1),
    );
    const lstm = (from: number, to: number) => 4 * to * (from + to + 2);
    const sizes = { vocabulary: 11, length: 4, embedding: 3, hidden: 5, dropout: 0.4 };
    for (const carried of [true, false]) {
      const bytes = languageModel({ ...sizes, carried, layers: 2 }, 0);
      expect(trained(bytes)).toBe(11 * 3 + lstm(3, 5) + lstm(5, 5) + 5 * 11 + 11);
    }
  });

  it('begin differently from seed to seed, and the same from the same', () => {
    const model = (seed: number) => Buffer.from(vgg11({ ...pictures, width: 1 }, seed)).toString('hex');
    expect(model(1)).toBe(model(1));
    expect(model(1)).not.toBe(model(2));
  });
});

describe('the experiments', () => {
  const named = (scale: 'full' | 'small') => experimentsAt(scale, {}).map(({ name }) => name);

  it('are those that were published, and the same with what registries have', () => {
    expect(named('full')).toEqual([
      ...['cifar-10', 'cifar-100'].flatMap((data) =>
        ['resnet34', 'densenet121', 'vgg11'].map((net) => `${data}-${net}`),
      ),
      ...['ptb-lstm2', 'ptb-lstm3'],
    ]);
    expect(named('small')).toEqual([
      ...['fashion-mnist-resnet34', 'fashion-mnist-densenet37', 'fashion-mnist-vgg11'],
      ...['moby-dick-lstm2', 'moby-dick-lstm3'],
    ]);
  });

  it('have the settings that were published', () => {
    const [cifar, ...others] = experimentsAt('full', { 'cifar-10': '/data' });
    expect(cifar.options).toEqual({
      data: 'cifar-10:/data',
      batch: 128,
      augment: 'crop:4,flip',
      metrics: 'accuracy',
      epochs: 200,
      schedule: `step:every=${150 * 391},factor=0.1`,
    });
    const set = (name: string, { contenders } = cifar) => contenders.find((each) => each.name === name)?.set;
    expect(set('AdaDiff')).toEqual({ lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 5e-4 });
    const ptb = others.at(-1);
    expect(set('Adam', ptb)).toMatchObject({ lr: 1e-2, eps: 1e-8, weightDecay: 1.2e-6 });
    expect(set('AdaDiff', ptb)).toMatchObject({ lr: 1e-2, eps: 1e-16 });
    expect(set('AdaBelief', ptb)).toMatchObject({ lr: 1e-2, eps: 1e-16, weightDecouple: false });
    expect(ptb?.options).toMatchObject({
      batch: 20,
      metrics: 'perplexity',
      carry: [0, 1, 2]
        .flatMap((layer) => ['h', 'c'].map((part) => `lstm${layer}.${part}=lstm${layer}.${part}_next`))
        .join(),
    });
    // Windows of 70 in 20 parts of the text, and a tenth of the rate after three quarters of the epochs.
    const windows = Math.floor((Math.floor(929_589 / 20) - 1) / 70);
    expect(ptb?.options.schedule).toBe(`step:every=${150 * windows},factor=0.1`);
  });

  it('are written as models, one a seed, and configurations of adakit compare', () => {
    const args = ['--scale', 'tiny', '--only', 'mnist-vgg11', '--seeds', '2', '--out', folder, '--jobs', '2'];
    const [{ name, args: compare }, ...more] = prepare(parseOptions([...args, '--backend', 'cuda,cpu']));
    expect(more).toEqual([]);
    const home = join(folder, name);
    expect(readdirSync(home)).toEqual(['compare.json', 'model-0.onnx', 'model-1.onnx']);
    expect(compare.slice(0, 5)).toEqual(['compare', '--config', join(home, 'compare.json'), '--jobs', '2']);
    expect(JSON.parse(readFileSync(join(home, 'compare.json'), 'utf8'))).toMatchObject({
      model: join(home, 'model-{seed}.onnx'),
      seeds: 2,
      monitor: 'accuracy',
      options: { data: 'mnist', backend: 'cuda,cpu' },
    });
  });

  test.each([
    [['--scale', 'smal'], "--scale: there is no 'smal', did you mean 'small'?"],
    [['--only', 'ptb-lstm2'], "--only: there is no 'ptb-lstm2'"],
    [['--scale', 'full'], 'cifar-10-resnet34 needs data that no registry has; say where they are with --cifar-10 DIR'],
    [['--scale', 'full', '--only', 'ptb-lstm3'], 'say where they are with --ptb DIR'],
    [['--seeds', '0'], "--seeds must be a whole number of at least 1, got '0'"],
    [['--sede', '1'], "'--sede'"],
  ])('%j is a mistake', (args, message) => {
    expect(() => prepare(parseOptions(args))).toThrow(message);
  });
});
