import { expect, test } from 'vitest';
import { Progress, withProgress } from './progress.js';

/** What is written in the course of some messages a second apart. */
function written(isTTY: boolean, seconds: number): string {
  let text = '';
  let now = 0;
  const progress = new Progress({ isTTY, columns: 12, write: (more: string) => (text += more) }, () => now);
  for (let i = 0; i < seconds; i++) {
    now += 1000;
    progress.update(`${i + 1} of ${seconds} things`);
  }
  progress.clear();
  return text;
}

test('a terminal has one line, which is rewritten and removed', () => {
  expect(written(true, 2)).toBe('\r\x1b[K1 of 2 thin\r\x1b[K2 of 2 thin\r\x1b[K');
});

test('a log has a line every ten seconds, and none of short work', () => {
  expect(written(false, 9)).toBe('');
  expect(written(false, 25)).toBe('10 of 25 things\n20 of 25 things\n');
});

test('a terminal is clean after work that fails', async () => {
  let [text, now] = ['', 0];
  const progress = new Progress({ isTTY: true, write: (more: string) => (text += more) }, () => (now += 1000));
  const work = withProgress((say) => {
    say('half of it');
    return Promise.reject(new Error('no'));
  }, progress);
  await expect(work).rejects.toThrow('no');
  expect(text).toBe('\r\x1b[Khalf of it\r\x1b[K');
});
