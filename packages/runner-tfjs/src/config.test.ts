import { cosine, defineOptimizer, flag, learningRate, type Optimizer } from '@adakit/core';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { AdakitOptimizer, registerOptimizers, tfjsOptimizer } from './index.js';

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
  AdakitOptimizer.fromConfig<AdakitOptimizer>(AdakitOptimizer, config).optimizer;

describe('getConfig and fromConfig', () => {
  const plain = define('plain');
  const full = plain({ lr: 0.5, nesterov: true })
    .withGroups([
      { match: 'dense_1/kernel', hyperparameters: { lr: 0.25 } },
      { match: /_a\_b\\_[_]/i, hyperparameters: { lr: 0.125 } },
    ])
    .withSchedules({ lr: cosine(10) });

  it('restore hyperparameters, those at construction, groups and schedules, also as a layers model saves them', () => {
    const optimizer = tfjsOptimizer(full);
    optimizer.setHyperparameters({ lr: 0 });
    const { name, hyperparameters, initial, groups, schedules } = restored(throughLayersModel(optimizer.getConfig()));
    expect({ name, hyperparameters, initial, groups, schedules }).toEqual({
      name: 'plain',
      hyperparameters: { lr: 0, nesterov: true },
      initial: { lr: 0.5, nesterov: true },
      groups: full.groups,
      schedules: full.schedules,
    });
    expect(groups[1].match).toEqual(full.groups[1].match);
  });

  it('register under a class name of their own', () => {
    tfjsOptimizer(full);
    const { classNameMap } = tf.serialization.SerializationMap.getMap();
    const ours = Object.keys(classNameMap).filter((name) => classNameMap[name][0] === AdakitOptimizer);
    expect(ours).toEqual(['Adakit']);
    expect(Object.keys(classNameMap)).toContain('Adam');
  });

  it('know an optimizer that has been registered', () => {
    const config = { ...tfjsOptimizer(full).getConfig(), name: 'registered' };
    expect(() => restored(config)).toThrow(/asks for the optimizer "registered", known are .*registerOptimizers\(\)/);
    registerOptimizers(define('registered'));
    expect(restored(config).name).toBe('registered');
  });

  const malformed: [string, tf.serialization.ConfigDict, RegExp][] = [
    ['no name', { name: null }, /asks for the optimizer null/],
    ['a hyperparameter out of range', { hyperparameters: { lr: -1, nesterov: false } }, /lr must be >= 0, got -1/],
    ['an unknown hyperparameter', { initial: { lr: 1, beta: 1 } }, /unknown hyperparameter "beta"/],
    ['settings that are no JSON', { settings: 'groups' }, /settings are not JSON/],
    ['malformed settings', { settings: '{"groups":[{"match":7}],"schedules":{}}' }, /optimizer\.groups\.0\.match/],
  ];
  it.each(malformed)('refuse %s', (_, change, message) => {
    const config = { ...tfjsOptimizer(full).getConfig(), ...change };
    expect(() => restored(config)).toThrow(message);
  });
});
