import { Command } from 'commander';

/** Runs a command of the program as a shell would; one may run within another. */
export async function runCommand(
  add: (program: Command) => void,
  ...args: readonly string[]
): Promise<{ readonly output: string; readonly exitCode: number }> {
  const program = new Command('adakit').exitOverride().configureOutput({ writeErr: () => undefined });
  add(program);
  let output = '';
  const write = process.stdout.write;
  process.stdout.write = (text: unknown) => {
    output += String(text);
    return true;
  };
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    await program.parseAsync(['node', 'adakit', ...args]);
    return { output, exitCode: Reflect.get(process, 'exitCode') as number };
  } finally {
    process.stdout.write = write;
    process.exitCode = before;
  }
}
