import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  clipByGlobalNorm,
  ema,
  groups,
  type HyperparameterValues,
  jsDevice,
  maximize,
  type NamedTensors,
  type Optimizer,
  type ParameterGroup,
  Run,
  type Schedules,
  tensor32,
  type TrainingState,
} from '@adakit/core';
import { parseSchedule } from '@adakit/core/states';
import { decodeTensors, storeTensor } from '@adakit/state';
import { readState, writeState, writeTensors } from '@adakit/state/node';
import { dataFile, readData } from '@adakit/fixtures';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { optimizerByName } from '../../optimizer-by-name.js';
import { fromTorch } from './from-torch.js';
import { toTorch } from './to-torch.js';

interface Case {
  /** What PyTorch's optimizer is called here. */
  readonly adakit: {
    readonly optimizer: string;
    readonly hyperparameters: HyperparameterValues;
    readonly groups: readonly ParameterGroup[];
    readonly schedules: Schedules;
    readonly maximize?: boolean;
  };
  /** Parameters after 20 steps in PyTorch. */
  readonly uninterrupted: Readonly<Record<string, readonly number[]>>;
  /** Parameters after 10 steps here and 10 in PyTorch. */
  readonly continued: Readonly<Record<string, readonly number[]>>;
}

const recorded = readData('torch-states.json') as {
  readonly snippet: string;
  readonly start: Readonly<Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>>;
  readonly gradients: readonly Readonly<Record<string, readonly number[]>>[];
  readonly late: { readonly name: string; readonly from: number };
  readonly cases: Readonly<Record<string, Case>>;
};
/** Of classes that PyTorch 2.15 has beside, on the same gradients. */
const builtin = readData('torch-states-builtin.json') as Pick<typeof recorded, 'snippet' | 'cases'>;
const { gradients, late } = recorded;
const cases = { ...recorded.cases, ...builtin.cases };
type JsRun = Run<ReturnType<ReturnType<typeof jsDevice>['allocate']>[number][number]>;
const tensors = Object.entries(recorded.start).map(([name, { dims, data }]) => [name, tensor32(data, dims)] as const);
const isParameter = (name: string): boolean => !name.includes('running');
const start: NamedTensors = Object.fromEntries(tensors.filter(([name]) => isParameter(name)));
const statistics: NamedTensors = Object.fromEntries(tensors.filter(([name]) => !isParameter(name)));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adakit-torch-'));
});
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const torchFile = (name: string): string => dataFile(`torch-states/${name}.safetensors`);

function optimizerOf({ adakit }: Case): Optimizer {
  const { optimizer, hyperparameters, groups: list, schedules, maximize: rises } = adakit;
  const known = Object.entries(schedules).map(([name, schedule]) => [name, parseSchedule(name, schedule)] as const);
  const main = optimizerByName(optimizer, hyperparameters).withSchedules(Object.fromEntries(known));
  const all = list.length === 0 ? main : groups(list, main);
  return rises === true ? maximize(all) : all;
}

async function train(run: JsRun, from: number, to: number): Promise<TrainingState> {
  for (let step = from; step <= to; step++) {
    const given = Object.keys(start).filter((name) => name !== late.name || step >= late.from);
    await run.applyGradients(
      Object.fromEntries(given.map((name) => [name, tensor32(gradients[step - 1][name], start[name].shape)])),
    );
  }
  return { ...(await run.state()), statistics };
}

/**
 * Whether parameters agree: every step rounds θ once, and the update it adds by about as much, in either run. A unit of
 * rounding is 2⁻²⁴ of the magnitude of θ, which stays near where it started.
 */
function expectClose(state: TrainingState, expected: Case['uninterrupted'], steps: number): void {
  for (const [name, values] of Object.entries(expected)) {
    const { data } = state.parameters[name].value;
    const errors = values.map((value, i) => {
      const magnitude = Math.max(Math.abs(value), Math.abs(start[name].data[i]));
      return Math.abs(data[i] - value) / magnitude;
    });
    expect(Math.max(...errors), name).toBeLessThanOrEqual(2 * 2 * steps * 2 ** -24);
  }
}

describe.each(Object.entries(cases))('%s', (name, recordedCase) => {
  const optimizer = optimizerOf(recordedCase);
  const run = (): JsRun => Run.start(jsDevice(), optimizer, start);

  it('goes on after ten steps of PyTorch like PyTorch', async () => {
    const target = at(`${name}.safetensors`);
    const report = await fromTorch(torchFile(name), target, 10);
    expect(report).toMatchObject({ optimizer: optimizer.name, step: 10, parameters: 4 });
    const state = await readState(target);
    expect(state.parameters[late.name].step).toBe(name === 'sgd' ? 10 : 0);
    const resumed = run();
    await resumed.load(state);
    expectClose(await train(resumed, 11, 20), recordedCase.uninterrupted, 10);
  });

  it('hands PyTorch a state after ten steps that it goes on from like from its own', async () => {
    const own = run();
    await writeState(at('own'), await train(own, 1, 10));
    await toTorch(at('own'), at('to-torch'));
    // This is the file that PyTorch went on from.
    expect((await readFile(at('to-torch'))).equals(await readFile(torchFile(`${name}-adakit`)))).toBe(true);
    const uninterrupted = await train(own, 11, 20);
    expectClose(uninterrupted, recordedCase.continued, 10);
    expectClose(uninterrupted, recordedCase.uninterrupted, 20);
  });

  it('keeps every bit on the way to PyTorch and back', async () => {
    await fromTorch(torchFile(name), at('there'), 10);
    await toTorch(at('there'), at('back'));
    const [before, after] = [await readFile(torchFile(name)), await readFile(at('back'))].map((bytes) =>
      decodeTensors(bytes),
    );
    expect(new Set(after.tensors.keys())).toEqual(new Set(before.tensors.keys()));
    for (const [key, tensor] of before.tensors) expect(after.tensors.get(key), key).toEqual(tensor);
    await fromTorch(at('back'), at('again'));
    expect(await readState(at('again'))).toEqual(await readState(at('there')));
  });
});

it('keeps the learning rate at construction, which the bounds of AdaBound refer to and its authors lose', async () => {
  await fromTorch(torchFile('adabound'), at('adabound'));
  expect((await readState(at('adabound'))).optimizer).toMatchObject({
    hyperparameters: { lr: 0.001 },
    initial: { lr: 0.01 },
  });
});

it('turns groups into groups', async () => {
  await fromTorch(torchFile('adamw'), at('adamw'));
  expect((await readState(at('adamw'))).optimizer).toEqual({
    kind: 'groups',
    groups: [
      {
        name: 'group2',
        match: { names: ['fc.weight', 'norm.weight'] },
        hyperparameters: { lr: 0.02, weightDecay: 0.1 },
        schedules: {},
      },
    ],
    rest: expect.objectContaining({
      kind: 'rule',
      name: 'adam',
      hyperparameters: expect.objectContaining({ lr: 0.01, weightDecay: 0, weightDecouple: true }) as unknown,
    }) as unknown,
  });
});

describe('settings of groups that do not change the update', () => {
  const weights = { a: storeTensor(tensor32([1, 2])), b: storeTensor(tensor32([3])) };
  const common = {
    betas: [0.9, 0.999],
    eps: 1e-8,
    weight_decay: 0,
    amsgrad: false,
    maximize: false,
    foreach: true,
    fused: null,
    capturable: true,
    differentiable: false,
  };
  const convert = async (groupList: readonly object[], torchClass = 'Adam') => {
    const document = { class: torchClass, param_groups: groupList, steps: {}, attributes: {} };
    await writeTensors(at('in'), new Map(Object.entries(weights)), new Map([['torch', JSON.stringify(document)]]));
    const { notes } = await fromTorch(at('in'), at('out'));
    return { notes, state: await readState(at('out')) };
  };

  it('are left behind, those of schedulers and users by name', async () => {
    const { notes, state } = await convert([
      {
        ...common,
        lr: 0.02,
        initial_lr: 0.004,
        max_lr: 0.1,
        min_lr: 4e-7,
        max_momentum: 0.95,
        base_momentum: 0.85,
        lr_scale: 0.5,
        param_names: ['a', 'b'],
        name: 'everything',
        params: ['a', 'b'],
      },
    ]);
    expect(state.optimizer).toMatchObject({ kind: 'rule', hyperparameters: { lr: 0.02 }, initial: { lr: 0.004 } });
    expect(notes.slice(0, 2)).toEqual([
      'Adam does not look at "max_lr", "min_lr", "max_momentum", "base_momentum", "lr_scale", which stay behind',
      'a scheduler has changed the learning rate; it stays as it is now, unless you set a schedule again',
    ]);
  });

  it.each([
    ['first', [0, 0.1]],
    ['other', [0.1, 0]],
    ['only', [0, 0]],
  ])('a learning rate of zero in the %s group is one for the time being', async (_, [a, b]) => {
    const { state } = await convert([
      { ...common, lr: a, params: ['a'] },
      { ...common, lr: b, params: ['b'], name: 'resting' },
    ]);
    const run = Run.start(jsDevice(), groups([{ match: 'b' }], optimizerByName('adam', {})), {
      a: tensor32([1, 2]),
      b: tensor32([3]),
    });
    await run.load(state);
    await run.applyGradients({ a: tensor32([1, 1]), b: tensor32([1]) });
    const { parameters } = await run.state();
    expect([1 - parameters.a.value.data[0], 3 - parameters.b.value.data[0]].map((x) => x.toFixed(3))).toEqual(
      [a, b].map((lr) => lr.toFixed(3)),
    );
    await toTorch(at('out'), at('again'));
    expect(decodeTensors(await readFile(at('again'))).metadata.get('torch')).toContain('"lr":0');
  });

  it('names of groups are kept', async () => {
    const { state } = await convert([
      { ...common, lr: 0.1, params: ['a'] },
      { ...common, lr: 0.2, params: ['b'], name: 'head' },
    ]);
    expect(state.optimizer).toMatchObject({ groups: [{ name: 'head', match: { names: ['b'] } }] });
  });

  it('learning rates at construction that have moved apart are kept apart', async () => {
    const own = { final_lr: 0.1, gamma: 1e-3, eps: 1e-8, betas: [0.9, 0.999], weight_decay: 0, amsbound: false };
    const { state } = await convert(
      [
        { ...own, lr: 0.1, base_lr: 0.1, params: ['a'] },
        { ...own, lr: 0.01, base_lr: 0.1, params: ['b'] },
      ],
      'AdaBound',
    );
    expect(state.optimizer).toMatchObject({
      groups: [{ optimizer: { hyperparameters: { lr: 0.01 }, initial: { lr: 0.1 } } }],
      rest: { initial: { lr: 0.1 } },
    });
    await toTorch(at('out'), at('again'));
    const { param_groups } = JSON.parse(decodeTensors(await readFile(at('again'))).metadata.get('torch') ?? '') as {
      param_groups: readonly object[];
    };
    expect(param_groups).toMatchObject([
      { lr: 0.1, base_lr: 0.1, params: ['a'] },
      { lr: 0.01, base_lr: 0.1, params: ['b'] },
    ]);
  });
});

it('counts of batches come back bit by bit, as the integers they are', async () => {
  const count = { dtype: 'I64', shape: [], bytes: new Uint8Array(BigInt64Array.of(2n ** 53n + 1n).buffer) } as const;
  const run = Run.start(jsDevice(), optimizerByName('adam', {}), start);
  const key = 'norm.num_batches_tracked';
  await writeState(at('counted'), { ...(await train(run, 1, 1)), statistics: { [key]: count } });
  await toTorch(at('counted'), at('torch'));
  expect(decodeTensors(await readFile(at('torch'))).tensors.get(key)).toEqual(count);
  await fromTorch(at('torch'), at('back'));
  expect((await readState(at('back'))).statistics?.[key]).toEqual(count);
});

it('leaves what is around the optimizer behind, and says so', async () => {
  const run = Run.start(jsDevice(), ema(0.9, clipByGlobalNorm(1, optimizerByName('adam', {}))), start);
  await writeState(at('wrapped'), await train(run, 1, 1));
  const { notes } = await toTorch(at('wrapped'), at('torch'));
  expect(notes).toEqual([
    'what is around the optimizer stays behind, with what it keeps: ema, clipByGlobalNorm; set it up in PyTorch',
  ]);
  expect(
    [...decodeTensors(await readFile(at('torch'))).tensors.keys()].filter((key) => key.includes('average')),
  ).toEqual([]);
});

it('says what is not one to one', async () => {
  expect((await fromTorch(torchFile('sgd-momentum'), at('notes'))).notes).toEqual([
    'SGD does not count its steps: the run is taken to be at step 1; give it with --step',
    'without an update so far: "norm.bias"',
    'in no group, so kept as statistics: "norm.num_batches_tracked", "norm.running_mean", "norm.running_var"',
  ]);
  const scheduled = Run.start(jsDevice(), optimizerOf(cases.adabound), start);
  await writeState(at('scheduled'), await train(scheduled, 1, 5));
  expect((await toTorch(at('scheduled'), at('notes'))).notes).toEqual([
    'schedules stay behind: lr as at step 6; set up a scheduler of PyTorch',
  ]);
});

it('is tested with the Python functions as they are documented', async () => {
  const text = await readFile(new URL('../../../../../docs/switching.md', import.meta.url), 'utf8');
  const snippet = /```python\n(import json\n.*?)```/s.exec(text)?.[1] ?? '';
  const hash = createHash('sha256').update(snippet).digest('hex');
  expect([recorded.snippet, builtin.snippet]).toEqual([hash, hash]);
});

describe('refuses', () => {
  const value = storeTensor(tensor32([1, 2]));
  const good = {
    class: 'Adam',
    param_groups: [{ params: ['w'], lr: 0.1, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, amsgrad: false }],
    steps: {},
    attributes: {},
  };
  const [group] = good.param_groups;
  const torchCases: [string, unknown, Record<string, typeof value>, string][] = [
    ['a file from somewhere else', undefined, {}, 'its metadata has no "torch"; write it with the Python function'],
    ['a document that is not JSON', '{', {}, 'the metadata "torch" is not JSON'],
    ['a document without groups', { ...good, param_groups: [] }, {}, 'the metadata "torch" is not valid: param_groups'],
    [
      'an optimizer without a counterpart',
      { ...good, class: 'Lion' },
      {},
      'the optimizer Lion has no counterpart here',
    ],
    [
      'a parameter without a tensor',
      { ...good, param_groups: [{ ...group, params: ['w', 'x'] }] },
      {},
      'no tensor for "x"',
    ],
    ['a missing slot', { ...good, steps: { w: 3 } }, {}, '"w" has had 3 updates, but there is no "state/w/exp_avg"'],
    ['a slot without a counterpart', good, { 'state/w/exp_inf': value }, 'adam has no slot for "state/w/exp_inf"'],
    [
      'groups of which some rise',
      {
        ...good,
        param_groups: [
          { ...group, maximize: true },
          { ...group, params: [] },
        ],
      },
      {},
      'maximize is true of some groups and false of others; here it is one for all',
    ],
    [
      'an Adam that is an AdamW',
      { ...good, param_groups: [{ ...group, decoupled_weight_decay: true }] },
      {},
      'Adam with decoupled_weight_decay true is another class',
    ],
    [
      'an attribute that the class does not have',
      { ...good, attributes: { rectify: true } },
      {},
      'Adam has no attribute "rectify"',
    ],
    ['a hyperparameter out of range', { ...good, param_groups: [{ ...group, betas: [1, 0.9] }] }, {}, 'beta1 must be'],
  ];
  it.each(torchCases)('%s from PyTorch', async (_, document, more, message) => {
    const text = typeof document === 'string' ? document : JSON.stringify(document);
    const metadata = new Map(document === undefined ? [] : [['torch', text]]);
    await writeTensors(at('bad'), new Map(Object.entries({ w: value, ...more })), metadata);
    await expect(fromTorch(at('bad'), at('never'))).rejects.toThrow(message);
    await expect(readFile(at('never'))).rejects.toThrow('ENOENT');
  });

  it('parameters that Adafactor sees otherwise, both ways', async () => {
    const kernel = storeTensor(tensor32([1, 2], [1, 2, 1]));
    const adafactor = { lr: 0.01, beta2_decay: -0.8, eps: [null, 1e-3], d: 1, weight_decay: 0, params: ['w'] };
    const document = { ...good, class: 'Adafactor', param_groups: [adafactor] };
    await writeTensors(at('bad'), new Map([['w', kernel]]), new Map([['torch', JSON.stringify(document)]]));
    await expect(fromTorch(at('bad'), at('never'))).rejects.toThrow(
      'Adafactor treats parameters of more than 2 axes otherwise than here: "w"',
    );
    const run = Run.start(jsDevice(), optimizerByName('adafactor', {}), { w: tensor32([1, 2], [1, 2, 1]) });
    await writeState(at('state'), await run.state());
    await expect(toTorch(at('state'), at('never'))).rejects.toThrow(
      'Adafactor treats "w", of more than 2 axes, otherwise than adafactor',
    );
  });

  const states: [string, Optimizer, string][] = [
    [
      'groups with different rules',
      groups([{ match: 'fc.bias', optimizer: optimizerByName('adabelief', {}) }], optimizerByName('adam', {})),
      '"fc.weight" and "fc.bias" differ in what one optimizer',
    ],
    [
      'groups that differ in what is one for all in PyTorch',
      groups([{ match: 'fc.bias', hyperparameters: { rectify: false } }], optimizerByName('adabelief', {})),
      '"fc.weight" and "fc.bias" differ in what one optimizer of PyTorch has for all its groups',
    ],
    [
      'groups that would be different classes',
      groups([{ match: 'fc.bias', hyperparameters: { weightDecouple: true } }], optimizerByName('adam', {})),
      '"fc.weight" and "fc.bias" differ in what one optimizer',
    ],
  ];
  it.each(states)('%s, for PyTorch', async (_, optimizer, message) => {
    const run = Run.start(jsDevice(), optimizer, start);
    await writeState(at('state'), await run.state());
    await expect(toTorch(at('state'), at('never'))).rejects.toThrow(message);
  });
});
