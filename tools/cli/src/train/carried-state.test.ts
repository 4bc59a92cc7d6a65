import { clipByGlobalNorm } from '@adakit/core';
import { nextTokens } from '@adakit/data';
import { fit } from '@adakit/fit';
import { dataFile, readData } from '@adakit/fixtures';
import { crossEntropy, TrainingSession, type TrainingSessionOptions } from '@adakit/runner-onnx';
import { sgd } from '@adakit/sgd';
import { expect, it } from 'vitest';

/** Made by `tools/fixtures/python/carried_state.py`. */
interface Recorded {
  readonly columns: number;
  readonly window: number;
  readonly epochs: number;
  readonly rate: number;
  readonly clip: number;
  readonly vocabulary: number;
  readonly text: readonly number[];
  /** Of every window before its update, and after each epoch the mean over the text. */
  readonly losses: readonly number[];
  readonly evaluations: readonly number[];
  /** The furthest that PyTorch's own run in float32 is from that in float64. */
  readonly float32: number;
}
const recorded = readData('carried-state.json') as Recorded;

async function train(update: NonNullable<TrainingSessionOptions['update']>, carry: Readonly<Record<string, string>>) {
  const { columns, window, epochs, rate, clip, vocabulary, text } = recorded;
  const tokens = { ids: Int32Array.from(text), vocabulary: Array.from({ length: vocabulary }, (_, i) => String(i)) };
  const names = ['tokens', 'labels'] as const;
  const batches = nextTokens(tokens, window, { streams: columns, names }).batch(columns);
  const session = await TrainingSession.create({
    model: dataFile('carried-state.onnx'),
    loss: crossEntropy({ output: 'logits', classAxis: 2 }),
    optimizer: clipByGlobalNorm(clip, sgd({ lr: rate })),
    outputs: ['h_next', 'c_next'],
    update,
  });
  const losses: number[] = [];
  const callbacks = [{ onStep: ({ loss }: { readonly loss: number }) => void losses.push(loss) }];
  const { history } = await fit(session, batches, { epochs, carry, validation: batches, callbacks });
  await session.dispose();
  return [...losses, ...history.map(({ validation }) => Number(validation?.loss))];
}
const furthest = (found: readonly number[]): number => {
  const expected = [...recorded.losses, ...recorded.evaluations];
  expect(found).toHaveLength(expected.length);
  return Math.max(...found.map((value, i) => Math.abs(value - expected[i])));
};
const carry = { h: 'h_next', c: 'c_next' };

it.each(['fused', 'graph'] as const)(
  'state that is carried from window to window trains as in PyTorch, with the %s update',
  async (update) => {
    // Another order of the same sums, each with errors like those of PyTorch's float32.
    expect(furthest(await train(update, carry))).toBeLessThan(16 * recorded.float32);
  },
);

it('state that is carried the wrong way round is told apart', async () => {
  expect(furthest(await train('fused', { h: 'c_next', c: 'h_next' }))).toBeGreaterThan(1000 * recorded.float32);
});
