import {
  AdakitError,
  clipByGlobalNorm,
  cosine,
  defineOptimizer,
  ema,
  flag,
  freezeRows,
  groups,
  learningRate,
  lossScaling,
  matrices,
  type Optimizer,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import '../device/fused/cpu.js';
import { tfjsOptimizer, type AdakitOptimizer } from '../index.js';
import { registerOptimizers, SavedOptimizer } from './register.js';

const define = (name: string, lr?: number) =>
  defineOptimizer({
    name,
    hyperparameters: { lr: learningRate(lr ?? 0.1), nesterov: flag(false) },
    slots: () => [],
    update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
  });

/** What saving and loading a layers model does to the strings of a configuration. */
function throughLayersModel(config: tf.serialization.ConfigDict): tf.serialization.ConfigDict {
  return JSON.parse(JSON.stringify(config), (_, value: unknown) =>
    typeof value === 'string' ? value.replace(/_+(\w|$)/g, (__, letter: string) => letter.toUpperCase()) : value,
  ) as tf.serialization.ConfigDict;
}

const restored = (config: tf.serialization.ConfigDict): Optimizer =>
  SavedOptimizer.fromConfig<AdakitOptimizer>(SavedOptimizer, config).optimizer;

describe('getConfig and fromConfig', () => {
  const plain = define('plain');
  const full = groups(
    [
      { match: 'dense_1/kernel', hyperparameters: { lr: 0.25 } },
      { match: /_a\_b\\_[_]/i, hyperparameters: { lr: 0.125 } },
      { match: matrices, optimizer: ema(0.9, define('other')()) },
    ],
    clipByGlobalNorm(1, plain({ lr: 0.5, nesterov: true }).withSchedules({ lr: cosine(10) })),
  );

  it('restore everything that an optimizer is made of and set to, also as a layers model saves them', () => {
    registerOptimizers(full);
    const optimizer = tfjsOptimizer(full);
    optimizer.setHyperparameters({ lr: 0 });
    const loaded = restored(throughLayersModel(optimizer.getConfig()));
    expect(loaded.hyperparameters).toEqual({ lr: 0, nesterov: true });
    expect(loaded.initial).toEqual({ lr: 0.5, nesterov: true });
    expect(loaded.toConfig()).toEqual(optimizer.optimizer.toConfig());
    expect(String(loaded)).toBe(String(full));
  });

  it('restore wrappers of one name that are made of other hyperparameters, each of its own', () => {
    const frozen = groups(
      [
        { match: 'a', optimizer: freezeRows([0, 2], plain()) },
        { match: 'b', optimizer: freezeRows([1], plain()) },
      ],
      plain(),
    );
    registerOptimizers(frozen);
    expect(restored(tfjsOptimizer(frozen).getConfig()).toConfig()).toEqual(frozen.toConfig());
  });

  it('restore the policy for what is not finite', () => {
    const scaled = lossScaling(plain());
    registerOptimizers(scaled);
    const config = tfjsOptimizer(scaled, { nonFinite: 'scaleBack' }).getConfig();
    const loaded = SavedOptimizer.fromConfig<AdakitOptimizer>(SavedOptimizer, throughLayersModel(config));
    expect(loaded.getConfig()).toEqual(config);
    expect(config.nonFinite).toBe('scaleBack');
  });

  it('register under a class name of their own', () => {
    registerOptimizers(full);
    const { classNameMap } = tf.serialization.SerializationMap.getMap();
    const ours = Object.keys(classNameMap).filter((name) => classNameMap[name][0] === SavedOptimizer);
    // Where it is not known, TensorFlow.js says so by this name.
    expect(ours).toEqual(['Adakit, by registerOptimizers() of @adakit/runner-tfjs/register']);
    expect(Object.keys(classNameMap)).toContain('Adam');
  });

  const config = (optimizer: Optimizer): tf.serialization.ConfigDict => ({
    optimizer: JSON.stringify(optimizer.toConfig()),
  });

  it('know an optimizer that has been registered, or what is made of such', () => {
    const registered = define('registered');
    expect(() => restored(config(registered()))).toThrow(
      /asks for the optimizer "registered", known are .*registerOptimizers\(\)/,
    );
    registerOptimizers(registered);
    expect(restored(config(registered({ lr: 0.3 }))).hyperparameters.lr).toBe(0.3);

    const around = lossScaling(ema(0.9, define('inside')()));
    expect(() => restored(config(around))).toThrow('asks for the optimizer "inside"');
    registerOptimizers(around);
    expect(restored(config(around)).toConfig()).toEqual(around.toConfig());
  });

  const rule = { kind: 'rule', name: 'plain', hyperparameters: {}, initial: {}, schedules: {} };
  const malformed: [string, object | string, RegExp][] = [
    ['no name', { ...rule, name: null }, /asks for the optimizer null/],
    ['a hyperparameter out of range', { ...rule, hyperparameters: { lr: -1 } }, /lr must be >= 0, got -1/],
    ['an unknown hyperparameter', { ...rule, initial: { lr: 1, beta: 1 } }, /unknown hyperparameter "beta"/],
    ['what is not JSON', 'groups', /malformed/],
    ['a match that is none', { kind: 'groups', groups: [{ name: 'a', match: 7 }], rest: rule }, /malformed/],
    ['nothing', 'null', /malformed/],
  ];
  it.each(malformed)('refuse %s', (_, optimizer, message) => {
    registerOptimizers(plain());
    const text = typeof optimizer === 'string' ? optimizer : JSON.stringify(optimizer);
    expect(() => restored({ optimizer: text })).toThrow(AdakitError);
    expect(() => restored({ optimizer: text })).toThrow(message);
  });
});
