import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import {
  clipByGlobalNorm,
  ema,
  groups,
  jsDevice,
  Run,
  type Optimizer,
  type StoredTensor,
  tensor32,
  tensor64,
  type TrainingState,
  exponential,
} from '@adakit/core';
import { storeTensor } from '@adakit/state';
import { openState, readState, writeState, writeTensors } from '@adakit/state/node';
import { Emitter, Graph, modelFromGraph, Tensor, writeModel } from '@adakit/onnx';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { optimizerByName } from '../optimizer-by-name.js';
import { runCommand } from '../testing/run-command.js';
import { addStateCommand } from './command.js';
import { convertFile } from './convert.js';
import { verifyFile } from './verify.js';
import { compareTensors, diffFiles, type FileDifference } from './diff.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adakit-state-'));
});
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const adakit = (...args: readonly string[]) => runCommand(addStateCommand, 'state', ...args);

const kernel = tensor32([1, 2, 3, 4, 5, 6], [3, 2]);

/** Two steps on a dense layer as TensorFlow.js has it. */
async function trained(optimizer: Optimizer = adam()): Promise<TrainingState> {
  const run = Run.start(jsDevice(), optimizer, { 'd/kernel': kernel, 'd/bias': tensor32([0, 0]) });
  for (let step = 0; step < 2; step++) {
    await run.applyGradients({ 'd/kernel': kernel, 'd/bias': tensor32([1, -1]) });
  }
  return run.state();
}

async function written(name: string, state?: TrainingState): Promise<string> {
  await writeState(at(name), state ?? (await trained()));
  return at(name);
}

describe('adakit state convert', () => {
  it('goes on with another optimizer and says what it did', async () => {
    const source = await written('adam');
    const { output, exitCode } = await adakit(
      'convert',
      source,
      at('belief'),
      '--optimizer',
      'adabelief',
      '--set',
      'lr=1e-2',
    );
    expect(exitCode).toBe(0);
    const { optimizer, parameters } = await readState(at('belief'));
    expect(optimizer).toMatchObject({ kind: 'rule', name: 'adabelief', hyperparameters: { lr: 0.01 } });
    expect(Object.keys(parameters['d/kernel'].slots)).toEqual(['expAvg', 'expAvgVar']);
    expect(output.split('\n').slice(0, 2)).toEqual([`${at('belief')}:`, '  optimizer: adam -> adabelief, at step 2']);
    expect(output).toContain(
      '"d/kernel", "d/bias": kept; updates 2 -> 1, expAvg kept times 0.526, expAvgVar from the mean gradient, expAvgSq dropped',
    );
  });

  it('says how far it is', async () => {
    const source = await written('adam');
    const said: string[] = [];
    await convertFile(source, at('told'), { say: (text) => said.push(text) });
    expect(said[0]).toBe(`${source}: reading param/d/kernel`);
    expect(new Set(said).size).toBe(7);
    expect(said.at(-1)).toBe(`${at('told')}: writing`);
  });

  it('takes one slot for another when told', async () => {
    const source = await written('adam');
    await adakit('convert', source, at('belief'), '--optimizer', 'adabelief', '--slot', 'expAvgVar=expAvgSq');
    const { step, slots } = (await readState(at('belief'))).parameters['d/kernel'];
    expect(step).toBe(2);
    expect(slots.expAvgVar).toEqual((await readState(source)).parameters['d/kernel'].slots.expAvgSq);
  });

  it('changes hyperparameters and keeps groups and schedules', async () => {
    const optimizer = ema(
      0.9,
      groups([{ match: /bias$/, hyperparameters: { weightDecay: 0 } }], adam().withSchedules({ lr: exponential(0.9) })),
    );
    const source = await written('grouped', await trained(optimizer));
    const { output } = await adakit('convert', source, at('lower'), '--set', 'lr=0.5', '--set', 'amsgrad=true');
    const [before, after] = [await readState(source), await readState(at('lower'))];
    expect(after.optimizer).toEqual(optimizer.with({ lr: 0.5, amsgrad: true }).toConfig());
    expect(after.parameters['d/bias'].slots['ema.average']).toEqual(before.parameters['d/bias'].slots['ema.average']);
    expect(output).toContain('hyperparameters: lr 0.001 -> 0.5, amsgrad false -> true\n');
  });

  it('puts another rule inside what is around the old one', async () => {
    const clipped = await trained(ema(0.9, groups([{ match: 'd/bias' }], clipByGlobalNorm(2, adam()))));
    const source = await written('clipped', { ...clipped, data: { epoch: 3 } });
    const { output } = await adakit('convert', source, at('inside'), '--optimizer', 'sgd', '--set', 'lr=0.1');
    const state = await readState(at('inside'));
    expect(state.optimizer).toMatchObject({
      name: 'ema',
      hyperparameters: { decay: 0.9 },
      inner: { name: 'clipByGlobalNorm', hyperparameters: { maxNorm: 2 }, inner: { name: 'sgd' } },
    });
    expect(state).toMatchObject({ step: 2, data: { epoch: 3 } });
    expect(state.globals).toEqual(clipped.globals);
    expect(Object.keys(state.parameters['d/kernel'].slots)).toEqual(['ema.average']);
    expect(output).toContain(
      'optimizer: ema(groups(clipByGlobalNorm(adam))) -> ema(clipByGlobalNorm(sgd)), at step 2\n',
    );
  });

  it('does not replace its source unasked, by whatever name', async () => {
    const source = await written('self.safetensors');
    await symlink(source, at('link.safetensors'));
    const before = await readFile(source);
    for (const target of [source, at('x/../self.safetensors'), at('link.safetensors')]) {
      await expect(adakit('convert', source, target, '--set', 'lr=1')).rejects.toThrow(
        'is the file that is converted; name another one, or replace it with --in-place',
      );
    }
    expect(await readFile(source)).toEqual(before);
    await adakit('convert', source, source, '--set', 'lr=1', '--in-place');
    expect((await readState(source)).optimizer).toMatchObject({ hyperparameters: { lr: 1 } });
  });

  it('maps running statistics to those of another state, and keeps what that does not have', async () => {
    const normalization = (scale: string, shift: string) => ({ [scale]: tensor32([1, 2]), [shift]: tensor32([0, 0]) });
    const tfjs = await Run.start(jsDevice(), adam(), normalization('bn/gamma', 'bn/beta')).state();
    const onnx = await Run.start(jsDevice(), adam(), normalization('bn.weight', 'bn.bias')).state();
    const moving = { 'bn/moving_mean': tensor32([3, 4]), 'bn/moving_variance': tensor32([5, 6]) };
    const count = { dtype: 'I64', shape: [], bytes: new Uint8Array(8) } as const;
    const source = await written('tfjs-bn', { ...tfjs, statistics: moving });
    const like = await written('onnx-bn', {
      ...onnx,
      statistics: {
        'bn.running_var': tensor32([1, 1]),
        'bn.running_mean': tensor32([0, 0]),
        'bn.num_batches_tracked': count,
      },
    });
    const { output } = await adakit('convert', source, at('handed'), '--like', like);
    expect(output).toContain('mapped 4 parameters and statistics');
    const { statistics } = await readState(at('handed'));
    expect(statistics).toEqual({
      'bn.running_mean': moving['bn/moving_mean'],
      'bn.running_var': moving['bn/moving_variance'],
    });
    await adakit('convert', like, at('handed-back'), '--like', source);
    expect((await readState(at('handed-back'))).statistics).toEqual({
      'bn/moving_mean': tensor32([0, 0]),
      'bn/moving_variance': tensor32([1, 1]),
      'bn.num_batches_tracked': count,
    });
  });

  it.each(['adafactor', 'shampoo', 'muon'])(
    'hands a state of %s, whose slots or program follow rows and columns, to a layout that exchanges them',
    async (name) => {
      const optimizer = optimizerByName(name, { lr: 0.01 });
      const weights = Array.from({ length: 12 }, (_, i) => ((i * 7) % 11) - 5);
      const transposed = weights.map((_, i) => weights[(i % 4) * 3 + Math.floor(i / 4)]);
      const tfjs = Run.start(jsDevice(), optimizer, {
        'd/kernel': { value: tensor32(weights, [4, 3]), units: 'last' },
      });
      await tfjs.applyGradients({ 'd/kernel': tensor32(weights, [4, 3]) });
      const onnx = Run.start(jsDevice(), optimizer, { 'fc.weight': tensor32(transposed, [3, 4]) });
      await onnx.applyGradients({ 'fc.weight': tensor32(transposed, [3, 4]) });

      await writeFile(
        at('units.json'),
        JSON.stringify([{ from: 'd/kernel', to: 'fc.weight', permute: [1, 0], units: 'first' }]),
      );
      const source = await written('rows', await tfjs.state());
      await adakit('convert', source, at('columns'), '--mapping', at('units.json'));
      const mapped = await readState(at('columns'));
      const own = (await onnx.state()).parameters['fc.weight'];
      // Sums of whole numbers are exact in any order, so what is kept is the same to the last bit.
      const { value } = mapped.parameters['fc.weight'];
      expect(mapped.parameters['fc.weight']).toEqual({ ...own, value, units: 'first' });
      await onnx.load(mapped);
    },
  );

  it('shows names from files without what a terminal would obey', async () => {
    const evil = 'w\u001b[2J';
    const state = await Run.start(jsDevice(), adam(), { [evil]: tensor32([1]) }).state();
    const source = await written('evil', state);
    const { output } = await adakit('convert', source, at('tamed'), '--optimizer', 'adabelief');
    expect(output).toContain('"w\\u001b[2J": kept');
    expect(output).not.toContain('\u001b');
    expect((await adakit('diff', source, at('tamed'))).output).not.toContain('\u001b');
  });

  it('writes another element type', async () => {
    const source = await written('single');
    await adakit('convert', source, at('double'), '--dtype', 'float64');
    const state = await openState(at('double'));
    expect(new Set([...state.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['F64']));
    await state.close();
    await adakit('convert', at('double'), at('back'), '--dtype', 'float32');
    expect(await readState(at('back'))).toEqual(await readState(source));
  });

  it('derives names and layouts from an ONNX model, and saves and applies the mapping', async () => {
    const graph = new Graph('dense');
    const x = graph.addInput('x', { dtype: 'float32', shape: [1, 3] });
    const w = graph.addInitializer('W', Tensor.of('float32', [2, 3], new Float32Array(6)));
    const b = graph.addInitializer('b', Tensor.of('float32', [2], new Float32Array(2)));
    const y = new Emitter(graph).node('Gemm', [x, w, b], { transB: 1 });
    Object.assign(y, { dtype: 'float32', shape: [1, 2] });
    graph.outputs.push(y);
    await writeFile(at('model.onnx'), writeModel(modelFromGraph(graph)));

    const source = await written('tfjs');
    const flags = ['--like', at('model.onnx'), '--save-mapping', at('map.json')];
    const { output } = await adakit('convert', source, at('onnx'), ...flags);
    expect(output).toBe(`${at('onnx')}:\n  mapped 2 parameters and statistics\n`);
    const { W } = (await readState(at('onnx'))).parameters;
    const { value } = (await readState(source)).parameters['d/kernel'];
    expect(W.value).toEqual(
      tensor32(
        [0, 2, 4, 1, 3, 5].map((i) => value.data[i]),
        [2, 3],
      ),
    );
    expect(JSON.parse(await readFile(at('map.json'), 'utf8'))).toEqual([
      { from: 'd/kernel', to: 'W', permute: [1, 0] },
      { from: 'd/bias', to: 'b' },
    ]);
    await adakit('convert', source, at('mapped'), '--mapping', at('map.json'));
    expect(await readState(at('mapped'))).toEqual(await readState(at('onnx')));
    // The other way, from the state of the ONNX model to one like that of TensorFlow.js.
    await adakit('convert', at('onnx'), at('back'), '--like', source);
    expect(await readState(at('back'))).toEqual(await readState(source));
  });

  it('knows from the nodes of an ONNX model which way a square matrix lies', async () => {
    const graph = new Graph('square');
    const x = graph.addInput('x', { dtype: 'float32', shape: [1, 2] });
    const [a, b] = ['a', 'b'].map((name) =>
      graph.addInitializer(name, Tensor.of('float32', [2, 2], new Float32Array(4))),
    );
    const e = new Emitter(graph, {
      infer: ({ outputs }) => {
        for (const output of outputs) Object.assign(output ?? {}, { dtype: 'float32', shape: [1, 2] });
      },
    });
    graph.outputs.push(e.node('Gemm', [e.node('MatMul', [x, a]), b], { transB: 1 }));
    await writeFile(at('square.onnx'), writeModel(modelFromGraph(graph)));
    const square = tensor32([1, 2, 3, 4], [2, 2]);
    const run = Run.start(jsDevice(), adam(), { 'd/kernel': square, 'd_1/kernel': square });
    const source = await written('squares', await run.state());
    await adakit('convert', source, at('onnx'), '--like', at('square.onnx'));
    const { parameters } = await readState(at('onnx'));
    expect(parameters.a.value).toEqual(square);
    expect(parameters.b.value).toEqual(tensor32([1, 3, 2, 4], [2, 2]));
  });

  it('takes names from a safetensors file of weights, with hints for what is open', async () => {
    const square = tensor32([1, 2, 3, 4], [2, 2]);
    const run = Run.start(jsDevice(), adam(), { 'd/kernel': square });
    const source = await written('square', await run.state());
    await writeTensors(at('weights'), new Map([['proj', storeTensor(square)]]));
    await expect(adakit('convert', source, at('never'), '--like', at('weights'))).rejects.toMatchObject({
      code: 'ambiguous-mapping',
      message: expect.stringContaining('{"from":"d/kernel","to":"proj","permute":[1,0]}') as string,
    });
    const hint = '{"from":"d/kernel","to":"proj","permute":[1,0]}';
    await adakit('convert', source, at('hinted'), '--like', at('weights'), '--hint', hint);
    expect((await readState(at('hinted'))).parameters.proj.value).toEqual(tensor32([1, 3, 2, 4], [2, 2]));
  });

  it('prints its report as JSON', async () => {
    const { output } = await adakit('convert', await written('j'), at('out'), '--dtype', 'float64', '--json');
    expect(JSON.parse(output)).toEqual({ dtype: 'float64' });
  });

  const mistakes: [string, string[], string | RegExp][] = [
    ['an unknown optimizer', ['--optimizer', 'adamm'], "there is no optimizer 'adamm', did you mean 'adam'?"],
    ['an unknown hyperparameter', ['--set', 'beta=1'], 'unknown hyperparameter "beta"'],
    ['a value that is none', ['--set', 'lr=fast'], 'lr must be a finite number, got "fast"'],
    ['a missing value', ['--set', 'lr='], 'The value is missing.'],
    ['an assignment without a name', ['--set', '=1'], 'It must be <name>=<value>.'],
    ['an unknown element type', ['--dtype', 'float16'], 'Allowed choices are float32, float64'],
    ['a hint that is none', ['--hint', '{"to":"x"}'], 'from: '],
    ['two sources of names', ['--like', 'a', '--mapping', 'b'], /cannot be used with option/],
    ['a mapping that is not there', ['--mapping', 'nowhere.json'], 'cannot read nowhere.json: there is no such file'],
  ];
  it.each(mistakes)('refuses %s', async (_, flags, message) => {
    await expect(adakit('convert', await written('m'), at('never'), ...flags)).rejects.toThrow(message);
    await expect(readFile(at('never'))).rejects.toThrow('ENOENT');
  });
});

describe('adakit state diff', () => {
  it('finds a state the same as itself, wherever it was written', async () => {
    const state = await trained();
    const [a, b] = [
      await written('a', state),
      await written('b', { ...state, origin: 'elsewhere', versions: { x: '1' } }),
    ];
    const { output, exitCode } = await adakit('diff', a, b);
    expect(exitCode).toBe(0);
    expect(output).toMatch(/^param\/d\/kernel +0\.0e\+0 +0\.0e\+0 +0 +0 +equal$/m);
    expect(output).toMatch(/\nthe same\n$/);
  });

  it('measures the largest differences of each tensor', async () => {
    const state = await trained();
    const weights = state.parameters['d/kernel'];
    const data = weights.value.data.slice() as Float32Array<ArrayBuffer>;
    const step = 2 ** -22; // The distance of neighbours in [2, 4).
    data.set([data[1] + 3 * step, data[2] + step], 1);
    const changed = { ...weights, value: { ...weights.value, data } };
    const [a, b] = [
      await written('a', state),
      await written('b', { ...state, parameters: { ...state.parameters, 'd/kernel': changed } }),
    ];
    const { tensors, same } = await diffFiles(a, b);
    const difference = tensors.find(({ name }) => name === 'param/d/kernel');
    const old = weights.value.data;
    const maxAbs = Math.max(data[1] - old[1], data[2] - old[2]);
    expect(difference).toMatchObject({ differing: 2, same: false, maxAbs, maxRel: (data[1] - old[1]) / data[1] });
    expect(difference?.maxUlp).toBeGreaterThanOrEqual(3);
    expect(same).toBe(false);
    // The largest element is about 6.
    expect((await adakit('diff', a, b)).exitCode).toBe(1);
    expect((await adakit('diff', a, b, '--tolerance', String(maxAbs / 5.9))).exitCode).toBe(0);
    expect((await adakit('diff', a, b, '--tolerance', String(maxAbs / 6.1))).exitCode).toBe(1);
  });

  it('names what else differs', async () => {
    const state = await trained();
    const other = await trained(adam({ lr: 0.1 }));
    const run = Run.start(jsDevice(), adam(), { 'd/kernel': tensor32([1, 2]), extra: tensor32([1]) });
    const b = await written('b', {
      ...(await run.state()),
      optimizer: other.optimizer,
      data: { batch: 7 },
      globals: { norm: NaN },
    });
    const { problems } = await diffFiles(await written('a', state), b);
    expect(problems.filter((problem) => !problem.startsWith('"'))).toEqual([
      expect.stringMatching(/^settings of the optimizer: .*"lr":0.001.* and .*"lr":0.1/),
      'step: 2 and 0',
      'position in the data: null and {"batch":7}',
      'the number norm: none and NaN',
    ]);
    expect(problems).toContain(`"param/d/kernel" has shape [3, 2] in ${at('a')} and [2] in ${at('b')}`);
    expect(problems).toContain(`"param/d/bias" is only in ${at('a')}`);
    expect(problems).toContain(`"param/extra" is only in ${at('b')}`);
  });

  it('compares any safetensors files, and says when only one is a state', async () => {
    await writeTensors(at('x'), new Map([['t', storeTensor(tensor32([1]))]]));
    await writeTensors(at('y'), new Map([['t', storeTensor(tensor64([1]))]]));
    const { output, exitCode } = await adakit('diff', at('x'), at('y'), '--json');
    expect(exitCode).toBe(0);
    expect((JSON.parse(output) as FileDifference).tensors).toEqual([
      { name: 't', maxAbs: 0, maxRel: 0, maxUlp: null, differing: 0, same: true },
    ]);
    expect((await diffFiles(await written('s'), at('x'))).problems[0]).toBe('only one of them is a training state');
  });

  const stored = (dtype: StoredTensor['dtype'], array: ArrayBufferView<ArrayBuffer>): StoredTensor => ({
    dtype,
    shape: [],
    bytes: new Uint8Array(array.buffer),
  });
  const pairs: [string, StoredTensor, StoredTensor, [maxAbs: number, maxRel: number, maxUlp: number | null]][] = [
    ['NaN with NaN', stored('F32', Float32Array.of(NaN)), stored('F32', Float32Array.of(NaN)), [0, 0, 0]],
    [
      'NaN with a number',
      stored('F64', Float64Array.of(NaN)),
      stored('F64', Float64Array.of(1)),
      [Infinity, Infinity, 2 ** 51 + (0x7ff - 0x3ff) * 2 ** 52],
    ],
    ['zero with minus zero', stored('F32', Float32Array.of(0)), stored('F32', Float32Array.of(-0)), [0, 0, 0]],
    [
      'neighbours around zero',
      stored('F32', Float32Array.of(2 ** -149)),
      stored('F32', Float32Array.of(-(2 ** -149))),
      [2 ** -148, 2, 2],
    ],
    [
      'neighbours in half precision',
      stored('F16', Uint16Array.of(0x3c00)),
      stored('F16', Uint16Array.of(0x3c01)),
      [2 ** -10, 2 ** -10 / (1 + 2 ** -10), 1],
    ],
    ['integers', stored('I64', BigInt64Array.of(5n)), stored('I64', BigInt64Array.of(-5n)), [10, 2, null]],
  ];
  it.each(pairs)('measures %s', (_, a, b, [maxAbs, maxRel, maxUlp]) => {
    expect(compareTensors('t', a, b, 0)).toMatchObject({ maxAbs, maxRel, maxUlp, same: maxAbs === 0 });
  });
});

describe('adakit state verify', () => {
  it('says how far it is', async () => {
    const parts: string[] = [];
    await verifyFile(await written('adam'), { onPart: (tensor) => parts.push(tensor) });
    expect(parts).toHaveLength(6);
    expect(parts).toContain('slot/expAvg/d/kernel');
  });

  it('says ok, or the first violation, file by file', async () => {
    const good = await written('good');
    const bad = await written('bad');
    const bytes = await readFile(bad);
    bytes[bytes.length - 1] ^= 1;
    await writeFile(bad, bytes);
    expect(await adakit('verify', good)).toEqual({ output: `${good}: ok\n`, exitCode: 0 });
    const { output, exitCode } = await adakit('verify', good, bad, at('nowhere'));
    expect(exitCode).toBe(1);
    expect(output.split('\n')).toEqual([
      `${good}: ok`,
      expect.stringMatching(/bad: tensor-checksum: tensor "slot\/.*", byte \d+: /),
      `${at('nowhere')}: file-not-found: there is no such file`,
      '',
    ]);
    const json = await adakit('verify', bad, '--json');
    expect(JSON.parse(json.output)).toMatchObject([{ file: bad, valid: false, code: 'tensor-checksum' }]);
  });

  it('refuses slots that the optimizer does not keep', async () => {
    const state = await trained();
    const { 'd/bias': bias, ...rest } = state.parameters;
    const file = await written('slots', { ...state, parameters: { ...rest, 'd/bias': { ...bias, slots: {} } } });
    const { output, exitCode } = await adakit('verify', file);
    expect([output.includes('state-mismatch: the state does not fit'), exitCode]).toEqual([true, 1]);
  });

  it('refuses infinities and NaN when told', async () => {
    const state = await trained();
    const { 'd/bias': bias, ...rest } = state.parameters;
    const value = tensor32([1, NaN]);
    const file = await written('nan', { ...state, parameters: { ...rest, 'd/bias': { ...bias, value } } });
    expect((await adakit('verify', file)).exitCode).toBe(0);
    const { output, exitCode } = await adakit('verify', file, '--finite');
    expect([output.includes('non-finite: '), exitCode]).toEqual([true, 1]);
  });
});

it('convert refuses a number that the element type cannot hold', async () => {
  const state = await trained();
  const { 'd/bias': bias, ...rest } = state.parameters;
  const value = tensor64([1, 1e300]);
  const file = await written('large', { ...state, parameters: { ...rest, 'd/bias': { ...bias, value } } });
  await expect(convertFile(file, at('small'), { dtype: 'float32' })).rejects.toThrow('"d/bias" has 1e+300');
});

it.each<[string, unknown, string]>([
  ['none', undefined, 'options must be an object, got undefined'],
  ['one that is misspelt', { dtpye: 'float32' }, 'unknown option "dtpye", did you mean "dtype"?'],
  ['another element type', { dtype: 'float16' }, 'dtype must be one of float32, float64, got "float16"'],
  ['a name for plugins', { plugins: 'mine' }, 'plugins must be a list of names, got "mine"'],
  ['hints for nothing', { hints: [] }, 'hints are for like'],
  ['two mappings', { like: 'a', mapping: [] }, 'like derives the mapping; leave one of them out'],
])('convertFile refuses options before it reads: %s', async (_, options, message) => {
  await expect(convertFile(at('nowhere'), at('there'), options as never)).rejects.toThrow(`convertFile: ${message}`);
});

it('diff tells whole numbers apart that are one as doubles', () => {
  const [a, b] = [2n ** 60n, 2n ** 60n + 1n].map((x): StoredTensor => ({
    dtype: 'I64',
    shape: [1],
    bytes: new Uint8Array(BigInt64Array.of(x).buffer),
  }));
  expect(compareTensors('count', a, b, 0)).toMatchObject({ maxAbs: 1, same: false });
});
