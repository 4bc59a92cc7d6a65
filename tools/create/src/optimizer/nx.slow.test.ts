import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

// As Nx finds, loads and calls the generator. It writes nothing in a dry run.
const cwd = fileURLToPath(new URL('../../../../', import.meta.url));
const generate = (...args: readonly string[]) =>
  promisify(execFile)('npm', ['run', '--silent', 'create', '--', ...args, '--dry-run'], {
    cwd,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
  });

it('lists what it would write and change', async () => {
  const { stdout } = await generate('my-adam', '--title', 'MyAdam: Adam, as it is at first');
  const changes = stdout.split('\n').filter((line) => /^(CREATE|UPDATE|DELETE) /.test(line));
  expect(changes).toContain('CREATE packages/my-adam/src/my-adam.ts');
  expect(changes).toContain('UPDATE tools/cli/src/rules.ts');
  expect(changes.filter((line) => line.startsWith('DELETE'))).toEqual([]);
});

it.each([
  [['my-adam'], "Required property 'title' is missing"],
  [['my-adam', '--title', 'short'], 'should have at least 10 character(s)'],
  [['adam', '--title', 'Adam: a second one'], 'packages/adam is there already'],
])('refuses %j', async (args, message) => {
  // Nx says what is wrong among what else it says.
  const refused = await generate(...args).then(
    () => undefined,
    (error: unknown) => error as { readonly code: number; readonly stdout: string; readonly stderr: string },
  );
  expect(refused?.code).toBe(1);
  expect(`${refused?.stdout ?? ''}${refused?.stderr ?? ''}`).toContain(message);
});
