import { expect, test } from 'vitest';
import { Progress } from './progress.js';

/** Reports a step every 40 ms for ten seconds. */
function written(isTTY: boolean): string {
  let [text, time] = ['', 0];
  const stream = { isTTY, columns: 20, write: (more: string) => (text += more) };
  const progress = new Progress(stream, () => time);
  for (; time < 10_000; time += 40) progress.update(`at ${time} ms, which is a long line`);
  progress.say('done');
  return text;
}

test('a terminal sees one line that is rewritten and never wraps', () => {
  const lines = written(true).split('\r\x1b[K');
  expect(lines.length).toBeGreaterThan(50);
  expect(lines[1]).toBe('at 0 ms, which is a');
  expect(Math.max(...lines.slice(0, -1).map((line) => line.length))).toBe(19);
  expect(lines.at(-1)).toBe('done\n');
  expect(lines.slice(0, -1).join('')).not.toContain('\n');
});

test('a log sees a line every few seconds', () => {
  expect(written(false).split('\n')).toEqual([
    'at 0 ms, which is a long line',
    'at 5000 ms, which is a long line',
    'done',
    '',
  ]);
});
