import { describe, expect, it } from 'vitest';
import { cosine } from '../schedule/schedule.js';
import { defineOptimizer } from './define.js';
import { coefficient, flag, learningRate } from './hyperparameters.js';
import type { Optimizer, ParameterGroup } from './optimizer.js';

const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1), weightDecay: coefficient(0), amsgrad: flag(false) },
  slots: ({ amsgrad }) => (amsgrad ? ['v'] : []),
  update({ param, grad, hyper, initial, uses, slots }) {
    const g = uses.weightDecay ? grad.add(param.mul(hyper.weightDecay)) : grad;
    const stepped = param.sub(g.mul(hyper.lr.div(initial.lr)));
    return uses.amsgrad ? { param: stepped, slots: { v: slots.v } } : { param: stepped };
  },
});

describe('with', () => {
  it('changes hyperparameters in a new optimizer and keeps those at construction', () => {
    const optimizer = demo({ lr: 0.1 });
    const changed = optimizer.with({ lr: 0.01, weightDecay: 0.5 });
    expect(changed.hyperparameters).toEqual({ lr: 0.01, weightDecay: 0.5, amsgrad: false });
    expect(changed.initial).toEqual({ lr: 0.1, weightDecay: 0, amsgrad: false });
    expect(optimizer.hyperparameters.lr).toBe(0.1);
  });

  it('changes the program only with the structure', () => {
    const optimizer = demo();
    expect(optimizer.with({ lr: 0.01 }).program).toBe(optimizer.program);
    expect(optimizer.with({ weightDecay: 0.1 }).program).not.toBe(optimizer.program);
    expect(optimizer.with({ weightDecay: 0.1 }).with({ weightDecay: 0 }).program).toBe(optimizer.program);
  });

  it('allows a learning rate of 0 and refuses what is never allowed or unknown', () => {
    expect(demo().with({ lr: 0 }).hyperparameters.lr).toBe(0);
    expect(() => demo().with({ lr: -1 })).toThrow('demo: lr must be >= 0, got -1');
    expect(() => demo().with({ lrr: 1 })).toThrow('did you mean "lr"?');
  });
});

describe('an optimizer', () => {
  it('cannot be changed', () => {
    const options = { lr: 0.1 };
    const optimizer = demo(options);
    options.lr = 5;
    expect(optimizer.hyperparameters.lr).toBe(0.1);
    expect(() => Object.assign(optimizer.hyperparameters, { lr: 5 })).toThrow(TypeError);
    expect(() => Object.assign(optimizer.initial, { lr: 5 })).toThrow(TypeError);
  });

  it('gives the scalars of a step by instruction, NaN for tensors', () => {
    const optimizer = demo({ lr: 0.5 }).with({ lr: 0.25 });
    const values = Object.fromEntries(
      optimizer.program.instructions.map((instruction, i) => [
        instruction.op === 'input' ? instruction.name : instruction.op,
        optimizer.scalars(1)[i],
      ]),
    );
    expect(values).toEqual({
      param: NaN,
      grad: NaN,
      'hyper.lr': 0.25,
      'initial.lr': 0.5,
      div: 0.5,
      mul: NaN,
      sub: NaN,
    });
  });
});

describe('groups', () => {
  const withGroups = (...groups: ParameterGroup[]): Optimizer => demo({ lr: 0.1 }).withGroups(groups);

  it('apply to the named parameter or to those a regular expression finds', () => {
    const optimizer = withGroups(
      { match: 'fc.bias', hyperparameters: { lr: 0.2 } },
      { match: /^conv/, hyperparameters: { lr: 0.3 } },
    );
    const lrs = ['fc.bias', 'fc.bias2', 'conv1.weight', 'my.conv'].map(
      (name) => optimizer.for(name).hyperparameters.lr,
    );
    expect(lrs).toEqual([0.2, 0.1, 0.3, 0.1]);
  });

  it('leave a parameter that none matches to the optimizer itself', () => {
    const optimizer = withGroups({ match: 'a', hyperparameters: { lr: 0.2 } });
    expect(optimizer.for('b')).toBe(optimizer);
  });

  it('that match the same parameter add up, the later winning', () => {
    const optimizer = withGroups(
      { match: /w/, hyperparameters: { lr: 0.2, weightDecay: 0.5 } },
      { match: 'w1', hyperparameters: { lr: 0.3 } },
      { match: 'w2', hyperparameters: { weightDecay: 0 } },
    );
    expect(optimizer.for('w1').hyperparameters).toMatchObject({ lr: 0.3, weightDecay: 0.5 });
    expect(optimizer.for('w2').hyperparameters).toMatchObject({ lr: 0.2, weightDecay: 0 });
  });

  it('match by global and sticky expressions as by plain ones, every time', () => {
    const optimizer = withGroups(
      { match: /bias/g, hyperparameters: { lr: 0.2 } },
      { match: /fc/y, hyperparameters: { weightDecay: 0.5 } },
    );
    for (let time = 0; time < 3; time++) {
      expect(optimizer.for('fc.bias').hyperparameters).toMatchObject({ lr: 0.2, weightDecay: 0.5 });
    }
  });

  it('may have other programs and slots than the rest', () => {
    const optimizer = withGroups({ match: 'a', hyperparameters: { amsgrad: true, weightDecay: 0.1 } });
    expect(optimizer.for('a').program.slots).toEqual([{ name: 'v', initial: 0 }]);
    expect(optimizer.for('b').program.slots).toEqual([]);
  });

  it('count their own values as those at construction', () => {
    const optimizer = withGroups({ match: 'a', hyperparameters: { lr: 0.2 } }).with({ lr: 0.01 });
    expect(optimizer.for('a').initial.lr).toBe(0.2);
    expect(optimizer.for('b').initial.lr).toBe(0.1);
  });

  it('keep what they set when the optimizer changes, and follow it in the rest', () => {
    const optimizer = withGroups({ match: 'a', hyperparameters: { lr: 0.2 } }).with({ lr: 0.01, weightDecay: 0.5 });
    expect(optimizer.for('a').hyperparameters).toMatchObject({ lr: 0.2, weightDecay: 0.5 });
    expect(optimizer.for('b').hyperparameters).toMatchObject({ lr: 0.01, weightDecay: 0.5 });
  });

  it('are scheduled as they are, whichever is asked first: the parameter or the step', () => {
    const optimizer = withGroups({ match: 'a', hyperparameters: { lr: 0.2, weightDecay: 0.5 } }).withSchedules({
      lr: cosine(10),
      weightDecay: cosine(10),
    });
    for (const step of [1, 5, 10, 12]) {
      for (const name of ['a', 'b']) {
        const [stepFirst, nameFirst] = [optimizer.at(step).for(name), optimizer.for(name).at(step)];
        expect(stepFirst.hyperparameters).toEqual(nameFirst.hyperparameters);
        expect(stepFirst.initial).toEqual(nameFirst.initial);
        expect(stepFirst.program).toBe(nameFirst.program);
      }
    }
    expect(optimizer.at(5).for('a').hyperparameters.lr).not.toBe(0.2);
  });

  it('are checked when they are made, as if constructing an optimizer', () => {
    expect(() => withGroups({ match: 'a', hyperparameters: { lr: -1 } })).toThrow('demo: lr must be >= 0, got -1');
    expect(() => withGroups({ match: 'a', hyperparameters: { lr: 0 } })).toThrow('demo: lr must be > 0, got 0');
    expect(() => withGroups({ match: 'a', hyperparameters: { decay: 0 } })).toThrow('unknown hyperparameter "decay"');
  });
});

describe('restore', () => {
  it('takes over hyperparameters, those at construction and groups', () => {
    const saved = demo({ lr: 0.5, weightDecay: 0.1 })
      .with({ lr: 0 })
      .withGroups([{ match: 'a', hyperparameters: { lr: 0.2 } }]);
    const restored = demo().restore(saved.hyperparameters, saved.initial, saved.groups);
    expect(restored.hyperparameters).toEqual(saved.hyperparameters);
    expect(restored.initial).toEqual(saved.initial);
    expect(restored.for('a').hyperparameters).toEqual(saved.for('a').hyperparameters);
  });

  it('refuses values at construction that no optimizer can be made with', () => {
    const { hyperparameters, initial } = demo();
    expect(() => demo().restore(hyperparameters, { ...initial, lr: 0 }, [])).toThrow('demo: lr must be > 0, got 0');
  });
});
