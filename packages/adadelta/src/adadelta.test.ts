import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adadelta } from './adadelta.js';

describeOptimizer(adadelta, {
  references: referenceRunFiles('adadelta'),
  hash: 'd332e74750fe100a11f1d321ae28ff3d',
  slots: [[{}, { squareAvg: { of: 'mean(grad^2)', decay: 'rho' }, accDelta: { of: 'mean(update^2)', decay: 'rho' } }]],
  refuses: [[{ lr: 0 }, 'adadelta: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 10 } },
    beale: { steps: 300, options: { lr: 1 } },
    rastrigin: { steps: 300, options: { lr: 1 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
