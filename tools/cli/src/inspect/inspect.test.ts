import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adabelief } from '@adakit/adabelief';
import { adam } from '@adakit/adam';
import {
  clipByGlobalNorm,
  ema,
  groups,
  jsDevice,
  milestones,
  Run,
  tensor32,
  type StoredTensor,
  type TrainingState,
} from '@adakit/core';
import { openState, writeState, writeTensors } from '@adakit/state/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '../testing/run-command.js';
import { addInspectCommand } from './command.js';
import { inspectFile, type Inspection } from './inspect.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adakit-inspect-'));
});
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

async function trained(optimizer = adam({ amsgrad: true })): Promise<TrainingState> {
  const run = Run.start(jsDevice(), optimizer, { w: tensor32([3, -4]), 'layer/b': tensor32([0.5]) });
  await run.applyGradients({ w: tensor32([1, 1]), 'layer/b': tensor32([1]) });
  await run.applyGradients({ w: tensor32([1, 1]) });
  return run.state();
}

/** A state in a file whose bytes `damage` changes. */
async function damaged(
  name: string,
  damage: (bytes: Buffer, opened: Map<string, number>) => Buffer | undefined,
): Promise<string> {
  await writeState(at(name), await trained());
  const state = await openState(at(name));
  const offsets = new Map([...state.tensors].map(([tensor, { offset }]) => [tensor, offset]));
  await state.close();
  const bytes = await readFile(at(name));
  await writeFile(at(name), damage(bytes, offsets) ?? bytes);
  return at(name);
}

describe('a training state', () => {
  it('shows its document and every tensor with statistics', async () => {
    const state = await trained();
    await writeState(at('good'), { ...state, statistics: { mean: tensor32([1, NaN, -Infinity, -2]) } });
    const told = new Set<string>();
    const inspection = await inspectFile(at('good'), [], (tensor) => told.add(tensor));
    expect(told).toEqual(new Set(inspection.tensors.map(({ name }) => name)));
    expect(inspection).toMatchObject({ kind: 'state', valid: true, violations: [] });
    expect(inspection.document?.optimizer).toEqual(state.optimizer);
    expect(inspection.document?.step).toBe(2);
    const byName = new Map(inspection.tensors.map((tensor) => [tensor.name, tensor]));
    expect(byName.size).toBe(2 * 4 + 1);
    const [w0, w1] = state.parameters.w.value.data;
    expect(byName.get('param/w')).toEqual({
      name: 'param/w',
      dtype: 'F32',
      shape: [2],
      statistics: { norm: expect.closeTo(Math.hypot(w0, w1), 12) as number, min: w1, max: w0, nonFinite: 0 },
    });
    expect(byName.get('statistic/mean')?.statistics).toEqual({
      norm: expect.closeTo(Math.sqrt(5), 12) as number,
      min: -2,
      max: 1,
      nonFinite: 2,
    });
  });

  it('is printed for people', async () => {
    const belief = adabelief({ lr: 0.01 })
      .withSchedules({ lr: milestones([7]) })
      .with({ beta2: 0.99 });
    const optimizer = clipByGlobalNorm(
      1,
      groups(
        [
          { match: /b$/, hyperparameters: { weightDecay: 0.1 } },
          { name: 'own', match: 'w', optimizer: adam({ lr: 0.02 }) },
        ],
        ema(0.9, belief),
      ),
    );
    await writeState(
      at('printed'),
      {
        ...(await trained(optimizer)),
        globals: { 'clipByGlobalNorm.norm': Infinity },
        collected: { batches: 1, samples: 8 },
        lossScale: { scale: 1024, good: 3 },
        plateaus: { ':lr': { best: null, bad: 0, cooling: 0, factor: 0.1 } },
        skipped: 2,
        random: { seed: 7 },
        data: { epoch: 1 },
        versions: { '@adakit/core': '1.2.3' },
      },
      { metric: 0.125 },
    );
    const { output, exitCode } = await runCommand(addInspectCommand, 'inspect', at('printed'));
    expect(exitCode).toBe(0);
    const lines = output.split('\n');
    expect(lines[0]).toBe(`${at('printed')}: a training state`);
    const shown = lines
      .slice(1, lines.indexOf(''))
      .map((line) => line.trimEnd().replace(/ {2,}(?=\S)/g, (gap, at) => (at === 0 ? gap : '  ')));
    expect(shown).toEqual([
      '  format  version 2',
      '  optimizer  clipByGlobalNorm(groups(adam, ema(adabelief)))',
      '  clipByGlobalNorm  maxNorm 1, infinity false',
      '    group group1  /b$/, weightDecay 0.1',
      '    group own  "w"',
      '      adam  lr 0.02, beta1 0.9, beta2 0.999, eps 1e-8, weightDecay 0, weightDecouple false, amsgrad false',
      expect.stringMatching(/^ {4}ema {2}decay 0.9, /),
      '      adabelief  lr 0.01, beta1 0.9, beta2 0.99, eps 1e-16, weightDecay 0, weightDecouple true, ' +
        'fixedDecay false, rectify true, degeneratedToSgd true, amsgrad false',
      '        at construction  beta2 0.999',
      '        schedule  lr: {"kind":"milestones","at":[7],"factor":0.1}',
      '  step  2',
      '  updates  1 of "layer/b"',
      expect.stringMatching(/^ {2}rule {2}[0-9a-f]{32}; expAvg mean\(grad\), decay beta1; expAvgSq mean\(grad\^2\), /),
      expect.stringMatching(/^ {2}rule {2}[0-9a-f]{32}; ema.average mean\(param\); expAvg mean\(grad\), decay beta1; /),
      '  number  clipByGlobalNorm.norm Infinity',
      '  collected  1 batches of 8 samples',
      '  loss scale  1024, 3 steps since it changed',
      '  plateau  :lr: factor 0.1, best none, 0 reports since',
      '  skipped  2 steps',
      '  origin  js, @adakit/core 1.2.3',
      '  random  {"seed":7}',
      '  data  {"epoch":1}',
      '  metric  0.125',
    ]);
    const json = await runCommand(addInspectCommand, 'inspect', at('printed'), '--json');
    expect((JSON.parse(json.output) as Inspection[])[0].document).toMatchObject({
      globals: { 'clipByGlobalNorm.norm': 'Infinity' },
      parameters: { 'layer/b': { step: 1 } },
      optimizer: { kind: 'wrapper', inner: { kind: 'groups' } },
    });
    expect(lines.slice(-3)).toEqual(['', 'valid', '']);
    expect(output).toMatch(/^param\/w +F32 +\[2\] +[\d.]+ +-[\d.]+ +[\d.]+ +-$/m);
  });

  it('in shards is one', async () => {
    await writeState(at('sharded.safetensors'), await trained(), { shardBytes: 8 });
    const inspection = await inspectFile(at('sharded.safetensors'));
    expect(inspection).toMatchObject({ kind: 'state', valid: true });
    expect(inspection.tensors).toHaveLength(8);
  });

  it('of an optimizer unknown here is taken at its word', async () => {
    const state = await trained();
    const optimizer = { kind: 'rule', name: 'mine', hyperparameters: {}, initial: {}, schedules: {} } as const;
    await writeState(at('unknown'), { ...state, optimizer });
    expect(await inspectFile(at('unknown'))).toMatchObject({ valid: true });
  });
});

describe('names the violation of', () => {
  const cases: [string, () => Promise<string>, Partial<Inspection>, string, RegExp][] = [
    [
      'a truncated file',
      () => damaged('a', (bytes) => bytes.subarray(0, -1)),
      { kind: 'unreadable' },
      'truncated-data',
      /byte \d+/,
    ],
    [
      'a damaged tensor, and still shows the others',
      () => damaged('b', (bytes, offsets) => void (bytes[offsets.get('slot/expAvg/w') ?? 0] ^= 1)),
      { kind: 'state' },
      'tensor-checksum',
      /slot\/expAvg\/w/,
    ],
    [
      'a damaged header, and still shows the tensors',
      () =>
        damaged('c', (bytes) => Buffer.from(bytes.toString('latin1').replace('"step\\":2', '"step\\":3'), 'latin1')),
      { kind: 'state' },
      'header-checksum',
      /the header/,
    ],
    [
      'a file that is something else',
      () => damaged('d', () => Buffer.from('{"lr": 0.1}')),
      { kind: 'unreadable' },
      'header-too-large',
      /d/,
    ],
    [
      'slots that the optimizer does not keep',
      async () => {
        const { parameters, ...state } = await trained();
        const [b, w] = [parameters['layer/b'], parameters.w];
        const { expAvg, ...rest } = w.slots;
        await writeState(at('e'), {
          ...state,
          parameters: { 'layer/b': b, w: { ...w, slots: { ...rest, velocity: expAvg } } },
        });
        return at('e');
      },
      { kind: 'state' },
      'state-mismatch',
      /lacks the slot "expAvg" of "w"\n.*"w" has a slot "velocity"/,
    ],
    [
      'a rule of another version',
      async () => {
        const state = await trained();
        const w = { ...state.parameters.w, programHash: '0'.repeat(32) };
        await writeState(at('f'), { ...state, parameters: { ...state.parameters, w } });
        return at('f');
      },
      { kind: 'state' },
      'state-mismatch',
      /the update rule of "w" has hash 0{32}/,
    ],
  ];
  it.each(cases)('%s', async (_, make, expected, code, message) => {
    const file = await make();
    const inspection = await inspectFile(file);
    expect(inspection).toMatchObject({ ...expected, valid: false });
    expect(inspection.violations).toHaveLength(1);
    expect(inspection.violations[0].code).toBe(code);
    expect(inspection.violations[0].message).toMatch(message);
    expect(inspection.tensors.length).toBe(expected.kind === 'unreadable' ? 0 : 8);

    const { output, exitCode } = await runCommand(addInspectCommand, 'inspect', file);
    expect(exitCode).toBe(1);
    expect(output).toContain(`NOT VALID\n  ${code}: `);
    const json = await runCommand(addInspectCommand, 'inspect', file, '--json');
    expect(json.exitCode).toBe(1);
    expect((JSON.parse(json.output) as Inspection[])[0].violations[0].code).toBe(code);
  });

  it('nothing, but fails, where there is no file', async () => {
    await expect(inspectFile(at('nowhere'))).rejects.toMatchObject({ code: 'file-not-found' });
    await expect(inspectFile(folder)).rejects.toMatchObject({ code: 'not-a-file' });
  });
});

describe('another safetensors file', () => {
  const stored = (dtype: StoredTensor['dtype'], array: ArrayBufferView<ArrayBuffer>, length: number): StoredTensor => ({
    dtype,
    shape: [length],
    bytes: new Uint8Array(array.buffer),
  });
  const tensors: [
    StoredTensor,
    [norm: number, min: number | null, max: number | null, nonFinite: number] | undefined,
  ][] = [
    [stored('F64', Float64Array.of(3e200, -4e200), 2), [5e200, -4e200, 3e200, 0]],
    [stored('F32', Float32Array.of(NaN, Infinity), 2), [0, null, null, 2]],
    [stored('F32', new Float32Array(), 0), [0, null, null, 0]],
    // 1.5 and −2 in half precision, 1 and infinity in bfloat16.
    [stored('F16', Uint16Array.of(0x3e00, 0xc000), 2), [2.5, -2, 1.5, 0]],
    [stored('BF16', Uint16Array.of(0x3f80, 0x7f80), 2), [1, 1, 1, 1]],
    [stored('I64', BigInt64Array.of(-3n, 4n), 2), [5, -3, 4, 0]],
    [stored('U64', BigUint64Array.of(2n ** 63n), 1), [2 ** 63, 2 ** 63, 2 ** 63, 0]],
    [stored('I32', Int32Array.of(-3, 4), 2), [5, -3, 4, 0]],
    [stored('U32', Uint32Array.of(2 ** 31), 1), [2 ** 31, 2 ** 31, 2 ** 31, 0]],
    [stored('I16', Int16Array.of(-3, 4), 2), [5, -3, 4, 0]],
    [stored('U16', Uint16Array.of(40000), 1), [40000, 40000, 40000, 0]],
    [stored('I8', Int8Array.of(-3, 4), 2), [5, -3, 4, 0]],
    [stored('U8', Uint8Array.of(200), 1), [200, 200, 200, 0]],
    [stored('BOOL', Uint8Array.of(0, 1), 2), [1, 0, 1, 0]],
    [stored('F8_E4M3', Uint8Array.of(1), 1), undefined],
  ];

  it('is shown with statistics of every element type, and said not to be a training state', async () => {
    const named = new Map(tensors.map(([tensor], i) => [`${i}`, tensor]));
    await writeTensors(at('foreign'), named, new Map([['format', 'pt\u001b[31m']]));
    const inspection = await inspectFile(at('foreign'));
    expect(inspection).toMatchObject({ kind: 'safetensors', valid: true, metadata: { format: 'pt\u001b[31m' } });
    const found = new Map(inspection.tensors.map((tensor) => [tensor.name, tensor]));
    tensors.forEach(([{ dtype }, expected], i) => {
      const tensor = found.get(`${i}`);
      expect(tensor?.dtype).toBe(dtype);
      const { norm, min, max, nonFinite } = tensor?.statistics ?? {};
      if (expected === undefined) expect(tensor?.statistics).toBeUndefined();
      else {
        expect([min, max, nonFinite]).toEqual(expected.slice(1));
        expect(Math.abs((norm ?? NaN) - expected[0])).toBeLessThanOrEqual(1e-15 * expected[0]);
      }
    });
    const { output, exitCode } = await runCommand(addInspectCommand, 'inspect', at('foreign'));
    expect(exitCode).toBe(0);
    expect(output).toContain('a safetensors file, but no training state of adakit\n  format  pt\\u001b[31m\n');
  });
});
