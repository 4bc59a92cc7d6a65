import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { novograd } from './novograd.js';

describeOptimizer(novograd, {
  references: referenceRunFiles('novograd'),
  hash: 'ba9f40e94956f8817e121ecf6a5cc0a0',
  slots: [
    [{}, { expAvg: { of: 'sum(grad/rms(grad))' }, expAvgSq: { of: 'mean(norm(grad)^2)' } }],
    [{ gradAveraging: true }, { expAvg: { of: 'mean(grad/rms(grad))' }, expAvgSq: { of: 'mean(norm(grad)^2)' } }],
  ],
  refuses: [[{ lr: 0 }, 'novograd: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.01 } },
    rosenbrock: { steps: 300, options: { lr: 0.03 } },
    beale: { steps: 300, options: { lr: 0.01 } },
    rastrigin: { steps: 300, options: { lr: 0.01 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
