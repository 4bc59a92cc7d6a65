import { describe, expect, it } from 'vitest';
import { camelCaseKeys } from './camel-case.js';

describe('camelCaseKeys', () => {
  it('renames snake_case and leaves the rest', () => {
    expect(camelCaseKeys('demo', { weight_decay: 1, final_lr: 2, beta1: 3, beta_2: 4, weightDecouple: 5 })).toEqual({
      weightDecay: 1,
      finalLr: 2,
      beta1: 3,
      beta2: 4,
      weightDecouple: 5,
    });
  });

  it('refuses a name given in both forms', () => {
    expect(() => camelCaseKeys('demo', { weightDecay: 1, weight_decay: 1 })).toThrow(
      'demo: hyperparameter "weightDecay" is given twice, as "weightDecay" and in snake_case; keep one',
    );
  });
});
