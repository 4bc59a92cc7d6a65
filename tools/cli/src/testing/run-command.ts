import { Command } from 'commander';
import { vi } from 'vitest';

/** Runs a command of the program as a shell would. */
export async function runCommand(
  add: (program: Command) => void,
  ...args: readonly string[]
): Promise<{ readonly output: string; readonly exitCode: number }> {
  const program = new Command('adakit').exitOverride().configureOutput({ writeErr: () => undefined });
  add(program);
  let output = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    output += String(text);
    return true;
  });
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    await program.parseAsync(['node', 'adakit', ...args]);
    return { output, exitCode: Reflect.get(process, 'exitCode') as number };
  } finally {
    write.mockRestore();
    process.exitCode = before;
  }
}
