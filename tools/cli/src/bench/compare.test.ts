import { expect, it } from 'vitest';
import { compare, median, ratioOf } from './compare.js';

it('measures in turn and begins every round with another', async () => {
  const order: string[] = [];
  const contender = (name: string, time: number) => () => {
    order.push(name);
    return time;
  };
  const times = await compare({ a: contender('a', 1), b: contender('b', 2) }, { rounds: 2, warmUps: 1 });
  expect(order.join('')).toBe('abbaab');
  expect(times.a).toEqual({ median: 1, least: 1, most: 1, all: [1, 1] });
});

it('counts the last call of a turn alone', async () => {
  let calls = 0;
  const { a } = await compare({ a: () => calls++ }, { rounds: 2, warmUps: 0, rest: 1, runUp: 2 });
  expect(a.all).toEqual([2, 5]);
});

it('takes ratios round by round, so that a drift of the machine cancels', () => {
  const times = (all: readonly number[]) => ({
    median: median(all),
    least: Math.min(...all),
    most: Math.max(...all),
    all,
  });
  expect(ratioOf(times([1, 10, 100]), times([2, 20, 200]))).toBe(0.5);
});

it('takes the middle of an even number of values between the two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
});
