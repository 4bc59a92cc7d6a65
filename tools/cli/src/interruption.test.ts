import { afterEach, describe, expect, it } from 'vitest';
import { withInterruption } from './interruption.js';
import { outliveReaders } from './standard-streams.js';

describe('work that is interrupted', () => {
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const listeners = () => names.map((name) => process.listenerCount(name));

  it.each(names)('by %s ends in its own time; a second signal, whichever, finds no listener', async (name) => {
    const before = listeners();
    const heard = await withInterruption('finishing', async (signal) => {
      process.emit(name);
      await Promise.resolve();
      return [signal.aborted, ...listeners()];
    });
    expect(heard).toEqual([true, ...before]);
  });

  it('leaves nothing behind, also where it fails', async () => {
    const before = listeners();
    await expect(withInterruption('finishing', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(listeners()).toEqual(before);
  });
});

describe('a standard stream', () => {
  const error = (code: string) => Object.assign(new Error(`${code}: write`), { code });
  const before = [process.stdout, process.stderr].map((stream) => stream.listeners('error'));
  afterEach(() => {
    process.exitCode = 0;
    for (const [i, stream] of [process.stdout, process.stderr].entries()) {
      for (const listener of stream.listeners('error')) {
        if (!before[i].includes(listener)) stream.removeListener('error', listener as () => void);
      }
    }
  });

  it.each([
    ['EPIPE', 0],
    ['EIO', 0],
    ['ENOSPC', 1],
  ])('that is gone, %s, does not end the process; results that are lost are a failure', (code, exitCode) => {
    outliveReaders();
    process.exitCode = 0;
    process.stderr.emit('error', error(code));
    expect(process.exitCode).toBe(0);
    process.stdout.emit('error', error(code));
    expect(process.exitCode).toBe(exitCode);
  });
});
