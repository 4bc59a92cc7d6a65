import { scheduleFactor } from '@adakit/core';
import { expect, it, test } from 'vitest';
import { scheduleNames } from '../known-names.js';
import { scheduleOf } from './choices.js';

/** Half a wave from 1 to 0. */
const falling = (progress: number) => (1 + Math.cos(Math.PI * progress)) / 2;

/** Factors at the first step, after half, and at the last of 100. */
const schedules: Readonly<Record<string, readonly [word: string, first: number, middle: number, last: number]>> = {
  cosine: ['cosine:floor=0.2', 1, 0.6, 0.2 + 0.8 * falling(0.99)],
  'cosine-restarts': ['cosine-restarts:steps=40', 1, falling(10 / 40), falling(19 / 40)],
  cyclic: ['cyclic:up=20,floor=0.1,perCycle=0.5', 0.1, 0.1 + 0.9 * 0.25, 0.1 + (0.9 * 0.25 * 19) / 20],
  linear: ['linear:to=0.5', 1, 0.75, 0.505],
  polynomial: ['polynomial:power=1', 1, 0.5, 0.01],
  exponential: ['exponential:factor=0.5', 1, 0.5 ** 50, 0.5 ** 99],
  step: ['step:every=30', 1, 0.1, 0.001],
  // The 30th step is the highest.
  'one-cycle': ['one-cycle', 1 / 25, falling(21 / 70), 4e-6],
  'warmup-stable-decay': ['warmup-stable-decay:warmup=10,decay=20', 0.1, 1, 0.05],
  sqrt: ['sqrt:floor=0.2', 1, 1 - 0.8 * Math.sqrt(0.5), 1 - 0.8 * Math.sqrt(0.99)],
  'inverse-time': ['inverse-time:rate=0.5,every=10', 1, 1 / 3.5, 1 / (1 + 0.5 * 9.9)],
  'inverse-sqrt': ['inverse-sqrt:warmup=4', 0.25, Math.sqrt(4 / 51), Math.sqrt(4 / 100)],
  plateau: ['plateau', 1, 1, 1],
};

it('every schedule has a row', () => {
  expect(Object.keys(schedules).sort()).toEqual([...scheduleNames].sort());
});

test.each(Object.values(schedules))('%s', (word, first, middle, last) => {
  const schedule = scheduleOf(word, undefined, 100);
  if (schedule === undefined) throw new Error('a schedule is expected');
  const factors = [1, 51, 100].map((step) => scheduleFactor(schedule, step));
  expect(factors.map((factor) => factor.toPrecision(3))).toEqual(
    [first, middle, last].map((factor) => factor.toPrecision(3)),
  );
});
