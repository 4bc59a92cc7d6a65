import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { adam } from '@adakit/adam';
import { goldenFiles } from '@adakit/fixtures';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { testedBackends } from '../testing/tested-backends.js';
import { missingBackend, parseBackends } from './backends.js';
import { replayFiles } from './run.js';
import { formatReports } from './format.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adakit-replay-'));
});
afterAll(() => rm(folder, { recursive: true }));

const golden = (name: string): string => {
  const file = goldenFiles().find((path) => basename(path) === `${name}.json`);
  if (file === undefined) throw new Error(`no golden file ${name}`);
  return file;
};

interface Recorded {
  hyperparameters: Record<string, number | boolean>;
  optimizer: string;
  float32: { params: number[][]; slots: Record<string, number[]> };
  float64: { params: number[][] };
}

/** A golden trajectory with something changed, as a file of its own. */
async function altered(name: string, change: (recorded: Recorded) => void): Promise<string> {
  const recorded = JSON.parse(await readFile(golden(name), 'utf8')) as Recorded;
  change(recorded);
  const file = join(folder, `altered-${Math.random().toString(36).slice(2)}.json`);
  await writeFile(file, JSON.stringify(recorded));
  return file;
}

it('finds a golden trajectory ok on every backend', async () => {
  const reports = await replayFiles([golden('adabelief-defaults')], 'all');
  expect(reports.flatMap((report) => ('ok' in report ? [report.ok] : []))).toEqual(
    new Array(testedBackends.length).fill(true),
  );
});

it('tells what comes next', async () => {
  const told: string[] = [];
  await replayFiles([golden('adadiff-defaults')], ['js', 'wasm'], [], (file, backend) => {
    told.push(`${file} ${backend}`);
  });
  expect(told).toEqual(['js', 'wasm'].map((backend) => `${golden('adadiff-defaults')} ${backend}`));
});

it('reports file, optimizer, backend, steps, errors, tolerance and verdict', async () => {
  const file = golden('adadiff-defaults');
  const [report] = await replayFiles([file], ['js']);
  expect(Object.keys(report)).toEqual([
    'file',
    'optimizer',
    'backend',
    'steps',
    'maxAbs',
    'maxRel',
    'maxUlp',
    'tolerance',
    'ok',
  ]);
  expect(report).toMatchObject({ file, optimizer: 'adadiff', backend: 'js', steps: 40, ok: true });
  expect(formatReports([report])).toMatch(/adadiff-defaults\.json +js +40 .* ok\n1 ok, 0 not ok\n$/);
});

describe('a trajectory that another rule made is not ok', () => {
  const wrong: [string, string, (recorded: Recorded) => void][] = [
    ['another learning rate', 'adam-defaults', (t) => (t.hyperparameters.lr = 1.001e-3)],
    ['another epsilon', 'adadiff-defaults', (t) => (t.hyperparameters.eps = 2e-8)],
    ['no rectification', 'adabelief-defaults', (t) => (t.hyperparameters.rectify = false)],
    [
      'coupled instead of decoupled decay',
      'adam-weight_decay_0.01-weight_decouple_True',
      (t) => (t.hyperparameters.weight_decouple = false),
    ],
    ['another optimizer with the same slots', 'adabound-defaults', (t) => (t.optimizer = 'adam')],
    ['a slot that is off', 'sgd-lr_0.1-momentum_0.9', (t) => (t.float32.slots.momentum_buffer[3] *= 1.0001)],
    ['one parameter off at the last step', 'adabelief-defaults', (t) => (t.float32.params[39][0] *= 1.001)],
    ['a NaN', 'adam-defaults', (t) => (t.float32.params[5][2] = null as unknown as number)],
  ];
  it.each(wrong)('%s', async (what, name, change) => {
    const file = await altered(name, change);
    if (what === 'a NaN') {
      await expect(replayFiles([file], ['js'])).rejects.toThrow('float32.params.5.2');
      return;
    }
    for (const report of await replayFiles([file], ['reference-f32', 'js', 'wasm', 'onnx'])) {
      expect(report).toMatchObject({ ok: false });
    }
  });
});

it('accepts camelCase hyperparameters and any of ours', async () => {
  const file = await altered('adam-weight_decay_0.0005', (t) => {
    t.hyperparameters = { weightDecay: t.hyperparameters.weight_decay, lr: 1e-3 };
  });
  const [report] = await replayFiles([file], ['reference']);
  expect(report).toMatchObject({ ok: true });
});

describe('the rule of a package', () => {
  /** A package with Adam under another name. */
  async function install(): Promise<string> {
    const directory = join(folder, 'node_modules', 'adakit-optimizer-other-adam');
    await mkdir(directory, { recursive: true });
    const manifest = { name: 'adakit-optimizer-other-adam', version: '1.0.0', type: 'module', exports: './index.js' };
    await writeFile(join(directory, 'package.json'), JSON.stringify(manifest));
    // Adam is TypeScript here, which Node does not compile for a module in a temporary folder.
    const { hyperparameters } = adam;
    const load = (record: Readonly<Record<string, unknown>>) => adam.load(record);
    Object.assign(globalThis, {
      otherAdam: Object.assign(() => adam(), { optimizerName: 'otherAdam', hyperparameters, load }),
    });
    await writeFile(join(directory, 'index.js'), 'export const otherAdam = globalThis.otherAdam;');
    return directory;
  }

  it('is found by its name, on every backend, and by --plugin', async () => {
    const directory = await install();
    const file = await altered('adam-defaults', (t) => (t.optimizer = 'other-adam'));
    vi.spyOn(process, 'cwd').mockReturnValue(folder);
    try {
      const reports = await replayFiles([file], 'all');
      expect(reports.flatMap((report) => ('ok' in report ? [report.ok] : []))).toEqual(
        new Array(testedBackends.length).fill(true),
      );
    } finally {
      vi.restoreAllMocks();
    }
    const module = await altered('adam-defaults', (t) => (t.optimizer = 'otherAdam'));
    await expect(replayFiles([module], ['js'])).rejects.toThrow("there is no optimizer 'otherAdam'");
    const [report] = await replayFiles([module], ['js'], [join(directory, 'index.js')]);
    expect(report).toMatchObject({ ok: true, optimizer: 'otherAdam' });
    Reflect.deleteProperty(globalThis, 'otherAdam');
  });
});

describe('what cannot be replayed is named, all at once', () => {
  it('files', async () => {
    const notJson = join(folder, 'not.json');
    await writeFile(notJson, 'hello');
    const unknown = await altered('adam-defaults', (t) => (t.optimizer = 'adamm'));
    const option = await altered('adam-defaults', (t) => (t.hyperparameters.momentum = 0.9));
    const attempt = replayFiles(['/nowhere.json', notJson, unknown, option], ['js']);
    await expect(attempt).rejects.toThrow('/nowhere.json: there is no such file');
    await expect(attempt).rejects.toThrow(`${notJson}: not JSON`);
    await expect(attempt).rejects.toThrow(`${unknown}: there is no optimizer 'adamm', did you mean 'adam'?`);
    await expect(attempt).rejects.toThrow(`${option}: adam: unknown hyperparameter "momentum"`);
  });

  it('a rule of no plain name, which a file could have anything run by', async () => {
    const file = await altered('adam-defaults', (t) => (t.optimizer = './rule.js'));
    await expect(replayFiles([file], ['js'])).rejects.toThrow(`${file}: "./rule.js" is no name of an optimizer`);
  });

  it('backends', () => {
    expect(() => parseBackends('tfjs-wsam')).toThrow('unknown backend "tfjs-wsam", did you mean "tfjs-wasm"?');
    expect(parseBackends('js, onnx')).toEqual(['js', 'onnx']);
    expect(parseBackends('all')).toBe('all');
  });
});

const missing = await missingBackend('tfjs-tensorflow');

test.skipIf(missing === undefined)(
  'a backend that is not installed is left out of all, and refused by name',
  async () => {
    expect(missing).toMatch(/^not installed: npm install --save-dev .*@tensorflow\/tfjs-node$/);
    const file = golden('adabelief-defaults');
    const reports = await replayFiles([file], 'all');
    expect(reports[0]).toEqual({ backend: 'tfjs-tensorflow', missing });
    expect(formatReports(reports)).toContain(
      `${testedBackends.length} ok, 0 not ok\nnot run on tfjs-tensorflow: ${String(missing)}\n`,
    );
    await expect(replayFiles([file], ['tfjs-tensorflow'])).rejects.toThrow(
      `--backend tfjs-tensorflow: ${String(missing)}`,
    );
  },
);
