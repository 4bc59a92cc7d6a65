import { Command } from 'commander';

/** Runs a command of the program as a shell would; one may run within another. */
export async function runCommand(
  add: (program: Command) => void,
  ...args: readonly string[]
): Promise<{ readonly output: string; readonly exitCode: number }> {
  const { bytes, exitCode } = await runPiped(add, ...args);
  return { output: bytes.toString(), exitCode };
}

/** The same for what writes no text. */
export async function runPiped(
  add: (program: Command) => void,
  ...args: readonly string[]
): Promise<{ readonly bytes: Buffer; readonly exitCode: number }> {
  const program = new Command('adakit').exitOverride().configureOutput({ writeErr: () => undefined });
  add(program);
  const chunks: Buffer[] = [];
  const write = process.stdout.write;
  process.stdout.write = (chunk: string | Uint8Array, ...more: unknown[]) => {
    chunks.push(Buffer.from(chunk as Uint8Array));
    const done = more.at(-1);
    if (typeof done === 'function') (done as () => void)();
    return true;
  };
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    await program.parseAsync(['node', 'adakit', ...args]);
    return { bytes: Buffer.concat(chunks), exitCode: Reflect.get(process, 'exitCode') as number };
  } finally {
    process.stdout.write = write;
    process.exitCode = before;
  }
}
