import { expect, test } from 'vitest';
import { digitsIn, readMnist } from './mnist.js';

test('MNIST has 60,000 training and 10,000 test images', async () => {
  const { train, test } = await readMnist();
  expect([train.length, test.length]).toEqual([60_000, 10_000]);
  const first = async (data: typeof train) => digitsIn(await data.batch(10).at(0));
  expect([...(await first(train)).labels]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
  expect([...(await first(test)).labels]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
  let sum = 0;
  for await (const batch of train.batch(10_000)) for (const pixel of digitsIn(batch).images) sum += pixel;
  // The mean that everybody normalizes MNIST with.
  expect((sum / (60_000 * 28 * 28)).toFixed(4)).toBe('0.1307');
});
