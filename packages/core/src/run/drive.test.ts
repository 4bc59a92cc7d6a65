import { describe, expect, it } from 'vitest';
import { drive, driveNow } from './drive.js';
import { wait, type Work } from './work.js';

function* twice(value: number | Promise<number>): Work<number> {
  return 2 * (yield* wait(value));
}

describe('work', () => {
  it('is done when drive returns, if nothing in it has to be waited for', () => {
    expect(drive(twice(3))).toBe(6);
    expect(driveNow(twice(3))).toBe(6);
  });

  it('waits where it must, which driveNow refuses', async () => {
    const answer = drive(twice(Promise.resolve(3)));
    expect(answer).toBeInstanceOf(Promise);
    expect(await answer).toBe(6);
    expect(() => driveNow(twice(Promise.resolve(3)))).toThrow('answers later');
  });

  it('hands failures to the work, which may go on', async () => {
    function* careful(): Work<string> {
      try {
        yield* wait(Promise.reject(new Error('gone')));
        return 'never';
      } catch (error) {
        return (error as Error).message;
      }
    }
    expect(await drive(careful())).toBe('gone');
  });
});
