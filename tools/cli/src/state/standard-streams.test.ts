import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { adam } from '@adakit/adam';
import { jsDevice, Run, tensor32 } from '@adakit/core';
import { writeState } from '@adakit/state/node';
import { afterAll, afterEach, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { addInspectCommand } from '../inspect/command.js';
import { withSource } from '../standard-streams.js';
import { runCommand, runPiped } from '../testing/run-command.js';
import { addStateCommand } from './command.js';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adakit-streams-'));
  file = join(folder, 'run.safetensors');
  const run = Run.start(jsDevice(), adam(), { w: tensor32([1, 2]) });
  await run.applyGradients({ w: tensor32([1, -1]) });
  await writeState(file, await run.state());
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  vi.restoreAllMocks();
});

const state = (...args: readonly string[]) => runCommand(addStateCommand, 'state', ...args);
const piped = (...args: readonly string[]) => runPiped(addStateCommand, 'state', ...args);
/** Standard input, in pieces of three bytes. */
function pipeIn(bytes: Uint8Array): void {
  const pieces = Array.from({ length: Math.ceil(bytes.length / 3) }, (_, i) => bytes.subarray(3 * i, 3 * i + 3));
  const given: { readonly stdin: Readable } = process;
  vi.spyOn(given, 'stdin', 'get').mockReturnValue(Readable.from(pieces));
}
/** What is said beside. */
function said() {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  return () => write.mock.calls.map(([text]) => String(text)).join('');
}

describe('- stands for a standard stream:', () => {
  it('convert reads one and writes the other, and reports beside', async () => {
    const to = join(folder, 'slower.safetensors');
    await state('convert', file, to, '--set', 'lr=1e-5');
    pipeIn(await readFile(file));
    const report = said();
    const { bytes } = await piped('convert', '-', '-', '--set', 'lr=1e-5');
    expect(bytes).toEqual(await readFile(to));
    expect(report()).toMatch(/^standard output:\n/);
  });

  it('what came in does not stay behind where a signal ends the command', async () => {
    const listeners = process.listenerCount('SIGTERM');
    vi.stubEnv('TMPDIR', await mkdtemp(join(folder, 'temporary-')));
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    pipeIn(Buffer.from('pipe'));
    const left = await withSource('-', async () => {
      const before = await readdir(tmpdir());
      process.emit('SIGTERM');
      return { before, after: await readdir(tmpdir()) };
    });
    expect(left.before).toHaveLength(1);
    expect(left.after).toEqual([]);
    expect(exit).toHaveBeenCalledWith(130);
    expect(process.listenerCount('SIGTERM')).toBe(listeners);
    vi.unstubAllEnvs();
  });

  it('bytes do not go to a terminal', async () => {
    const { isTTY } = process.stdout;
    process.stdout.isTTY = true;
    try {
      await expect(piped('convert', file, '-')).rejects.toThrow('standard output is a terminal');
    } finally {
      process.stdout.isTTY = isTTY;
    }
  });

  it('what goes to PyTorch and comes back through pipes is the same state', async () => {
    const report = said();
    const { bytes: torch } = await piped('to-torch', file, '-');
    pipeIn(torch);
    const back = join(folder, 'back.safetensors');
    const { output } = await state('from-torch', '-', back);
    expect([report(), output].map((text) => text.split('\n')[0])).toEqual([
      'standard output: Adam of PyTorch, adam here, at step 1',
      `${back}: Adam of PyTorch, adam here, at step 1`,
    ]);
    pipeIn(await readFile(back));
    expect(await state('diff', '-', file)).toMatchObject({ exitCode: 0 });
  });

  it('verify and inspect read one, and name it', async () => {
    pipeIn(await readFile(file));
    expect((await state('verify', '-')).output).toBe('standard input: ok\n');
    pipeIn(await readFile(file));
    const { output } = await runCommand(addInspectCommand, 'inspect', '-');
    expect(output).toMatch(/^standard input: a training state\n/);
    pipeIn((await readFile(file)).subarray(0, 100));
    const cut = await state('verify', '-');
    expect(cut).toMatchObject({ exitCode: 1, output: expect.stringMatching(/^standard input: [^/]+\n$/) as unknown });
  });

  test.each([
    ['diff', '-', '-'],
    ['verify', '-', 'run.safetensors', '-'],
  ])('%s %s %s: twice is a mistake', async (...args) => {
    await expect(state(...args)).rejects.toThrow('standard input (-) can be read once; name files for the others');
  });

  it('what is no state is named without the file that it was kept in', async () => {
    pipeIn(Buffer.from('no state'));
    const error: unknown = await state('convert', '-', join(folder, 'x.safetensors')).catch(
      (thrown: unknown) => thrown,
    );
    expect(String(error)).toContain('standard input');
    expect(String(error)).not.toContain(tmpdir());
  });

  it('nothing is written to standard output when it fails', async () => {
    await writeFile(join(folder, 'bad'), 'no state');
    const failed = state('convert', join(folder, 'bad'), '-');
    await expect(failed).rejects.toThrow();
  });
});
