import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { sm3 } from './sm3.js';

describeOptimizer(sm3, {
  references: referenceRunFiles('sm3'),
  hash: '9dcb3ad7b2fbc7c142a43713ffbd8c1d',
  slots: [
    [{}, { rowMax: { of: 'cover of sum(grad^2)' }, colMax: { of: 'cover of sum(grad^2)' } }],
    [
      { momentum: 0.9 },
      {
        rowMax: { of: 'cover of sum(grad^2)' },
        colMax: { of: 'cover of sum(grad^2)' },
        momentumBuffer: { of: 'mean(scaled grad)' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'sm3: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 1 } },
    rosenbrock: { steps: 1000, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 0.3 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
