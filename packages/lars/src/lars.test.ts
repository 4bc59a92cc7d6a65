import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { lars } from './lars.js';

describeOptimizer(lars, {
  references: referenceRunFiles('lars'),
  hash: 'eb918ce0ca410174c731e61814d219a3',
  slots: [[{}, { momentumBuffer: { of: 'layerwise sum(grad)', joinsLate: true } }]],
  refuses: [[{ lr: 0 }, 'lars: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.01 } },
    rosenbrock: { steps: 300, options: { lr: 0.001 } },
    beale: { steps: 300, options: { lr: 0.01 } },
    rastrigin: { steps: 300, options: { lr: 0.001 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
